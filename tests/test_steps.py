"""The battery of steps: printed variances, orders, limits; one line a step.

Orders are those of exact recursions: for a Gaussian law every step is linear, so that
its gain and the variance of its endpoint follow without a sample.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from batteries import some_values
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.optimize import root_scalar

from jaxwin.processes import (
    EDM,
    AbstractProcess,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
    discrete,
    log_snr_uniform,
    uniform,
)
from jaxwin.samplers import (
    DDIM,
    DEIS,
    PNDM,
    SEEDS,
    AbstractStep,
    Ancestral,
    Corrected,
    DPMSolverPP,
    EDMHeun,
    EulerFlow,
    EulerMaruyama,
    ExactTransition,
    ExponentialEuler,
    HeunFlow,
    Restarting,
    StochasticHeun,
    UniPC,
    sample,
    sample_block,
)
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import GaussianMixture

OU, KEY = OrnsteinUhlenbeck(), jr.key(3)
MEANS, VARIANCES, WEIGHTS = np.array([1.5, -1.0]), np.array([0.1, 0.3]), [0.4, 0.6]


class Bell(AbstractScore):
    """Score of N(0, variance I) seen through the clock."""

    process: AbstractProcess
    variance: float = 0.25

    def __call__(self, x, t):
        alpha, sigma = self.levels(x, t)
        return -x / (alpha**2 * self.variance + sigma**2)


class Line(AbstractScore):
    """Score of two Gaussians in each coordinate, in plain operations."""

    process: AbstractProcess

    def __call__(self, x, t):
        alpha, sigma = self.levels(x, t)
        like = lambda values: jnp.asarray(values, x.dtype)
        v = alpha**2 * like(VARIANCES) + sigma**2
        off = x[:, None] - alpha * like(MEANS)[None]
        log_w = jnp.log(like(WEIGHTS) / jnp.sqrt(v))[None] - off**2 / (2 * v)[None]
        return -jnp.sum(jax.nn.softmax(log_w, axis=1) * off / v[None], axis=1)


LAW = GaussianMixture.isotropic(MEANS[:, None], VARIANCES, WEIGHTS)


class Case(NamedTuple):
    """A step; its order (weak order where it draws), and how it begins.

    warm: steps from exact points that a multistep method takes first. equal: the step
    is made for equal steps in time. printed: shared theory, windows 2.6.
    """

    step: AbstractStep
    order: int | None
    warm: int = 0
    equal: bool = False
    printed: dict[int, str] = {}


EM = {10: ".5088087720", 50: ".2911705464", 100: ".2697193955", 500: ".2538021631"}
FROZEN = {10: ".5767143270", 50: ".2947284318", 100: ".2711518448", 500: ".2540415774"}
PLUGGED = {10: ".0737783788", 50: ".1594568822", 100: ".1874868107", 500: ".2274064075"}
IMPLICIT = {
    10: ".0792655226",
    50: ".1757008776",
    100: ".2039554981",
    500: ".2369803912",
}
EULER = {10: ".3701129525", 50: ".2724943644", 100: ".2610801301", 500: ".2521868743"}
HEUN = {10: ".2103018448", 50: ".2485097327", 100: ".2496372620", 500: ".2499858482"}

STEPS = {
    "EM": Case(EulerMaruyama(), 1, printed=EM),
    "stochastic Heun": Case(StochasticHeun(), 2),
    "frozen score": Case(ExponentialEuler(), 1, printed=FROZEN),
    "frozen score 2": Case(ExponentialEuler(order=2), 2),
    "frozen denoiser": Case(ExponentialEuler("denoiser"), 1, printed=PLUGGED),
    "frozen denoiser 2": Case(ExponentialEuler("denoiser", 2), 2),
    "ancestral": Case(Ancestral(), 1, printed=PLUGGED),
    "ancestral, forward": Case(Ancestral("forward"), 1),
    "DDIM": Case(DDIM(), 1, printed=IMPLICIT),
    "DDIM 0.5": Case(DDIM(0.5), 1),
    "DDIM 1": Case(DDIM(1.0), 1, printed=PLUGGED),
    "Euler": Case(EulerFlow(), 1, printed=EULER),
    "Heun": Case(HeunFlow(), 2, printed=HEUN),
    "DPM++ 1": Case(DPMSolverPP(1), 1, printed=IMPLICIT),
    "DPM++ 2S": Case(DPMSolverPP(2, multistep=False), 2),
    "DPM++ 2M": Case(DPMSolverPP(2), 2, warm=1),
    "DPM++ 3M": Case(DPMSolverPP(3), 3, warm=2),
    "DPM++ SDE 1": Case(DPMSolverPP(1, stochastic=True), 1, printed=PLUGGED),
    "DPM++ SDE 2M": Case(DPMSolverPP(2, stochastic=True), 2),
    "UniPC 1": Case(UniPC(1), 2, warm=1),
    "UniPC 2": Case(UniPC(2), 3, warm=2),
    "UniPC 3": Case(UniPC(3), 4, warm=3),
    "DEIS 1": Case(DEIS(1), 1, printed=IMPLICIT),
    "DEIS 2": Case(DEIS(2), 2, warm=1),
    "DEIS 3": Case(DEIS(3), 3, warm=2),
    "PNDM": Case(PNDM(), 2, warm=3, equal=True),
    "EDM": Case(EDMHeun(), 2),
    "SEEDS 1": Case(SEEDS(1), 1),
    "SEEDS 2": Case(SEEDS(2), 2),
    # Only their limit is asked.
    "EDM, churn": Case(EDMHeun(churn=0.05), None),
    "corrected": Case(Corrected(EulerMaruyama(), 2, 0.02), None),
    "exact": Case(ExactTransition(LAW), None),
}
SOME = "EM", "DDIM 0.5", "DPM++ 2M", "UniPC 3", "exact"
# Lower orders and quieter forms of others: what every step inherits goes the same way.
SIBLINGS = {
    *("frozen score", "frozen denoiser", "DDIM", "DDIM 1", "EDM", "SEEDS 1"),
    *("DPM++ 1", "DPM++ 2M", "DPM++ SDE 1", "UniPC 1", "UniPC 2", "DEIS 1", "DEIS 2"),
}
EACH = [name for name in STEPS if name not in SIBLINGS]


def named(names, few=()):
    """Cases by name; those not among `few` are slow, where `few` are given."""
    cases = {name: STEPS[name] for name in names}
    fast = set(few) & cases.keys() or cases
    return pytest.mark.parametrize("case", some_values(cases, fast))


flows = [n for n, c in STEPS.items() if c.order and not c.step.draws]
noisy = [n for n, c in STEPS.items() if c.order and c.step.draws]


# Orders and variances, by recursion

MOST = 1024


def alternating(start: float, end: float, n: int) -> np.ndarray:
    """Steps of log-SNR in turn twice as long and half: not smooth, so that a method
    which takes the last two for equal loses its order."""
    ends = np.asarray(OU.log_snr(jnp.array([start, end])))
    lengths = np.tile([4.0, 2.0], n // 2)
    places = ends[0] + np.concatenate([[0], np.cumsum(lengths)]) / (3 * n) * (
        ends[1] - ends[0]
    )
    return np.array(OU.time(jnp.asarray(places)))


def grid(case: Case, n: int, start: float = 2.0, end: float = 0.05) -> np.ndarray:
    if case.equal:
        return np.asarray(uniform(OU, start, end, n))
    return alternating(start, end, n)


def padded(times: np.ndarray) -> Array:
    """One length for every grid: one program a step."""
    return jnp.asarray(np.pad(times, (0, MOST + 1 - times.size), mode="edge"))


def level(t):
    """Variance of the noised N(0, 1/4)."""
    return 0.25 * np.exp(-2 * t) - np.expm1(-2 * t)


def started(state, before, now):
    """The state with exact points, also the one that UniPC goes on from."""
    _, mem = state
    if hasattr(mem, "point"):
        mem = eqx.tree_at(lambda mem: mem.point, mem, before)
    return now, mem


@eqx.filter_jit
def recursion(step, times, count, gains, warm, variance):
    """Gain and variance of the endpoint for N(0, 1/4), by the linear map of each step.

    The state is the point and all that the step remembers; its mean moves along. In the
    first `warm` steps the point is put back to its exact gain.
    """
    score = Bell(OU)
    full = jnp.zeros(1), step.init(score, jnp.zeros(1), times[0])
    floats, rest = eqx.partition(full, eqx.is_inexact_array)
    mean, unravel = ravel_pytree(floats)

    def move(flat, z, rest, i):
        x, mem = eqx.combine(unravel(flat), rest)
        new = step.step(score, x, times[i], times[i + 1], z, KEY, mem)
        floats, rest = eqx.partition(new, eqx.is_inexact_array)
        return ravel_pytree(floats)[0], rest

    def put_back(flat, before, now):
        return ravel_pytree(started(unravel(flat), before[None], now[None]))[0]

    def body(i, carry):
        mean, gain, covariance, rest = carry
        zero = jnp.zeros((step.draws, 1))
        on_state = jax.jacfwd(lambda flat: move(flat, zero, rest, i)[0])(mean)
        gain = on_state @ gain
        gain = jnp.where(i < warm, put_back(gain, gains[i], gains[i + 1]), gain)
        covariance = on_state @ covariance @ on_state.T
        if step.draws:
            on_noise = jax.jacfwd(lambda z: move(mean, z, rest, i)[0])(zero)
            on_noise = on_noise[:, :, 0]
            covariance = covariance + on_noise @ on_noise.T
        mean, rest = move(mean, zero, rest, i)
        return mean, gain, covariance, rest

    size = mean.size
    unit = jnp.zeros(size).at[0].set(1.0)
    start = mean, unit, variance * jnp.outer(unit, unit), rest
    _, gain, covariance, _ = jax.lax.fori_loop(0, count, body, start)
    return gain[0], covariance[0, 0]


def run(case: Case, times: np.ndarray, variance: float = 0.0, warm: int = 0):
    gains = np.sqrt(level(times) / level(times[0]))
    arrays = padded(times), times.size - 1, padded(gains), warm, variance
    return map(float, recursion(case.step, *arrays))


@pytest.mark.slow
@named([n for n, case in STEPS.items() if case.printed], ["EM", "DPM++ 1", "ancestral"])
def test_printed_variance_of_a_gaussian(case):
    for n, value in case.printed.items():
        times = np.asarray(uniform(OU, 2.0, 0.0, n))
        # Where the last time is clean a density has a score all the same.
        _, found = run(case, times, level(2.0))
        assert found == pytest.approx(float(value), abs=0.6e-10), n


def slope(counts, errors) -> float:
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


@pytest.mark.slow
@pytest.mark.long
@named(flows, ["Euler", "DPM++ 2M", "UniPC 2"])
def test_order_on_a_gaussian(case):
    """The gain sqrt(V_s / V_t) of the exact flow, from exact starting values."""
    counts, exact = [256, 512, 1024], np.sqrt(level(0.2) / level(1.0))
    end = lambda n: next(run(case, grid(case, n, 1.0, 0.2), warm=case.warm))
    errors = [abs(end(n) - exact) for n in counts]
    assert abs(slope(counts, errors) - case.order) < 0.1


@pytest.mark.slow
@pytest.mark.long
@named(noisy, ["EM", "ancestral", "DPM++ SDE 2M", "SEEDS 2"])
def test_weak_order_on_a_gaussian(case):
    """The variance of the endpoint, which is V_s for what is exact in law.

    On unequal steps the error may pass through zero, and is no larger.
    """
    counts = [64, 128, 256, 512]

    def error(times):
        return abs(list(run(case, times, level(2.0)))[1] - level(0.05))

    equal = [error(np.asarray(log_snr_uniform(OU, 2.0, 0.05, n))) for n in counts]
    assert abs(slope(counts, equal) - case.order) < 0.1
    assert error(alternating(2.0, 0.05, counts[-1])) < 3 * equal[-1]


def quantile_map(x: float, t: float, s: float) -> float:
    """Exact flow of the law on the line: it keeps the distribution function."""

    def cdf(y, time):
        alpha, variance = np.exp(-time), -np.expm1(-2 * time)
        sd = np.sqrt(alpha**2 * VARIANCES + variance)
        return WEIGHTS @ scipy.stats.norm.cdf((y - alpha * MEANS) / sd)

    gap = lambda y: cdf(y, s) - cdf(x, t)
    return root_scalar(gap, bracket=(-9, 9), xtol=1e-15, rtol=1e-14).root


@eqx.filter_jit
def path_end(step, x, times, count, exact, warm):
    """The end of a flow on the mixture, its first `warm` steps from exact points."""
    score, z = Line(OU), jnp.zeros((0, 1))

    def body(i, carry):
        x, mem = carry
        new = step.step(score, x, times[i], times[i + 1], z, KEY, mem)
        known = started(new, exact[i], exact[i + 1])
        return jax.tree.map(lambda a, b: jnp.where(i < warm, a, b), known, new)

    start = x, step.init(score, x, times[0])
    return jax.lax.fori_loop(0, count, body, start)[0]


@pytest.mark.slow
@pytest.mark.long
@named(flows, ["DDIM", "DPM++ 3M", "UniPC 2", "PNDM"])
def test_order_on_a_mixture(case):
    counts, errors = [256, 512, 1024], []
    exact = quantile_map(0.4, 1.0, 0.2)
    for n in counts:
        times = grid(case, n, 1.0, 0.2)
        known = [0.4] + [quantile_map(0.4, 1.0, times[i + 1]) for i in range(case.warm)]
        start = padded(np.pad(known, (0, n - case.warm)))[:, None]
        arrays = padded(times), n, start, case.warm
        end = path_end(case.step, jnp.array([0.4]), *arrays)
        errors.append(abs(float(end[0]) - exact))
    assert abs(slope(counts, errors) - case.order) < 0.1


class EqualSteps(DPMSolverPP):
    """A planted fault: second-order weights that ignore unequal steps (3/2, -1/2)."""

    def _differences(self, mem, to):
        first = jnp.where(mem.count > 1, mem.values[0] - mem.values[1], 0)
        return first, jnp.zeros_like(first)


def test_battery_catches_weights_that_ignore_unequal_steps():
    fault = Case(EqualSteps(2), 2, warm=1)
    with pytest.raises(AssertionError):
        test_order_on_a_gaussian(fault)


@pytest.mark.parametrize(
    "step", [EulerMaruyama(), StochasticHeun()], ids=["EM", "Heun"]
)
def test_strong_order(step):
    """Mean square distance to the exact linear path on the same Brownian motion.

    The exact endpoint is gain x + int k(u) dW_u with k(u) = (alpha_u / alpha_s)
    (V_s / V_u) g; the scheme's is a sum of increments, so the distance is a quadrature.
    """
    counts, errors, end = [32, 64, 128, 256], [], 0.05
    nodes, weights = np.polynomial.legendre.leggauss(12)
    for n in counts:
        times = np.asarray(uniform(OU, 2.0, end, n))

        def last(zs, times=times):
            x = jnp.zeros(1)
            body = lambda x, now: (step.step(Bell(OU), x, *now, KEY, None)[0], None)
            moves = jnp.asarray(times[:-1]), jnp.asarray(times[1:]), zs
            return jax.lax.scan(body, x, moves)[0][0]

        response = np.asarray(jax.grad(last)(jnp.zeros((n, 1, 1))))[:, 0, 0]
        half = (times[:-1] - times[1:]) / 2
        u = (times[:-1] + times[1:])[:, None] / 2 + half[:, None] * nodes
        kernel = np.exp(end - u) * level(end) / level(u) * np.sqrt(2)
        gap = kernel - (response / np.sqrt(2 * half))[:, None]
        errors.append(np.sqrt(np.sum(half[:, None] * weights * gap**2)))
    assert abs(slope(counts, errors) - 1) < 0.1


# Limits

GRIDS = {
    "ou": lambda: (OU, np.asarray(log_snr_uniform(OU, 3.0, 0.02, 300))),
    "ve": lambda: on(VarianceExploding(0.01, 20.0), 0.98, 0.02, 400),
    "vp": lambda: on(VariancePreserving(0.1, 20.0), 0.9, 0.02, 400),
    "edm": lambda: (EDM(), np.asarray(log_snr_uniform(EDM(), 20.0, 0.05, 300))),
    "ddpm": lambda: (DiscreteDDPM(), np.asarray(discrete(DiscreteDDPM(), 1000))[:-1]),
    "flow": lambda: on(LinearInterpolant(), 0.95, 0.02, 400),
}


def on(process, start, end, steps):
    return process, np.asarray(uniform(process, start, end, steps))


BLOCK = eqx.filter_jit(sample_block)


class One(AbstractScore):
    """A score that is 1 everywhere: frozen without error."""

    process: AbstractProcess

    def __call__(self, x, t):
        return jnp.ones_like(x)


@pytest.mark.parametrize(
    ("process", "t", "s"),
    [
        (OU, 1.0, 0.2),
        (VariancePreserving(0.1, 20.0), 0.5, 0.1),
        (VarianceExploding(0.01, 50.0), 0.4, 0.3),
        (EDM(), 3.0, 1.0),
        (LinearInterpolant(), 0.6, 0.3),
        (LinearInterpolant(), 0.999, 0.5),
    ],
    ids=["ou", "vp", "ve", "edm", "flow", "flow, near noise"],
)
def test_frozen_score_is_integrated_exactly(process, t, s):
    """x_s = a_s x / a_t + a_s int_s^t g^2 c / a du for a constant score c."""
    rate = lambda u: float(process.diffusion_sq(u)) / float(process.alpha(u))
    weight = scipy.integrate.quad(rate, s, t, epsrel=1e-12)[0]
    expected = float(process.alpha(s)) * (0.7 / float(process.alpha(t)) + weight)
    step, x = ExponentialEuler(), jnp.array([0.7])
    found, _ = step.step(One(process), x, t, s, jnp.zeros((1, 1)), KEY, None)
    assert float(found[0]) == pytest.approx(expected, rel=1e-10)


EVERYWHERE = "EM", "DPM++ 2M", "EDM, churn", "exact"
OTHERS = [clock for clock in GRIDS if clock != "ou"]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "clock"),
    [(name, "ou") for name in EVERYWHERE]
    + [
        pytest.param(name, clock, marks=pytest.mark.slow)
        for i, name in enumerate(STEPS)
        for clock in (OTHERS if name in EVERYWHERE else OTHERS[i % 5 : i % 5 + 1])
    ],
)
def test_the_limit_is_the_law(name, clock):
    """20,000 paths in one block from the exact p_T: Kolmogorov-Smirnov, p > 1e-4.

    A few steps on every clock, the others in turn on one that is not their home.

    Key 3. Discretisation shifts the distribution function by less than 0.4 /
    sqrt(20,000).
    """
    process, times = GRIDS[clock]()
    check_limit(STEPS[name].step, process, times)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(ExactTransition(LAW), marks=pytest.mark.slow),
        EulerMaruyama(),
        pytest.param(DPMSolverPP(2), marks=pytest.mark.slow),
    ],
    ids=["exact", "EM", "DPM++ 2M"],
)
def test_the_limit_with_restarts(step):
    times = log_snr_uniform(OU, 3.0, 0.02, 200)
    restarting = Restarting(step, 150, 60, 2)
    again = restarting.times(times)
    assert again.size == 201 + 2 * 91
    check_limit(restarting, OU, np.asarray(again))


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        UniPC(2),
        pytest.param(DPMSolverPP(2), marks=pytest.mark.slow),
        pytest.param(DEIS(3), marks=pytest.mark.slow),
    ],
    ids=["UniPC 2", "DPM++ 2M", "DEIS 3"],
)
def test_the_limit_with_corrections(step):
    """Around a multistep method, whose memory the moves do not follow."""
    check_limit(Corrected(step, 1, 0.05), OU, log_snr_uniform(OU, 3.0, 0.02, 800))


def check_limit(step, process, times) -> None:
    count, t = 20_000, times[0]
    score = Line(process)
    rng = np.random.default_rng(5)
    which = (rng.random(count) > WEIGHTS[0]).astype(int)
    clean = MEANS[which] + np.sqrt(VARIANCES[which]) * rng.normal(size=count)
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    xs = alpha * clean + sigma * rng.normal(size=count)
    end = along(step, score, jnp.asarray(xs), jnp.asarray(times), KEY)
    alpha, sigma = float(process.alpha(times[-1])), float(process.sigma(times[-1]))
    sd = np.sqrt(alpha**2 * VARIANCES + sigma**2)
    cdf = lambda y: (
        scipy.stats.norm.cdf((y[:, None] - alpha * MEANS) / sd) @ np.array(WEIGHTS)
    )
    assert scipy.stats.kstest(np.asarray(end), cdf).pvalue > 1e-4


@eqx.filter_jit
def along(step, score, xs, times, key):
    """Many points on the line as the coordinates of few: `Line` takes each apart."""
    if isinstance(step, ExactTransition) or isinstance(
        getattr(step, "inner", None), ExactTransition
    ):
        return sample_block(step, score, xs[:, None], times, key)[:, 0]
    return sample_block(step, score, xs.reshape(2, -1), times, key).reshape(-1)


# What every step inherits

TIMES = log_snr_uniform(OU, 2.0, 0.05, 20)
SAMPLE = eqx.filter_jit(sample)


@pytest.mark.slow
@pytest.mark.long
@named(EACH, ["EM", "UniPC 3"])
def test_block_follows_the_replicas(case):
    law = LAW if not isinstance(case.step, ExactTransition) else case.step.target
    score, xs = ExactScore(law, OU), jr.normal(jr.key(1), (4, 1))
    together = BLOCK(case.step, score, xs, TIMES, KEY, 4)
    one = lambda x, i: sample(case.step, score, x, TIMES, KEY, i)
    each = eqx.filter_jit(jax.vmap(one))(xs, jnp.arange(4, 8, dtype=jnp.int32))
    alone = SAMPLE(case.step, score, xs[1], TIMES, KEY, 5)
    np.testing.assert_allclose(together, each, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(alone, each[1], rtol=1e-11, atol=1e-12)


def evaluated(step, times) -> int:
    calls = []

    class Counting(AbstractScore):
        process: AbstractProcess

        def __call__(self, x, t):
            jax.debug.callback(lambda: calls.append(1))
            return -x

    jax.block_until_ready(sample(step, Counting(OU), jnp.ones(1), times, KEY))
    jax.effects_barrier()
    return len(calls)


@named([n for n in STEPS if n != "exact"], SOME)
def test_evaluations_are_counted(case):
    assert evaluated(case.step, TIMES) == case.step.evaluations(20)


def test_restarts_and_corrections_count_their_evaluations():
    step = Restarting(PNDM(), 8, 4, 3)
    times = step.times(TIMES)
    # Four ways down begin anew: 8, 4, 4 and 4 + 12 steps.
    expected = (12 + 5) + 2 * (12 + 1) + (12 + 13)
    assert step.evaluations(times.size - 1) == evaluated(step, times) == expected
    corrected = Corrected(DDIM(), 2)
    assert evaluated(corrected, TIMES) == corrected.evaluations(20) == 60


def test_evaluations_of_few_steps_of_pndm():
    # shared theory, symmetry C21.
    assert [PNDM().evaluations(n) for n in (3, 5, 10)] == [12, 14, 19]


@pytest.mark.slow
@pytest.mark.long
@named([n for n in EACH if n != "exact"], ["DDIM 0.5", "UniPC 3"])
def test_float32_points_stay_float32_and_near(case):
    xs = np.asarray(jr.normal(jr.key(1), (4, 1)), np.float32)
    found = BLOCK(case.step, Line(OU), jnp.asarray(xs), TIMES, KEY)
    assert found.dtype == jnp.float32
    truth = BLOCK(case.step, Line(OU), jnp.asarray(xs, float), TIMES, KEY)
    np.testing.assert_allclose(found, truth, atol=3e-5)


# Not those that end at sigma > 0, the coarse last step of EM's kind, or PNDM, which
# extrapolates past predictions to the end.
TO_THE_END = [
    name
    for name, case in STEPS.items()
    if case.order
    and not isinstance(
        case.step, EulerFlow | EulerMaruyama | HeunFlow | StochasticHeun | SEEDS | PNDM
    )
    and name not in ("frozen score", "frozen score 2", "DPM++ 2S")
]


@pytest.mark.long
@named(TO_THE_END, SOME)
def test_arriving_at_the_clean_end(case):
    """Two point masses: where s is clean a step ends at the denoised point."""
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    times = jnp.concatenate([log_snr_uniform(OU, 2.0, 0.01, 20), jnp.zeros(1)])
    end = SAMPLE(case.step, ExactScore(law, OU), jnp.ones(1), times, KEY)
    np.testing.assert_allclose(np.abs(end), 1, atol=1e-6)
