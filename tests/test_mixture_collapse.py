"""Information of mixtures and the curse of dimensionality, by independent routes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from slopes import assert_printed, assert_slopes, root_of

from jaxwin.analysis import collapse, speciation
from jaxwin.io import to_dataset
from jaxwin.targets import GaussianMixture


def line(means, variances, weights=None, dimension=1) -> GaussianMixture:
    """Means along the first axis."""
    placed = np.zeros((len(means), dimension))
    placed[:, 0] = means
    return GaussianMixture.isotropic(placed, variances, weights)


# Quadrature


@pytest.mark.slow
@pytest.mark.parametrize("std", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("d", [1, 2, 40])
def test_two_equal_clusters(d, std):
    rng = np.random.default_rng(d)
    m = rng.normal(size=d) * 1.3
    mixture = GaussianMixture.isotropic(np.stack([m, -m]) + 5.0, std**2)
    for alpha, sigma in ((0.9, 0.2), (0.3, 1.0), (1.0, 1e-3), (1e-3, 1.0)):
        snr = (alpha / sigma) ** 2
        r = np.sqrt(m @ m * snr / (1 + snr * std**2))
        expected = d / 2 * np.log1p(snr * std**2) + float(
            speciation.class_information(r)
        )
        found = collapse.mixture_information(mixture, alpha, sigma)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    if std:
        exact = collapse.two_cluster_time(m @ m, std, d, 30).time
        found = collapse.mixture_time(mixture, 30).time
        np.testing.assert_allclose(found, exact, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.5, 0.2, 0.999, 1.0])
def test_unequal_weights(weight):
    mixture = line([1.0, -0.4], 0.25, [weight, 1 - weight], dimension=5)
    for snr in (0.01, 1.0, 30.0):
        r = 0.7 * np.sqrt(snr / (1 + snr / 4))
        classes = float(speciation.class_information(r, weight)) if weight < 1 else 0
        found = collapse.mixture_information(mixture, np.sqrt(snr), 1.0)
        expected = 2.5 * np.log1p(snr / 4) + classes
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def reference_information(means, variances, weights, snr: float) -> float:
    """h(s x0 + z) - h(z) on the line, by scipy over cut pieces."""
    centres, widths = np.sqrt(snr) * means, np.sqrt(1 + snr * variances)

    def term(x):
        log_p = np.logaddexp.reduce(
            np.log(weights) - np.log(widths) - 0.5 * ((x - centres) / widths) ** 2
        ) - 0.5 * np.log(2 * np.pi)
        return -np.exp(log_p) * log_p

    steps = [-14, -8, -4, -2, -1, 0, 1, 2, 4, 8, 14]
    cuts = np.unique((centres[:, None] + widths[:, None] * np.array(steps)).ravel())
    parts = [
        quad(term, a, b, epsabs=1e-14, limit=200)[0]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True)
    ]
    return sum(parts) - 0.5 * np.log(2 * np.pi * np.e)


@pytest.mark.parametrize("snr", [0.1, 3.0, 1e4])
def test_several_clusters_of_several_widths(snr):
    means, weights = np.array([-3.0, 0.0, 0.1, 4.0]), np.array([0.1, 0.5, 0.15, 0.25])
    variances = np.array([0.01, 2.0, 1e-4, 0.5])
    expected = reference_information(means, variances, weights, snr)
    mixture = GaussianMixture.isotropic(means[:, None], variances, weights)
    found = collapse.mixture_information(mixture, np.sqrt(snr), 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    # The same in three dimensions, with 0.7 in the other two.
    axis = np.array([2.0, 1.0, -2.0]) / 3
    factors = np.sqrt(np.clip(variances - 1e-4, 0, None))[:, None, None] * axis[:, None]
    embedded = GaussianMixture.low_rank(
        means[:, None] * axis[None], factors, 1e-4, weights
    )
    found = collapse.mixture_information(embedded, np.sqrt(snr), 1.0)
    np.testing.assert_allclose(found, expected + np.log1p(snr * 1e-4), rtol=1e-9)


@pytest.mark.slow
def test_time_from_the_denoiser():
    # 5.26: log n = I = int mmse / 2 dsnr, the mmse from the mixture's own denoiser.
    d, n = 256, 20_000
    m = np.sqrt(d)
    law = line([m, -m], 1.0)
    denoise = jax.jit(jax.vmap(law.denoise, (0, None, None)))
    y = np.linspace(-10, 10, 801)
    weight = np.exp(-0.5 * y**2) / np.exp(-0.5 * y**2).sum()

    def mmse(snr):
        # E x0^2 - E[E[x0|x]^2], x of the cluster at +m, or its mirror image.
        x = np.sqrt(snr) * m + np.sqrt(1 + snr) * y
        mean = denoise(jnp.asarray(x)[:, None], float(np.sqrt(snr)), 1.0)[:, 0]
        return m**2 + 1 - np.sum(weight * np.asarray(mean) ** 2) + (d - 1) / (1 + snr)

    nodes, weights = np.polynomial.legendre.leggauss(60)
    snr = 1 / np.expm1(2 * 1.333731)
    # Cut where the class is decided, at snr ~ 1 / d.
    cuts = np.array([0, 0.2 / d, 1 / d, 4 / d, 20 / d, snr])
    half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
    total = sum(
        h * w * mmse(c + h * v)
        for h, c in zip(half, middle, strict=True)
        for v, w in zip(nodes, weights, strict=True)
    )
    assert total / 2 == pytest.approx(np.log(n), abs=1e-4)
    mixture = line([m, -m], 1.0, dimension=d)
    assert_printed(collapse.mixture_time(mixture, n).time, "1.333731")
    # And the slope of our information is half of it.
    slope = jax.grad(lambda s: collapse.mixture_information(mixture, jnp.sqrt(s), 1.0))(
        0.02
    )
    assert float(slope) == pytest.approx(mmse(0.02) / 2, rel=1e-8)
    # Without signal it is level.
    flat = jax.grad(lambda a: collapse.mixture_information(mixture, a, 1.0))(0.0)
    assert float(flat) == pytest.approx(0, abs=1e-12)


def test_points_never_collapse_beyond_their_number():
    points = line([0.0, 1.0, 2.0], 0.0)
    assert not bool(collapse.mixture_time(points, 4).found)
    found = collapse.mixture_time(points, 2)
    assert bool(found.found)
    assert str(collapse.mixture_time(points, 4)) == "not reached in [0, inf]"
    clean = collapse.mixture_information(points, 1.0, 1e-9)
    np.testing.assert_allclose(clean, np.log(3), rtol=1e-12)
    assert float(collapse.mixture_information(points, 0.0, 1.0)) == pytest.approx(0)


def test_mixture_in_float32():
    means = np.array([[0.5, 1.0], [1.0, 2.0], [-2.0, -4.0]], np.float32)
    low = GaussianMixture.isotropic(means, np.float32(0.3))
    high = GaussianMixture.isotropic(means.astype(float), float(np.float32(0.3)))
    for sigma in (1e-2, 0.5, 3.0):
        found = collapse.mixture_information(low, 0.8, sigma)
        assert found.dtype == jnp.float32
        expected = collapse.mixture_information(high, 0.8, sigma)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert collapse.mixture_time(low, 50).time.dtype == jnp.float32


def test_mixture_bad_input():
    plane = GaussianMixture.isotropic(np.eye(3), 1.0)
    with pytest.raises(ValueError, match="does not reduce to one"):
        collapse.mixture_information(plane, 1.0, 1.0)
    pair = line([1.0, -1.0], 1.0)
    with pytest.raises(ValueError, match="`sigma` is 0"):
        collapse.mixture_information(pair, 1.0, 0.0)
    with pytest.raises(ValueError, match="`alpha` is -1"):
        collapse.mixture_information(pair, -1.0, 1.0)
    with pytest.raises(ValueError, match="`num_points` is 1"):
        collapse.mixture_time(pair, 1)


# The curse of dimensionality


@pytest.mark.slow
def test_grid():
    found = collapse.curse([1000, 20_000, 10**6], [16, 256, 1024, 4096])
    assert found.t_collapse.time.shape == found.ratio.shape == (3, 4)
    for i, j, printed in (
        (0, 0, "0.307719"),
        (1, 1, "1.333731"),
        (1, 2, "2.013488"),
        (1, 3, "2.703269"),
        (2, 0, "0.107781"),
    ):
        assert_printed(found.t_collapse.time[i, j], printed)
        d = float(found.dimension[j])
        leading = collapse.leading_time(np.log(float(found.num_points[i])) / d, 1.0)
        np.testing.assert_allclose(found.t_leading[i, j], leading, rtol=1e-12)
        share = float(found.t_collapse.time[i, j]) / (0.5 * np.log(d))
        np.testing.assert_allclose(found.ratio[i, j], share, rtol=1e-12)
    # At fixed n the collapse comes nearer to speciation as d grows.
    assert np.all(np.diff(found.ratio[1]) > 0)
    small = collapse.curse(50, [4, 9], mean_sq=0.2)
    assert list(np.asarray(small.t_speciation.found)) == [False, True]
    assert np.isnan(float(small.ratio[0, 0]))
    written = to_dataset(small)
    assert written["ratio"].dims == ("num_points", "dimension")
    assert written["ratio"][0, 1] == small.ratio[0, 1]


@pytest.mark.parametrize(("d", "std", "mean_sq"), [(16, 1.0, 1.0), (3, 0.4, 2.0)])
def test_points_that_collapse_at_a_time(d, std, mean_sq):
    for n in (2.0, 300.0, 1e9):
        time = collapse.two_cluster_time(d * mean_sq, std, d, n).time
        found = collapse.log_points(time, d, mean_sq, std)
        np.testing.assert_allclose(found.exact, np.log(n), rtol=1e-9)
        time = collapse.leading_time(np.log(n) / d, std)
        found = collapse.log_points(time, d, mean_sq, std)
        np.testing.assert_allclose(found.leading, np.log(n), rtol=1e-9)


@pytest.mark.slow
def test_points_grow_exponentially_with_the_dimension():
    d = jnp.array([1e3, 2e3, 1e5])
    many = jax.vmap(lambda d: collapse.log_points(0.5, d))(d)
    rate = 0.5 * np.log1p(1 / np.expm1(1.0))
    np.testing.assert_allclose(many.leading, rate * np.asarray(d), rtol=1e-12)
    # The classes give log 2 once they are apart: n doubles, whatever d is.
    np.testing.assert_allclose(many.exact - many.leading, np.log(2), rtol=1e-8)
    assert float(many.exact[2]) > 1e4  # n itself is beyond any float
    assert_slopes(
        lambda t, d, m, s: collapse.log_points(t, d, m, s).exact,
        (0.5, 16.0, 1.0, 0.7),
        (2.0, 3.0, 0.1, 1.2),
    )
    one = collapse.log_points(0.5, 7, 0.0)
    np.testing.assert_allclose(one.exact, one.leading, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: collapse.log_points(0.0, 3), "time"),
        (lambda: collapse.log_points(0.5, 0), "dimension"),
        (lambda: collapse.log_points(0.5, 3, -1.0), "mean_sq"),
        (lambda: collapse.curse([10, 1], [3]), "num_points"),
        (lambda: collapse.curse(10, [3, 0]), "dimension"),
        (lambda: collapse.curse(10, 3, std=0.0), "std"),
    ],
)
def test_curse_bad_input(call, name):
    with pytest.raises(ValueError, match=f"`{name}` is"):
        call()


def test_curse_against_scipy():
    gap = lambda t: (
        50 * np.log1p(0.49 / np.expm1(2 * t))
        + float(
            speciation.class_information(
                np.sqrt(30 / (np.expm1(2 * t) * (1 + 0.49 / np.expm1(2 * t))))
            )
        )
        - np.log(400)
    )
    found = collapse.curse(400, 100, mean_sq=0.3, std=0.7)
    expected = root_of(gap, 0.05, 5)
    np.testing.assert_allclose(found.t_collapse.time[0, 0], expected, rtol=1e-9)


@pytest.mark.slow
def test_gradients_in_the_means_of_a_mixture():
    means = jnp.array([[1.0, 2.0, 0.0], [-1.0, 0.5, 3.0]])

    def time(means):
        law = GaussianMixture.isotropic(means, 0.8, [0.3, 0.7])
        return collapse.mixture_time(law, 50).time

    np.testing.assert_allclose(jax.jit(time)(means), time(means), rtol=1e-12)
    slope = jax.grad(time)(means)
    for k, i in ((0, 1), (1, 2)):
        step = jnp.zeros_like(means).at[k, i].set(1e-5)
        moved = (time(means + step) - time(means - step)) / 2e-5
        np.testing.assert_allclose(slope[k, i], moved, rtol=1e-6)
    with pytest.raises(ValueError, match="`mixture` is traced"):
        jax.eval_shape(
            lambda v: collapse.mixture_time(GaussianMixture.diagonal(means, v), 50),
            jnp.ones(3),
        )
