"""Blocks and replicas follow one path, and the exact reduction of a scheme."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some, some_values

from jaxwin._random import normals, pair_uniforms
from jaxwin.processes import OrnsteinUhlenbeck, log_snr_uniform, uniform
from jaxwin.samplers import (
    SEEDS,
    DPMSolverPP,
    EulerFlow,
    EulerMaruyama,
    ExactTransition,
    HeunFlow,
    UniPC,
    reduce_scheme,
    sample,
    sample_block,
)
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
KEY = jr.key(3)


STEPS = {"EM": EulerMaruyama(), "Euler": EulerFlow(), "Heun": HeunFlow()}
every_step = pytest.mark.parametrize(
    "step",
    [pytest.param(step, id=name) for name, step in STEPS.items()]
    + [
        pytest.param(step, id=type(step).__name__, marks=pytest.mark.slow)
        for step in (UniPC(2), SEEDS(2), DPMSolverPP(2, stochastic=True))
    ],
)
one_step = pytest.mark.parametrize("step", some_values(STEPS, ["EM"]))
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


@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.01, 0.05])
def test_stationary_variance_of_euler_maruyama(eta):
    # sigma = 1 is stationary under OU; Euler's recursion stays at 1/(1 - eta/2).
    score = ExactScore(GaussianMixture.isotropic([[0.0]], 1.0), OU)
    times = uniform(OU, 20.0, 0.0, round(20 / eta))
    found = final_variance(EulerMaruyama(), score, times, 1.0)
    assert found == pytest.approx(1 / (1 - eta / 2), rel=1e-12)


LAW = GaussianMixture.isotropic(
    np.random.default_rng(0).normal(size=(3, 12)) + 1.0, 0.2, [0.5, 0.3, 0.2]
)
SCORE = ExactScore(LAW, OU)
TIMES = log_snr_uniform(OU, 2.0, 0.05, 20)


@pytest.mark.slow
@pytest.mark.long
@one_step
def test_block_follows_the_replicas(step):
    xs = jr.normal(jr.key(1), (6, 12))
    together = BLOCK(step, SCORE, xs, TIMES, KEY, 4)
    each = [SAMPLE(step, SCORE, x, TIMES, KEY, 4 + i) for i, x in enumerate(xs)]
    np.testing.assert_allclose(together, np.stack(each), rtol=1e-12, atol=1e-13)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.long
@every_step
@pytest.mark.parametrize("kind", some(["isotropic", "low rank"], ["low rank"]))
def test_reduced_scheme_follows_the_same_paths(step, kind):
    law = LAW
    if kind == "low rank":
        factors = np.random.default_rng(1).normal(size=(3, 12, 1))
        law = GaussianMixture.low_rank(LAW.means, factors, 0.2, [0.5, 0.3, 0.2])
    score = ExactScore(law, OU)
    scheme = reduce_scheme(step, score, TIMES)
    assert scheme is not None
    assert scheme.saving == 12 / (2 if kind == "isotropic" else 5)
    x = jr.normal(jr.key(1), (12,))
    zs = jr.normal(KEY, (20, step.draws, 12))
    end = driven(step, score, x, TIMES, zs)
    inside = jnp.matmul(zs, scheme.basis)
    y = driven(step, scheme.score, scheme.inside(x), TIMES, inside)
    np.testing.assert_allclose(scheme.inside(end), y, rtol=1e-10, atol=1e-10)
    # Outside: without noise the same point, and the full scheme's own response to it.
    still = driven(step, score, x, TIMES, 0 * zs)
    y = driven(step, scheme.score, scheme.inside(x), TIMES, 0 * inside)
    np.testing.assert_allclose(scheme.lift(y, x, jnp.zeros(12)), still, atol=1e-10)
    way = jr.normal(jr.key(2), (12,))
    way = way - scheme.basis @ scheme.inside(way)
    way = way / jnp.linalg.norm(way)
    answer = jax.grad(lambda zs: driven(step, score, x, TIMES, zs) @ way)(zs)
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
    # A draw is not linear in the score.
    assert reduce_scheme(ExactTransition(LAW), SCORE, TIMES) is None
