"""Last change of the nearest data point: brute force, reverse runs, printed values."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from jaxwin.analysis import collapse
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import EDM, OrnsteinUhlenbeck, convert
from jaxwin.samplers import ExactTransition, FromLaw, trajectory
from jaxwin.scores import ExactScore
from jaxwin.targets import Empirical

OU = OrnsteinUhlenbeck()
POINTS = np.random.default_rng(0).normal(size=(60, 4))
GRID = np.geomspace(0.01, 4.0, 40)


def nearest(points, xs, alpha):
    """Index of the nearest scaled data point, by plain differences."""
    return np.sum((xs[..., None, :] - alpha * points) ** 2, axis=-1).argmin(-1)


def forward_places(points, times, count, seed):
    """Interval of the last change, by plain numpy: forward paths."""
    rng = np.random.default_rng(seed)
    own = rng.integers(len(points), size=count)
    x, last, place = points[own], 0.0, np.full(count, times.size)
    for k, t in enumerate(times):
        kept = np.exp(-(t - last))
        x = kept * x + np.sqrt(1 - kept**2) * rng.normal(size=x.shape)
        moved = nearest(points, x, np.exp(-t)) != own
        place = np.where((place == times.size) & moved, k, place)
        last = t
    return place


def reverse_places(points, times, count, seed):
    """The same by reverse runs of exact transitions, which know of no forward path."""
    law = Empirical(points)
    step, down = ExactTransition(law), jnp.asarray(np.append(times[::-1], 0.0))
    score = ExactScore(law, OU)
    start = FromLaw(law, OU, down[0])

    def path(replica):
        x = start(jr.fold_in(jr.key(seed), replica))
        return trajectory(step, score, x, down, jr.key(seed + 1), replica)

    paths = np.asarray(jax.jit(jax.vmap(path))(jnp.arange(count)))
    alphas = np.exp(-np.asarray(down))
    index = np.stack(
        [nearest(points, paths[:, k], alphas[k]) for k in range(down.size)], axis=1
    )
    # Noisiest first: the last entry is the data point itself.
    changed = index[:, :-1] != index[:, -1:]
    place = np.argmax(changed[:, ::-1], axis=1)
    return np.where(changed.any(axis=1), place, times.size)


def histogram(places, size):
    return np.bincount(places, minlength=size + 1)


def agree(a, b):
    """p-value of a two-sample chi-square test of histograms, rare cells pooled."""
    table = np.stack([a, b])
    common = table.sum(axis=0) >= 20
    rest = table[:, ~common].sum(axis=1, keepdims=True)
    table = np.concatenate([table[:, common], rest], axis=1)
    table = table[:, table.sum(axis=0) > 0]
    found: Any = scipy.stats.chi2_contingency(table)
    return float(found.pvalue)


@pytest.fixture(scope="module")
def found() -> collapse.LastNeighbour:
    return collapse.last_neighbour(Empirical(POINTS), GRID, num_paths=8192)


def counts_of(found):
    shares = np.append(found.share, found.never)
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-12)
    return np.rint(shares * found.count).astype(int)


@pytest.mark.slow
def test_histogram_against_plain_numpy(found):
    other = histogram(forward_places(POINTS, GRID, 8192, 1), GRID.size)
    assert agree(counts_of(found), other) > 1e-4
    # A shift by one time of the grid would be seen.
    assert agree(counts_of(found), np.roll(other, 1)) < 1e-6


@pytest.mark.slow
def test_reverse_runs_have_the_same_law():
    """Time reversal: 4,096 reverse runs of exact transitions, 4,096 forward paths."""
    points, grid = POINTS[:12, :2], np.geomspace(0.02, 2.0, 12)
    law = Empirical(points)
    forward = collapse.last_neighbour(law, grid, num_paths=4096, key=jr.key(3))
    backward = histogram(reverse_places(points, grid, 4096, 5), grid.size)
    assert agree(counts_of(forward), backward) > 1e-4
    assert agree(counts_of(forward), np.roll(backward, 1)) < 1e-6


@pytest.mark.slow
def test_two_points_have_orthants_of_a_gaussian():
    """The path of one coordinate is Gaussian: signs at four late times, in closed form.

    16,384 paths: 4 standard errors of each share.
    """
    times = np.array([1.0, 1.5, 2.0, 2.5])
    found = collapse.last_neighbour(
        Empirical(np.array([[3.0, 0.5], [-3.0, 0.5]])), times, num_paths=16_384
    )
    mean = 3 * np.exp(-times)
    early, late = np.minimum.outer(times, times), np.maximum.outer(times, times)
    covariance = np.exp(early - late) * -np.expm1(-2 * early)
    normal: Any = scipy.stats.multivariate_normal
    # No change in the first k times: all k coordinates on the own side.
    stays = [1.0] + [
        normal(mean[:k], covariance[:k, :k]).cdf(
            np.full(k, np.inf), lower_limit=np.zeros(k)
        )
        for k in range(1, 5)
    ]
    exact = np.append(-np.diff(stays), stays[-1])
    error = np.sqrt(exact * (1 - exact) / 16_384)
    measured = np.append(found.share, found.never)
    assert np.all(np.abs(measured - exact) < 4 * error)


@pytest.mark.slow
def test_summary_is_that_of_the_histogram(found):
    counts = counts_of(found)
    edges = np.append(0.0, GRID)
    value = np.append((edges[1:] + edges[:-1]) / 2, GRID[-1])
    sample = np.repeat(value, counts)
    np.testing.assert_allclose(found.mean, sample.mean(), rtol=1e-9)
    np.testing.assert_allclose(found.deviation, sample.std(), rtol=1e-9)
    # Within its interval of the grid.
    k = np.searchsorted(np.cumsum(counts) / counts.sum(), 0.5)
    assert edges[k] <= found.median <= edges[k + 1]
    # Errors: of a mean, of a standard deviation, of a median.
    n = sample.size
    np.testing.assert_allclose(found.mean_stderr, sample.std() / n**0.5, rtol=0.15)
    fourth = np.mean((sample - sample.mean()) ** 4)
    spread = np.sqrt((fourth - sample.var() ** 2) / n) / (2 * sample.std())
    np.testing.assert_allclose(found.deviation_stderr, spread, rtol=0.2)
    density = counts[k] / n / (edges[k + 1] - edges[k])
    np.testing.assert_allclose(found.median_stderr, 0.5 / n**0.5 / density, rtol=0.3)
    assert found.count == n == 8192
    assert (found.num_points, found.dimension) == (60, 4)
    np.testing.assert_array_equal(found.noise, GRID)


def test_paths_without_a_change_are_told():
    # Two points far apart, and a grid that ends early.
    law = Empirical(np.array([[50.0, 0.0], [-50.0, 0.0]]))
    grid = np.array([0.1, 0.2, 0.3, 0.4])
    found = collapse.last_neighbour(law, grid, num_paths=64)
    assert float(found.never) == 1
    assert float(found.mean) == 0.4
    assert float(found.median) == 0.4
    assert max(float(found.deviation), float(found.mean_stderr)) < 1e-12


def test_changes_below_the_grid_are_told():
    # One direction, close points: hardly any path is decided at t = 0.5.
    points = np.linspace(-1, 1, 200)[:, None]
    grid = np.array([0.5, 0.7, 0.9, 1.1])
    found = collapse.last_neighbour(Empirical(points), grid, num_paths=512)
    assert float(found.share[0]) > 0.95
    assert float(found.mean) < 0.3


@pytest.mark.slow
def test_equal_points_are_one():
    grid = np.geomspace(0.01, 2.0, 12)
    twice = Empirical(np.repeat(POINTS[:30], 2, axis=0))
    found = collapse.last_neighbour(twice, grid, num_paths=4096)
    once = histogram(forward_places(POINTS[:30], grid, 4096, 2), grid.size)
    assert agree(counts_of(found), once) > 1e-4


@pytest.mark.slow
def test_blocks_of_data_points_do_not_matter():
    # 600 points are three blocks.
    points = np.random.default_rng(4).normal(size=(600, 3))
    grid = np.geomspace(0.01, 2.0, 20)
    found = collapse.last_neighbour(Empirical(points), grid, num_paths=4096)
    other = histogram(forward_places(points, grid, 4096, 3), grid.size)
    assert agree(counts_of(found), other) > 1e-4


@pytest.mark.slow
def test_any_clock():
    times = np.asarray(convert(jnp.asarray(GRID), OU, EDM())[0])
    law = Empirical(POINTS)
    there = collapse.last_neighbour(law, times, process=EDM(), num_paths=512)
    here = collapse.last_neighbour(law, GRID, num_paths=512)
    # The same random numbers, and x scaled.
    np.testing.assert_allclose(there.share, here.share, atol=2.5 / 512)


PRINTED = np.geomspace(0.005, 4.0, 400)


@pytest.mark.slow
@pytest.mark.long
def test_printed_values():
    """5.14: n = 1000, d = 16, mu = sigma = 1; eight data sets of 384 paths."""
    rows = []
    for seed in range(8):
        rng = np.random.default_rng(100 + seed)
        side = 2 * rng.integers(2, size=1000) - 1
        points = side[:, None] + rng.normal(size=(1000, 16))
        law = Empirical(points.astype(np.float32))
        found = collapse.last_neighbour(law, PRINTED, num_paths=384, key=jr.key(seed))
        assert float(found.never) == float(found.share[0]) == 0
        rows.append([found.mean, found.deviation, found.median])
    mean = np.mean(rows, axis=0)
    error = np.std(rows, axis=0, ddof=1) / np.sqrt(8)
    # 4 x 1000 paths printed: 0.0031, 0.004 (a guess by its kurtosis), 0.005.
    printed, given = np.array([0.3795, 0.197, 0.335]), np.array([0.0031, 0.004, 0.005])
    assert np.all(np.abs(mean - printed) < 4 * np.hypot(error, given))
    assert np.all(error < 0.006)


@pytest.mark.slow
def test_results_can_be_stored(found):
    entry = to_json(found)
    assert entry["mean"] == float(found.mean)
    assert entry["num_points"] == 60
    assert to_dataset(found)["share"].dims == ("noise",)


@pytest.mark.parametrize(
    ("points", "times", "message"),
    [
        (np.ones((1, 3)), GRID, "`law` has 1 point"),
        (POINTS, GRID[:3], "at least 4"),
        (POINTS, GRID[::-1], "strictly increasing"),
        (POINTS, np.append(0.0, GRID), "alpha and sigma must be positive"),
        (POINTS, np.append(GRID, np.inf), "alpha and sigma must be positive"),
    ],
)
def test_bad_arguments_are_named(points, times, message):
    with pytest.raises(ValueError, match=message):
        collapse.last_neighbour(Empirical(points), times, num_paths=8)


@pytest.mark.f32
def test_without_64_bits():
    found = collapse.last_neighbour(Empirical(POINTS), GRID, num_paths=4096)
    other = histogram(forward_places(POINTS, GRID, 8192, 1), GRID.size)
    assert agree(counts_of(found), other) > 1e-4
