"""Collapse at finite size: printed columns, scipy, simulation of the information."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from slopes import assert_printed, assert_slopes

from jaxwin.analysis import collapse
from jaxwin.analysis.collapse._finite_size import gaussian_mean

gaussian = jax.jit(collapse.gaussian_finite_size)
clusters = jax.jit(
    collapse.two_cluster_finite_size, static_argnames="class_fluctuations"
)
LOG_N = np.log(20_000)


# 5.14


@pytest.mark.parametrize(
    ("d", "time", "excess", "own"),
    [
        (256, 0.944, "0.0089", "0.9656"),
        (256, 1.336, "0.1865", "0.4962"),
        (256, 2.120, "0.7501", "0.0035"),
        (256, 2.904, "0.9328", "0.0001"),
        (1024, 2.904, "0.7851", None),
        (1024, 3.296, "0.8871", None),
        (4096, 3.688, "0.8146", None),
    ],
)
def test_law_at_reference_points(d, time, excess, own):
    law = clusters(float(d), 1.0, d, 20_000, time)
    assert_printed(law.excess / LOG_N, excess)
    if own is not None:
        assert_printed(law.own_weight, own)


@pytest.mark.parametrize(
    ("d", "exact", "leading"),
    [(256, "0.1847", "0.157"), (1024, "0.1868", "0.160"), (4096, "0.1873", "0.160")],
)
def test_excess_at_collapse(d, exact, leading):
    time = collapse.two_cluster_time(float(d), 1.0, d, 20_000).time
    assert_printed(clusters(float(d), 1.0, d, 20_000, time).excess / LOG_N, exact)
    time = collapse.leading_time(LOG_N / d, 1.0)
    assert_printed(clusters(float(d), 1.0, d, 20_000, time).excess / LOG_N, leading)


def test_law_against_measured_small_data_sets():
    # n = 1000, d = 16: 40 data sets, 1000 samples each (theory 5.14), late times.
    for time, excess, own in ((1.0, 0.7574, 0.0158), (2.0, 0.9596, 0.0017)):
        law = clusters(16.0, 1.0, 16, 1000, time, class_fluctuations=True)
        assert abs(float(law.excess) / np.log(1000) - excess) < 0.005
        assert abs(float(law.own_weight) / own - 1) < 0.1


# Averages over a Gaussian


def reference_mean(log_function, mean: float, variance: float) -> float:
    """log E[f(L)], L ~ N(mean, variance), by scipy in logarithms."""
    sd = np.sqrt(variance)
    log_term = lambda y: log_function(mean + sd * y) - 0.5 * y**2
    grid = np.linspace(-sd - 40, sd + 40, 4001)
    top = grid[np.argmax([log_term(y) for y in grid])]
    f = lambda y: np.exp(log_term(y) - log_term(top))
    cuts = [top + c for c in (-12, -3, -1, 0, 1, 3, 12)]
    parts = [
        quad(f, a, b, epsrel=1e-11, limit=400)[0]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True)
    ]
    return np.log(sum(parts)) + log_term(top) - 0.5 * np.log(2 * np.pi)


def log_softplus(u):
    return u if u < -30 else np.log(np.logaddexp(0, u))


def log_logistic(u):
    return -np.logaddexp(0, -u)


@pytest.mark.parametrize("variance", [1e-6, 0.3, 4.0, 40.0, 900.0])
def test_averages_against_scipy(variance):
    softplus = lambda u: jnp.where(
        u < -30, u, jnp.log(jax.nn.softplus(jnp.maximum(u, -30)))
    )
    ours = {
        log_softplus: jax.jit(lambda m, v: jnp.log(gaussian_mean(softplus, m, v))),
        log_logistic: jax.jit(
            lambda m, v: jnp.log(gaussian_mean(jax.nn.log_sigmoid, m, v))
        ),
    }
    for mean in (-300.0, -20.0, -1.5, 0.0, 2.0, 15.0, 200.0):
        for reference, function in ours.items():
            expected = reference_mean(reference, mean, variance)
            found = float(function(jnp.asarray(mean), jnp.asarray(variance)))
            assert abs(found - expected) < 1e-8 * max(1, abs(expected))


# Mean and variance of the information density


def test_moments_of_a_spectrum_by_simulation():
    eigenvalues, time = np.array([5.0, 1.0, 0.3, 0.0]), 0.4
    rng, count = np.random.default_rng(0), 400_000
    alpha, delta = np.exp(-time), -np.expm1(-2 * time)
    a = rng.normal(size=(count, 4)) * np.sqrt(eigenvalues)
    z = rng.normal(size=(count, 4))
    x, width = alpha * a + np.sqrt(delta) * z, alpha**2 * eigenvalues + delta
    # log p(x | a) - log p(x).
    density = 0.5 * np.sum(np.log(width / delta) + x**2 / width - z**2, axis=1)
    law = gaussian(jnp.asarray(eigenvalues), 500, time)
    mean = np.log(499) - density.mean()
    assert abs(float(law.log_rest) - mean) < 4 * density.std() / np.sqrt(count)
    assert float(law.variance) == pytest.approx(density.var(), rel=0.01)


def test_moments_of_two_clusters_by_simulation():
    # Near speciation, where the class counts: r = 0.8 in three dimensions.
    time, std, d = 0.9, 0.7, 3
    rng, count = np.random.default_rng(1), 400_000
    alpha, delta = np.exp(-time), -np.expm1(-2 * time)
    width = alpha**2 * std**2 + delta
    separation_sq = 0.8**2 * width / alpha**2
    m = np.sqrt(separation_sq)
    a = std * rng.normal(size=(count, d))
    a[:, 0] += m * np.sign(rng.normal(size=count))
    z = rng.normal(size=(count, d))
    x = alpha * a + np.sqrt(delta) * z
    square = [
        np.sum(x[:, 1:] ** 2, axis=1) + (x[:, 0] - sign * alpha * m) ** 2
        for sign in (1, -1)
    ]
    log_p = np.logaddexp(*[-s / (2 * width) for s in square]) - np.log(2)
    density = -0.5 * np.sum(z**2, axis=1) + 0.5 * d * np.log(width / delta) - log_p
    law = clusters(separation_sq, std, d, 500, time, class_fluctuations=True)
    mean = np.log(499) - density.mean()
    assert abs(float(law.log_rest) - mean) < 4 * density.std() / np.sqrt(count)
    assert float(law.variance) == pytest.approx(density.var(), rel=0.01)
    plain = clusters(separation_sq, std, d, 500, time)
    assert float(plain.variance) < 0.9 * density.var()
    share = alpha**2 * std**2 / width
    assert float(plain.variance) == pytest.approx(d * share, rel=1e-12)


def test_one_cluster_is_a_gaussian():
    one = clusters(0.0, 1.3, 20, 300, 0.6, class_fluctuations=True)
    law = gaussian(jnp.full(20, 1.69), 300, 0.6)
    for found, expected in zip(jax.tree.leaves(one), jax.tree.leaves(law), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_half_weight_is_where_the_information_is_log_of_the_others():
    eigenvalues = jnp.array([3.0, 2.0, 1.0, 1.0, 0.1])
    time = collapse.gaussian_time(eigenvalues, 99.0).time
    law = gaussian(eigenvalues, 100, time)
    np.testing.assert_allclose(law.own_weight, 0.5, rtol=1e-9)
    np.testing.assert_allclose(law.log_rest, 0, atol=1e-9)


# Width


def test_width_is_that_of_the_log_weight():
    mean = lambda t: clusters(30.0, 0.8, 30, 500, t).log_rest
    for time in (0.2, 0.8, 1.6):
        law = clusters(30.0, 0.8, 30, 500, time)
        expected = np.sqrt(float(law.variance)) / float(jax.grad(mean)(time))
        np.testing.assert_allclose(law.width, expected, rtol=1e-8)


def test_width_depends_on_the_number_of_points_alone():
    # 0.22 for n = 20,000, however large d is.
    for d in (10**4, 10**6, 10**8):
        time = float(collapse.leading_time(LOG_N / d, 1.0))
        width = float(clusters(0.0, 1.0, d, 20_000, time).width)
        assert width == pytest.approx(1 / np.sqrt(2 * LOG_N), rel=30 / d**0.5)
    assert width == pytest.approx(0.2247, abs=1e-4)


# Ends, numerics


def test_ends():
    early, late = gaussian(jnp.ones(50), 1000, 1e-9), gaussian(jnp.ones(50), 1000, 40.0)
    assert float(early.own_weight) == 1
    assert 0 <= float(early.excess) < 1e-100
    np.testing.assert_allclose(late.own_weight, 1e-3, rtol=1e-9)
    np.testing.assert_allclose(late.excess, np.log(1000), rtol=1e-12)
    flat = gaussian(jnp.zeros(3), 7, 0.5)
    np.testing.assert_allclose(flat.own_weight, 1 / 7, rtol=1e-9)
    assert np.isinf(float(flat.width))
    # Two points: nothing but the other one.
    assert float(gaussian(jnp.ones(3), 2, 30.0).own_weight) == pytest.approx(0.5)


@pytest.mark.slow
def test_gradients():
    def together(m2, std, d, n, t):
        law = collapse.two_cluster_finite_size(
            m2, std, d, n, t, class_fluctuations=True
        )
        return law.own_weight + 2 * law.excess + 3 * law.width

    assert_slopes(together, (9.0, 0.7, 9.0, 200.0, 0.5), (9.0, 0.7, 9.0, 200.0, 1.4))
    f = lambda e, t: collapse.gaussian_finite_size(e, 50, t).excess
    for time in (1e-4, 0.3, 20.0):
        slopes = jax.grad(f, (0, 1))(jnp.array([1.0, 1.0, 0.0]), time)
        assert all(np.all(np.isfinite(s)) for s in slopes)


@pytest.mark.parametrize("time", [1e-3, 0.2, 0.6, 3.0])
def test_float32(time):
    single = jnp.float32(time)
    low = clusters(16.0, 1.0, 16, 1000, single)
    high = clusters(16.0, 1.0, 16, 1000, float(single))
    for name in ("log_rest", "variance", "own_weight", "excess", "width"):
        assert getattr(low, name).dtype == jnp.float32
        np.testing.assert_allclose(
            getattr(low, name), getattr(high, name), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: collapse.gaussian_finite_size(jnp.array([-1.0]), 9, 0.1), "eigenval"),
        (lambda: collapse.gaussian_finite_size(jnp.ones(2), 1, 0.1), "num_points"),
        (lambda: collapse.gaussian_finite_size(jnp.ones(2), 9, 0.0), "time"),
        (lambda: collapse.two_cluster_finite_size(-1.0, 1.0, 3, 9, 0.1), "separation"),
        (lambda: collapse.two_cluster_finite_size(1.0, -1.0, 3, 9, 0.1), "std"),
        (lambda: collapse.two_cluster_finite_size(1.0, 1.0, 0, 9, 0.1), "dimension"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=f"`{name}"):
        call()
