"""Steps and drivers: printed recursions, orders, laws, paths, the exact reduction."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from scipy.optimize import root_scalar

from jaxwin._random import normals, pair_uniforms
from jaxwin.processes import (
    AbstractProcess,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    discrete,
    log_snr_uniform,
    uniform,
)
from jaxwin.samplers import (
    AbstractStep,
    EulerFlow,
    EulerMaruyama,
    HeunFlow,
    reduce_scheme,
    sample,
    sample_block,
)
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
KEY = jr.key(3)


class Case(NamedTuple):
    step: AbstractStep
    order: int
    variances: dict[int, str]


# shared theory, windows 2.6: variance of N(0, 1/4) after N uniform OU steps from T = 2.
STEPS = {
    "EM": Case(
        EulerMaruyama(),
        1,
        {10: ".5088087720", 50: ".2911705464", 100: ".2697193955", 500: ".2538021631"},
    ),
    "Euler": Case(
        EulerFlow(),
        1,
        {10: ".3701129525", 50: ".2724943644", 100: ".2610801301", 500: ".2521868743"},
    ),
    "Heun": Case(
        HeunFlow(),
        2,
        {10: ".2103018448", 50: ".2485097327", 100: ".2496372620", 500: ".2499858482"},
    ),
}
every_step = pytest.mark.parametrize("case", STEPS.values(), ids=STEPS.keys())
# Where Heun's flow would compile long and adds little.
most_steps = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[pytest.mark.slow] * (name == "Heun"))
        for name, case in STEPS.items()
    ],
)
flows = pytest.mark.parametrize(
    "case", [STEPS["Euler"], STEPS["Heun"]], ids=["Euler", "Heun"]
)

PAIR = ExactScore(
    GaussianMixture.isotropic([[1.5], [-1.0]], [0.1, 0.3], [0.4, 0.6]), OU
)
SAMPLE, BLOCK = eqx.filter_jit(sample), eqx.filter_jit(sample_block)


@eqx.filter_jit
def driven(step, score, x, times, zs):
    """The end of a path whose noise is handed in, (steps, draws, d)."""

    def body(carry, interval):
        (x, mem), (t, s, z) = carry, interval
        return step.step(score, x, t, s, z, KEY, mem), None

    start = x, step.init(score, x, times[0])
    return jax.lax.scan(body, start, (times[:-1], times[1:], zs))[0][0]


def final_variance(step, score, times, start_variance) -> float:
    """Variance of the endpoint of a linear scheme, by its gradient."""
    zs = jnp.zeros((times.size - 1, step.draws, 1))
    end = lambda x, zs: driven(step, score, x, times, zs)[0]
    gain, noise = jax.grad(end, (0, 1))(jnp.zeros(1), zs)
    return float(gain[0] ** 2 * start_variance + jnp.sum(noise**2))


@every_step
@pytest.mark.parametrize("n", [10, 50, 100, 500])
def test_printed_variance_of_a_gaussian(case, n):
    score = ExactScore(GaussianMixture.isotropic([[0.0]], 0.25), OU)
    start = 0.25 * np.exp(-4.0) - np.expm1(-4.0)
    found = final_variance(case.step, score, uniform(OU, 2.0, 0.0, n), start)
    assert found == pytest.approx(float(case.variances[n]), abs=0.6e-10)


@pytest.mark.parametrize("eta", [0.01, 0.05])
def test_stationary_variance_of_euler_maruyama(eta):
    # sigma = 1 is stationary under OU; Euler's recursion stays at 1/(1 - eta/2).
    score = ExactScore(GaussianMixture.isotropic([[0.0]], 1.0), OU)
    times = uniform(OU, 20.0, 0.0, round(20 / eta))
    found = final_variance(EulerMaruyama(), score, times, 1.0)
    assert found == pytest.approx(1 / (1 - eta / 2), rel=1e-12)


def quantile_map(x: float, t: float, s: float) -> float:
    """Exact flow of a law on the line: it keeps the distribution function."""
    law = PAIR.target
    assert isinstance(law, GaussianMixture)
    weights = np.exp(law.log_weights)
    variances = np.asarray(law.covariance.spectrum()[0])[:, 0]

    def cdf(y, time):
        alpha, sigma = float(OU.alpha(time)), float(OU.sigma(time))
        sd = np.sqrt(alpha**2 * variances + sigma**2)
        return weights @ scipy.stats.norm.cdf((y - alpha * law.means[:, 0]) / sd)

    gap = lambda y: cdf(y, s) - cdf(x, t)
    return root_scalar(gap, bracket=(-9, 9), xtol=1e-14, rtol=1e-14).root


@flows
def test_order_of_flows_on_a_mixture(case):
    exact = quantile_map(0.4, 2.0, 0.05)
    counts, errors = [64, 128, 256, 512], []
    for n in counts:
        times = log_snr_uniform(OU, 2.0, 0.05, n)
        found = SAMPLE(case.step, PAIR, jnp.array([0.4]), times, KEY)
        errors.append(abs(float(found[0]) - exact))
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(-slope - case.order) < 0.1


def test_strong_order_of_euler_maruyama():
    """256 Brownian paths on a mixture; coarse noise is the sum of the fine one."""
    fine = 2048
    zs = jr.normal(KEY, (256, fine, 1, 1))
    xs = jr.normal(jr.key(1), (256, 1))
    run = jax.vmap(driven, in_axes=(None, None, 0, None, 0))
    ends = {}
    for n in (32, 64, 128, 256, fine):
        ratio = fine // n
        coarse = zs.reshape(256, n, ratio, 1, 1).sum(axis=2) / np.sqrt(ratio)
        ends[n] = run(EulerMaruyama(), PAIR, xs, uniform(OU, 2.0, 0.05, n), coarse)
    counts = [32, 64, 128, 256]
    errors = [float(jnp.mean(jnp.abs(ends[n] - ends[fine]))) for n in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(-slope - 1) < 0.1


@pytest.mark.parametrize(
    ("process", "times"),
    [
        (OU, log_snr_uniform(OU, 3.0, 0.02, 400)),
        (
            VarianceExploding(0.01, 20.0),
            uniform(VarianceExploding(0.01, 20.0), 1, 0, 600),
        ),
        (DiscreteDDPM(), discrete(DiscreteDDPM(), 1000)),
        (LinearInterpolant(), uniform(LinearInterpolant(), 0.98, 0.01, 400)),
    ],
    ids=["ou", "ve", "ddpm", "flow"],
)
@every_step
def test_the_limit_is_the_law(case, process, times):
    """20,000 paths from the exact p_T, key 3: Kolmogorov-Smirnov against p0, p > 1e-4.

    Discretisation shifts the distribution function by less than 0.4 / sqrt(20,000).
    """
    if isinstance(process, DiscreteDDPM) and not isinstance(case.step, EulerMaruyama):
        times = times[:-1]
    law = GaussianMixture.isotropic([[1.5], [-1.0]], [0.1, 0.3], [0.4, 0.6])
    score = ExactScore(law, process)
    count, t = 20_000, times[0]
    clean = jax.vmap(law.sample)(jr.split(jr.key(5), count))
    xs = process.alpha(t) * clean + process.sigma(t) * jr.normal(KEY, (count, 1))
    ends = np.asarray(BLOCK(case.step, score, xs, jnp.asarray(times), KEY))[:, 0]
    alpha, sigma = float(process.alpha(times[-1])), float(process.sigma(times[-1]))
    sd = np.sqrt(alpha**2 * np.array([0.1, 0.3]) + sigma**2)
    cdf = lambda y: (
        scipy.stats.norm.cdf((y[:, None] - alpha * np.array([1.5, -1])) / sd)
        @ np.array([0.4, 0.6])
    )
    assert scipy.stats.kstest(ends, cdf).pvalue > 1e-4


LAW = GaussianMixture.isotropic(
    np.random.default_rng(0).normal(size=(3, 12)) + 1.0, 0.2, [0.5, 0.3, 0.2]
)
SCORE = ExactScore(LAW, OU)
TIMES = log_snr_uniform(OU, 2.0, 0.05, 20)


@most_steps
def test_block_follows_the_replicas(case):
    xs = jr.normal(jr.key(1), (6, 12))
    together = BLOCK(case.step, SCORE, xs, TIMES, KEY, 4)
    each = [SAMPLE(case.step, SCORE, x, TIMES, KEY, 4 + i) for i, x in enumerate(xs)]
    np.testing.assert_allclose(together, np.stack(each), rtol=1e-12, atol=1e-13)


def test_resumed_run_follows_the_same_path():
    x, half = jnp.ones(12), TIMES.size // 2
    first = sample(EulerMaruyama(), SCORE, x, TIMES[: half + 1], KEY, 7)
    resumed = sample(
        EulerMaruyama(), SCORE, first, TIMES[half:], KEY, 7, first_step=half
    )
    whole = sample(EulerMaruyama(), SCORE, x, TIMES, KEY, 7)
    np.testing.assert_allclose(resumed, whole, rtol=1e-13, atol=1e-14)
    xs = jnp.stack([x, 2 * x])
    first = BLOCK(EulerMaruyama(), SCORE, xs, TIMES[: half + 1], KEY, 6)
    resumed = BLOCK(
        EulerMaruyama(), SCORE, first, TIMES[half:], KEY, 6, first_step=half
    )
    whole = BLOCK(EulerMaruyama(), SCORE, xs, TIMES, KEY, 6)
    np.testing.assert_allclose(resumed, whole, rtol=1e-13, atol=1e-14)


def test_noise_is_that_of_the_address():
    # One step by hand.
    x, t, s = jnp.ones(12), TIMES[0], TIMES[1]
    z = normals(KEY, 9, 0, 1, 12)[0]
    by_hand = x + (t - s) * (x + 2 * SCORE(x, t)) + jnp.sqrt(2 * (t - s)) * z
    found = sample(EulerMaruyama(), SCORE, x, TIMES[:2], KEY, 9)
    np.testing.assert_allclose(found, by_hand, rtol=1e-13, atol=1e-14)


def test_odd_blocks_are_refused():
    with pytest.raises(ValueError, match="`xs` holds 3 points"):
        sample_block(EulerMaruyama(), SCORE, jnp.ones((3, 12)), TIMES, KEY)


@every_step
def test_evaluations_are_counted(case):
    calls = []

    class Counting(AbstractScore):
        process: AbstractProcess

        def __call__(self, x, t):
            jax.debug.callback(lambda: calls.append(1))
            return -x

    zs = jnp.zeros((20, case.step.draws, 1))
    driven(case.step, Counting(OU), jnp.ones(1), TIMES, zs)
    jax.effects_barrier()
    assert len(calls) == case.step.evaluations(20)


@most_steps
def test_float32_points_stay_float32_and_near(case):
    law = GaussianMixture.isotropic(np.float32(LAW.means), np.float32(0.2))
    narrow = ExactScore(law, OU)
    wide = ExactScore(GaussianMixture.isotropic(np.float64(law.means), 0.2), OU)
    xs = np.asarray(jr.normal(jr.key(1), (4, 12)), np.float32)
    found = BLOCK(case.step, narrow, jnp.asarray(xs), TIMES, KEY)
    assert found.dtype == jnp.float32
    assert (
        SAMPLE(case.step, narrow, jnp.asarray(xs[0]), TIMES, KEY).dtype == found.dtype
    )
    truth = BLOCK(case.step, wide, jnp.asarray(xs, float), TIMES, KEY)
    np.testing.assert_allclose(found, truth, atol=2e-5)


def test_new_times_weights_and_keys_do_not_recompile():
    traced = []

    @eqx.filter_jit
    def run(score, xs, times, key, first):
        traced.append(1)
        return sample_block(EulerMaruyama(), score, xs, times, key, first)

    xs = jnp.ones((4, 12))
    for seed, end in enumerate([0.05, 0.1, 0.2]):
        law = GaussianMixture.isotropic(LAW.means * (1 + end), 0.2 + end)
        times = log_snr_uniform(OU, 2.0 - end, end, 20)
        run(ExactScore(law, OU), xs, times, jr.key(seed), jnp.asarray(2 * seed))
    assert len(traced) == 1


def test_the_compiled_loop_makes_each_word_once():
    """The cliff of random numbers, by counting: XLA must not repeat the rounds.

    Two half-blocks that are stacked, or words that are not carried, show as more xors.
    """

    def xors(function, *args) -> int:
        text = jax.jit(function).lower(*args).compile().as_text()
        assert text is not None
        return text.count(" xor(")

    shape = 1, 256, jnp.float32
    pairs = lambda key: jax.vmap(lambda p: pair_uniforms(key, p, 0, *shape))(
        jnp.arange(32)
    )
    once = xors(pairs, KEY)
    law = GaussianMixture.isotropic(np.eye(2, 256, dtype=np.float32), 0.5)
    xs = jnp.zeros((64, 256), jnp.float32)
    run = lambda xs, times, key: sample_block(
        EulerMaruyama(), ExactScore(law, OU), xs, times, key
    )
    # Once before the loop and once in it.
    assert xors(run, xs, TIMES, KEY) == 2 * once


# The exact reduction


@every_step
@pytest.mark.parametrize("kind", ["isotropic", "low rank"])
def test_reduced_scheme_follows_the_same_paths(case, kind):
    law = LAW
    if kind == "low rank":
        factors = np.random.default_rng(1).normal(size=(3, 12, 1))
        law = GaussianMixture.low_rank(LAW.means, factors, 0.2, [0.5, 0.3, 0.2])
    score = ExactScore(law, OU)
    scheme = reduce_scheme(case.step, score, TIMES)
    assert scheme is not None
    assert scheme.saving == 12 / (2 if kind == "isotropic" else 5)
    x = jr.normal(jr.key(1), (12,))
    zs = jr.normal(KEY, (20, case.step.draws, 12))
    end = driven(case.step, score, x, TIMES, zs)
    inside = jnp.matmul(zs, scheme.basis)
    y = driven(case.step, scheme.score, scheme.inside(x), TIMES, inside)
    np.testing.assert_allclose(scheme.inside(end), y, rtol=1e-10, atol=1e-10)
    # Outside: without noise the same point, and the full scheme's own response to it.
    still = driven(case.step, score, x, TIMES, 0 * zs)
    y = driven(case.step, scheme.score, scheme.inside(x), TIMES, 0 * inside)
    np.testing.assert_allclose(scheme.lift(y, x, jnp.zeros(12)), still, atol=1e-10)
    way = jr.normal(jr.key(2), (12,))
    way = way - scheme.basis @ scheme.inside(way)
    way = way / jnp.linalg.norm(way)
    answer = jax.grad(lambda zs: driven(case.step, score, x, TIMES, zs) @ way)(zs)
    variance = float(jnp.sum((answer @ way) ** 2))
    np.testing.assert_allclose(float(scheme.spread) ** 2, variance, atol=1e-12)


def test_printed_variance_outside():
    # The same recursion of windows 2.6, as the orthogonal part of a mixture.
    law = GaussianMixture.isotropic([[1.0, 0, 0], [-1.0, 0, 0]], 0.25)
    scheme = reduce_scheme(
        EulerMaruyama(), ExactScore(law, OU), uniform(OU, 2.0, 0.0, 50)
    )
    assert scheme is not None
    start = 0.25 * np.exp(-4.0) - np.expm1(-4.0)
    found = float(scheme.gain**2 * start + scheme.spread**2)
    assert found == pytest.approx(0.2911705464, abs=0.6e-10)


def test_what_does_not_reduce():
    step, wide = EulerMaruyama(), GaussianMixture.isotropic(np.eye(3), [0.1, 0.1, 0.2])
    assert reduce_scheme(step, ExactScore(wide, OU), TIMES) is None
