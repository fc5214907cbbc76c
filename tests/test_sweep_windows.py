"""A sweep of mixtures in one program: single calls, brute force, new values, dtypes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special

from jaxwin._numerics import erf
from jaxwin.analysis import windows
from jaxwin.targets import GaussianMixture

COUNT, K, D, RANK, EPSILON = 64, 4, 9, 2, 0.1
LABELS = np.array([0, 0, 1, 1])
GRID = np.linspace(7.0, -12.0, 64)
ALPHAS, SIGMAS = np.sqrt(1 / (1 + np.exp(-GRID))), np.sqrt(1 / (1 + np.exp(GRID)))
KINDS = ["isotropic", "low_rank"]


def parameters(kind: str, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    near = rng.uniform(1, 4, (COUNT, 1, 1, 1)) * rng.normal(size=(COUNT, 2, 2, D))
    means = 9 * rng.normal(size=(COUNT, 2, 1, D)) + near
    given = {
        "means": means.reshape(COUNT, K, D),
        "variances": rng.uniform(0.3, 2.0, COUNT),
        "weights": rng.dirichlet(np.full(K, 4.0), COUNT),
    }
    if kind == "low_rank":
        given["factors"] = 0.5 * rng.normal(size=(COUNT, K, D, RANK))
    return given


def law(given: dict) -> GaussianMixture:
    kind = GaussianMixture.low_rank if "factors" in given else GaussianMixture.isotropic
    return kind(**given, labels=LABELS)


def stacked(given: dict, dtype: type[np.floating] = np.float64) -> GaussianMixture:
    given = {name: jnp.asarray(a, dtype) for name, a in given.items()}
    return eqx.filter_vmap(law)(given)


TRACES = []


def counted(*arguments):
    TRACES.append(1)
    return windows.sweep_windows(*arguments)


axes = eqx.if_array(0), None, None, None
sweep = eqx.filter_jit(eqx.filter_vmap(counted, in_axes=axes))
levels = jnp.asarray(ALPHAS), jnp.asarray(SIGMAS)


@pytest.fixture(scope="module", params=KINDS)
def swept(request):
    given = parameters(request.param)
    return given, sweep(stacked(given), *levels, jnp.asarray(EPSILON))


@pytest.mark.slow
@pytest.mark.long
def test_a_sweep_is_single_calls(swept):
    given, table = swept
    single = eqx.filter_jit(windows.sweep_windows)
    for n in range(COUNT):
        mixture = law({name: a[n] for name, a in given.items()})
        one = single(mixture, *levels, jnp.asarray(EPSILON))
        together = jax.tree.map(lambda leaf, n=n: leaf[n], table)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_new_values_do_not_compile_again(swept):
    given, table = swept
    before = len(TRACES)
    kind = "low_rank" if "factors" in given else "isotropic"
    other = stacked(parameters(kind, seed=1))
    moved = sweep(other, levels[0], 1.01 * levels[1], jnp.asarray(0.2))
    assert len(TRACES) == before
    assert not np.any(np.asarray(table.before) == np.asarray(moved.before))


# Brute force: d x d matrices, quadrature of densities, scipy's roots


def covariances(given: dict, n: int) -> np.ndarray:
    floor = given["variances"][n] * np.eye(D)
    if "factors" not in given:
        return np.broadcast_to(floor, (K, D, D))
    factors = given["factors"][n]
    return factors @ factors.swapaxes(1, 2) + floor


def pair_by_matrices(given: dict, n: int, i: int, j: int, t: float):
    """BC, and lower and upper TV."""
    alpha2 = np.exp(-2 * t)
    noised = alpha2 * covariances(given, n) + (1 - alpha2) * np.eye(D)
    middle = (noised[i] + noised[j]) / 2
    apart = given["means"][n][i] - given["means"][n][j]
    square = alpha2 * apart @ np.linalg.solve(middle, apart)
    log = lambda matrix: np.linalg.slogdet(matrix)[1]
    change = 0.25 * (log(noised[i]) + log(noised[j])) - 0.5 * log(middle)
    overlap = np.exp(change - square / 8)
    if "factors" in given:
        return overlap, 1 - overlap, np.sqrt(1 - overlap**2)
    exact = scipy.special.erf(np.sqrt(square / 8))
    return overlap, exact, exact


def least_common(distance: float, share: float) -> float:
    """E min(p, share q) of two unit Gaussians by quadrature, cut where they cross."""
    cross = distance / 2 - np.log(share) / distance
    p = lambda x: np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    left = scipy.integrate.quad(lambda x: share * p(x - distance), -40, cross)[0]
    # Far from its mass a density has no part.
    return left + scipy.integrate.quad(p, cross, max(cross, 0) + 40)[0]


def components_by_matrices(given: dict, n: int, t: float):
    """From rest, from all and U of every component."""
    weights = given["weights"][n]
    overlap, upper = np.eye(K), np.zeros((K, K))
    rest = np.ones(K)
    for i in range(K):
        for j in range(K):
            if i == j:
                continue
            overlap[i, j], _, upper[i, j] = pair_by_matrices(given, n, i, j, t)
            share = weights[j] / (1 - weights[i])
            if "factors" in given:
                rest[i] -= np.sqrt(share) * overlap[i, j]
            else:
                distance = np.sqrt(-8 * np.log(overlap[i, j]))
                rest[i] -= least_common(distance, share)
    total = np.zeros(K)
    for i in range(K):
        inside = np.flatnonzero(LABELS == LABELS[i])
        outside = np.flatnonzero(LABELS != LABELS[i])
        whole = weights[inside].sum()
        across = np.sqrt(weights[inside][:, None] * weights[outside])
        total[i] = weights[inside] @ upper[i, inside] / whole
        total[i] += np.sum(across * overlap[np.ix_(inside, outside)]) / (2 * whole)
    return rest, upper @ weights, total


@pytest.mark.slow
def test_pairs_by_matrices(swept):
    given, table = swept
    for n, level in [(0, 3), (17, 25), (63, 50)]:
        t = float(table.time[n, level])
        for i, j in [(0, 1), (2, 0), (3, 1)]:
            expected = pair_by_matrices(given, n, i, j, t)
            at = n, level, i, j
            found = (
                table.bhattacharyya[at],
                table.variation_lower[at],
                table.variation_upper[at],
            )
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.long
def test_times_of_pairs_by_matrices(swept):
    given, table = swept
    for n, i, j in [(1, 0, 1), (30, 0, 2), (62, 3, 1)]:

        def lower(t, n=n, i=i, j=j):
            return pair_by_matrices(given, n, i, j, t)[1] - 1 + EPSILON**2

        def upper(t, n=n, i=i, j=j):
            return pair_by_matrices(given, n, i, j, t)[2] - EPSILON

        assert bool(table.pair_end_found[n, i, j])
        root = float(np.asarray(scipy.optimize.brentq(upper, 0.01, 7)))
        assert abs(float(table.pair_end[n, i, j]) - root) < 1e-8
        found = bool(table.pair_start_found[n, i, j])
        assert found == (lower(float(table.time[n, 0])) > 0)
        if found:
            root = float(np.asarray(scipy.optimize.brentq(lower, 0.0, 7)))
            assert abs(float(table.pair_start[n, i, j]) - root) < 1e-8


@pytest.mark.slow
def test_windows_of_components_by_matrices(swept):
    given, table = swept
    both = set()
    for n, i in [(2, 0), (17, 3), (41, 2), (55, 1), (60, 0)]:

        def read(t, n=n, i=i):
            return [a[i] for a in components_by_matrices(given, n, t)]

        found = bool(table.after_found[n, i])
        both.add(found)
        assert found == (read(float(table.time[n, 0]))[0] > 1 - EPSILON**2)
        if found:
            # Either side of the time.
            t = float(table.after[n, i])
            assert read(t - 1e-7)[0] > 1 - EPSILON**2 > read(t + 1e-7)[0]
        t = float(table.before[n, i])
        assert read(t - 1e-7)[1] > EPSILON > read(t + 1e-7)[1]
        t, least = float(table.best_time[n, i]), float(table.best_upper[n, i])
        assert abs(least - read(t)[2]) < 1e-10
        # Lower than on both sides and than anywhere on a grid of times.
        assert least < min(read(0.97 * t)[2], read(1.03 * t)[2])
        assert least <= min(read(t)[2] for t in np.linspace(0.1, 4, 40)) + 1e-12
    assert both == {True, False}


# Precision


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "swept",
    ["isotropic", pytest.param("low_rank", marks=pytest.mark.slow)],
    indirect=True,
)
def test_single_precision_beside_double(swept):
    given, table = swept
    single = sweep(
        stacked(given, np.float32),
        *(jnp.asarray(a, jnp.float32) for a in (ALPHAS, SIGMAS, EPSILON)),
    )
    assert single.after.dtype == jnp.float32
    for name in ("after", "before", "pair_end", "pair_start"):
        found = np.asarray(getattr(table, f"{name}_found"))
        assert np.array_equal(found, np.asarray(getattr(single, f"{name}_found")))
        mine, exact = (np.asarray(getattr(a, name)) for a in (single, table))
        np.testing.assert_allclose(mine[found], exact[found], atol=2e-4)
    np.testing.assert_allclose(single.upper, table.upper, atol=2e-4)


def test_error_function():
    x = np.concatenate([np.linspace(-7, 7, 40_001), np.geomspace(1e-300, 1, 500)])
    x = np.append(x, [0.5, -0.5, np.inf, -np.inf])
    expected = scipy.special.erf(x)
    np.testing.assert_allclose(jax.jit(erf)(x), expected, rtol=1e-15, atol=0)
    slope = jax.vmap(jax.grad(erf))(x[:-2])
    exact = 2 / np.sqrt(np.pi) * np.exp(-(x[:-2] ** 2))
    np.testing.assert_allclose(slope, exact, rtol=1e-13, atol=1e-30)
    low = jax.jit(erf)(x.astype(np.float32))
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, expected, rtol=1e-6, atol=1e-37)


@pytest.mark.slow
def test_one_component():
    alone = GaussianMixture.low_rank(np.ones((1, 3)), np.ones((1, 3, 1)), 1.0)
    table = eqx.filter_jit(windows.sweep_windows)(alone, *levels, jnp.asarray(0.1))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(table))
    assert np.all(np.asarray(table.bhattacharyya) == 1)
    assert np.all(np.asarray(table.upper) == 0)
