"""The linear phase: theory's row, exact shares of other laws, draws and denoisers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import root_scalar

from jaxwin.analysis.symmetry import affine_score, linear_phase
from jaxwin.analysis.symmetry._linear_phase import _on_line
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import EDM, OrnsteinUhlenbeck, VariancePreserving
from jaxwin.targets import AbstractDenoiser, Empirical, GaussianMixture

VP, OU = VariancePreserving(0.1, 20.0), OrnsteinUhlenbeck()
TWO = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
SC = 0.2926416543281432


def parts(means, weights, variance, alpha, sigma):
    """E|s|^2 and the noised variance of a mixture on the line, by scipy."""
    means, weights = np.asarray(means), np.asarray(weights)
    width = np.sqrt(alpha**2 * variance + sigma**2)

    def integrand(x):
        z = (x - alpha * means) / width
        each = weights * np.exp(-(z**2) / 2) / (width * np.sqrt(2 * np.pi))
        return np.sum(-z / width * each) ** 2 / np.sum(each)

    ends = alpha * means.min() - 12 * width, alpha * means.max() + 12 * width
    fisher = quad(integrand, *ends, limit=400, epsabs=1e-13, epsrel=1e-12)[0]
    spread = weights @ means**2 - (weights @ means) ** 2
    return fisher, alpha**2 * spread + width**2


def exact_share(*arguments):
    """1 - 1 / (Sigma E|s|^2): the affine score is the best affine fit."""
    fisher, variance = parts(*arguments)
    return 1 - 1 / (fisher * variance)


@pytest.mark.slow
def test_two_points():
    """Row C34."""
    row = [0.359720, 0.116107, 0.0354081, 1.14852e-3, 2.69004e-5]
    times = [0.2, 0.25, SC, 0.4, 0.5]
    found = linear_phase(TWO, VP, times)
    for value, expected, digits in zip(found.share, row, [6, 6, 7, 8, 10], strict=True):
        np.testing.assert_allclose(value, expected, rtol=0, atol=0.6 * 10.0**-digits)
    assert found.method == "quadrature"
    share = lambda s: exact_share(
        [1.0, -1.0], [0.5, 0.5], 0.0, *map(float, VP.levels(s))
    )
    end = root_scalar(lambda s: share(s) - 0.01, bracket=(0.3, 0.4), xtol=1e-12).root
    np.testing.assert_allclose(float(found.end.time), end, rtol=1e-8)
    assert not found.exceeded
    assert to_dataset(found)["share"].dims == ("time",)
    assert to_json(found)["end"]["found"] is True


@pytest.mark.slow
def test_unequal_clusters_with_a_mean():
    """Another law, another clock, another level; sampled beside exact."""
    means, weights, variance = [2.0, -0.5, 0.3], [0.2, 0.5, 0.3], 0.07
    law = GaussianMixture.isotropic(np.array(means)[:, None], variance, weights)
    times = np.linspace(0.05, 1.6, 12)
    found = linear_phase(law, OU, times, level=0.05)
    levels = [tuple(map(float, OU.levels(t))) for t in times]
    expected = [exact_share(means, weights, variance, *level) for level in levels]
    np.testing.assert_allclose(found.share, expected, rtol=1e-8, atol=1e-12)
    gap = lambda t: (
        exact_share(means, weights, variance, *map(float, OU.levels(t))) - 0.05
    )
    last = np.flatnonzero(found.share > 0.05)[-1]
    end = root_scalar(gap, bracket=(times[last], times[last + 1]), xtol=1e-12).root
    np.testing.assert_allclose(float(found.end.time), end, rtol=1e-8)
    drawn = linear_phase(law, OU, times, level=0.05, method="sampled", key=jr.key(3))
    assert drawn.method == "exact draws"
    # 12 z, correlated; errors of 128 blocks.
    assert np.abs((drawn.share - expected) / drawn.stderr).max() < 4
    assert abs(float(drawn.end.time) - end) < 4 * float(drawn.end.stderr)
    assert float(drawn.end.stderr) < 0.02


@pytest.mark.slow
def test_product_of_lines():
    """Corners of a rectangle: E|s|^2 and tr Sigma^-1 are sums over the two sides."""
    corners = [[2.0, 0.5], [2.0, -0.5], [-2.0, 0.5], [-2.0, -0.5]]
    law = GaussianMixture.isotropic(corners, 0.04)
    times = np.array([0.15, 0.25, 0.35, 0.45, 0.55])
    found = linear_phase(law, VP, times, num_replicas=4096)
    expected = []
    for t in times:
        level = tuple(map(float, VP.levels(t)))
        sides = [parts([h, -h], [0.5, 0.5], 0.04, *level) for h in (2.0, 0.5)]
        fisher = sum(side[0] for side in sides)
        expected.append(1 - sum(1 / side[1] for side in sides) / fisher)
    assert np.abs((found.share - expected) / found.stderr).max() < 4
    assert np.all(found.stderr < 0.05 * np.asarray(expected) + 1e-6)


@pytest.mark.slow
def test_one_gaussian_is_linear_throughout():
    law = GaussianMixture.isotropic([[0.7]], 0.3)
    found = linear_phase(law, OU, np.linspace(0.05, 2, 6))
    assert np.abs(found.share).max() < 1e-25
    assert str(found.end) == "not reached in [0.05, 2]"
    assert not found.exceeded
    wide = GaussianMixture.diagonal([[0.7, -0.2]], [0.3, 2.0])
    drawn = linear_phase(wide, OU, np.linspace(0.05, 2, 6), num_replicas=256)
    assert np.abs(drawn.share).max() < 1e-25
    assert not bool(drawn.end.found)


def test_exceeded_at_every_time():
    found = linear_phase(TWO, VP, np.linspace(0.1, 0.25, 5))
    assert found.exceeded
    assert not bool(found.end.found)
    drawn = linear_phase(
        TWO, VP, np.linspace(0.1, 0.25, 5), method="sampled", num_replicas=512
    )
    assert drawn.exceeded
    assert not bool(drawn.end.found)


@pytest.mark.slow
def test_a_denoiser_beside_the_law():
    """The score of other clusters, on draws of the law: by hand."""
    other = GaussianMixture.isotropic([[1.4], [-0.6]], 0.1, [0.3, 0.7])
    times = np.array([0.2, 0.3, 0.4, 0.5])
    found = linear_phase(TWO, VP, times, denoiser=other)
    scores = jax.jit(jax.vmap(other.score, in_axes=(0, None, None)))
    for t, share in zip(times, found.share, strict=True):
        alpha, sigma = map(float, VP.levels(t))
        x = np.linspace(-9, 9, 20001)
        density = sum(np.exp(-((x - m * alpha) ** 2) / (2 * sigma**2)) for m in (1, -1))
        s = np.asarray(scores(jnp.asarray(x[:, None]), alpha, sigma))[:, 0]
        apart = density @ (s + x / (alpha**2 + sigma**2)) ** 2
        np.testing.assert_allclose(share, apart / (density @ s**2), rtol=1e-9)
    drawn = linear_phase(TWO, VP, times, denoiser=other, method="sampled")
    assert np.abs((drawn.share - found.share) / drawn.stderr).max() < 4


class Bumpy(AbstractDenoiser):
    """The score of a law times 1 + b, b = |sin(8 sigma)| / 4."""

    law: GaussianMixture

    def denoise(self, x, alpha, sigma):
        return (x + sigma**2 * self.score(x, alpha, sigma)) / alpha

    def score(self, x, alpha, sigma):
        bump = jnp.abs(jnp.sin(8 * jnp.asarray(sigma))) / 4
        return (1 + bump) * self.law.score(x, alpha, sigma)

    def jacobian_product(self, x, v, alpha, sigma):
        raise NotImplementedError


def test_the_last_of_several_crossings():
    """A share (b / (1 + b))^2 that goes up and down: the noisiest crossing ends it."""
    law = GaussianMixture.isotropic([[0.4]], 0.5)
    times = np.linspace(0.05, 0.78, 60)
    found = linear_phase(law, EDM(), times, denoiser=Bumpy(law))
    bump = np.abs(np.sin(8 * times)) / 4
    np.testing.assert_allclose(found.share, (bump / (1 + bump)) ** 2, rtol=1e-9)
    assert np.sum(np.diff(found.share > 0.01) != 0) > 2
    # b / (1 + b) = 0.1, on the way down to sigma = pi / 4.
    end = (2 * np.pi - np.arcsin(4 / 9)) / 8
    np.testing.assert_allclose(float(found.end.time), end, rtol=1e-12)


@pytest.mark.parametrize("rank", [3, 40])
def test_affine_score_of_thin_and_full_factors(rank):
    d, variance = 40, 0.2 if rank == 3 else 0.0
    generator = np.random.default_rng(0)
    factor = generator.normal(size=(d, rank))
    if rank == 3:
        law = GaussianMixture.low_rank(np.ones((1, d)), factor, variance)
    else:
        law = Empirical(generator.normal(size=(60, d)) @ factor.T / 6)
    moments = law.moments()
    found = affine_score(law)
    x = jnp.asarray(generator.normal(size=d))
    for alpha, sigma in [(0.9, 0.4), (0.1, 1.0), (1.0, 50.0)]:
        matrix = alpha**2 * np.asarray(moments.covariance()) + sigma**2 * np.eye(d)
        expected = -np.linalg.solve(matrix, x - alpha * moments.mean)
        np.testing.assert_allclose(
            found(x, alpha, sigma), expected, rtol=1e-9, atol=1e-13
        )
    if rank == 3:
        assert found.directions.shape[1] <= 4
        text = str(jax.make_jaxpr(lambda x: found(x, 0.5, 0.5))(x))
        assert f"[{d},{d}]" not in text
        assert "HIGHEST" in text


@pytest.mark.slow
def test_high_dimension_by_its_direction():
    """Clusters along one direction of d = 300: noise elsewhere adds d - 1 to E|s|^2."""
    d, t = 300, 0.25
    direction = np.full(d, d**-0.5)
    law = GaussianMixture.isotropic(np.stack([direction, -direction]), 0.0)
    times = np.array([0.15, 0.2, t, 0.3])
    found = linear_phase(law, VP, times, num_replicas=1024)
    for time, share, error in zip(times, found.share, found.stderr, strict=True):
        alpha, sigma = map(float, VP.levels(time))
        fisher, variance = parts([1.0, -1.0], [0.5, 0.5], 0.0, alpha, sigma)
        expected = (fisher - 1 / variance) / (fisher + (d - 1) / sigma**2)
        assert abs(share - expected) < 4 * error
        assert error < 0.1 * expected


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least 4"):
        linear_phase(TWO, VP, [0.1, 0.2])
    with pytest.raises(ValueError, match="level"):
        linear_phase(TWO, VP, [0.1, 0.2, 0.3, 0.4], level=1.0)
    plane = GaussianMixture.isotropic([[1.0, 0.0], [-1.0, 0.0]], 0.1)
    with pytest.raises(ValueError, match="on no line"):
        linear_phase(plane, VP, [0.1, 0.2, 0.3, 0.4], method="quadrature")
    with pytest.raises(ValueError, match="method"):
        linear_phase(plane, VP, [0.1, 0.2, 0.3, 0.4], method="guess")


def test_one_program_for_all_values():
    curve = eqx.filter_jit(eqx.debug.assert_max_traces(_on_line, max_traces=1))
    for half in (0.8, 1.1):
        law = GaussianMixture.isotropic([[half], [-half]], 0.1)
        levels = VP.levels(jnp.asarray(half / 4))
        share = curve(law, law, affine_score(law), *levels)
        expected = exact_share([half, -half], [0.5, 0.5], 0.1, *map(float, levels))
        np.testing.assert_allclose(share, expected, rtol=1e-9)
