"""Windows of every component by one pure function, against those of single laws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxwin._checks import BadInput
from jaxwin.analysis import windows
from jaxwin.analysis.windows._pair_geometry import pair_geometry
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
TIMES = jnp.linspace(0.02, 7.0, 48)
ALPHAS, SIGMAS = OU.levels(TIMES)
EPSILON = jnp.array(0.1)
K, D = 5, 7
RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(K, D)) * 6
WEIGHTS = RNG.dirichlet(np.full(K, 3.0))
FACTORS = RNG.normal(size=(K, D, 2))
FULL = np.einsum("kir,kjr->kij", FACTORS, FACTORS) + 0.7 * np.eye(D)
CLASSES = [0, 0, 1, 1, 2]
PAIRS = np.triu_indices(K, 1)
LAWS = {
    "isotropic": GaussianMixture.isotropic(MEANS, 0.7, WEIGHTS, labels=CLASSES),
    "variances": GaussianMixture.isotropic(MEANS, RNG.uniform(0.3, 2, K), WEIGHTS),
    "diagonal": GaussianMixture.diagonal(MEANS, RNG.uniform(0.3, 2, (K, D)), WEIGHTS),
    "low_rank": GaussianMixture.low_rank(
        MEANS, FACTORS, RNG.uniform(0.5, 1, K), WEIGHTS, labels=CLASSES
    ),
    # One factor for all: the spans of a pair coincide.
    "one_factor": GaussianMixture.low_rank(MEANS, FACTORS[0], 0.7, WEIGHTS),
    # Two spans of rank 5 in 7 dimensions overlap.
    "high_rank": GaussianMixture.low_rank(
        MEANS, RNG.normal(size=(K, D, 5)), 0.7, WEIGHTS
    ),
    "full": GaussianMixture.full(MEANS, FULL, WEIGHTS),
}
sweep = eqx.filter_jit(windows.sweep_windows)


def alone(law: GaussianMixture) -> GaussianMixture:
    """The same components, each its own label."""
    count = law.log_weights.size
    return GaussianMixture(
        law.means, law.covariance, law.log_weights, jnp.arange(count), count
    )


def value(crossing) -> float:
    assert bool(crossing.found), str(crossing)
    return float(crossing.time)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(LAWS))
def test_geometry_gives_the_pairs_of_the_table(kind):
    law = LAWS[kind]

    @jax.jit
    def bounds(alpha, sigma):
        geometry, level = pair_geometry(law), (alpha[None], sigma[None])
        overlap = jnp.exp(geometry.log_overlap(*level))
        return overlap, *geometry.variation_bounds(*level)

    for t in (0.0, 0.02, 1.3, 4.5):
        level = OU.levels(jnp.array(t))
        overlap, lower, upper = bounds(*level)
        single = jax.tree.map(lambda m: m[PAIRS], windows.pair_table(law, *level))
        np.testing.assert_allclose(overlap, single.bhattacharyya, atol=1e-13)
        exact, known = np.asarray(single.total_variation), np.asarray(single.tv_known)
        assert np.all(lower <= exact + 1e-12)
        # Where it is not known the table has the upper bound itself.
        assert np.all(np.where(known, exact - upper, np.abs(exact - upper)) <= 1e-7)
        if kind == "isotropic":
            np.testing.assert_allclose(lower, exact, atol=1e-14)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", ["isotropic", "low_rank"])
def test_times_are_those_of_single_laws(kind):
    law, table = alone(LAWS[kind]), sweep(LAWS[kind], ALPHAS, SIGMAS, EPSILON)
    for i, j in [(0, 1), (3, 2)]:
        pair = windows.thresholds(law, i, [i, j], 0.1, pairs=True)
        assert bool(table.pair_end_found[i, j])
        assert abs(float(table.pair_end[i, j]) - value(pair.end)) < 1e-9
    # Of two components alone the smallest pair is the pair.
    mask = np.array([True, True, False, False, False])
    both = eqx.tree_at(
        lambda m: m.log_weights, law, jnp.where(mask, jnp.log(0.5), -jnp.inf)
    )
    start = windows.thresholds(both, 0, 0, 0.1, pairs=True).start
    assert abs(float(table.pair_start[0, 1]) - value(start)) < 1e-9
    # The certificate of a class, from one of its components.
    law = LAWS[kind]
    for component in (0, 3):
        label = int(law.labels[component])
        inside = np.flatnonzero(np.asarray(law.labels) == label)
        single = windows.certificate(
            alone(law), component, inside, TIMES[::8], closed=True
        )
        if kind != "isotropic":
            expected = np.asarray(single.leak)
            np.testing.assert_allclose(table.leak[::8, component], expected, atol=1e-13)
            continue
        np.testing.assert_allclose(
            table.upper[::8, component], single.upper, atol=1e-13
        )


@pytest.mark.slow
def test_windows_hold_by_definition_four():
    # On a line total variations are exact: the window lies within the certified one.
    means = np.array([[0.0], [9.0], [30.0]])
    law = GaussianMixture.isotropic(means, 1.0, [0.5, 0.3, 0.2])
    table = sweep(law, ALPHAS, SIGMAS, EPSILON)
    for i in range(3):
        exact = windows.window(law, i, [0, 1, 2], 0.1)
        assert bool(table.after_found[i])
        assert bool(table.before_found[i])
        assert float(table.after[i]) <= value(exact.after) + 1e-9
        assert float(table.before[i]) >= value(exact.before) - 1e-9
        # A near neighbour decides: the overlap with it is exact.
        assert float(table.after[i]) > value(exact.after) - 0.02
        # An average of pairs is further from the whole.
        assert float(table.before[i]) < value(exact.before) + 1


@pytest.mark.slow
def test_after_and_before_solve_their_bounds():
    law = LAWS["isotropic"]
    table = sweep(law, ALPHAS, SIGMAS, EPSILON)
    distance = np.linalg.norm(MEANS[:, None] - MEANS[None], axis=2)
    for i in range(K):
        t = float(table.before[i])
        width = np.sqrt(1 - 0.3 * np.exp(-2 * t))
        tv = 1 - 2 * scipy.special.ndtr(-distance[i] * np.exp(-t) / width / 2)
        assert abs(WEIGHTS @ tv - 0.1) < 1e-9
        t = float(table.after[i])
        apart = distance[i] * np.exp(-t) / np.sqrt(1 - 0.3 * np.exp(-2 * t))
        common = 0.0
        for j in np.flatnonzero(np.arange(K) != i):
            # E min(p, lambda q) on a grid of plain numpy.
            x = np.linspace(-12, 12 + apart[j], 40_001)
            p = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
            q = np.exp(-0.5 * (x - apart[j]) ** 2) / np.sqrt(2 * np.pi)
            share = WEIGHTS[j] / (1 - WEIGHTS[i])
            common += np.trapezoid(np.minimum(p, share * q), x)
        assert abs(common - 0.01) < 1e-6


@pytest.mark.slow
def test_best_times_are_near_those_of_single_laws():
    means = np.array([[19.0, 0], [21.0, 0], [-20.0, 0], [-20.0, 2.5]])
    law = GaussianMixture.isotropic(means, 1.0, labels=[0, 0, 1, 1])
    table = sweep(law, ALPHAS, SIGMAS, EPSILON)
    for i, inside in [(0, [0, 1]), (3, [2, 3])]:
        single = windows.best_time(alone(law), i, inside, closed=True)
        assert abs(float(table.best_time[i]) - value(single.time)) < 1e-4
        assert abs(float(table.best_upper[i]) - float(single.upper)) < 1e-9
    # A class of one: less noise is always better.
    ones = sweep(alone(law), ALPHAS, SIGMAS, EPSILON)
    np.testing.assert_allclose(ones.best_time, TIMES[0], rtol=1e-9)


@pytest.mark.slow
def test_times_that_do_not_exist():
    law = GaussianMixture.isotropic([[0.0], [0.1], [1e5]], 1.0)
    table = sweep(law, ALPHAS, SIGMAS, EPSILON)
    # Nearly one component: never told apart, alike at once.
    assert not bool(table.pair_start_found[0, 1])
    assert bool(table.pair_end_found[0, 1])
    assert float(table.pair_end[0, 1]) == 0
    assert not np.any(np.asarray(table.after_found)[:2])
    # Too far to be alike at the last level.
    assert not np.any(np.asarray(table.before_found))
    np.testing.assert_allclose(table.before, TIMES[-1], rtol=1e-9)
    # Told from the rest up to the last level.
    assert bool(table.after_found[2])
    np.testing.assert_allclose(float(table.after[2]), TIMES[-1], rtol=1e-9)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(table))


@pytest.mark.slow
def test_a_component_without_weight():
    law = GaussianMixture.isotropic(
        [[0.0], [9.0], [30.0]], 1.0, [0.6, 0.4, 0.0], labels=[0, 1, 2]
    )
    table = sweep(law, ALPHAS, SIGMAS, EPSILON)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(table))
    two = GaussianMixture.isotropic([[0.0], [9.0]], 1.0, [0.6, 0.4])
    found = sweep(two, ALPHAS, SIGMAS, EPSILON)
    np.testing.assert_allclose(table.after[:2], found.after, rtol=1e-12)
    np.testing.assert_allclose(table.before[:2], found.before, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_many_laws_in_one_program(rank):
    count = 6
    rng = np.random.default_rng(4)
    means = rng.normal(size=(count, K, D)) * 5
    factors = rng.normal(size=(count, K, D, max(rank, 1)))

    def law(i):
        if rank:
            return GaussianMixture.low_rank(means[i], factors[i], 0.6, WEIGHTS)
        return GaussianMixture.isotropic(means[i], 0.6, WEIGHTS, labels=CLASSES)

    laws = [law(i) for i in range(count)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *laws)
    axes = eqx.if_array(0), None, None, None
    traces = []

    def counted(*arguments):
        traces.append(1)
        return windows.sweep_windows(*arguments)

    many = eqx.filter_jit(eqx.filter_vmap(counted, in_axes=axes))
    table = many(stacked, ALPHAS, SIGMAS, EPSILON)
    moved = eqx.tree_at(lambda m: m.means, stacked, 1.1 * stacked.means)
    many(moved, ALPHAS, SIGMAS, jnp.array(0.2))
    assert len(traces) == 1
    single = sweep(laws[3], ALPHAS, SIGMAS, EPSILON)
    for one, all_ in zip(jax.tree.leaves(single), jax.tree.leaves(table), strict=True):
        np.testing.assert_allclose(all_[3], one, rtol=1e-7, atol=1e-10)


@pytest.mark.slow
def test_levels_need_not_have_variance_one():
    # Only sigma / alpha matters.
    law = LAWS["isotropic"]
    here = sweep(law, ALPHAS, SIGMAS, EPSILON)
    there = sweep(law, jnp.ones_like(ALPHAS), SIGMAS / ALPHAS, EPSILON)
    for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_geometry_costs_nothing_in_the_dimension():
    low = pair_geometry(LAWS["low_rank"])
    count = K * (K - 1) // 2
    assert low.axes.shape == (5, count)
    assert pair_geometry(LAWS["isotropic"]).axes.shape == (1, count)


def test_table_is_saved_and_bad_input_refused():
    table = sweep(LAWS["isotropic"], ALPHAS, SIGMAS, EPSILON)
    dataset = to_dataset(table)
    assert dataset["variation_lower"].dims == (
        "noise",
        "component",
        "other_component",
    )
    assert len(to_json(table)["after"]) == K
    with pytest.raises(BadInput, match="`epsilon` is 0; it must lie strictly"):
        windows.sweep_windows(LAWS["isotropic"], ALPHAS, SIGMAS, 0.0)


def test_levels_in_the_wrong_order_are_refused():
    law = GaussianMixture.isotropic([[0.0], [3.0]], 1.0)
    levels = jnp.sqrt(jax.nn.sigmoid(jnp.linspace(5, -5, 8)))
    for alphas, sigmas, said in (
        (levels[::-1], levels, "do not increase"),
        (-levels, levels[::-1], "alphas"),
        (levels[:1], levels[:1], "shapes"),
    ):
        with pytest.raises(ValueError, match=said):
            windows.sweep_windows(law, alphas, sigmas, 0.1)
