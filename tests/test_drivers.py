"""Drivers: paths, U-turns, clones, starts; exact transitions against closed forms."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jaxtyping
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxwin import execution
from jaxwin.metrics import energy_distance
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VariancePreserving,
    edm_rho,
    log_snr_uniform,
    uniform,
)
from jaxwin.samplers import (
    DDIM,
    DEIS,
    PNDM,
    SEEDS,
    Ancestral,
    Corrected,
    DPMSolverPP,
    EDMHeun,
    EulerFlow,
    EulerMaruyama,
    ExactTransition,
    ExponentialEuler,
    FromLaw,
    FromMoments,
    FromPrior,
    HeunFlow,
    Restarting,
    StochasticHeun,
    UniPC,
    clones,
    forward_backward,
    horizon_bias,
    sample,
    sample_block,
    simulate,
    trajectory,
)
from jaxwin.scores import AbstractScore, ExactScore, Guided
from jaxwin.targets import Empirical, GaussianMixture

OU, KEY = OrnsteinUhlenbeck(), jr.key(7)
LINEAR = VariancePreserving(0.1, 20.0)
LAW = GaussianMixture.isotropic(
    np.random.default_rng(0).normal(size=(3, 4)) + 0.5, 0.2, [0.5, 0.3, 0.2]
)
SCORE, TIMES = ExactScore(LAW, OU), log_snr_uniform(OU, 2.0, 0.05, 12)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "step",
    [pytest.param(EulerMaruyama(), marks=pytest.mark.slow), DPMSolverPP(2)],
    ids=["EM", "DPM++ 2M"],
)
def test_trajectory_is_the_path_of_sample(step):
    x = jnp.ones(4)
    path = trajectory(step, SCORE, x, TIMES, KEY, 5)
    assert path.shape == (13, 4)
    for i in (0, 1, 7, 12):
        end = x if i == 0 else sample(step, SCORE, x, TIMES[: i + 1], KEY, 5)
        np.testing.assert_allclose(path[i], end, rtol=1e-12, atol=1e-13)
    chosen = trajectory(step, SCORE, x, TIMES, KEY, 5, at=[0, 3, 11])
    np.testing.assert_allclose(chosen, path[jnp.array([0, 3, 11])], rtol=1e-13)


def test_memory_of_a_trajectory_does_not_grow_with_the_steps():
    def bytes_of(n):
        run = lambda x, times: trajectory(
            EulerMaruyama(), SCORE, x, times, KEY, at=[0, n // 2, n]
        )
        program = jax.jit(run).lower(jnp.ones(4), jnp.linspace(2, 0.1, n + 1)).compile()
        memory = program.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    grown = bytes_of(4096) - bytes_of(64)
    # Times, step numbers and places; a path would take 4,032 x 4 x 8 bytes more.
    assert grown < 4032 * 32


@pytest.mark.slow
def test_clones_share_the_path_and_part():
    x = jnp.ones(4)
    ends = clones(EulerMaruyama(), SCORE, x, TIMES, KEY, 3, branch=5, count=4)
    shared = sample(EulerMaruyama(), SCORE, x, TIMES[:6], KEY, 3)
    for i, end in enumerate(ends):
        own = jr.fold_in(KEY, i)
        rest = TIMES[5:]
        alone = sample(EulerMaruyama(), SCORE, shared, rest, own, 3, first_step=5)
        np.testing.assert_allclose(end, alone, rtol=1e-11, atol=1e-12)
    apart = np.abs(ends[:, None] - ends[None]).max(axis=2)
    assert np.all(apart[~np.eye(4, dtype=bool)] > 1e-3)


# Exact transitions


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("n", [1, 50])
def test_u_turns_and_clones_have_their_closed_form(n):
    """20,000 replicas, key 7: 4 standard errors of the flip probability f(1).

    Two narrow components +-1, seen at the time where their distance to the middle is
    one noised standard deviation; f of shared theory, windows 9. Two clones of a point
    differ as often as a U-turn flips.
    """
    f, v = 0.224799754603, 0.0025
    t = 0.5 * np.log(2 - v)
    law = GaussianMixture.isotropic([[1.0], [-1.0]], v)
    score, step, count = ExactScore(law, OU), ExactTransition(law), 20_000

    def one(i, times):
        draw_key, key = jr.split(jr.fold_in(KEY, i))
        x0 = law.sample(draw_key)
        back = forward_backward(step, score, x0, times, key, i)
        x = FromLaw(law, OU, t)(jr.fold_in(draw_key, 1))
        pair = clones(step, score, x, times, key, i, branch=0)
        return (x0 * back)[0] < 0, (pair[0] * pair[1])[0] < 0

    turn = jax.jit(lambda i, times: jax.vmap(one, (0, None))(i, times))
    found = turn(jnp.arange(count, dtype=jnp.int32), uniform(OU, t, 0.0, n))
    for differ in found:
        assert abs(np.asarray(differ).mean() - f) < 4 * np.sqrt(f * (1 - f) / count)


@pytest.mark.slow
def test_four_steps_of_exact_transitions():
    """shared theory, speciation 5.4: d = 4, m = 4, grid 12, 6, t, t/2, 0.

    60,000 pairs of clones with key 7; 4 standard errors of the exact value.
    """
    printed = {1.5: 0.944447, 2.0794415: 0.775200, 2.5: 0.656998, 3.0: 0.569155}
    law = GaussianMixture.isotropic([[4.0] * 4, [-4.0] * 4], 1.0)
    score, step = ExactScore(law, OU), ExactTransition(law)

    def agree(i, times):
        key = jr.fold_in(KEY, i)
        start = FromPrior(OU, 4)(key)
        pair = clones(step, score, start, times, key, i, branch=2)
        return jnp.sum(pair[0]) * jnp.sum(pair[1]) > 0

    many = jax.jit(jax.vmap(agree, (0, None)))
    for t, exact in printed.items():
        times = jnp.array([12.0, 6.0, t, t / 2, 0.0])
        found = np.asarray(many(jnp.arange(60_000, dtype=jnp.int32), times)).mean()
        assert abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / 60_000)


@pytest.mark.slow
def test_committor_of_the_reverse_sde():
    """C15: an end has the sign of x_s with chance Phi(sqrt gamma); 20,000 paths."""
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    score = ExactScore(law, LINEAR)
    printed = {0.5: 0.6152406, 0.4: 0.6890001, 0.3: 0.7911085, 0.2: 0.9174607}
    run = eqx.filter_jit(sample_block)
    for s, value in printed.items():
        law_s = FromLaw(law, LINEAR, s)
        xs = jax.vmap(law_s)(jr.split(jr.key(5), 20_000))
        times = uniform(LINEAR, s, 0.001, 400)
        ends = run(EulerMaruyama(), score, xs, times, KEY)
        same = np.mean(np.sign(ends[:, 0]) == np.sign(xs[:, 0]))
        gamma = LINEAR.alpha(s) ** 2 / LINEAR.sigma(s) ** 2
        exact = scipy.stats.norm.cdf(np.sqrt(gamma))
        assert exact == pytest.approx(value, abs=1e-7)
        assert abs(same - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)


@pytest.mark.slow
def test_clones_of_two_deltas():
    """C17: two clones of x_s agree with chance phi(gamma), gamma the SNR at s.

    Five steps; 40,000 pairs, key 7; 4 standard errors of the printed value.
    """
    printed = {0.1: 0.5456703006, 0.5: 0.6750567023, 1.0: 0.7752002454}
    printed |= {2.0: 0.8844908890, 4.0: 0.9657012956}
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    score, step = ExactScore(law, LINEAR), ExactTransition(law)

    def agree(i, times):
        x = FromLaw(law, LINEAR, times[0])(jr.fold_in(KEY, i))
        pair = clones(step, score, x, times, KEY, i, branch=0)
        return pair[0, 0] * pair[1, 0] > 0

    many = jax.jit(jax.vmap(agree, (0, None)))
    for gamma, exact in printed.items():
        s = float(LINEAR.time(jnp.log(gamma)))
        times = uniform(LINEAR, s, 0.0, 5)
        found = np.asarray(many(jnp.arange(40_000, dtype=jnp.int32), times)).mean()
        assert abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / 40_000)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("n", "value"), [(100, 0.19234), (400, 0.19261)])
def test_u_turns_of_the_exponential_integrator(n, value):
    """Windows 2.6: +-3 of unit variance, T = 1; 400,000 paths on either side."""
    law = GaussianMixture.isotropic([[3.0], [-3.0]], 1.0)
    step, score, count = ExponentialEuler(), ExactScore(law, OU), 400_000
    times, run = uniform(OU, 1.0, 0.0, n), eqx.filter_jit(sample_block)
    rng = np.random.default_rng(7)
    x0 = 3 + rng.normal(size=(count, 1))
    xs = OU.alpha(1.0) * x0 + OU.sigma(1.0) * rng.normal(size=(count, 1))
    label = lambda x: law.label_log_posterior(x, 1.0, 0.0)[1]
    flips = jnp.exp(jax.vmap(label)(run(step, score, xs, times, KEY)))
    error = np.sqrt(2 * value * (1 - value) / count)
    assert abs(float(flips.mean()) - value) < 4 * error
    # What the step size costs is beside what the exact U-turn gives.
    assert abs(float(flips.mean()) - 0.193252296) < 4 * error + 1e-3


@pytest.mark.slow
def test_flow_flips_where_the_noised_point_crosses():
    """Windows 2.6, 12: the flow keeps the side of x_T; Phi(-m), m = 3 e^-1."""
    law = GaussianMixture.isotropic([[3.0], [-3.0]], 1.0)
    z = scipy.stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    xs = jnp.asarray(3 * float(OU.alpha(1.0)) + z)[:, None]
    times = log_snr_uniform(OU, 1.0, 0.05, 64)
    ends = sample_block(UniPC(3), ExactScore(law, OU), xs, times, KEY)
    flipped = np.mean(np.asarray(ends)[:, 0] < 0)
    assert flipped == pytest.approx(0.134875, abs=5e-5)


def test_probability_flow_of_two_deltas():
    # C16, by a high order; the same values by diffrax in test_adaptive.
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    score = ExactScore(law, LINEAR)
    printed = {0.5: 0.5007915787, 0.3: 0.5325024178, 0.2: 0.6469484999}
    run = eqx.filter_jit(sample)
    for s, value in printed.items():
        times = log_snr_uniform(LINEAR, 1.0, s, 2000)
        end = run(UniPC(3), score, jnp.array([0.5]), times, KEY)
        assert float(end[0]) == pytest.approx(value, abs=1e-9)


W2 = {
    "uniform": {3: 0.763519, 5: 0.417421, 10: 0.131916, 20: 0.043105},
    "log-SNR": {3: 0.534654, 5: 0.233794, 10: 0.087297, 20: 0.037840},
    "EDM": {3: 0.847087, 5: 0.288448, 10: 0.112335, 20: 0.044960},
    "late 0.5": {3: 0.410531, 5: 0.158164, 10: 0.045552, 20: 0.022637},
    "late 0.3": {3: 0.204150, 5: 0.067957, 10: 0.025889, 20: 0.013054},
}


@pytest.fixture(scope="module")
def quantiles():
    """100,000 of the data, by a fine table of its distribution, and of the prior."""
    u = (np.arange(100_000) + 0.5) / 100_000
    y = np.linspace(-1.8, 1.8, 400_001)
    cdf = scipy.special.ndtr((y[:, None] - np.array([1.0, -1.0])) / 0.1).mean(axis=1)
    return np.interp(u, cdf, y), jnp.asarray(scipy.special.ndtri(u))[:, None]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", W2)
def test_few_steps_of_ddim(name, quantiles):
    """C21: W2 to the data by exact quantile transport; the last step ends denoised."""
    data, xs = quantiles
    score = ExactScore(GaussianMixture.isotropic([[1.0], [-1.0]], 0.01), LINEAR)
    start = float(name.split()[1]) if name.startswith("late") else 1.0
    make = {"log-SNR": log_snr_uniform, "EDM": edm_rho}.get(name, uniform)
    for n, value in W2[name].items():
        times = make(LINEAR, start, 1e-3, n - 1)
        times = jnp.concatenate([times, jnp.zeros(1)])
        ends = np.sort(np.asarray(sample_block(DDIM(), score, xs, times, KEY))[:, 0])
        found = np.sqrt(np.mean((ends - data) ** 2))
        assert found == pytest.approx(value, rel=2e-3)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", ["full", "empirical"])
def test_exact_transitions_keep_the_law(kind):
    """Five steps back from p_1.2 to p_0.25, family-wise 1e-4 each: 250,000 draws by
    Kolmogorov-Smirnov against the exact law and by the sorted energy distance against
    fresh draws, on 16 fixed projections; 20,000 draws by the full energy distance.

    Key 7; d = 6. A projection of p_t is a mixture on the line. An unbiased energy
    distance is degenerate where the laws agree: its error is taken over 64 independent
    blocks.
    """
    rng = np.random.default_rng(2)
    if kind == "full":
        roots = rng.normal(size=(3, 6, 6)) / 3
        covariances = roots @ roots.swapaxes(1, 2) + 0.05 * np.eye(6)
        means, weights = rng.normal(size=(3, 6)), np.array([0.5, 0.3, 0.2])
        law = GaussianMixture.full(means, covariances, weights)
    else:
        means, weights = rng.normal(size=(16, 6)), np.full(16, 1 / 16)
        covariances = np.broadcast_to(0.3**2 * np.eye(6), (16, 6, 6))
        law = Empirical(means, bandwidth=0.3)
    score, times = ExactScore(law, OU), jnp.array([1.2, 0.9, 0.6, 0.45, 0.35, 0.25])
    alpha, sigma = OU.alpha(times[-1]), OU.sigma(times[-1])

    def one(i):
        keys = jr.split(jr.fold_in(KEY, i), 3)
        x0, fresh = jax.vmap(law.sample)(keys[:2])
        end = forward_backward(ExactTransition(law), score, x0, times, KEY, i)
        return end, alpha * fresh + sigma * jr.normal(keys[2], fresh.shape)

    indices = jnp.arange(250_000, dtype=jnp.int32)
    ends, fresh = jax.jit(lambda i: jax.lax.map(one, i, batch_size=2000))(indices)
    ends, fresh = np.asarray(ends), np.asarray(fresh)
    for way in rng.normal(size=(16, 6)):
        variances = alpha**2 * (way @ covariances @ way) + sigma**2 * way @ way
        exact = alpha * means @ way, np.sqrt(variances)
        assert ks_pvalue(ends @ way, weights, *exact) > 1e-4 / 16
        assert blocked_z(ends @ way, fresh @ way) < scipy.stats.t.isf(1e-4 / 16, 63)
    assert blocked_z(ends[:20_000], fresh[:20_000]) < scipy.stats.t.isf(1e-4, 63)


def ks_pvalue(x, weights, means, deviations) -> float:
    """One sample against a mixture on the line."""
    means, deviations = np.asarray(means), np.asarray(deviations)
    cdf = lambda y: scipy.special.ndtr((y[:, None] - means) / deviations) @ weights
    return float(np.asarray(scipy.stats.kstest(x, cdf))[1])


def blocked_z(x: np.ndarray, y: np.ndarray) -> float:
    """Energy distance over its standard error, both from 64 blocks of rows."""
    size = len(x) // 64
    xs, ys = (a[: 64 * size].reshape(64, size, *a.shape[1:]) for a in (x, y))
    found = jax.lax.map(lambda pair: energy_distance(*pair).value, (xs, ys))
    return float(found.mean() / (found.std(ddof=1) / 8))


@pytest.mark.slow
def test_conditioned_transitions_end_in_their_class():
    law = GaussianMixture.isotropic([[2.0], [-2.0]], 0.01)
    step = ExactTransition(law.restrict(jnp.array([True, False])))
    times, score = jnp.array([3.0, 1.0, 0.0]), ExactScore(law, OU)
    xs = jax.vmap(FromPrior(OU, 1))(jr.split(KEY, 100))
    assert np.all(np.asarray(sample_block(step, score, xs, times, KEY)) > 1)


@pytest.mark.slow
def test_transitions_begin_at_pure_noise_of_the_interpolant():
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.04)
    flow = LinearInterpolant()
    times, score = jnp.array([1.0, 0.5, 0.0]), ExactScore(law, flow)
    xs = jax.vmap(FromPrior(flow, 1))(jr.split(KEY, 4000))
    ends = np.asarray(sample_block(ExactTransition(law), score, xs, times, KEY))[:, 0]
    cdf = lambda y: scipy.special.ndtr((y[:, None] - np.array([1, -1])) / 0.2).mean(1)
    assert scipy.stats.kstest(ends, cdf).pvalue > 1e-4


# Identities between steps that share noise

SAME = {
    "ancestral": (Ancestral(), DDIM(1.0)),
    "exponential": (ExponentialEuler("denoiser"), Ancestral()),
    "DPM++ SDE 1": (DPMSolverPP(1, stochastic=True), Ancestral()),
    "DPM++ 1": (DPMSolverPP(1), DDIM()),
    "DEIS 1": (DEIS(1), DDIM()),
    "DPM++ 2M": (DPMSolverPP(2), DPMSolverPP(2)),
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_methods_that_are_one(one, other):
    x, run = jnp.ones(4), eqx.filter_jit(sample)
    ends = [run(step, SCORE, x, TIMES, KEY, 1) for step in (one, other)]
    np.testing.assert_allclose(*ends, rtol=1e-10, atol=1e-12)


# Guidance

GUIDED = {
    0.0: [-3.474955432, 0.0, 3.474955432],
    1.0: [1.979786159, 2.979786159, 3.979786159],
    2.0: [2.904559519, 3.548882953, 4.342893169],
    7.5: [4.614246115, 5.037712230, 5.579838204],
}


@pytest.mark.slow
def test_first_step_of_pndm_by_hand():
    """Four classical stages, each moved by DDIM: arXiv:2202.09778, equation 11."""
    t, s, x = 1.0, 0.2, jnp.array([0.7, -1.2, 0.1, 2.0])
    middle = (t + s) / 2

    def moved(eps, b):
        clean = (x - OU.sigma(t) * eps) / OU.alpha(t)
        return OU.alpha(b) * clean + OU.sigma(b) * eps

    e1 = SCORE.noise(x, t)
    e2 = SCORE.noise(moved(e1, middle), middle)
    e3 = SCORE.noise(moved(e2, middle), middle)
    e4 = SCORE.noise(moved(e3, s), s)
    expected = moved((e1 + 2 * e2 + 2 * e3 + e4) / 6, s)
    found = sample(PNDM(), SCORE, x, jnp.array([t, s]), KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_churned_step_by_hand():
    """arXiv:2206.00364, algorithm 2, in y = x / alpha and rho = sigma / alpha."""
    t, s, churn = 1.0, 0.2, 0.3
    x, z = jnp.array([0.7, -1.2, 0.1, 2.0]), jr.normal(KEY, (1, 4))
    rho = lambda u: float(OU.sigma(u) / OU.alpha(u))
    raised = rho(t) * (1 + churn)
    start = 0.5 * np.log1p(raised**2)
    y = x / OU.alpha(t) + np.sqrt(raised**2 - rho(t) ** 2) * z[0]
    slope = lambda y, u: (y - SCORE.denoised(OU.alpha(u) * y, u)) / rho(u)
    first = slope(y, start)
    euler = y + (rho(s) - raised) * first
    expected = y + (rho(s) - raised) * (first + slope(euler, s)) / 2
    step = EDMHeun(churn=churn)
    found, _ = step.step(SCORE, x, t, s, z, KEY, step.init(SCORE, x, t))
    np.testing.assert_allclose(found, OU.alpha(s) * expected, rtol=1e-12)


def test_a_restart_by_hand():
    """Upwards the forward process: alpha falls by their ratio, the rest is noise."""
    s, t, step = 0.2, 1.0, Restarting(DDIM(), 2, 0)
    x, z = jnp.array([0.7, -1.2, 0.1, 2.0]), jr.normal(KEY, (1, 4))
    found, _ = step.step(SCORE, x, s, t, z, KEY, step.init(SCORE, x, s))
    expected = np.exp(-(t - s)) * x + np.sqrt(-np.expm1(-2 * (t - s))) * z[0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "lower"),
    [
        (DPMSolverPP(3), DPMSolverPP(2)),
        (DEIS(3), DEIS(2)),
        (UniPC(3), UniPC(2)),
    ],
    ids=["DPM++", "DEIS", "UniPC"],
)
def test_warm_up_is_that_of_lower_order(step, lower):
    """Two steps of order 3 are those of order 2; the first is one of DDIM."""
    x, times = jnp.array([0.7, -1.2, 0.1, 2.0]), jnp.array([1.0, 0.5, 0.3])
    two = [sample(one, SCORE, x, times, KEY) for one in (step, lower)]
    np.testing.assert_allclose(*two, rtol=1e-12)
    first = [sample(one, SCORE, x, times[:2], KEY) for one in (step, DDIM())]
    np.testing.assert_allclose(*first, rtol=1e-12)


def test_two_steps_of_unipc_by_hand():
    """Algorithm 1 and 2 of arXiv:2302.04867 with their exceptions for two values."""
    x, (t, m, s) = jnp.array([0.7, -1.2, 0.1, 2.0]), (1.0, 0.5, 0.3)
    lam = lambda u: float(jnp.log(OU.alpha(u) / OU.sigma(u)))

    def moved(a, b, x, data):
        gain = -np.expm1(lam(a) - lam(b))
        return OU.sigma(b) / OU.sigma(a) * x + OU.alpha(b) * gain * data

    old = SCORE.denoised(x, t)
    new = SCORE.denoised(moved(t, m, x, old), m)
    # The corrector goes again from t, by the mean of both; then the predictor.
    corrected = moved(t, m, x, (old + new) / 2)
    ratio = (lam(s) - lam(m)) / (lam(m) - lam(t))
    expected = moved(m, s, corrected, new + ratio / 2 * (new - old))
    found = sample(UniPC(2), SCORE, x, jnp.array([t, m, s]), KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_langevin_moves_by_hand():
    step, t, s = Corrected(DDIM(), 2, 0.1), 1.0, 0.2
    x, z = jnp.array([0.7, -1.2, 0.1, 2.0]), jr.normal(KEY, (2, 4))
    expected = sample(DDIM(), SCORE, x, jnp.array([t, s]), KEY)
    delta = 0.1 * OU.sigma(s) ** 2
    for w in z:
        expected = expected + delta * SCORE(expected, s) + jnp.sqrt(2 * delta) * w
    found, _ = step.step(SCORE, x, t, s, z, KEY, step.init(SCORE, x, t))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_one_step_of_the_single_step_solver_by_hand():
    """Its second evaluation lies halfway in log-SNR: arXiv:2211.01095, algorithm 1."""
    t, s, x = 1.0, 0.2, jnp.array([0.7, -1.2, 0.1, 2.0])
    lam = lambda u: float(jnp.log(OU.alpha(u) / OU.sigma(u)))
    middle = 0.5 * np.log1p(np.exp(-(lam(t) + lam(s))))

    def moved(a, b, data):
        kept = OU.sigma(b) / OU.sigma(a)
        return kept * x - OU.alpha(b) * np.expm1(lam(a) - lam(b)) * data

    early = moved(t, middle, SCORE.denoised(x, t))
    expected = moved(t, s, SCORE.denoised(early, middle))
    found = sample(DPMSolverPP(2, multistep=False), SCORE, x, jnp.array([t, s]), KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("strength", GUIDED)
def test_guided_endpoints(strength):
    """Windows 2.6, capability 25: +-3 of unit variance from T = 5; 1e-7."""
    law = GaussianMixture.isotropic([[3.0], [-3.0]], 1.0)
    plain = ExactScore(law, OU)
    one = ExactScore(law.restrict(jnp.array([True, False])), OU)
    score = Guided(plain, one, strength)
    xs = jnp.array([[-1.0], [0.0], [1.0], [2.0]])
    # Steps of log-SNR to close by the end, then one so short that order 1 does.
    times = jnp.concatenate([log_snr_uniform(OU, 5.0, 1e-9, 1500), jnp.zeros(1)])
    ends = eqx.filter_jit(sample_block)(UniPC(3), score, xs, times, KEY)[:3, 0]
    np.testing.assert_allclose(ends, GUIDED[strength], atol=1e-7)
    batch = score.batched(xs, 0.3)
    each = jax.vmap(lambda x: score(x, 0.3))(xs)
    np.testing.assert_allclose(batch, each, rtol=1e-12)


def test_guidance_at_0_and_1():
    one = ExactScore(LAW.restrict(jnp.array([True, False, True])), OU)
    x = jnp.ones(4)
    for strength, truth in ((0.0, SCORE), (1.0, one)):
        found = Guided(SCORE, one, strength)(x, 0.4)
        np.testing.assert_allclose(found, truth(x, 0.4), rtol=1e-12)


# Starts


@pytest.mark.slow
@pytest.mark.parametrize("t", [0.5, 1.5])
def test_starts_have_their_law(t):
    keys = jr.split(KEY, 20_000)
    moments = LAW.moments()
    alpha, sigma = float(OU.alpha(t)), float(OU.sigma(t))
    covariance = alpha**2 * np.asarray(moments.covariance()) + sigma**2 * np.eye(4)
    for start in (FromLaw(LAW, OU, t), FromMoments(LAW, OU, t)):
        xs = np.asarray(jax.vmap(start)(keys))
        gap = xs.mean(axis=0) - alpha * np.asarray(moments.mean)
        assert np.all(np.abs(gap) < 4 * np.sqrt(np.diag(covariance) / 20_000))
        np.testing.assert_allclose(np.cov(xs.T), covariance, atol=0.03)
    normal: Any = scipy.stats.multivariate_normal
    x = np.array([0.3, -0.2, 0.5, 1.0])
    found = FromMoments(LAW, OU, t).log_density(jnp.asarray(x))
    exact = normal(alpha * np.asarray(moments.mean), covariance).logpdf(x)
    assert float(found) == pytest.approx(exact, rel=1e-10)


@pytest.mark.slow
def test_horizon_bias_of_a_gaussian_and_of_a_mixture():
    one = GaussianMixture.diagonal([[1.0, -0.5]], [[0.3, 2.0]])
    t = 0.8
    found = horizon_bias(one, OU, t, FromPrior(OU, 2), KEY)
    a2 = np.exp(-2 * t)
    values = a2 * np.array([0.3, 2.0]) - np.expm1(-2 * t)
    mean = a2 * np.array([1.0, 0.25])
    exact = 0.5 * np.sum(values + mean - 1 - np.log(values))
    assert found.method == "closed form"
    assert float(found.value) == pytest.approx(exact, rel=1e-12)
    same = horizon_bias(one, OU, t, FromMoments(one, OU, t), KEY)
    assert abs(float(same.value)) < 1e-12
    # C19: half N(1, 0), half N(-1, 0) at the critical time: KL 0.003818405893.
    two = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    s = 0.2926416543281432
    found = horizon_bias(two, LINEAR, s, FromPrior(LINEAR, 1), KEY, num_replicas=65536)
    assert abs(float(found.value) - 0.003818405893) < 4 * float(found.stderr)


# Programs, gradients, errors


@pytest.mark.slow
def test_gradient_of_a_label_through_32_steps():
    times = log_snr_uniform(OU, 2.0, 0.1, 32)

    def label(means):
        law = GaussianMixture.isotropic(means, 0.2, [0.5, 0.3, 0.2])
        end = sample(DPMSolverPP(2), ExactScore(law, OU), jnp.ones(4), times, KEY)
        return jnp.exp(law.label_log_posterior(end, OU.alpha(0.1), OU.sigma(0.1)))[0]

    value = jax.jit(label)
    slope = jax.jit(jax.grad(label))(LAW.means)
    way = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)))
    h = 1e-5
    finite = (value(LAW.means + h * way) - value(LAW.means - h * way)) / (2 * h)
    assert float(jnp.sum(slope * way)) == pytest.approx(float(finite), rel=1e-6)


@pytest.mark.parametrize(
    "step", [UniPC(3), ExactTransition(LAW)], ids=["UniPC", "exact"]
)
def test_new_values_do_not_recompile(step):
    traced = []

    @eqx.filter_jit
    def run(step, score, x, times, key, replica):
        traced.append(1)
        return sample(step, score, x, times, key, replica)

    for seed, end in enumerate([0.05, 0.1, 0.2]):
        law = GaussianMixture.isotropic(LAW.means * (1 + end), 0.2 + end)
        if isinstance(step, ExactTransition):
            step = ExactTransition(law)
        times = log_snr_uniform(OU, 2.0 - end, end, 12)
        run(step, ExactScore(law, OU), jnp.ones(4), times, jr.key(seed), seed * KEY_ONE)
    assert len(traced) == 1


KEY_ONE = jnp.ones((), jnp.int32)


class Broken(AbstractScore):
    """Not finite."""

    process: AbstractProcess

    def __call__(self, x, t):
        return jnp.full_like(x, jnp.nan)


def bad_times():
    x, flow = jnp.ones(4), ExactScore(LAW, LinearInterpolant())
    points = ExactScore(GaussianMixture.isotropic(LAW.means, 0.0), OU)
    em, two = EulerMaruyama(), jnp.array([1.0, 0.5])
    run = lambda step, score, times: sample(step, score, x, jnp.asarray(times), KEY)
    return {
        "increasing": (lambda: run(em, SCORE, [0.5, 1.0]), "decrease strictly"),
        "repeated": (lambda: run(em, SCORE, [1.0, 0.5, 0.5]), "decrease strictly"),
        "no step": (lambda: run(em, SCORE, [1.0]), "at least 2 times"),
        "off the clock": (lambda: run(em, flow, [1.2, 0.5]), "must lie between"),
        "nan": (lambda: run(em, SCORE, [1.0, np.nan]), "decrease strictly"),
        "no signal": (lambda: run(DDIM(), flow, [1.0, 0.5]), "alpha = 0"),
        "clean on the way": (lambda: run(em, SCORE, [1.0, 0.0, -0.1]), "lie between"),
        "block": (
            lambda: sample_block(em, SCORE, jnp.ones((2, 4)), two[::-1], KEY),
            "decrease strictly",
        ),
        "trajectory": (
            lambda: trajectory(em, SCORE, x, two, KEY, at=[1, 0]),
            "increasing indices",
        ),
        "simulate": (
            lambda: simulate(em, SCORE, jnp.array([0.1, 1.0]), 64, KEY),
            "decrease strictly",
        ),
        "branch": (
            lambda: clones(em, SCORE, x, two, KEY, branch=1),
            "`branch` is 1",
        ),
        "clones": (
            lambda: clones(em, SCORE, x, two, KEY, branch=0, count=0),
            "`count`",
        ),
        "eta": (lambda: DDIM(1.5), "`eta` is 1.5"),
        "order": (lambda: DPMSolverPP(4), "does not exist"),
        "UniPC": (lambda: UniPC(0), "`order` is 0"),
        "DEIS": (lambda: DEIS(4), "`order` is 4"),
        "SEEDS": (lambda: SEEDS(3), "`order` is 3"),
        "frozen": (lambda: ExponentialEuler("noise"), "`frozen` is 'noise'"),
        "exponential": (lambda: ExponentialEuler(order=3), "`order` is 3"),
        "variance": (lambda: Ancestral("learned"), "`variance` is 'learned'"),
        "churn": (lambda: EDMHeun(churn=0.5), "`churn` is 0.5"),
        "S_noise": (lambda: EDMHeun(noise=0.0), "`noise` is 0"),
        "moves": (lambda: Corrected(em, 0), "`moves` is 0"),
        "size": (lambda: Corrected(em, 1, 2.0), "`size` is 2"),
        "restart": (lambda: Restarting(em, 3, 5), "`low` is 3"),
        "repeats": (lambda: Restarting(em, 5, 3, 0), "`repeats` is 0"),
        "restart at the end": (
            lambda: Restarting(em, 12, 3).times(TIMES),
            "`low` is 12; it must be below 12",
        ),
        "churn range": (lambda: EDMHeun(low=3.0, high=1.0), "low <= high"),
        "odd block": (
            lambda: sample_block(em, SCORE, jnp.ones((2, 4)), TIMES, KEY, 3),
            "`first_replica` is 3",
        ),
        "start off the clock": (lambda: FromLaw(LAW, OU, -1.0), "`t` is -1"),
        "flat start": (
            lambda: FromMoments(GaussianMixture.isotropic([[1.0]], 0.0), OU, 0.0),
            "sigma > 0",
        ),
        "start elsewhere": (
            lambda: horizon_bias(LAW, OU, 1.0, FromPrior(OU, 3), KEY),
            "`start` has 3 dimensions",
        ),
        "bias at the clean end": (
            lambda: horizon_bias(LAW, OU, 0.0, FromPrior(OU, 4), KEY),
            "sigma = 0",
        ),
        "clocks": (lambda: Guided(SCORE, ExactScore(LAW, EDM()), 1.0), "one clock"),
        "strength": (lambda: Guided(SCORE, SCORE, np.nan), "`strength`"),
        "no restarts": (
            lambda: run(em, SCORE, Restarting(em, 5, 3).times(TIMES)),
            "decrease strictly",
        ),
        "point masses": (
            lambda: run(em, points, [1.0, 0.5, 0.0, -0.1]),
            "must lie between",
        ),
    }


@pytest.mark.parametrize("name", bad_times())
def test_bad_input_has_its_line(name):
    call, message = bad_times()[name]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
def test_lists_and_whole_numbers_are_taken():
    x, times = jnp.array([1.0, 0.0, 2.0, 1.0]), jnp.array([3.0, 2.0, 1.0])
    same = sample(DDIM(), SCORE, x, times, KEY)
    y: Any = [1, 0, 2, 1]
    grid: Any = [3, 2, 1]
    halves: Any = [0.5, 1.7]
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        found = sample(DDIM(), SCORE, y, grid, KEY)
        path = trajectory(DDIM(), SCORE, y, grid, KEY)
        with pytest.raises(ValueError, match="`at` is"):
            trajectory(DDIM(), SCORE, y, grid, KEY, at=halves)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    np.testing.assert_array_equal(found, same)
    np.testing.assert_array_equal(path[-1], same)


def through(score, times, key, replica):
    return sample(DDIM(), score, jnp.ones(4), times, key, replica)


@pytest.mark.slow
def test_rising_times_of_a_compiled_run_are_not_run():
    rising = jnp.array([0.5, 1.0, 2.0])
    for step in (EulerFlow(), DDIM(), UniPC(2), ExactTransition(LAW)):
        found = jax.jit(partial(sample, step, SCORE, jnp.ones(4)))(rising, KEY)
        assert np.all(np.isnan(found))
    with pytest.raises(FloatingPointError, match="block 0"):
        execution.run(eqx.Partial(through, SCORE, rising), 64, KEY)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "step", [HeunFlow(), StochasticHeun(), ExponentialEuler(order=2), SEEDS(2), PNDM()]
)
def test_no_score_is_taken_of_point_masses(step):
    """At sigma = 0 it does not exist; a law with a density has one."""
    masses = GaussianMixture.isotropic(LAW.means, 0.0)
    times = jnp.array([2.0, 1.0, 0.5, 0.0])
    with pytest.raises(FloatingPointError, match="end at sigma > 0"):
        sample(step, ExactScore(masses, OU), jnp.ones(4), times, KEY)
    if not isinstance(step, SEEDS):
        found = sample(step, SCORE, jnp.ones(4), times, KEY)
        assert np.all(np.isfinite(found))


@pytest.mark.slow
def test_not_finite_ends_are_an_error():
    for run in (
        lambda: sample(EulerMaruyama(), Broken(OU), jnp.ones(4), TIMES, KEY),
        lambda: sample_block(DDIM(), Broken(OU), jnp.ones((2, 4)), TIMES, KEY),
        lambda: trajectory(DDIM(), Broken(OU), jnp.ones(4), TIMES, KEY),
        lambda: clones(DDIM(), Broken(OU), jnp.ones(4), TIMES, KEY, branch=2),
    ):
        with pytest.raises(FloatingPointError, match="NaN or infinity"):
            run()
    seen = lambda score, x, t: jnp.sum(x)
    start = FromPrior(OU, 4)
    with pytest.raises(FloatingPointError, match="block 0"):
        simulate(
            DDIM(), Broken(OU), TIMES, 64, KEY, observable=seen, start=start, lift=True
        )
