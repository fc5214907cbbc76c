"""Critical times in closed form, against theory's tables and the laws themselves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import root_scalar

from jaxwin.analysis.symmetry import (
    coupling,
    critical_log_snr,
    instability_integral,
    last_unstable_index,
    named_drift,
    potential,
    potts_state,
    potts_times,
    predicted_time,
    sphere_alpha,
    spinodal,
    two_point_branches,
)
from jaxwin.processes import (
    EDM,
    Cosine,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
)
from jaxwin.targets import GaussianMixture

VP = VariancePreserving(0.1, 20.0)
DRIFTS = {
    "reverse_sde": named_drift("reverse_sde"),
    "flow": named_drift("flow"),
    "density": named_drift("density"),
    "eta = 0.5": named_drift("eta", eta=0.5),
    "eta = 2": named_drift("eta", eta=2.0),
}


# Arrays in place of numbers: new values compile nothing.
def compiled(function):
    inner = eqx.filter_jit(function)
    traced = lambda v: jnp.asarray(v, float) if isinstance(v, float) else v
    return lambda *args, **options: inner(
        *map(traced, args), **{key: traced(v) for key, v in options.items()}
    )


branches = compiled(two_point_branches)
predicted = compiled(predicted_time)
level = compiled(critical_log_snr)


@compiled
def at_place(law, x, t, kind):
    """Value, slope and curvature of a law's potential."""
    u = lambda x: potential(law, VP, x[None], t, kind)
    return u(x), jax.grad(u)(x), jax.grad(jax.grad(u))(x)


@compiled
def rates(law, process, t, kind, eigenvalue, within):
    """Slope of the integral in time, and the curvature of the potential."""
    integral = lambda t: instability_integral(
        process, t, eigenvalue, kind, within=within
    )
    u = lambda x: potential(law, process, x[None], t, kind)
    bend = jax.grad(jax.grad(u))(jnp.zeros(()))
    return jax.grad(integral)(t), bend * process.diffusion_sq(t)


def near(value, expected, digits):
    """To 0.6 of the last printed digit."""
    np.testing.assert_allclose(value, expected, rtol=0, atol=0.6 * 10.0**-digits)


def alpha_of(crossing):
    return float(VP.alpha(crossing.time))


def at_alpha(alpha):
    return VP.time_of_log_alpha(jnp.log(alpha))


# theory/symmetry_and_clocks.md, table of 1.3: lambda, theta and s of the reverse SDE,
# of the density.
TABLE = [
    (0.1, 0.95130834, 0.09526858, 0.95346259, 0.09297571),
    (1 / 3, 0.84897539, 0.17645439, 0.86602540, 0.16508667),
    (0.5, 0.78615138, 0.21494817, 0.81649658, 0.19690435),
    (1, 0.64359425, 0.29264165, 0.70710678, 0.25896026),
    (2, 0.48586827, 0.37591351, 0.57735027, 0.32729783),
    (4, 0.35086411, 0.45383120, 0.44721360, 0.39719099),
    (100, 0.07070979, 0.72471591, 0.09950372, 0.67604496),
    (1000, 0.02236068, 0.86900867, 0.03160698, 0.82826502),
]


@pytest.mark.parametrize("row", TABLE)
def test_table_of_drifts(row):
    eigenvalue, *expected = row
    sde = predicted(float(eigenvalue), VP)
    density = predicted(float(eigenvalue), VP, "density")
    found = alpha_of(sde), float(sde.time), alpha_of(density), float(density.time)
    near(found, expected, 8)


def test_two_points():
    found = predicted_time(1.0, VP)
    near(float(found.time), 0.2926416543281432, 16)
    near(alpha_of(found), 0.643594252905582624735443, 16)
    # In the clock alpha = e^-t: asinh(1) / 2.
    ou = predicted_time(1.0, OrnsteinUhlenbeck())
    near(float(ou.time), np.arcsinh(1) / 2, 15)
    # theory 1.3, the eta family: c = 1 + eta^2.
    thetas = [0.5558930, 0.6050003, 0.6435943, 0.6704400, 0.6871215]
    for c, theta in zip([1.25, 1.5, 2, 3, 5], thetas, strict=True):
        drift = named_drift("eta", eta=(c - 1) ** 0.5)
        near(alpha_of(predicted_time(1.0, VP, drift)), theta, 7)


def test_widths():
    """theory 1.6 and row C13."""
    q = lambda l, w, drift="reverse_sde": float(
        jax.nn.sigmoid(level(l, drift, within=w))
    )
    near(q(1.0, 0.04) ** 0.5, 0.6473586, 7)
    near(q(1.0, 0.25), 4 / 9, 15)
    near(q(1.0, 0.5) ** 0.5, 0.6871215, 7)
    near(q(1.0, 1.0), 0.5, 15)
    near(q(4.0, 0.25), 0.1239202649, 10)
    near(q(0.5, 0.1), 0.6537814989, 10)
    near(q(0.3, 0.2, "density"), 1 / 1.1, 15)
    near(q(0.3, 0.2, "flow"), 0.5 / 0.64, 15)


def test_cascade_of_a_rectangle():
    """theory 1.6: (+-2, +-0.5) and (+-2, +-1)."""
    times = jax.vmap(lambda l: predicted_time(l, VP).time)(jnp.array([4.0, 0.25, 1.0]))
    near(times, [0.4538311983, 0.1527603396, 0.2926416543], 10)


def test_never_and_always():
    for eigenvalue, drift, within in [
        (1.0, "flow", 0.0),  # unstable at any noise
        (2.0, "flow", 0.5),
        (0.5, "flow", 1.0),
        (0.01, "flow", 0.75),  # narrower than what the flow spreads
        (0.0, "reverse_sde", 1.0),  # one Gaussian
        (0.0, "density", 3.0),
        (0.2, "density", 3.0),
        (0.1, "reverse_sde", 0.5),
    ]:
        found = predicted(eigenvalue, VP, drift, within=within)
        assert not bool(found.found)
        assert str(found) == "not reached in [0, 1]"
    assert float(critical_log_snr(1.0, "flow")) == -np.inf
    assert float(critical_log_snr(0.01, "flow", within=0.75)) == np.inf
    assert float(critical_log_snr(0.5, within=0.6, preserving=False)) == np.inf
    # The root lies a little beyond the clean end, alpha = 1.
    assert float(critical_log_snr(0.1, "density", within=0.5)) == np.inf
    # A wide Gaussian loses convexity without any modes (theory 1.6, caution).
    near(float(jax.nn.sigmoid(critical_log_snr(0.0, within=3.0))), 0.5, 15)
    # The clock ends before.
    assert not bool(predicted_time(1e6, VP).found)
    found = predicted_time(0.01, VarianceExploding(0.2, 50.0))
    assert str(found) == "not reached in [0, 1]"


def condition(kind, eigenvalue, within, alpha, sigma, ratio):
    """Curvature of u / g^2 at the centre, by differences of the density, and its scale.

    In extended precision: fourth order in steps of a thousandth of a width.
    """
    q, v = np.longdouble(alpha) ** 2, np.longdouble(sigma) ** 2
    width, mean = v + q * within, np.sqrt(q * eigenvalue)
    step = np.sqrt(width) / 1000
    x = step * np.arange(-2, 3)
    log_p = np.logaddexp(
        -((x - mean) ** 2) / (2 * width), -((x + mean) ** 2) / (2 * width)
    )
    bend = log_p @ np.array([-1, 16, -30, 16, -1]) / (12 * step**2)
    pull, push = float(kind.pull), float(kind.push)
    return float(pull * ratio - push * bend), float(push / width)


@pytest.mark.parametrize("name", DRIFTS)
@pytest.mark.parametrize(
    "process", [VP, OrnsteinUhlenbeck(), Cosine(), DiscreteDDPM()], ids=str
)
def test_curvature_vanishes(name, process):
    kind = DRIFTS[name]
    for eigenvalue, within in [(0.3, 0.0), (0.7, 0.2), (3.0, 0.4), (0.4, 0.5)]:
        found = predicted(eigenvalue, process, kind, within=within)
        # Clean, two modes are none if they overlap; the flow may have no stable centre.
        eps = float(kind.pull / kind.push) / 2
        always = name == "flow" and eigenvalue + within >= 1
        assert bool(found.found) == (
            eigenvalue > within - eps * within**2 and not always
        )
        if not bool(found.found):
            continue
        alpha, sigma = map(float, process.levels(found.time))
        value, scale = condition(kind, eigenvalue, within, alpha, sigma, -0.5)
        assert abs(value) < 1e-9 * scale


@pytest.mark.parametrize("process", [EDM(), VarianceExploding(0.01, 60.0)])
def test_exploding_clocks_have_one_time(process):
    for name, kind in DRIFTS.items():
        found = predicted_time(1.5, process, kind, within=0.25)
        near(float(process.sigma(found.time)), 1.25**0.5, 13)
        value, scale = condition(kind, 1.5, 0.25, 1.0, 1.25**0.5, 0.0)
        assert abs(value) < 1e-9 * scale, name


def test_equal_log_snr_on_other_clocks():
    expected = float(critical_log_snr(0.7, "density"))
    for process in (VP, EDM(), LinearInterpolant()):
        found = predicted_time(0.7, process, "density", preserving=True)
        near(float(process.log_snr(found.time)), expected, 12)
    with pytest.raises(ValueError, match="no closed form"):
        predicted_time(0.7, LinearInterpolant())


@pytest.mark.slow
def test_gradients_and_batches():
    value = lambda l, w: predicted(l, VP, within=w).time
    slope = jax.grad(value, argnums=(0, 1))(0.8, 0.3)
    step = 1e-6
    by_steps = (
        (value(0.8 + step, 0.3) - value(0.8 - step, 0.3)) / (2 * step),
        (value(0.8, 0.3 + step) - value(0.8, 0.3 - step)) / (2 * step),
    )
    np.testing.assert_allclose(slope, by_steps, rtol=1e-8)
    # Masked branches send no NaN.
    for arguments in [(1.0, "flow"), (0.3, "flow"), (0.3, "density"), (0.0, "flow")]:
        safe = lambda l, drift=arguments[1]: jnp.where(
            jnp.isfinite(critical_log_snr(l, drift)), critical_log_snr(l, drift), 0
        )
        assert np.isfinite(jax.grad(safe)(arguments[0]))
    whole = jax.vmap(lambda l: predicted_time(l, VP, "flow"))(jnp.array([0.5, 1.5]))
    np.testing.assert_array_equal(whole.found, [True, False])


def test_bad_arguments():
    with pytest.raises(ValueError, match="eigenvalue"):
        critical_log_snr(-1.0)
    with pytest.raises(ValueError, match="within"):
        critical_log_snr(1.0, within=np.nan)
    with pytest.raises(ValueError, match="radius"):
        sphere_alpha(0.0, 3)
    with pytest.raises(ValueError, match="weight"):
        spinodal(1.0, VP)
    with pytest.raises(ValueError, match="half"):
        two_point_branches(VP, 0.2, half=-1.0)
    with pytest.raises(ValueError, match="num_patterns"):
        potts_times(1, VP)


def test_sphere():
    """theory 1.4; the density's is r^2 / d = T_c, by SNR."""
    for d in (2, 3, 10):
        near(float(sphere_alpha(d**0.5, d)), 0.6435942529055826, 15)
    table = {2: 0.7861514, 3: 0.8489754, 10: 0.9513083, 100: 0.9950126, 784: 0.9993624}
    for d, expected in table.items():
        near(float(sphere_alpha(1.0, d)), expected, 7)
    near(float(sphere_alpha(1.3, 5, "density")), (1 + 1.69 / 5) ** -0.5, 14)
    assert float(sphere_alpha(3.0, 5, "flow")) == 0


def test_coupling():
    for t in (0.1, 0.2926416543281432, 0.7):
        rate = -2 * float(VP.log_alpha(t))
        near(float(coupling(VP, t)) * np.sinh(rate), 1, 12)
        near(
            float(coupling(VP, t, "flow", square=0.3)) * np.expm1(rate),
            0.3 * np.exp(rate),
            12,
        )
        near(float(coupling(VP, t, "density", square=0.3)) * np.expm1(rate), 0.3, 12)
    for name in ("reverse_sde", "density", "eta = 2"):
        found = predicted_time(0.6, VP, DRIFTS[name])
        near(float(coupling(VP, found.time, DRIFTS[name], square=0.6)), 1, 12)
    # dK / dtheta at the critical one (theory 1.2).
    slope = jax.grad(lambda a: coupling(VP, at_alpha(a)))(0.6435942529055826)
    near(float(slope), 4.3947365, 7)


def test_branch_of_two_points():
    """Rows C6 and C7."""
    places = {
        0.644: 0.0665151097329,
        0.65: 0.261054986248,
        0.66: 0.40929932025,
        0.7: 0.699174157234,
        0.8: 0.947038576142,
        0.9: 0.994313845364,
        0.95: 0.9986859325,
    }
    for theta, place in places.items():
        found = branches(VP, at_alpha(theta))
        near(float(found.position[0]), place, 10)
        near(float(found.position[2]), -place, 10)
        assert abs(float(found.position[1])) < 1e-15
    bends = {0.65: 0.0681312987, 0.7: 0.6200342937, 0.8: 1.992773922, 0.9: 4.755880205}
    for theta, bend in bends.items():
        near(float(branches(VP, at_alpha(theta)).curvature[0]), bend, 9)
    # Row C3: the centre, before and after.
    for theta, bend in {0.3: 0.4902185726, 0.5: 0.3888888889, 0.6: 0.18359375}.items():
        found = branches(VP, at_alpha(theta))
        near(float(found.curvature[0]), bend, 10)
        np.testing.assert_array_equal(found.found, [True, False, False])
    for theta, bend in {
        0.65: -0.0352410937,
        0.7: -0.4231064975,
        0.8: -2.6604938272,
        0.9: -17.6745152355,
    }.items():
        near(float(branches(VP, at_alpha(theta)).curvature[1]), bend, 10)


def test_pitchfork():
    """Row C8: x* = A sqrt(theta - theta_c)."""
    offsets = np.array([1e-6, 4e-6])
    x = [
        float(branches(VP, at_alpha(0.6435942529055826 + o)).position[0])
        for o in offsets
    ]
    near(x / np.sqrt(offsets), 3.3048686288, 4)
    near(np.log(x[1] / x[0]) / np.log(4), 0.5, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRIFTS)
def test_branches_are_flat_places(name):
    """By gradient and curvature of the law's potential, by the law itself."""
    kind, half, weight, variance = DRIFTS[name], 1.3, 0.4, 0.15
    law = GaussianMixture.isotropic([[half], [-half]], variance, [weight, 1 - weight])
    for t in (0.15, 0.25, 0.5):
        found = branches(VP, t, kind, half=half, weight=weight, variance=variance)
        assert bool(found.found[0])
        for i in range(3):
            if not bool(found.found[i]):
                assert np.isnan(found.position[i])
                continue
            x = found.position[i]
            _, slope, bend = at_place(law, x, t, kind)
            assert abs(float(slope)) < 1e-11 * (1 + abs(float(bend)))
            np.testing.assert_allclose(found.curvature[i], bend, rtol=1e-9, atol=1e-10)
        if bool(found.found[1]):
            values = [at_place(law, x, t, kind)[0] for x in found.position]
            np.testing.assert_allclose(
                np.diff(np.asarray(values)), np.diff(found.value), rtol=1e-9, atol=1e-11
            )
    # The heavier cluster's valley is the deepest.
    assert float(found.position[0]) < 0


@pytest.mark.slow
def test_branch_gradient_and_width_that_nothing_holds():
    place = eqx.filter_jit(
        lambda t: two_point_branches(VP, t, half=0.9, weight=0.7).position[0]
    )
    step = 1e-6
    by_steps = (place(jnp.asarray(0.2 + step)) - place(jnp.asarray(0.2 - step))) / (
        2 * step
    )
    np.testing.assert_allclose(jax.grad(place)(0.2), by_steps, rtol=1e-7)
    found = branches(VP, 0.05, variance=4.0)
    assert not np.any(found.found)
    assert np.isfinite(
        jax.grad(lambda h: jnp.nansum(branches(VP, 0.3, half=h).position))(0.5)
    )


def test_spinodal():
    """theory 3; and the place at which the second valley appears."""
    table = {
        0.55: (1.2985821, 0.7014798, 0.2619847, -0.4508707),
        0.6: (1.4916386, 0.7304271, 0.2463036, -0.5468995),
        0.8: (2.2211064, 0.8040226, 0.2044267, -0.7241710),
        0.9: (2.7464807, 0.8367321, 0.1843281, -0.7849289),
    }
    for p, expected in table.items():
        found = spinodal(p, VP)
        row = (
            float(found.coupling),
            alpha_of(found.time),
            found.time.time,
            found.position,
        )
        near(np.array([float(v) for v in row]), expected, 7)
        near(float(spinodal(1 - p, VP).position), -expected[3], 7)
    equal = spinodal(0.5, VP)
    near(float(equal.time.time), 0.2926416543281432, 15)
    assert float(equal.position) == 0
    # A little before it there is one valley, a little later there are three.
    for name in ("flow", "density", "eta = 2"):
        found = spinodal(0.7, VP, DRIFTS[name], half=0.6)
        sides = [
            branches(VP, found.time.time + s, DRIFTS[name], half=0.6, weight=0.7)
            for s in (1e-5, -1e-5)
        ]
        assert [int(side.found.sum()) for side in sides] == [1, 3]
        assert abs(float(sides[1].position[2] - found.position)) < 0.02
    never = spinodal(0.7, VP, "flow", half=2.0)
    assert not bool(never.time.found)
    assert np.isnan(never.position)


def test_spinodal_gradient():
    value = lambda p: spinodal(p, VP).time.time
    step = 1e-6
    by_steps = (value(0.65 + step) - value(0.65 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(value)(0.65), by_steps, rtol=1e-8)


def test_potts():
    """theory 1.5 and row C11."""
    table = {
        2: "2 0.7861514 0.2149482 " * 3,
        3: "2.7456436 0.8366885 0.1843558 2.7725887 0.8380818 0.1834708 "
        "3 0.8489754 0.1764544",
        4: "3.2187411 0.8581778 0.1703823 3.2958369 0.8611640 0.1683806 "
        "4 0.8836155 0.1527603",
        10: "4.5597786 0.8969152 0.1429390 4.9437553 0.9044209 0.1371659 "
        "10 0.9513083 0.0952686",
        100: "7.4586755 0.9353478 0.1109912 9.2840177 0.9476667 0.0990410 "
        "100 0.9950126 0.0270725",
    }
    for n, text in table.items():
        rows = np.array(text.split(), float).reshape(3, 3)
        found = potts_times(n, VP)
        events = found.spinodal, found.transition, found.instability
        for i, (event, row) in enumerate(zip(events, rows, strict=True)):
            near((float(found.coupling[i]), alpha_of(event), float(event.time)), row, 7)
        near(float(found.weight[1]), (n - 1) / n, 14)
    near(float(potts_times(3, VP).weight[0]), 0.5848004, 7)
    state = potts_state(4.0, 3)
    near(float(state.weight), 0.9539302689, 10)
    near(float(state.gap), 0.2755184879, 10)
    for n in (3, 5, 40):
        found = potts_times(n, VP)
        assert abs(float(potts_state(found.coupling[1], n).gap)) < 1e-13
        low = potts_state(found.coupling[0] * (1 - 1e-9), n)
        assert not bool(low.found)
        assert np.isnan(low.weight)
        # Far below the spinodal of weights there is nothing, far above one pattern.
        near(float(potts_state(60.0, n).weight), 1, 12)
    assert float(potts_state(2.4, 2).gap) > 0
    many = jax.vmap(lambda n: potts_times(n, VP).coupling)(jnp.array([2.0, 3.0]))
    near(many[1], [2.7456436, 2.7725887, 3], 7)


def test_potts_against_self_consistency():
    n, k = 7, 5.1
    equation = lambda w: np.log(w * (n - 1) / (1 - w)) - k * (w - (1 - w) / (n - 1))
    weight = root_scalar(equation, bracket=(0.9, 0.999), xtol=1e-15).root
    pure = np.append(weight, np.full(n - 1, (1 - weight) / (n - 1)))
    u = lambda w: k * np.sum(w**2) / 2 - np.log(np.sum(np.exp(k * w)))
    gap = u(np.full(n, 1 / n)) - u(pure)
    state = potts_state(k, n)
    near(float(state.weight), float(weight), 13)
    near(float(state.gap), float(gap), 13)


def test_instability_integral():
    """Row C14 and theory 1.7."""
    value = lambda t, l=1.0: float(instability_integral(VP, t, l))
    critical = 0.2926416543281432
    near(value(1.0), 6.025, 6)
    near(value(critical), 1.612994, 6)
    near(value(1.0) - value(critical), 4.4120064230, 10)
    factors = {
        1.0: 0.0121308144,
        0.8: 0.165134,
        0.6: 0.0406139,
        0.5: 0.0234529,
        0.4: 0.0152448,
    }
    near(np.exp(-(value(1.0) - value(critical))), factors.pop(1.0), 10)
    for t, factor in factors.items():
        near(np.exp(-(value(1.0) - value(t))), factor, 6)
    near(value(0.1) - value(critical), 5.8172185, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRIFTS)
@pytest.mark.parametrize("process", [VP, EDM()], ids=["VP", "EDM"])
def test_integral_is_that_of_the_curvature(name, process):
    kind, eigenvalue, within = DRIFTS[name], 0.8, 0.3
    law = GaussianMixture.isotropic([[eigenvalue**0.5], [-(eigenvalue**0.5)]], within)
    for t in (0.15, 0.4, 0.9):
        slope, bend = rates(law, process, t, kind, eigenvalue, within)
        np.testing.assert_allclose(slope, bend, rtol=1e-9, atol=1e-11)


def test_discrete_chain():
    """Row C4."""
    table = DiscreteDDPM()
    assert [int(last_unstable_index(l, table)) for l in (0.5, 1.0, 4.0)] == [
        214,
        291,
        452,
    ]
    betas = np.linspace(1e-4, 0.02, 1000)
    bars = np.cumprod(1 - betas)
    for eigenvalue, within in [(0.2, 0.1), (2.5, 0.6), (0.05, 0.0)]:
        noised = 1 - bars + within * bars
        slope = -1 / noised + eigenvalue * bars / noised**2
        unstable = np.flatnonzero((1 + betas * slope) / np.sqrt(1 - betas) > 1)
        found = last_unstable_index(eigenvalue, table, within=within)
        assert int(found) == unstable[-1]
    assert int(last_unstable_index(0.0, table)) == -1
    assert int(last_unstable_index(0.1, table, within=0.9)) == -1


def test_one_program_for_all_values():
    traces = eqx.debug.assert_max_traces
    found = eqx.filter_jit(
        traces(lambda l, w: predicted_time(l, VP, within=w), max_traces=1)
    )
    for value in (0.2, 0.7):
        found(jnp.asarray(value), jnp.asarray(value / 2))
    branch = eqx.filter_jit(
        traces(lambda t, p: two_point_branches(VP, t, weight=p), max_traces=1)
    )
    for value in (0.2, 0.3):
        branch(jnp.asarray(value), jnp.asarray(value))
