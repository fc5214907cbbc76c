"""Scores on every clock, and the five forms of one prediction."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some

from jaxwin.processes import (
    EDM,
    AbstractProcess,
    Cosine,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
    convert,
)
from jaxwin.scores import ExactScore, Prediction, convert_prediction
from jaxwin.targets import Empirical, GaussianMixture

KINDS: tuple[Prediction, ...] = ("denoised", "noise", "score", "v", "velocity")
OU = OrnsteinUhlenbeck()

CLOCKS: dict[str, AbstractProcess] = {
    "ou": OU,
    "vp": VariancePreserving(0.1, 20.0),
    "cosine": Cosine(),
    "ve": VarianceExploding(0.01, 50.0),
    "edm": EDM(),
    "flow": LinearInterpolant(),
    "ddpm": DiscreteDDPM(1000, "linear"),
    "ddpm-respaced": DiscreteDDPM(1000, "cosine").respaced(100),
}
TIMES = {
    "ou": [0.01, 0.3, 1.5],
    "vp": [0.02, 0.3, 0.9],
    "cosine": [0.02, 0.4, 0.97],
    "ve": [0.0, 0.5, 1.0],
    "edm": [0.05, 1.0, 70.0],
    "flow": [0.02, 0.5, 0.98],
    # Nodes and between them.
    "ddpm": [0.0, 333.0, 700.25],
    "ddpm-respaced": [3.0, 44.5, 98.0],
}
# Clocks whose clean end is reached: time, and whether d sigma^2/dt > 0 there, so that
# d sigma/dt is infinite.
CLEAN = {
    "ou": (0.0, True),
    "vp": (0.0, True),
    "cosine": (0.0, True),
    "edm": (0.0, False),
    "flow": (0.0, False),
    "ddpm": (-1.0, True),
    "ddpm-respaced": (-1.0, True),
}
# Clocks whose noisy end has no signal at all.
NOISY = {"cosine": 1.0, "flow": 1.0}

MIXTURE = GaussianMixture.isotropic(
    np.array([[1.0, 0.5, -1.0], [-1.5, 0.0, 0.3]]),
    np.array([0.3, 0.8]),
    np.array([0.3, 0.7]),
)
DATA = Empirical(np.random.default_rng(0).normal(size=(20, 3)))
X = jnp.array([0.7, -0.4, 0.2])


def channel(process: AbstractProcess, t) -> tuple[float, float]:
    return float(process.alpha(t)), float(process.sigma(t))


def rates(process: AbstractProcess, t: float) -> tuple[float, float]:
    """alpha' and sigma' by differences; one-sided inside a table's interval."""
    h = 1e-5 * max(abs(t), 1e-2)
    if isinstance(process, DiscreteDDPM):
        # At a node the rates are those of the interval before it.
        points, weights = t + h * np.array([-2.0, -1.0, 0.0]), [0.5, -2.0, 1.5]
    elif t in (0.0, 1.0):
        side = 1.0 if t == 0 else -1.0
        points = t + side * h * np.array([2.0, 1.0, 0.0])
        weights = [-0.5 * side, 2.0 * side, -1.5 * side]
    else:
        points, weights = t + h * np.array([-1.0, 0.0, 1.0]), [-0.5, 0.0, 0.5]
    values = np.array([channel(process, p) for p in points])
    alpha_rate, sigma_rate = np.asarray(weights) @ values / h
    return float(alpha_rate), float(sigma_rate)


def forms(process: AbstractProcess, t: float, x: np.ndarray, denoised: np.ndarray):
    """All five from the definitions, in numpy, in the middle of time."""
    alpha, sigma = channel(process, t)
    alpha_rate, sigma_rate = rates(process, t)
    noise = (x - alpha * denoised) / sigma
    return {
        "denoised": denoised,
        "noise": noise,
        "score": -noise / sigma,
        "v": alpha * noise - sigma * denoised,
        "velocity": alpha_rate * denoised + sigma_rate * noise,
    }


@eqx.filter_jit
def all_conversions(process, values, x, t):
    """Every form from every form."""
    return {
        (a, b): convert_prediction(values[a], x, t, process, a, b)
        for a in KINDS
        for b in KINDS
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", some(CLOCKS, ["ou", "edm", "flow", "ddpm"]))
def test_every_form_from_every_form(name):
    process = CLOCKS[name]
    denoised = np.array([0.3, -1.2, 0.8])
    for t in TIMES[name]:
        alpha, sigma = channel(process, t)
        x = alpha * np.array([0.5, -1.0, 0.6]) + sigma * np.array([1.0, 0.2, -0.7])
        expected = forms(process, t, x, denoised)
        found = all_conversions(process, expected, jnp.asarray(x), jnp.asarray(t))
        for (a, b), value in found.items():
            # The rates are differences; the rest loses at most what is divided away.
            if "velocity" in (a, b) and a != b:
                scale = np.abs(expected["velocity"]).max() / np.abs(expected[b]).max()
                slack = 1e-7 * max(1.0, scale, 1 / scale)
            else:
                slack = 1e-11 * max(1.0, sigma / alpha, alpha / sigma)
            size = max(np.abs(expected[b]).max(), np.abs(x).max() * 1e-3)
            error = np.abs(np.asarray(value) - expected[b]).max()
            assert error <= 50 * slack * size, (a, b, t)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOCKS)
def test_there_and_back(name):
    # Without second computation, and so to rounding.
    process = CLOCKS[name]
    t = jnp.asarray(TIMES[name][1])
    score = ExactScore(MIXTURE, process)
    x = process.alpha(t) * X
    denoised = score.denoised(x, t)
    start = {
        b: convert_prediction(denoised, x, t, process, "denoised", b) for b in KINDS
    }
    for (_, b), value in all_conversions(process, start, x, t).items():
        np.testing.assert_allclose(value, start[b], rtol=1e-10, atol=1e-12)


# The ends of time


def known_at_clean(steep: bool) -> dict[tuple[str, str], str]:
    """What sigma = 0 leaves determined: (source, target) -> the limit's name."""
    known = {}
    for source in KINDS:
        known[source, "noise"] = "zero"
        known[source, "denoised"] = "clean"
        known[source, "v"] = "zero"
        # alpha' D + sigma' E, sigma' infinite: only the score says what it is.
        if source == "score":
            known[source, "velocity"] = "velocity"
        elif not steep:
            known[source, "velocity"] = "drift"
    if steep:
        known["velocity", "score"] = "score"
    return known


@pytest.mark.parametrize("name", CLEAN)
def test_conversions_at_the_clean_end(name):
    process, (t, steep) = CLOCKS[name], CLEAN[name]
    alpha_rate = float(process.alpha_rate(t))
    half_rate = float(process.variance_rate(t)) / 2
    assert (half_rate > 0) == steep
    x, score = np.array([0.7, -0.4]), np.array([-1.5, 0.25])
    velocity = alpha_rate * x - half_rate * score
    values = {
        "denoised": x,
        "noise": np.zeros(2),
        "score": score,
        "v": np.zeros(2),
        "velocity": velocity,
        "zero": np.zeros(2),
        "clean": x,
        "drift": alpha_rate * x,
    }
    known = known_at_clean(steep)
    for a in KINDS:
        for b in KINDS:
            if a == b:
                continue
            arguments = (jnp.asarray(values[a]), jnp.asarray(x), t, process, a, b)
            if (a, b) in known:
                found = convert_prediction(*arguments)
                expected = values[known[a, b]]
                np.testing.assert_allclose(found, expected, atol=1e-13)
            else:
                with pytest.raises(ValueError, match=f"{a} does not determine {b}"):
                    convert_prediction(*arguments)


@pytest.mark.parametrize("t", [np.inf, 800.0])
def test_velocity_where_the_clock_stands_still(t):
    # OU at its noisy end: alpha = alpha' = 0, so that x = z and nothing else is known.
    x, velocity = jnp.array([1.0, -2.0]), jnp.zeros(2)
    convert_velocity = lambda target: convert_prediction(
        velocity, x, t, OU, "velocity", target
    )
    np.testing.assert_allclose(convert_velocity("noise"), x)
    np.testing.assert_allclose(convert_velocity("score"), -x)
    for target in ("denoised", "v"):
        with pytest.raises(ValueError, match="velocity does not determine"):
            convert_velocity(target)


@pytest.mark.parametrize("name", NOISY)
def test_conversions_at_the_noisy_end(name):
    # alpha = 0: x is all noise, and only D itself, v and the velocity know D.
    process, t = CLOCKS[name], NOISY[name]
    assert abs(float(process.alpha(t))) < 1e-15
    alpha_rate = float(process.alpha_rate(t))
    sigma_rate = float(process.variance_rate(t)) / 2
    x, denoised = np.array([0.7, -0.4]), np.array([0.2, 1.5])
    values = {
        "denoised": denoised,
        "noise": x,
        "score": -x,
        "v": -denoised,
        "velocity": alpha_rate * denoised + sigma_rate * x,
    }
    for a in KINDS:
        for b in KINDS:
            if a == b:
                continue
            arguments = (jnp.asarray(values[a]), jnp.asarray(x), t, process, a, b)
            if a in ("noise", "score") and b not in ("noise", "score"):
                with pytest.raises(ValueError, match=f"{a} does not determine {b}"):
                    convert_prediction(*arguments)
            else:
                np.testing.assert_allclose(
                    convert_prediction(*arguments), values[b], atol=1e-12
                )


@pytest.mark.parametrize(
    ("name", "t", "a", "b"),
    [("ou", 0.0, "denoised", "score"), ("flow", 1.0, "noise", "denoised")],
)
def test_what_is_undetermined_is_refused_under_a_trace(name, t, a, b):
    f = eqx.filter_jit(lambda t: convert_prediction(X, X, t, CLOCKS[name], a, b))
    with pytest.raises(RuntimeError, match="end of time"):
        jax.block_until_ready(f(jnp.asarray(t)))
    assert np.all(np.isfinite(f(jnp.asarray(0.5))))


@pytest.mark.parametrize(
    ("name", "t", "a", "b"),
    [
        ("ou", 0.0, "score", "denoised"),
        ("ou", 0.0, "denoised", "noise"),
        ("edm", 0.0, "velocity", "denoised"),
        ("flow", 1.0, "v", "velocity"),
    ],
)
def test_gradients_at_the_ends_are_finite(name, t, a, b):
    # A masked branch must not send NaN into a gradient.
    total = lambda value, x: jnp.sum(
        convert_prediction(value, x, t, CLOCKS[name], a, b)
    )
    for slope in jax.grad(total, (0, 1))(X, 2 * X):
        assert np.all(np.isfinite(slope))


def test_unknown_forms_are_refused():
    # Below the type checks that tests run under.
    bare = inspect.unwrap(convert_prediction)
    with pytest.raises(ValueError, match="`source` is 'eps'"):
        bare(X, X, 0.5, OU, "eps", "score")
    with pytest.raises(ValueError, match="`target` is 'x0'"):
        bare(X, X, 0.5, OU, "score", "x0")


def test_the_dtype_is_that_of_the_point():
    x = X.astype(jnp.float32)
    for a in KINDS:
        for b in KINDS:
            found = convert_prediction(x, x, 0.5, OU, a, b)
            assert found.dtype == jnp.float32


# The exact score


@eqx.filter_jit
def all_forms(score, x, t):
    return {
        "denoised": score.denoised(x, t),
        "noise": score.noise(x, t),
        "score": score(x, t),
        "v": score.v_prediction(x, t),
        "velocity": score.velocity(x, t),
    }


def mixture_by_hand(x: np.ndarray, alpha: float, sigma: float):
    """E[x0 | x] and score of MIXTURE in plain numpy."""
    means = np.array([[1.0, 0.5, -1.0], [-1.5, 0.0, 0.3]])
    variances, weights = np.array([0.3, 0.8]), np.array([0.3, 0.7])
    var = alpha**2 * variances + sigma**2
    offset = x[None] - alpha * means
    logit = np.log(weights) - 0.5 * np.sum(offset**2, 1) / var - 1.5 * np.log(var)
    p = np.exp(logit - np.logaddexp.reduce(logit))
    gain = alpha * variances / var
    return p @ (means + gain[:, None] * offset), -p @ (offset / var[:, None])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", some(CLOCKS, ["edm", "ddpm"]))
def test_exact_score_and_its_forms(name):
    process = CLOCKS[name]
    score = ExactScore(MIXTURE, process)
    for t in TIMES[name]:
        alpha, sigma = channel(process, t)
        x = alpha * np.asarray(X) + sigma * np.array([1.0, 0.2, -0.7])
        denoised, exact = mixture_by_hand(x, alpha, sigma)
        found = all_forms(score, jnp.asarray(x), jnp.asarray(t))
        np.testing.assert_allclose(found["denoised"], denoised, rtol=1e-10)
        np.testing.assert_allclose(found["score"], exact, rtol=1e-10)
        np.testing.assert_allclose(found["noise"], -sigma * exact, rtol=1e-10)
        v = -alpha * sigma * exact - sigma * denoised
        np.testing.assert_allclose(found["v"], v, rtol=1e-9, atol=1e-12)
        # velocity = f x - g^2 score / 2, the probability flow.
        f, g_sq = float(process.drift_coefficient(t)), float(process.diffusion_sq(t))
        flow = f * x - g_sq * exact / 2
        size = np.abs(flow).max()
        np.testing.assert_allclose(found["velocity"], flow, rtol=1e-9, atol=1e-9 * size)
        # And what a network of one kind would be turned into.
        for (a, b), value in all_conversions(
            process, found, jnp.asarray(x), jnp.asarray(t)
        ).items():
            slack = 1e-10 * max(1, sigma / alpha, alpha / sigma) ** 2
            size = np.abs(found[b]).max()
            np.testing.assert_allclose(
                value, found[b], atol=slack * max(size, 1e-3), err_msg=f"{a} {b} {t}"
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", some(CLEAN, ["ou", "edm", "flow"]))
@pytest.mark.parametrize("law", [MIXTURE, DATA])
def test_exact_forms_at_the_clean_end(name, law):
    process, (t, steep) = CLOCKS[name], CLEAN[name]
    score = ExactScore(law, process)
    x = law.sample(jr.key(0))
    np.testing.assert_allclose(score.denoised(x, t), x, atol=1e-12)
    np.testing.assert_array_equal(score.noise(x, t), 0)
    np.testing.assert_array_equal(score.v_prediction(x, t), 0)
    with pytest.raises(ValueError, match="`sigma` is 0"):
        score(x, t)
    if steep:
        with pytest.raises(ValueError, match="`sigma` is 0"):
            score.velocity(x, t)
    else:
        np.testing.assert_allclose(
            score.velocity(x, t), process.alpha_rate(t) * x, atol=1e-12
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", NOISY)
def test_exact_forms_at_the_noisy_end(name):
    # No signal: the posterior is the prior, the law of x is N(0, I).
    process, t = CLOCKS[name], NOISY[name]
    found = all_forms(ExactScore(MIXTURE, process), X, jnp.asarray(t))
    mean = np.asarray(MIXTURE.moments().mean)
    np.testing.assert_allclose(found["denoised"], mean, atol=1e-12)
    np.testing.assert_allclose(found["score"], -X, atol=1e-12)
    np.testing.assert_allclose(found["noise"], X, atol=1e-12)
    np.testing.assert_allclose(found["v"], -mean, atol=1e-12)
    velocity = float(process.alpha_rate(t)) * mean
    velocity = velocity + float(process.variance_rate(t)) / 2 * np.asarray(X)
    np.testing.assert_allclose(found["velocity"], velocity, atol=1e-12)


@eqx.filter_jit
def log_density(law, process, x, t):
    return law.log_density(x, process.alpha(t), process.sigma(t))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("law", "name"),
    [*((MIXTURE, name) for name in CLOCKS), (DATA, "edm"), (DATA, "ddpm")],
)
def test_scores_on_every_clock_are_one_score(law, name):
    # At equal log-SNR, x rescaled by alpha: densities shift by d log(ratio).
    process = CLOCKS[name]
    times = jnp.asarray(TIMES[name])
    on_ou, inside = convert(times, process, OU)
    assert bool(np.all(inside))
    for t, u in zip(times, on_ou, strict=True):
        ratio = float(process.alpha(t) / OU.alpha(u))
        x = OU.alpha(u) * X + OU.sigma(u) * jnp.array([1.0, 0.2, -0.7])
        here = all_forms(ExactScore(law, process), ratio * x, t)
        there = all_forms(ExactScore(law, OU), x, u)
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
        close(here["denoised"], there["denoised"])
        close(here["noise"], there["noise"])
        close(ratio * here["score"], there["score"])
        density = log_density(law, process, ratio * x, t)
        close(density + 3 * np.log(ratio), log_density(law, OU, x, u))


@pytest.mark.slow
def test_the_flow_carries_the_density():
    # d/dt log p along the flow is minus the divergence of the velocity (VP clock).
    process = VariancePreserving(0.1, 20.0)
    score = ExactScore(MIXTURE, process)
    t, h = 0.4, 1e-5
    density = lambda x, t: MIXTURE.log_density(x, process.alpha(t), process.sigma(t))
    velocity = score.velocity(X, t)
    along = (density(X + h * velocity, t + h) - density(X - h * velocity, t - h)) / (
        2 * h
    )
    divergence = jnp.trace(jax.jacfwd(lambda x: score.velocity(x, t))(X))
    assert abs(float(along + divergence)) < 1e-7


def test_fisher_information_of_two_points():
    # symmetry_and_clocks C2: +-1 on the linear schedule at s = 0.25.
    law = Empirical(np.array([[1.0], [-1.0]]))
    process = VariancePreserving(0.1, 20.0)
    score, t = ExactScore(law, process), 0.25
    alpha, sigma = channel(process, t)
    z = np.linspace(-12, 12, 4001)
    weight = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    x = alpha + sigma * z
    values = eqx.filter_jit(
        lambda score, xs: jax.vmap(lambda x: score(x[None], t)[0])(xs)
    )(score, jnp.asarray(x))
    information = weight @ np.asarray(values) ** 2
    assert abs(information - 1.1313589646792) < 1e-12


def test_new_times_and_parameters_do_not_recompile():
    traces = []

    @eqx.filter_jit
    def f(score, x, t):
        traces.append(None)
        return score(x, t)

    for beta in (10.0, 20.0):
        for t in (0.1, 0.5):
            score = ExactScore(MIXTURE, VariancePreserving(0.1, beta))
            assert np.all(np.isfinite(f(score, X, jnp.asarray(t))))
    assert len(traces) == 1
