"""95 % intervals cover: a short form of benchmarks/coverage.py, on tiny data sets.

Of 200 intervals about 190 hold the truth; of intervals half as wide 135, of those twice
as wide 200.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from jaxwin.analysis import Feature
from jaxwin.analysis._crossing import crossing_place, over_fresh_data, read_off
from jaxwin.analysis._sweep import COARSE, _batch, _left_out, _noised_point
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report import noise_times
from jaxwin.targets import Empirical, PointGroups

REPLICATES, BATCHES = 200, 128
FEATURES = (Feature(of_label=(0, 1), pairs=np.array([[0, 1]], np.int32)),)
OU = OrnsteinUhlenbeck()
# t_phi of all classes and t_half.
LEVELS = (0.775, 0.5)


def law(seed: int, count: int) -> Empirical:
    """Two clusters in two dimensions."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype(int)
    return Empirical(rng.normal(size=(count, 2)) + 3.0 * labels[:, None], labels)


def levels(num_times: int, count: int):
    """Coordinate, alpha and sigma of a grid of levels."""
    times = jnp.asarray(noise_times(np.asarray(law(0, count).points), count=num_times))
    return -np.asarray(OU.log_snr(times)), *OU.levels(times, jnp.dtype(float))


def clock(coordinate):
    return OU.time(-jnp.asarray(coordinate))


def covered(crossings, truth) -> int:
    """How many of these intervals hold the truth, one for all or one for each."""
    assert all(bool(c.found) for c in crossings)
    low, high = np.array([(float(c.low), float(c.high)) for c in crossings]).T
    return int(np.sum((low <= truth) & (truth <= high)))


def wrong_by(factor: float, crossings):
    """The same intervals at another width."""
    wider = lambda end, c: c.time + factor * (end - c.time)
    return [
        eqx.tree_at(lambda x: (x.low, x.high), c, (wider(c.low, c), wider(c.high, c)))
        for c in crossings
    ]


def assert_covers(crossings, truth) -> None:
    assert 178 <= covered(crossings, truth) <= 198
    # The bound is sharp enough to see a wrong width.
    assert covered(wrong_by(0.5, crossings), truth) < 178
    assert covered(wrong_by(2.0, crossings), truth) > 198


@eqx.filter_jit
def watched(groups, alphas, sigmas, key, replicas):
    """phi and own weight of single noised points, as a run watches them."""
    one = lambda i: _noised_point(groups, FEATURES, alphas, sigmas, key, i)
    own, (phi,) = jax.vmap(one)(replicas)[1]["watched"]
    return jnp.stack([phi, own], axis=1)


@pytest.mark.slow
@pytest.mark.long
def test_intervals_given_the_data_cover():
    """Every other run for either curve."""
    at, alphas, sigmas = levels(12, 40)
    groups = PointGroups(law(1, 40), 1)
    replicas = jnp.arange(8 * BATCHES, dtype=jnp.int32)
    curves = lambda key: np.asarray(watched(groups, alphas, sigmas, key, replicas))
    # The truth to 11 % of an error.
    truth = np.mean([curves(jr.key(1000 + i)).mean(0) for i in range(80)], axis=0)
    place = [crossing_place(at, truth[row], LEVELS[row]) for row in range(2)]
    counts, found, truths = np.full(BATCHES, 8), [], []
    for seed in range(REPLICATES):
        row = seed % 2
        curve = curves(jr.key(seed))[:, row].reshape(BATCHES, 8, at.size).mean(axis=1)
        read = read_off(at, curve.mean(0), curve, counts, LEVELS[row], clock)
        found.append(read)
        truths.append(float(clock(place[row])))
    assert_covers(found, truths)


@pytest.mark.slow
def test_intervals_of_few_blocks_cover():
    """A line with a common Gaussian shift a block: Student's interval is exact."""
    at, rng = np.arange(6.0) - 2.5, np.random.default_rng(3)
    found = []
    for _ in range(300):
        curve = at[None] + 0.1 * rng.normal(size=(6, 1))
        counts = np.full(6, 8)
        found.append(read_off(at, curve.mean(0), curve, counts, 0.0, clock))
    # Resampled as if there were infinitely many blocks: 260.
    assert 274 <= covered(found, float(clock(0.0))) <= 296
    errors = np.array([float(c.high - c.low) for c in found])
    student = 2 * scipy.stats.t.ppf(0.975, 5) * 0.1 / np.sqrt(6)
    slope = float(jax.grad(OU.time)(0.0))
    np.testing.assert_allclose(errors.mean() / abs(slope), 0.951 * student, rtol=0.05)


@pytest.fixture(scope="module")
def data_sets():
    """Levels, and curves of data sets: phi and own weight, whole and left out."""
    at, alphas, sigmas = levels(32, 60)

    @eqx.filter_jit
    def averages(groups, key):
        one = lambda batch: _batch(groups, FEATURES, alphas, sigmas, key, batch)
        found = jax.vmap(one)(jnp.arange(4, dtype=jnp.int32))
        return jax.tree.map(
            lambda leaf: leaf.mean(axis=0), (found["watched"], found["averages"])
        )

    curves, without = [], []
    for seed in range(REPLICATES):
        groups = PointGroups(law(seed + 1, 60), 20)
        (own, (phi,)), found = averages(groups, jr.key(seed))
        left = _left_out(jax.tree.map(np.asarray, found))
        curves.append(np.stack([phi, own]))
        without.append((left.phi[0], left.own[0]))
    return at, alphas, sigmas, curves, without


@pytest.mark.slow
@pytest.mark.long
def test_intervals_over_fresh_data_cover(data_sets):
    at, alphas, sigmas, curves, without = data_sets
    replicas = jnp.arange(64, dtype=jnp.int32)
    others = [
        watched(PointGroups(law(s, 60), 1), alphas, sigmas, jr.key(s), replicas)
        for s in range(10_000, 10_200)
    ]
    truth = np.mean([np.asarray(leaf).mean(axis=0) for leaf in others], axis=0)
    for row, level in enumerate(LEVELS):
        found = [
            over_fresh_data(at, curve[row], left[row], level, clock, COARSE)
            for curve, left in zip(curves, without, strict=True)
        ]
        place = crossing_place(at, truth[row], level)
        assert_covers(found, float(clock(place)))
