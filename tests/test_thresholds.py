"""Thresholds and windows of nested sets of labels: numbers, answers, clocks, slopes."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from jaxwin._checks import BadInput
from jaxwin.analysis import windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import DiscreteDDPM, LinearInterpolant, OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

PAIR = GaussianMixture.isotropic([[6.0, 8.0], [-6.0, -8.0]], 1.0)
THREE = GaussianMixture.isotropic([[19.0], [21.0], [-20.0]], 1.0)
E1 = {
    0.2: (2.948084642, 3.675579874, 1.582918233),
    0.1: (3.675579874, 4.376749807, 1.356413551),
    0.01: (5.988712008, 6.681937745, 0.944023791),
}


def value(crossing) -> float:
    assert bool(crossing.found), str(crossing)
    return float(crossing.time)


def brute_tv(means, variances, weights, sets, t) -> float:
    """TV of two sub-mixtures on a line by the trapezoid rule on 1e5 places."""
    centres, width2 = np.exp(-t) * means, np.exp(-2 * t) * variances - np.expm1(-2 * t)
    reach = 9 * np.sqrt(width2.max())
    x = np.linspace(centres.min() - reach, centres.max() + reach, 100_001)
    z = (x - centres[:, None]) / np.sqrt(width2)[:, None]
    each = (weights / np.sqrt(2 * np.pi * width2))[:, None] * np.exp(-0.5 * z**2)
    density = lambda s: each[s].sum(axis=0) / weights[s].sum()
    gap = np.abs(density(sets[0]) - density(sets[1]))
    return float(0.5 * np.trapezoid(gap, x))


# Two components, on the line through their means


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", list(E1))
def test_two_components_at_printed_points(epsilon):
    both = windows.thresholds(PAIR, 0, [0, 1], epsilon)
    one = windows.thresholds(PAIR, [0], [True, False], epsilon)
    pair = windows.thresholds(PAIR, 0, [0, 1], epsilon, pairs=True)
    end, end_pair, start = E1[epsilon]
    assert abs(value(both.end) - end) < 0.6e-9
    assert abs(value(pair.end) - end_pair) < 0.6e-9
    assert abs(value(one.start) - start) < 0.6e-9
    alone = windows.thresholds(PAIR, 0, 0, epsilon, pairs=True)
    assert abs(value(alone.start) - start) < 0.6e-9
    assert both.answer == "vacuous"
    assert str(both.start) == "not reached in [0, inf]"
    assert one.answer == "interval"
    assert value(one.end) == 0


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1e-4, 1e-8])
def test_tolerances_whose_square_one_does_not_see(epsilon):
    # 1 - TV = erfc(m / sqrt 2) at m = 10 e^{-t}: its digits count, not those of TV.
    known = np.log(10 / (np.sqrt(2) * scipy.special.erfcinv(epsilon**2)))
    for pairs in (False, True):
        found = windows.window(PAIR, [0], [0, 1], epsilon, pairs=pairs)
        assert abs(value(found.after) - known) < 1e-9
    tree = windows.mixture_tree(PAIR, epsilon)
    np.testing.assert_allclose(tree.start.time[:2], known, atol=1e-9)
    snr = np.linspace(12, -12, 64)
    levels = jnp.sqrt(jax.nn.sigmoid(snr)), jnp.sqrt(jax.nn.sigmoid(-snr))
    swept = windows.sweep_windows(PAIR, *levels, epsilon)
    assert np.all(swept.after_found)
    np.testing.assert_allclose(swept.after, known, atol=1e-8)


@pytest.mark.slow
@pytest.mark.long
def test_weights_of_zero_spoil_no_other_slope():
    means = jnp.array([[0.0], [3.0], [20.0]])
    end = lambda w: (
        windows.thresholds(GaussianMixture.isotropic(means, 1.0, w), 0, [0, 1], 0.1)
        .end.time
    )  # fmt: skip
    slope = jax.grad(end)(jnp.array([0.5, 0.5, 0.0]))
    two = jax.grad(lambda w: end(jnp.append(w, 1e-12)))(jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(slope[:2], two, rtol=1e-6)


@pytest.mark.f32
def test_small_tolerance_in_single_precision():
    law = GaussianMixture.isotropic([[100.0], [-100.0]], 1.0)
    found = windows.window(law, [0], [0, 1], 1e-4)
    known = np.log(100 / (np.sqrt(2) * scipy.special.erfcinv(1e-8)))
    assert abs(value(found.after) - known) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.03, 0.27, 0.45])
def test_two_components_between_printed_points(epsilon):
    formula = windows.two_components(10.0, epsilon)
    both = windows.thresholds(PAIR, 0, [0, 1], epsilon)
    one = windows.thresholds(PAIR, 0, 0, epsilon)
    assert abs(value(both.end) - value(formula.end)) < 1e-9
    assert abs(value(one.start) - value(formula.start)) < 1e-9


def test_more_tolerance_than_there_is_difference():
    # TV(p+, p) is 1/2 without noise.
    found = windows.thresholds(PAIR, 0, [0, 1], 0.6)
    assert value(found.end) == 0


# Three components, one pair within the target


@pytest.mark.slow
def test_three_components():
    found = windows.thresholds(THREE, 0, [0, 1], 0.1)
    assert abs(value(found.end) - 1.372994781) < 0.6e-9
    assert abs(value(found.end) + np.log(np.sqrt(2) * scipy.special.erfinv(0.2))) < 1e-9
    assert abs(value(found.start) - 2.045448340) < 0.6e-9
    assert abs(float(found.weight_ratio) - 0.5) < 1e-14
    assert abs(float(found.bound) - 0.1707106781) < 6e-11
    assert found.answer == "interval"
    saved = to_json(found)
    assert saved["end"]["found"]
    assert saved["method"] == "quadrature"
    assert float(to_dataset(found)["end.time"]) == value(found.end)


@pytest.mark.slow
def test_three_components_elsewhere_against_brute_force():
    means, variances = np.array([19.0, 21.0, -20.0]), np.array([0.4, 2.0, 1.1])
    weights = np.array([0.2, 0.5, 0.3])
    law = GaussianMixture.isotropic(means[:, None], variances, weights)
    for epsilon in (0.07, 0.22):
        found = windows.thresholds(law, 0, [0, 1], epsilon)
        for crossing, sets, level in [
            (found.end, ([0], [0, 1]), epsilon),
            (found.start, ([0, 1], [2]), 1 - epsilon**2),
        ]:
            at = lambda t, sets, c: brute_tv(means, variances, weights, sets, t) - c
            root = scipy.optimize.brentq(at, 0.01, 8, args=(sets, level))
            assert abs(value(crossing) - float(np.asarray(root))) < 1e-5
            assert abs(at(value(crossing), sets, level)) < 1e-7


@pytest.mark.slow
def test_answers_of_thresholds():
    # The nearest mean outside is as near as those inside.
    even = GaussianMixture.isotropic([[0.0], [10.0], [20.0]], 1.0)
    assert windows.thresholds(even, 0, [0, 1], 0.1).answer == "empty"
    # Never told from the rest, not even without noise.
    near = GaussianMixture.isotropic([[0.0], [1.0], [2.0]], 1.0)
    found = windows.thresholds(near, 0, [0, 1], 0.1)
    assert found.answer == "empty"
    assert not found.start.found
    # The clock ends before the sets are alike.
    short = windows.thresholds(THREE, 0, [0, 1], 0.1, t_max=1.3)
    assert short.answer == "not resolvable above t_max"
    assert str(short.end) == "not reached in [0, 1.3]"
    # What is told apart longer than the clock lasts is so up to its end.
    held = windows.thresholds(THREE, 0, [0, 1], 0.1, t_max=1.5)
    assert held.answer == "interval"
    assert value(held.start) == 1.5


# Definition 4


def test_window_of_definition_four():
    # All three sets by brute force: T_after of one, T_before into the pair.
    means = np.array([0.0, 12.0, 800.0])
    variances, weights = np.ones(3), np.full(3, 1 / 3)
    law = GaussianMixture.isotropic(means[:, None], 1.0)
    found = windows.window(law, 0, [0, 1], 0.1)
    assert found.answer == "window"
    tv = lambda a, b, t: brute_tv(means, variances, weights, (a, b), t)
    assert abs(tv([0], [1, 2], value(found.after)) - 0.99) < 1e-6
    assert abs(tv([0], [0, 1], value(found.before)) - 0.1) < 1e-6
    assert tv([0, 1], [2], value(found.before)) >= 0.99
    parts = windows.thresholds(law, 0, [0, 1], 0.1)
    assert value(found.before) == value(parts.end)
    assert value(found.before) <= value(parts.start)


def test_windows_that_are_none():
    even = GaussianMixture.isotropic([[0.0], [10.0], [20.0]], 1.0)
    # The larger set is no longer told from the rest where it spreads.
    none = windows.window(even, 0, [0, 1], 0.1)
    assert none.answer == "no window"
    assert not none.before.found
    assert none.after.found
    # The whole as the larger set: its second condition is void.
    assert windows.window(even, 0, [0, 1, 2], 0.1).answer == "window"
    assert windows.window(even, [0, 1, 2], [0, 1, 2], 0.1).answer == "vacuous"
    short = windows.window(even, 0, [0, 1, 2], 0.1, t_max=0.5)
    assert short.answer == "not resolvable above t_max"
    # Nearly all the weight is in the smaller set: alike before it is told.
    heavy = GaussianMixture.isotropic([[0.0], [10.0], [20.0]], 1.0, [0.98, 0.01, 0.01])
    found = windows.window(heavy, 0, [0, 1, 2], 0.1)
    assert value(found.before) == 0
    assert found.answer == "empty"


def test_note_two_definition_four_is_not_example_two():
    # Ten random means, a thousand dimensions: pairs, since labels have nine.
    means = np.random.default_rng(0).standard_normal((10, 1000))
    law = GaussianMixture.isotropic(means, 1.0)
    distances = np.sort(np.linalg.norm(means[1:] - means[0], axis=1))
    found = windows.window(law, 0, np.ones(10, bool), 0.1, pairs=True)
    formula = windows.one_of_many(distances[0], distances[-1], 10, 0.1)
    assert abs(value(formula.after) - 1.960058) < 0.6e-6
    assert abs(value(formula.before) - 6.117363) < 0.6e-6
    # TV = erf(D / sqrt 8) of the nearest and the furthest pair.
    apart = np.sqrt(8) * scipy.special.erfinv(0.99)
    assert abs(value(found.after) - np.log(distances[0] / apart)) < 1e-9
    together = np.sqrt(8) * scipy.special.erfinv(0.1)
    assert abs(value(found.before) - np.log(distances[-1] / together)) < 1e-9
    assert abs(value(found.after) - value(formula.after)) > 0.1
    assert abs(value(found.before) - value(formula.before)) > 0.1


# Pairs of components


@pytest.mark.slow
def test_pairs_of_different_covariances_are_bounds():
    # On a line each pair's TV is known by brute force.
    rng = np.random.default_rng(5)
    means = np.array([0.0, 4.0, 30.0, 37.0])
    variances = rng.uniform(0.3, 3.0, 4)
    law = GaussianMixture.isotropic(means[:, None], variances)
    found = windows.thresholds(law, [0], [0, 1], 0.15, pairs=True)
    pair = lambda i, j, t: brute_tv(means, variances, np.ones(4), ([i], [j]), t)
    assert pair(0, 1, value(found.end)) <= 0.15
    start = value(found.start)
    assert min(pair(i, j, start) for i in (0, 1) for j in (2, 3)) >= 1 - 0.15**2
    # and not far from them.
    assert pair(0, 1, value(found.end)) > 0.1
    assert min(pair(i, j, start) for i in (0, 1) for j in (2, 3)) < 1 - 0.1 * 0.15**2


@pytest.mark.slow
def test_components_without_weight_do_not_count():
    # All labels of weight are in the target.
    none = GaussianMixture.isotropic([[0.0], [10.0], [20.0]], 1.0, [0.5, 0.5, 0.0])
    assert windows.thresholds(none, 0, [0, 1], 0.1).answer == "vacuous"
    full = GaussianMixture.isotropic([[0.0], [3.0], [90.0]], 1.0, [0.5, 0.5, 0.0])
    found = windows.thresholds(full, 0, [0, 1, 2], 0.1, pairs=True)
    only = GaussianMixture.isotropic([[0.0], [3.0]], 1.0)
    assert np.isclose(
        value(found.end),
        value(windows.thresholds(only, 0, [0, 1], 0.1, pairs=True).end),
        rtol=1e-12,
    )


# Clocks


@pytest.mark.slow
def test_thresholds_on_other_clocks():
    found = windows.thresholds(PAIR, 0, 0, 0.1, pairs=True)
    ou = OrnsteinUhlenbeck()
    for process in (LinearInterpolant(), DiscreteDDPM(schedule="linear")):
        there = found.on(process)
        log_snr = process.log_snr(there.start.time)
        assert np.isclose(log_snr, ou.log_snr(found.start.time), rtol=1e-9)
    # e^{2 t} - 1 = (u / (1 - u))^2.
    u = value(found.on(LinearInterpolant()).start)
    assert np.isclose(np.expm1(2 * value(found.start)), (u / (1 - u)) ** 2)


def test_a_binary_feature_too_wide_for_stable_diffusion():
    # Its last log-SNR is OU time 2.684; one in four flips at m* = 0.9224.
    process = DiscreteDDPM(schedule="scaled_linear")
    half_flip = 0.922412292640423
    epsilon = scipy.special.erf(half_flip / np.sqrt(2)) / 2
    answers = []
    for norm in (13.4, 13.6):
        law = GaussianMixture.isotropic([[norm, 0.0], [-norm, 0.0]], 1.0)
        found = windows.thresholds(law, 0, [0, 1], float(epsilon), process=process)
        assert abs(float(found.t_max) - 2.6843593455) < 1e-9
        answers.append(found.answer)
    assert answers == ["vacuous", "not resolvable above t_max"]
    # The border itself is 0.9224 e^{2.6844} = 13.51.
    edge = half_flip * np.exp(2.6843593455)
    assert abs(edge - 13.5) < 0.02
    assert value(windows.separation_time(2 * edge, 2 * half_flip)) < 2.68436


# Measured ones


@pytest.mark.slow
def test_sampled_thresholds_agree_with_quadrature():
    # 8,192 draws; the 95 % intervals are widened to 4 standard errors.
    exact = windows.thresholds(THREE, 0, [0, 1], 0.1)
    observed = Observed(THREE, Gaussian())
    noises = np.linspace(0.5, 4.0, 15)
    found = windows.sampled_thresholds(
        observed, 0, [0, 1], 0.1, noises, num_replicas=8192, key=jr.key(3)
    )
    for name in ("end", "start"):
        measured, known = getattr(found, name), getattr(exact, name)
        assert abs(value(measured) - value(known)) < 4 * float(measured.stderr)
        assert 0 < float(measured.stderr) < 0.1
    assert found.answer == "interval"
    assert np.isclose(found.bound, exact.bound)
    whole = windows.sampled_thresholds(
        observed, 0, [0, 1, 2], 0.1, noises, num_replicas=1024
    )
    assert whole.answer == "vacuous"
    assert not whole.start.found


# Slopes


def parameters():
    means = jnp.array([[19.0], [21.0], [-20.0]])
    return means, jnp.array([0.7, 1.0, 1.6]), jnp.array([0.2, 0.45, 0.35])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("pairs", [False, True])
def test_gradients_of_both_thresholds(pairs):
    def both(means, variances, weights):
        law = GaussianMixture.isotropic(means, variances, weights)
        found = windows.thresholds(law, 0, [0, 1], 0.1, pairs=pairs)
        return jnp.stack([found.end.time, found.start.time])

    found = jax.jit(jax.jacrev(both, argnums=(0, 1, 2)))(*parameters())
    both, given = jax.jit(both), parameters()
    step = 1e-5
    for which, leaf in enumerate(given):
        for index in np.ndindex(leaf.shape):
            move = lambda s, w=which, i=index: both(
                *(x.at[i].add(s) if k == w else x for k, x in enumerate(given))
            )
            slope = (move(step) - move(-step)) / (2 * step)
            np.testing.assert_allclose(
                found[which][(slice(None), *index)], slope, atol=2e-6, rtol=1e-6
            )
    assert all(np.abs(np.asarray(g)).max() > 1e-3 for g in found[:2])


@pytest.mark.slow
def test_no_threshold_has_no_nan_slope():
    def times(means):
        law = GaussianMixture.isotropic(means, 1.0)
        found = windows.thresholds(law, 0, [0, 1], 0.1)
        pick = lambda crossing: jnp.where(crossing.found, crossing.time, 0)
        return pick(found.end) + pick(found.start)

    # Labels that coincide, and such that are never told from the rest.
    slope = jax.jit(jax.grad(times))
    for means in ([[0.0], [0.0], [0.0]], [[0.0], [1.0], [2.0]]):
        assert np.all(np.isfinite(slope(jnp.array(means))))


@pytest.mark.slow
def test_thresholds_on_a_plane():
    # At the threshold found, TV by 4e5 draws of plain numpy; z of 4.
    means = np.array([[20.0, 0.0], [18.0, 3.0], [-15.0, -15.0]])
    law = GaussianMixture.isotropic(means, 1.0)
    found = windows.thresholds(law, 0, [0, 1], 0.2)
    rng = np.random.default_rng(2)
    for t, a, b, level in [
        (value(found.end), [0], [0, 1], 0.2),
        (value(found.start), [0, 1], [2], 0.96),
    ]:
        own = rng.choice(a, size=400_000)
        x = np.exp(-t) * means[own] + rng.normal(size=(400_000, 2))
        log = -0.5 * np.sum((x[:, None] - np.exp(-t) * means) ** 2, axis=2)
        p, q = (np.mean(np.exp(log[:, s]), axis=1) for s in (a, b))
        # TV = E_p (1 - q / p)_+.
        part = np.clip(1 - q / p, 0, None)
        assert abs(part.mean() - level) < 4 * part.std() / np.sqrt(part.size)


# Bad input


@pytest.mark.slow
def test_bad_input_is_refused():
    for call, match in [
        (lambda f: f(PAIR, 0, [0, 1], 0.0), "`epsilon` is 0; it must lie strictly"),
        (lambda f: f(PAIR, 0, [0, 1], 1.0), "`epsilon` is 1; it must lie strictly"),
        (lambda f: f(PAIR, 0, 1, 0.1), "holds label 0, which is not in"),
        (lambda f: f(PAIR, [], [0, 1], 0.1), "is empty; name at least one"),
        (lambda f: f(PAIR, 0, [], 0.1), "is empty; name at least one"),
        (lambda f: f(PAIR, 0, 2, 0.1), "names label 2; the labels are 0 to 1"),
        (lambda f: f(PAIR, 0, [0, 1], 0.1, t_max=0.0), "`t_max` is 0; it must be an"),
        (
            lambda f: f(PAIR, 0, 0, 0.1, t_max=1.0, process=LinearInterpolant()),
            "both say where the clock ends",
        ),
    ]:
        for function in (windows.thresholds, windows.window):
            with pytest.raises(BadInput, match=match):
                call(function)
    wide = GaussianMixture.isotropic(3 * np.eye(5), 1.0)
    with pytest.raises(ValueError, match="differ in 4 dimensions"):
        windows.thresholds(wide, 0, [0, 1], 0.1)
