"""Critical times and branches: closed forms, exact solutions, other clocks and laws."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import fsolve, minimize_scalar, root_scalar

from jaxwin._checks import BadInput
from jaxwin.analysis import symmetry
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import (
    EDM,
    DiscreteDDPM,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
)
from jaxwin.targets import (
    Empirical,
    FunctionDenoiser,
    GaussianMixture,
    Hypersphere,
    orthogonal_patterns,
)

VP = VariancePreserving(0.1, 20.0)
PUSH = {"reverse_sde": 2.0, "flow": 1.0, "density": np.inf}


def root(function, low, high):
    return root_scalar(function, bracket=(low, high), xtol=1e-15).root


def two(half=1.0, variance=0.0, p=0.5):
    return GaussianMixture.isotropic([[half], [-half]], [variance] * 2, [p, 1 - p])


def alphas(found, times=None):
    times = found.transitions.time if times is None else times
    return np.asarray(VP.alpha(times.time))


def critical_square(c, between, within=0.0):
    """alpha^2 at which kappa (alpha^2 / sigma^2) Cov = 1 at the centre, by a root."""

    def excess(q):
        v = 1 - q
        kappa = 1 / (1 - v / c) if np.isfinite(c) else 1.0
        noised = q * within + v
        posterior = within * v / noised + between * (v / noised) ** 2
        return kappa * q / v * posterior - 1

    return root(excess, 1e-9, 1 - 1e-9)


def test_named_drifts():
    eta = symmetry.named_drift("eta", eta=1.0)
    sde = symmetry.named_drift("reverse_sde")
    assert float(eta.push) == float(sde.push) == 1
    assert float(symmetry.named_drift("eta", eta=0.0).push) == 0.5
    assert symmetry.named_drift(sde) is sde
    with pytest.raises(BadInput, match="drift"):
        symmetry.named_drift("langevin")
    with pytest.raises(ValueError, match="eta"):
        symmetry.named_drift("eta")
    with pytest.raises(ValueError, match="eta"):
        symmetry.named_drift("flow", eta=0.5)
    with pytest.raises(ValueError, match="eta"):
        symmetry.named_drift("eta", eta=-0.5)


# C3 and unprinted alpha = 0.44; with the eta family by hand.
@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (0.3, 0.4902185726),
        (0.65, -0.0352410937),
        (0.9, -17.6745152355),
        (0.44, 1 / (1 - 0.44**2) - 0.5 - 0.44**2 / (1 - 0.44**2) ** 2),
    ],
)
def test_curvature_at_the_centre(alpha, expected):
    t = VP.time_of_log_alpha(jnp.log(alpha))
    found = symmetry.hessian(two(), VP, jnp.zeros(1), t)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=6e-11)
    q, v = alpha**2, 1 - alpha**2
    flow = symmetry.hessian(two(), VP, jnp.zeros(1), t, "flow")
    np.testing.assert_allclose(flow, -0.5 + 0.5 * (1 / v - q / v**2), rtol=1e-12)
    density = symmetry.hessian(two(), VP, jnp.zeros(1), t, "density")
    np.testing.assert_allclose(density, 1 / v - q / v**2, rtol=1e-12)
    eta = symmetry.named_drift("eta", eta=0.5)
    found = symmetry.hessian(two(), VP, jnp.zeros(1), t, eta)
    np.testing.assert_allclose(found, -0.5 + 0.625 * (1 / v - q / v**2), rtol=1e-12)


@pytest.mark.slow
def test_spectrum_at_the_symmetric_point_of_patterns():
    # C10: N = 5 in R^8 at alpha = 0.8; the others by its formula.
    law, alpha = orthogonal_patterns(5, 8), 0.8
    q, v = alpha**2, 1 - alpha**2
    t = VP.time_of_log_alpha(jnp.log(alpha))
    centre = 2 * alpha / (5 * (1 + q)) * jnp.pad(jnp.ones(5), (0, 3))
    np.testing.assert_allclose(
        symmetry.gradient(law, VP, centre, t), np.zeros(8), atol=1e-12
    )
    found = symmetry.curvatures(law, VP, centre, t, 8)
    expected = [1.2901234568] * 4 + [2.2777777778] * 4
    np.testing.assert_allclose(found.eigenvalues, expected, atol=6e-11)
    assert np.asarray(found.cluster).tolist() == [0] * 4 + [1] * 4
    np.testing.assert_allclose(expected[0], 1 / v - 0.5 - q / v**2 / 5, atol=6e-11)
    dense = np.linalg.eigvalsh(np.asarray(symmetry.hessian(law, VP, centre, t)))
    np.testing.assert_allclose(found.eigenvalues, dense, atol=1e-10)


def at_weights(coupling, weights):
    """Time at K = q / (v of the channel) 2 / (1 + q), and the state of the weights."""
    q = -1 / coupling + np.sqrt(1 / coupling**2 + 1)
    t = VP.time_of_log_alpha(jnp.log(q) / 2)
    return t, 2 * np.sqrt(q) / (1 + q) * jnp.asarray(weights)


def test_ordered_states_of_three_patterns():
    """C11: as deep as the centre at K_t, with its curvatures; and at K = 4."""
    law, centre = orthogonal_patterns(3), np.full(3, 1 / 3)
    for coupling, weight, gap, values in (
        (4 * np.log(2), 2 / 3, 0.0, [0.21679885, 1.53840006, 2.86000127]),
        (4.0, 0.9539302689, 0.2755184879, None),
    ):
        rest = (1 - weight) / 2
        t, state = at_weights(coupling, [weight, rest, rest])
        t, middle = at_weights(coupling, centre)
        slope = symmetry.gradient(law, VP, state, t)
        np.testing.assert_allclose(slope, np.zeros(3), atol=2e-9)
        depths = [symmetry.potential(law, VP, x, t) for x in (middle, state)]
        np.testing.assert_allclose(depths[0] - depths[1], gap, atol=1e-9)
        # At K = 4 the centre is no valley any more, twice.
        place = middle if values is None else state
        bends = np.linalg.eigvalsh(symmetry.hessian(law, VP, place, t))
        if values is None:
            np.testing.assert_allclose(bends[:2], -1.35385094, atol=6e-9)
        else:
            np.testing.assert_allclose(bends, values, atol=6e-9)


@pytest.mark.slow
def test_gradient_and_hessian_are_those_of_the_potential():
    law = GaussianMixture.isotropic([[1.0, 0.2], [-1.0, 0.4], [0.1, -1.0]], 0.1)
    x = jnp.array([0.3, -0.2])
    at = lambda process, t, drift, x: symmetry.potential(law, process, x, t, drift)
    for process, t in ((VP, 0.3), (VarianceExploding(0.01, 50.0), 0.6)):
        for drift in PUSH:
            energy = functools.partial(at, process, t, drift)
            slope = symmetry.gradient(law, process, x, t, drift)
            np.testing.assert_allclose(jax.grad(energy)(x), slope, rtol=1e-10)
            curve = symmetry.hessian(law, process, x, t, drift)
            np.testing.assert_allclose(jax.hessian(energy)(x), curve, rtol=1e-9)


@pytest.mark.parametrize("drift", ["reverse_sde", "density"])
@pytest.mark.parametrize("half", [1.0, 0.63])
def test_pitchfork_of_two_deltas(drift, half):
    found = symmetry.critical_times(two(half), VP, drift=drift)
    assert found.symmetric
    assert found.complete
    assert len(found.transitions.multiplicity) == 1
    q = critical_square(PUSH[drift], half**2)
    np.testing.assert_allclose(alphas(found) ** 2, q, rtol=1e-10)
    row = found.transitions
    assert bool(row.second_order[0])
    assert row.copies.tolist() == [2]
    assert row.multiplicity.tolist() == [1]
    assert row.zero_modes.tolist() == [0]
    np.testing.assert_allclose(row.variance, half**2, rtol=1e-9)
    # Near a pitchfork a place misses by y^3: 1e-16 of it leaves some 1e-5 of y.
    np.testing.assert_allclose(row.parent, 0, atol=1e-5)
    assert not bool(row.coexistence.found[0])
    np.testing.assert_allclose(row.instability.time, row.time.time)
    if drift == "reverse_sde":
        assert str(found).startswith("t = 0.")
    if drift == "reverse_sde" and half == 1:
        np.testing.assert_allclose(row.time.time, 0.2926416543281432, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("half", [0.02, 0.005])
def test_pairs_much_nearer_than_the_spread(half):
    """Modes of the density: far pairs do not know of each other."""
    law = GaussianMixture.isotropic(
        [[1 + half], [1 - half], [-1 + half], [-1 - half]], 0
    )
    found = symmetry.critical_times(law, VP, drift="density")
    q = alphas(found) ** 2
    # Rounding of the places grows as they are near, in units of the spread.
    np.testing.assert_allclose(q[1] / (1 - q[1]), half**-2, rtol=5e-12 / half**2)
    row = found.transitions
    assert row.copies.tolist() == [2, 4]
    assert row.second_order.all()
    # In units of the data, whatever units the fork was followed in.
    np.testing.assert_allclose(abs(row.parent[1]), 1, atol=half**2)
    assert 0.01 * half < abs(row.child[1] - row.parent[1])[0] < half


@pytest.mark.slow
@pytest.mark.long
def test_a_small_triangle_breaks_as_a_large_one():
    """Its spinodal, coexistence and instability, at a noise as much smaller."""
    angles = 2 * np.pi * np.arange(3) / 3
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    small = np.concatenate([[[-1.0, 0.0]], [1, 0] + 0.01 * corners])
    laws = (
        GaussianMixture.isotropic(corners, 0),
        GaussianMixture.isotropic(small, 0, [0.4, 0.2, 0.2, 0.2]),
    )
    levels, last = [], []
    for law in laws:
        row = symmetry.critical_times(law, VP, drift="density").transitions
        times = [row.time.time, row.coexistence.time, row.instability.time]
        alpha, sigma = VP.levels(jnp.array([time[-1] for time in times]))
        levels.append(sigma / alpha)
        last.append((row.copies[-1], bool(row.second_order[-1])))
    assert last == [(3, False), (3, False)]
    np.testing.assert_allclose(levels[1], 0.01 * levels[0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.long
def test_flow_of_two_deltas():
    # lambda = 1 never; lambda < 1 at alpha^2 = 1 - lambda.
    found = symmetry.critical_times(two(), VP, drift="flow")
    assert found.none
    assert not found.symmetric
    assert "no transition" in str(found)
    found = symmetry.critical_times(two(0.8), VP, drift="flow")
    np.testing.assert_allclose(alphas(found) ** 2, [1 - 0.64], rtol=1e-10)


@pytest.mark.slow
@pytest.mark.long
def test_eta_family():
    # Section 1.3, c = 1.25 and 3; one not printed against a root.
    for c, expected in ((1.25, 0.5558930), (3.0, 0.6704400)):
        drift = symmetry.named_drift("eta", eta=np.sqrt(c - 1))
        found = symmetry.critical_times(two(), VP, drift=drift)
        np.testing.assert_allclose(alphas(found), [expected], atol=6e-8)
        np.testing.assert_allclose(
            alphas(found) ** 2, critical_square(c, 1.0), rtol=1e-10
        )


@pytest.mark.slow
@pytest.mark.parametrize("within", [0.04, 0.25, 0.5])
def test_modes_of_a_width(within):
    found = symmetry.critical_times(two(1.0, within), VP)
    q = critical_square(2.0, 1.0, within)
    np.testing.assert_allclose(alphas(found) ** 2, [q], rtol=1e-9)
    np.testing.assert_allclose(q, 1 / (1 + np.hypot(1, 1 - within)), rtol=1e-12)


# Section 3 spinodals: K_sn, x at onset; p = 0.7 is not printed.
@pytest.mark.parametrize(
    ("p", "printed"), [(0.6, 1.4916386), (0.7, None), (0.9, 2.7464807)]
)
def test_spinodal_of_unequal_weights(p, printed):
    found = symmetry.critical_times(two(p=p), VP)
    row = found.transitions
    field = np.arctanh(2 * p - 1)
    onset = lambda k: k * np.sqrt(1 - 1 / k) - np.arctanh(np.sqrt(1 - 1 / k)) - field
    k = root(onset, 1 + 1e-9, 20)
    if printed:
        np.testing.assert_allclose(k, printed, atol=6e-8)
    q = alphas(found)[0] ** 2
    np.testing.assert_allclose(2 * q / (1 - q**2), k, rtol=1e-8)
    assert not bool(row.second_order[0])
    np.testing.assert_allclose(row.child[0, 0], -np.sqrt(1 - 1 / k), rtol=1e-5)
    # The heavier minimum is deeper at every time, and never becomes unstable.
    assert not bool(row.coexistence.found[0])
    assert not bool(row.instability.found[0])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("sides", [(2.0, 0.5), (1.5, 0.4)])
def test_both_transitions_of_a_rectangle(sides):
    a, b = sides
    law = GaussianMixture.isotropic([[a, b], [a, -b], [-a, b], [-a, -b]], 0.0)
    found = symmetry.critical_times(law, VP)
    row = found.transitions
    expected = [critical_square(2.0, side**2) for side in sides]
    np.testing.assert_allclose(alphas(found) ** 2, expected, rtol=1e-9)
    if sides == (2.0, 0.5):
        times = [0.4538311983, 0.1527603396]
        np.testing.assert_allclose(row.time.time, times, atol=1e-10)
    assert row.copies.tolist() == [2, 4]
    assert row.of_parents.tolist() == [1, 2]
    assert np.all(np.asarray(row.second_order))
    np.testing.assert_allclose(abs(row.eigenvectors[:, :, 0]), np.eye(2), atol=1e-6)


def potts(count):
    """Spinodal and coexistence K of N equal patterns, by roots of the one-line form."""
    # One weight w, the others (1 - w) / (N - 1), the log of their ratio K (w - others).
    gap = lambda w: w - (1 - w) / (count - 1)
    coupling = lambda w: np.log(w * (count - 1) / (1 - w)) / gap(w)
    slope = lambda w: coupling(w + 1e-6) - coupling(w - 1e-6)
    w = root(slope, 1 / count + 1e-3, 1 - 1e-3)
    return coupling(w), 2 * (count - 1) * np.log(count - 1) / (count - 2)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "count",
    [
        3,
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(10, marks=pytest.mark.slow),
    ],
)
def test_first_order_transition_of_patterns(count):
    radius = 1.0 if count != 5 else 1.3
    found = symmetry.critical_times(orthogonal_patterns(count, radius=radius), VP)
    row = found.transitions
    assert len(row.multiplicity) == 1
    assert not bool(row.second_order[0])
    assert row.copies.tolist() == [count]
    spinodal, equal = potts(count)
    coupling = lambda times: (
        2 * radius**2 * alphas(found, times) ** 2 / (1 - alphas(found, times) ** 4)
    )
    np.testing.assert_allclose(coupling(row.time), [spinodal], rtol=1e-8)
    np.testing.assert_allclose(coupling(row.coexistence), [equal], rtol=1e-8)
    np.testing.assert_allclose(coupling(row.instability), [count], rtol=1e-8)
    if count == 3:
        np.testing.assert_allclose(row.time.time, [0.1843558], atol=6e-8)
        np.testing.assert_allclose(row.coexistence.time, [0.1834708], atol=6e-8)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "dimension",
    [
        2,
        3,
        pytest.param(10, marks=pytest.mark.slow),
        pytest.param(100, marks=pytest.mark.slow),
    ],
)
def test_goldstone_modes_of_the_sphere(dimension):
    radius = 1.0 if dimension != 3 else 3**0.5
    starts = 16 if dimension == 100 else 32
    found = symmetry.critical_times(Hypersphere(dimension, radius), VP, starts=starts)
    row = found.transitions
    q = critical_square(2.0, radius**2 / dimension)
    np.testing.assert_allclose(alphas(found) ** 2, [q], rtol=1e-9)
    assert row.zero_modes.tolist() == [dimension - 1]
    assert row.multiplicity.tolist() == [min(dimension, dimension)]
    assert bool(row.second_order[0])


def scaled(q):
    """kappa alpha^2 / sigma^2 of the reverse SDE."""
    return 2 * q / (1 - q**2)


def time_of(q):
    return float(VP.time_of_log_alpha(jnp.log(q) / 2))


@pytest.mark.slow
@pytest.mark.long
def test_a_minimum_between_two_others():
    """Three points: as noise rises the middle is stable, unstable, the only one."""
    law = GaussianMixture.isotropic([[-1.0], [0.0], [1.0]], 0.0)
    found = symmetry.critical_times(law, VP)

    def slope(q):
        near = 2 * np.exp(-q / (2 * (1 - q)))
        return scaled(q) * near / (1 + near) - 1

    roots = [root_scalar(slope, bracket=ends).root for ends in ((0.5, 0.7), (0.7, 0.9))]
    times = found.transitions.time.time
    np.testing.assert_allclose(times, [time_of(q) for q in roots], atol=1e-9)
    assert found.transitions.second_order.tolist() == [True, False]
    counts = [found.minima[found.time < times[1]], found.minima[found.time > times[0]]]
    counts += [found.minima[(found.time > times[1]) & (found.time < times[0])]]
    assert [set(count.tolist()) for count in counts] == [{3}, {1}, {2}]


@pytest.mark.slow
def test_a_pattern_that_ends_alone():
    """Four patterns of weight .21 and one of .16: a fold at which none are joined."""
    law = GaussianMixture.isotropic(np.eye(5), 0.0, weights=[0.21] * 4 + [0.16])
    found = symmetry.critical_times(law, VP)

    # w_j ~ p_j e^{K w_j}, the other four alike.
    def coupling(w):
        rest = (1 - w) / 4
        return (np.log(w / 0.16) - np.log(rest / 0.21)) / (w - rest)

    fold: Any = minimize_scalar(coupling, bounds=(0.3, 0.99), method="bounded")
    least = fold.fun
    q = -1 / least + np.sqrt(1 / least**2 + 1)
    assert found.transitions.copies.tolist() == [4, 1]
    assert float(found.transitions.time.time[1]) == pytest.approx(time_of(q), abs=1e-8)


@pytest.mark.slow
@pytest.mark.long
def test_a_fold_onto_a_place_where_nothing_was():
    """Five clusters on a line; found by a reviewer on random laws."""
    y, w = np.array([-3.0, -0.9, -0.7, -0.2, 1.55]), [0.21, 0.08, 0.275, 0.19, 0.245]
    law = GaussianMixture.isotropic(y[:, None], np.full(5, 0.01), weights=w)
    found = symmetry.critical_times(law, VP)

    def slopes(at):
        """First and second derivative of the potential over push g^2, by hand."""
        x, q = at
        v = q * 0.01 + 1 - q
        logs = np.log(w) - (x - np.sqrt(q) * y) ** 2 / (2 * v)
        p = np.exp(logs - logs.max())
        p = p / p.sum()
        mean = np.sqrt(q) * (p @ y)
        spread = q * (p @ y**2) - mean**2
        return [-x / 2 - (mean - x) / v, -0.5 + 1 / v - spread / v**2]

    t = float(found.transitions.time.time[0])
    q = float(VP.alpha(t)) ** 2
    place = float(found.transitions.child[0, 0]) * 2 * np.sqrt(q) / (1 + q)
    exact = fsolve(slopes, [place, q], xtol=1e-13)
    assert t == pytest.approx(time_of(exact[1]), abs=1e-8)
    assert t == pytest.approx(0.346056, abs=1e-6)
    # It ends alone: on its way nothing is joined.
    assert len(found.transitions.copies) == 4
    assert float(found.transitions.instability.time[0]) == pytest.approx(
        0.338831, abs=2e-6
    )


@pytest.mark.slow
@pytest.mark.long
def test_a_continuum_breaks_across_itself():
    """A ring times two points: its minima never merge, and each has its own parent."""
    angles = 2 * np.pi * np.arange(48) / 48
    ring = 1.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    sheets = [np.column_stack([ring, np.full(48, z)]) for z in (0.6, -0.6)]
    law = GaussianMixture.isotropic(np.concatenate(sheets), 0)
    found = symmetry.critical_times(law, VP, times=(0.15, 0.6), starts=16)
    row = found.transitions
    expected = symmetry.predicted_time(jnp.array([1.5**2 / 2, 0.6**2]), VP).time
    np.testing.assert_allclose(row.time.time, expected, atol=1e-10)
    assert row.multiplicity.tolist() == [2, 1]
    assert row.zero_modes.tolist() == [1, 1]
    assert row.second_order.all()
    np.testing.assert_allclose(row.variance, [1.5**2 / 2, 0.6**2], rtol=1e-8)
    across = row.eigenvectors[1, :, 0]
    np.testing.assert_allclose(abs(across), [0, 0, 1], atol=1e-6)
    assert abs(row.child[1, 2]) > 0.05 > abs(row.parent[1, 2])


@pytest.mark.slow
@pytest.mark.long
def test_points_on_a_circle_are_no_continuum():
    angles = np.arange(12) * np.pi / 6
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = symmetry.critical_times(GaussianMixture.isotropic(ring, 0.0), VP)
    assert found.transitions.multiplicity[0] == 2
    assert found.transitions.zero_modes[0] == 0


def test_a_single_gaussian_has_none():
    narrow = GaussianMixture.diagonal([[0.3, 0.0]], [0.5, 0.2])
    found = symmetry.critical_times(narrow, VP)
    assert found.none
    assert found.symmetric
    assert set(found.minima.tolist()) == {1}
    assert not bool(found.escape.found)
    # A wide one: the drift loses its minimum at q (variance - 1) = 1, and decides none.
    wide = GaussianMixture.diagonal([[0.0, 0.0]], [5.0, 0.2])
    found = symmetry.critical_times(wide, VP)
    assert found.none
    assert bool(found.escape.found)
    low, high = float(found.escape.low), float(found.escape.high)
    assert low < float(VP.time_of_log_alpha(0.5 * jnp.log(0.25))) < high


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "process",
    [OrnsteinUhlenbeck(), DiscreteDDPM(), EDM()],
)
def test_other_clocks(process):
    found = symmetry.critical_times(two(), process)
    log_snr = float(process.log_snr(found.transitions.time.time[0]))
    # Where the variance explodes f = 0: sigma^2 = alpha^2; else q = sqrt(2) - 1.
    q = np.sqrt(2) - 1
    exploding = isinstance(process, EDM)
    np.testing.assert_allclose(
        log_snr, 0.0 if exploding else np.log(q / (1 - q)), atol=1e-9
    )


@pytest.mark.slow
@pytest.mark.long
def test_any_denoiser():
    points = np.array([[1.0, 0.3], [0.9, -0.2], [-1.1, 0.1], [-0.8, -0.4]])
    law = Empirical(points, bandwidth=0.2)

    def mean(x, alpha, sigma):
        v = sigma**2 + alpha**2 * 0.04
        away = x[None] - alpha * points
        logits = -jnp.sum(away**2, axis=1) / (2 * v)
        share = jnp.exp(logits - logits.max())
        share = share / share.sum()
        return share @ (points + alpha * 0.04 / v * away)

    exact = symmetry.critical_times(law, VP)
    found = symmetry.critical_times(FunctionDenoiser(mean), VP, dimension=2)
    assert not exact.none
    np.testing.assert_allclose(
        found.transitions.time.time, exact.transitions.time.time, atol=1e-8
    )
    second = np.asarray(exact.transitions.second_order)
    np.testing.assert_array_equal(np.asarray(found.transitions.second_order), second)


@pytest.mark.slow
def test_images_of_a_plain_function():
    # The mean of its starts is not the centre of its symmetry.
    corners = np.array([[2.0, 0.5], [2.0, -0.5], [-2.0, 0.5], [-2.0, -0.5]])

    def mean(x, alpha, sigma):
        away = x[None] - alpha * corners
        return jax.nn.softmax(-jnp.sum(away**2, axis=1) / (2 * sigma**2)) @ corners

    found = symmetry.critical_times(FunctionDenoiser(mean), VP, dimension=2, starts=16)
    row = found.transitions
    times = [0.4538311983, 0.1527603396]
    np.testing.assert_allclose(row.time.time, times, atol=1e-9)
    assert row.copies.tolist() == [2, 4]
    assert row.of_parents.tolist() == [1, 2]
    assert str(row.time) == "[0.4538, 0.1528]"


# C6 and C7: x* and the curvature there.
@pytest.mark.slow
@pytest.mark.long
def test_branch_of_two_deltas():
    found = symmetry.branch(two(), VP, [0.9], 0.1, times=(0.02, 0.6), count=120)
    alpha = np.asarray(VP.alpha(jnp.asarray(found.time)))
    q = alpha**2
    x = found.x[:, 0]
    residual = (1 + q) * x - 2 * alpha * np.tanh(alpha * x / (1 - q))
    np.testing.assert_allclose(residual, 0, atol=1e-9)
    v = 1 - q
    m = np.tanh(alpha * x / v)
    curvature = -0.5 + 1 / v - q * (1 - m**2) / v**2
    gain = 2 / (1 + q)
    np.testing.assert_allclose(
        (1 - found.slopes[:, 0]) / (gain * v), curvature, rtol=1e-8, atol=1e-8
    )
    # Around the pitchfork to the mirror image, stable all along.
    assert x[0] > 0.9
    assert x[-1] < -0.9
    assert found.time.max() < 0.2926416543281433
    assert found.time.max() > 0.2925
    for a, expected in ((0.66, 0.40929932025), (0.9, 0.994313845364)):
        t = float(VP.time_of_log_alpha(jnp.log(a)))
        one = symmetry.branch(two(), VP, [0.9], t, times=(0.01, 0.6), count=1)
        np.testing.assert_allclose(one.x[0, 0], expected, atol=6e-12)


def test_results_are_stored():
    found = symmetry.critical_times(two(), VP)
    stored = to_dataset(found)
    assert stored["transitions.time.time"].dims == ("transition",)
    assert to_json(found)["drift"] == "reverse_sde"
    nothing = symmetry.critical_times(GaussianMixture.isotropic([[0.0]], 0.5), VP)
    assert to_dataset(nothing)["transitions.child"].shape == (0, 1)


def test_bad_input():
    with pytest.raises(BadInput, match="dimension"):
        symmetry.critical_times(FunctionDenoiser(lambda x, a, s: x), VP)
    with pytest.raises(BadInput, match="spread"):
        symmetry.critical_times(GaussianMixture.isotropic([[1.0]], 0.0), VP)
    with pytest.raises(BadInput, match="times"):
        symmetry.critical_times(two(), VP, times=(0.5, 0.2))
    with pytest.raises(BadInput, match=r"within \[0, 1\]"):
        symmetry.critical_times(two(), VP, times=(0.1, 7.0))
    with pytest.raises(BadInput, match="`most` is 0"):
        symmetry.critical_times(two(), VP, most=0)
    with pytest.raises(BadInput, match="starts"):
        symmetry.critical_times(two(), VP, starts=0)
    with pytest.raises(BadInput, match="dimensions"):
        symmetry.critical_times(two(), VP, starts=np.zeros((3, 2)))
    shifted = FunctionDenoiser(lambda x, alpha, sigma: x / alpha + 1)
    with pytest.raises(BadInput, match="no fixed point"):
        symmetry.branch(shifted, VP, np.zeros(1), 0.1, drift="density", scale=1.0)
    with pytest.raises(ValueError, match="weights"):
        two(p=1.5)


def test_a_clock_that_ends_in_the_broken_phase():
    found = symmetry.critical_times(two(), VP, times=(0.01, 0.2))
    assert found.none
    assert not found.symmetric
    assert found.minima[-1] == 2
    # No weight, no mode: one point is left, and nothing to decide.
    with pytest.raises(BadInput, match="spread"):
        symmetry.critical_times(two(p=1.0), VP)
    # Of equal points some spread is left by rounding.
    constant = FunctionDenoiser(lambda x, alpha, sigma: 0 * x + 0.3)
    with pytest.raises(BadInput, match="spread of the data is 0"):
        symmetry.critical_times(constant, VP, dimension=2)
