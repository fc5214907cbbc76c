"""Late start: quadrature of two classes, exact draws, moments of the Gaussian."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.optimize import root_scalar
from scipy.special import expit, logit

from jaxwin.analysis import late_start
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import OrnsteinUhlenbeck, VariancePreserving
from jaxwin.targets import Empirical, GaussianMixture

OU = OrnsteinUhlenbeck()
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(300)


def two_clusters(p, dimension, variance=0.0, half=1.0):
    """Weight p at +half along a diagonal, 1 - p at -half."""
    direction = np.ones(dimension) / np.sqrt(dimension)
    means = half * np.stack([direction, -direction])
    return GaussianMixture.isotropic(means, [variance] * 2, [p, 1 - p])


def quadrature(p, t, variance=0.0, half=1.0):
    """P_late(+) of section 1.8, with clusters of a width: the moments fit along u."""
    alpha, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    v = alpha**2 * variance + sigma**2
    mean = alpha * half * (2 * p - 1)
    std = np.sqrt(v + alpha**2 * half**2 * 4 * p * (1 - p))
    x = mean + std * NODES
    given = expit(2 * alpha * half * x / v + logit(p))
    return WEIGHTS @ given / WEIGHTS.sum()


@pytest.mark.slow
def test_two_deltas_at_reference_points():
    # theory/symmetry_and_clocks.md, section 1.8, Gaussian start.
    times = np.array([0.2, 0.25, 0.2926416543281432, 0.5, 0.6, 1.0])
    table = {
        0.8: "0.79362414 0.79720268 0.79881664 0.79999944 0.80000007 0.80000000",
        0.9: "0.90479680 0.90287662 0.90161688 0.90001534 0.90000057 0.90000000",
    }
    for p, row in table.items():
        found = late_start.misplaced(
            two_clusters(p, 1),
            times,
            process=VariancePreserving(0.1, 20.0),
            num_replicas=2**13,
            block_size=256,
        )
        expected = np.array(row.split(), float)
        error = found.stderr
        # The table is rounded to 1e-8.
        assert np.all(np.abs(found.weight[:, 0] - expected) < 4 * error + 6e-9)
        assert error.max() < 2.4e-3


@pytest.mark.slow
def test_curve_and_start_of_two_clusters():
    dimension, p, variance, half = 64, 0.75, 0.02, 2.0
    times = np.linspace(0.05, 2.4, 24)
    law = two_clusters(p, dimension, variance, half)
    found = late_start.misplaced(law, times, num_replicas=8192, key=jr.key(1))
    exact = lambda t: quadrature(p, t, variance, half)
    expected = np.array([exact(t) for t in times])
    z = (found.weight[:, 0] - expected) / found.stderr
    assert np.abs(z).max() < 4
    np.testing.assert_allclose(found.weight.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(
        found.misplaced, np.abs(found.weight[:, 0] - p), atol=1e-12
    )
    gap = np.abs(expected - p) - 0.01
    last = np.flatnonzero(gap > 0)[-1]
    beyond = lambda t: abs(exact(t) - p) - 0.01
    root = root_scalar(beyond, bracket=(times[last], times[last + 1])).root
    assert abs(float(found.start.time) - root) < 4 * float(found.start.stderr)
    assert float(found.start.stderr) < 0.1
    assert bool(found.start.found)
    assert not found.always


@pytest.mark.slow
def test_equal_classes_never_lose_weight():
    found = late_start.misplaced(
        two_clusters(0.5, 2, 0.1), np.linspace(0.05, 3, 12), num_replicas=2048
    )
    assert found.always
    assert not bool(found.start.found)
    assert to_dataset(found)["weight"].dims == ("noise", "class")
    assert to_json(found)["always"] is True
    # The posterior is a step of one coordinate here: nothing but noise is seen.
    assert np.all(found.misplaced < 4 * found.stderr)
    assert found.misplaced[-1] < 1e-4


@pytest.mark.slow
def test_kept_nowhere():
    times = np.linspace(0.05, 0.3, 12)
    found = late_start.misplaced(two_clusters(0.75, 2, 0.02, 2.0), times)
    assert found.misplaced.min() > 0.01
    assert not found.always
    assert not bool(found.start.found)


@pytest.mark.slow
def test_no_start_where_the_noisy_end_misplaces():
    # E p - p changes sign at little noise: below the level first, and above it last.
    times = np.linspace(0.005, 0.25, 12)
    exact = np.array([abs(quadrature(0.9, t, 0.02, 2.0) - 0.9) for t in times])
    assert exact.min() < 0.002
    assert exact[-1] > 0.007
    law = two_clusters(0.9, 2, 0.02, 2.0)
    found = late_start.misplaced(law, times, level=0.004, num_replicas=2**15)
    assert not bool(found.start.found)
    assert not found.always


@pytest.fixture(scope="module")
def points():
    """Three uneven classes of points that fill 6 of 9 dimensions."""
    generator = np.random.default_rng(4)
    labels = generator.choice(3, size=300, p=[0.6, 0.3, 0.1])
    centres = 2 * generator.normal(size=(3, 6))
    inner = centres[labels] + 0.4 * generator.normal(size=(300, 6))
    return inner @ generator.normal(size=(6, 9)), labels


@pytest.mark.slow
def test_weights_of_a_data_set_are_those_of_its_start_law(points):
    law = Empirical(*points)
    times = np.array([0.5, 1.0, 1.5, 2.0])
    found = late_start.misplaced(law, times, num_replicas=4096, key=jr.key(2))
    draw = eqx.filter_jit(lambda start, keys: jax.vmap(start)(keys))
    posterior = jax.jit(jax.vmap(law.label_log_posterior, (0, None, None)))
    for i, t in enumerate(times[:2]):
        start = late_start.start_law(law, t)
        draws = draw(start, jr.split(jr.key(i + 7), 4096))
        p = np.exp(np.asarray(posterior(draws, *OU.levels(t))))
        error = p.std(axis=0) / np.sqrt(len(p))
        assert np.all(np.abs(found.weight[i] - p.mean(axis=0)) < 4.5 * error + 1e-12)
        # The control variates earn their keep.
        assert found.floor[i] < 0.9 * error.sum() / np.sqrt(2 * np.pi)


@pytest.mark.slow
@pytest.mark.parametrize(
    "law",
    [
        GaussianMixture.low_rank(np.eye(2, 5), np.ones((2, 5, 1)), [0.1, 0.2]),
        GaussianMixture.isotropic(np.zeros((1, 4)), [2.0]),
        Empirical(np.random.default_rng(0).normal(size=(4, 7))),
        Empirical(np.random.default_rng(0).normal(size=(40, 7)), bandwidth=0.3),
    ],
)
def test_gaussian_has_the_moments_of_the_law(law):
    start = late_start.gaussian_clean(law, 3)
    mean, covariance = np.asarray(law.moments().mean), law.moments().covariance()
    root = np.asarray(start.root)
    isotropic = float(start.variance) * np.eye(mean.size)
    np.testing.assert_allclose(root @ root.T + isotropic, covariance, atol=1e-12)
    np.testing.assert_allclose(start.mean, mean, atol=1e-14)
    directions = np.asarray(start.directions)
    assert directions.shape[1] == min(3, root.shape[1])
    eye = np.eye(directions.shape[1])
    np.testing.assert_allclose(directions.T @ directions, eye, atol=1e-12)
    # Whitened coordinates are linear in what is drawn: their covariance is exact.
    alphas, sigmas = OU.levels(jnp.array([0.1, 1.0]))
    zero = jnp.zeros_like(start.mean)
    of_z = jax.jacobian(lambda z: start.whitened(start.mean, z, alphas, sigmas))(zero)
    of_y = jax.jacobian(lambda y: start.whitened(y, zero, alphas, sigmas))(start.mean)
    spread = jnp.einsum("tkd,de,tle->tkl", of_y, covariance, of_y)
    spread = spread + jnp.einsum("tkd,tld->tkl", of_z, of_z)
    np.testing.assert_allclose(spread, np.stack([eye, eye]), atol=1e-12)


@pytest.mark.slow
def test_draws_have_the_moments(points):
    law = Empirical(*points)
    start = late_start.gaussian_clean(law, 8)
    draws = np.asarray(jax.vmap(start.draw)(jr.split(jr.key(0), 20_000)))
    covariance = np.asarray(law.moments().covariance())
    z = (draws.mean(0) - start.mean) / np.sqrt(np.diag(covariance) / 20_000)
    assert np.abs(z).max() < 4.5
    error = np.abs(np.cov(draws.T) - covariance).max()
    assert error < 6 * np.diag(covariance).max() / np.sqrt(20_000)


@pytest.mark.slow
def test_errors_are_honest_and_fits_bring_no_bias():
    # 40 short runs, where a fit on the own block would bias by more than the error.
    p, t = 0.8, 0.5
    law, times = two_clusters(p, 1, 0.02, 2.0), np.array([t, 1.0, 1.2, 1.4])
    runs = [
        late_start.misplaced(law, times, num_replicas=256, block_size=16, key=jr.key(k))
        for k in range(40)
    ]
    weights = np.array([run.weight[:, 0] for run in runs])
    errors = np.array([run.stderr for run in runs])
    expected = np.array([quadrature(p, time, 0.02, 2.0) for time in times])
    spread = weights.std(axis=0, ddof=1)
    assert np.all(np.abs(weights.mean(axis=0) - expected) < 4 * spread / np.sqrt(40))
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2, axis=0)), spread, rtol=0.3)


@pytest.mark.slow
def test_noise_alone_shows_the_floor():
    # Labels by a coin: no start misplaces anything, and |.| of noise is what is seen.
    points = np.random.default_rng(1).normal(size=(200, 3))
    law = GaussianMixture.isotropic(np.zeros((4, 2)), [1.0] * 4, [0.4, 0.3, 0.2, 0.1])
    found = late_start.misplaced(law, np.array([0.1, 0.5, 1.0, 2.0]), num_replicas=256)
    np.testing.assert_allclose(found.misplaced, 0, atol=1e-12)
    law = Empirical(points, np.arange(200) % 4)
    times = np.array([0.002, 0.004, 0.006, 0.008])
    runs = [
        late_start.misplaced(law, times, num_replicas=256, block_size=16, key=jr.key(k))
        for k in range(12)
    ]
    seen = np.mean([run.misplaced for run in runs])
    floor = np.mean([run.floor for run in runs])
    assert 0.8 * floor < seen < 3 * floor


@pytest.mark.slow
def test_few_directions_for_many_classes():
    labels = np.arange(120) % 60
    points = np.random.default_rng(2).normal(size=(120, 5))
    found = late_start.misplaced(
        Empirical(points, labels), np.array([0.3, 0.6, 1.0, 2.0]), num_replicas=256
    )
    assert found.weight.shape == (4, 60)
    np.testing.assert_allclose(found.weight.sum(axis=1), 1, atol=1e-12)


@pytest.mark.slow
def test_single_precision_data_stay_single():
    law = Empirical(
        np.random.default_rng(3).normal(size=(50, 4)).astype(np.float32),
        np.arange(50) % 2,
    )
    start = late_start.gaussian_clean(law, 8)
    types = {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(start, eqx.is_array))}
    assert types == {jnp.dtype(jnp.float32)}
    found = late_start.misplaced(
        law, np.array([0.3, 0.6, 1.0, 2.0], np.float32), num_replicas=256
    )
    assert np.all(np.isfinite(found.misplaced))


def test_start_law_is_the_noised_gaussian(points):
    law = Empirical(*points)
    start, (alpha, sigma) = late_start.start_law(law, 0.7), OU.levels(0.7)
    moments = law.moments()
    np.testing.assert_allclose(start.mean, alpha * moments.mean, atol=1e-14)
    expected = alpha**2 * moments.covariance() + sigma**2 * np.eye(9)
    np.testing.assert_allclose(start.covariance, expected, atol=1e-13)


def test_falling_times_are_refused():
    with pytest.raises(ValueError, match="`times` has shape"):
        late_start.misplaced(two_clusters(0.8, 2, 0.1), np.array([2.0, 1.0, 0.5, 0.1]))
