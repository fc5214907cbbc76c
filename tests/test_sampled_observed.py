"""A sampler as the way back: U-turns against exact ones, grids, what is refused."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis.fairness._flow import CLEAN, ProbabilityFlow
from jaxwin.analysis.windows import confusion, survival
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    log_snr_uniform,
)
from jaxwin.samplers import (
    AbstractStep,
    DPMSolverPP,
    EulerMaruyama,
    ExactTransition,
    LogSNRGrid,
    SampledObserved,
    sample,
)
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import FunctionDenoiser, GaussianMixture

OU, LINE, VE = OrnsteinUhlenbeck(), LinearInterpolant(), VarianceExploding(0.01, 50.0)
SDE = DPMSolverPP(stochastic=True)
MEANS = np.array([[2.0, 0.0, 0.0], [-1.0, 1.5, 0.0], [-1.0, -1.5, 0.0]])
# Labels depend on a plane: the exact confusion is a quadrature.
LAW = GaussianMixture.isotropic(MEANS, 0.3, [0.5, 0.3, 0.2])
KEY = jr.key(7)
X = jnp.array([0.3, -0.8, 1.1])
named: dict[str, Any] = {
    "ids": lambda value: value if isinstance(value, str) else type(value).__name__
}


@eqx.filter_jit
def run(observed, x, noise, key=KEY):
    """The way back, with the noise seen only at run time."""
    return observed.resample(key, x, jnp.asarray(noise))


def grid(process: AbstractProcess = OU, log_snr: float = 9.0, steps: int = 32):
    return LogSNRGrid(process, process.time(log_snr), steps)


def seen(
    step: AbstractStep = SDE,
    law: GaussianMixture = LAW,
    process: AbstractProcess = OU,
    **options: Any,
):
    """A sampler on the exact score of a law, LAW unless another is planted."""
    options = {"grid": grid(process), "data": LAW} | options
    return SampledObserved(step, ExactScore(law, process), **options)


def times_of(process, low=3.0, high=-5.0, count=5):
    return np.asarray(process.time(jnp.linspace(low, high, count)))


def largest_z(observed, noises, process, num_replicas, seed=0):
    """Largest |z| of confusion and of the survival of two sets."""
    options = {"num_replicas": num_replicas, "key": jr.key(seed)}
    found = confusion(observed, noises, **options)
    exact = confusion(Observed(LAW, Gaussian(process)), noises)
    assert found.method == "simulated"
    assert exact.method == "quadrature"
    error = found.stderr + exact.error + 1 / num_replicas
    z = np.abs(found.matrix - exact.matrix) / error
    kept, known = (survival(c, [[0], [1, 2]], observed) for c in (found, exact))
    error = kept.stderr + 1 / num_replicas
    return max(z.max(), np.max(np.abs(kept.survival - known.survival) / error))


# U-turns of an accurate scheme are exact ones


@pytest.mark.slow
def test_exact_transitions_turn_as_the_posterior_does():
    """2,048 U-turns, seed 0, a noisy end: z <= 4."""
    observed = seen(ExactTransition(LAW), grid=grid(log_snr=1.0, steps=2))
    assert largest_z(observed, times_of(OU, 0.5), OU, 2048) <= 4


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "process"),
    [
        *(("sde", OU), ("sde", LINE), ("sde", VE), ("denoised", EDM())),
        *(("euler", OU), ("exact", LINE), ("exact", EDM())),
    ],
    **named,
)
def test_accurate_schemes_turn_as_the_posterior_does(kind, process):
    """8,192 U-turns, seed 1: z <= 4, on four clocks; above a noisy end where exact."""
    options = {
        "sde": {},
        "denoised": {"denoise": True},
        "euler": {"step": EulerMaruyama(), "grid": grid(process, steps=200)},
        "exact": {"step": ExactTransition(LAW), "grid": grid(process, 1.0, 2)},
    }[kind]
    observed = seen(process=process, **options)
    noises = times_of(process, 0.5 if kind == "exact" else 3.0)
    assert largest_z(observed, noises, process, 8192, seed=1) <= 4


@pytest.mark.slow
def test_a_wrong_score_is_caught():
    """A score that thinks the small class large, 1,024 U-turns, seed 0: z > 8."""
    wrong = GaussianMixture.isotropic(MEANS, 0.3, [0.2, 0.3, 0.5])
    noises = times_of(OU, -1.0, -4.0, 4)
    assert largest_z(seen(law=wrong), noises, OU, 1024) > 8


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("process", [OU, LINE])
def test_wrong_scores_are_caught(process):
    """8,192 U-turns, seed 1: two wrong laws, too few steps, and the flow."""
    noises = times_of(process)
    z = lambda observed: largest_z(observed, noises, process, 8192, seed=1)
    for law in (
        GaussianMixture.isotropic(1.4 * MEANS, 0.3, [0.5, 0.3, 0.2]),
        GaussianMixture.isotropic(MEANS, 0.3, [0.3, 0.4, 0.3]),
    ):
        assert z(seen(law=law, process=process)) > 6
    assert z(seen(process=process, grid=grid(process, steps=2))) > 6
    # Not an error of the flow's steps: it maps an observation to one end.
    assert z(seen(DPMSolverPP(), process=process)) > 8


@pytest.mark.slow
def test_a_deterministic_step_is_the_probability_flow():
    """The same point as `fairness.ProbabilityFlow`, which has its own grid."""
    observed = seen(DPMSolverPP(1), grid=grid(log_snr=CLEAN, steps=16))
    other = ProbabilityFlow(Observed(LAW, Gaussian(OU)), DPMSolverPP(1), 16)
    for noise in (0.3, 1.2):
        ends = [run(way, X, noise) for way in (observed, other)]
        np.testing.assert_allclose(*ends, rtol=1e-9)


def test_a_run_is_that_of_the_sampler():
    observed, times = seen(), log_snr_uniform(OU, 0.8, OU.time(9.0), 32)
    same = eqx.filter_jit(sample)(SDE, observed.score, X, times, KEY)
    np.testing.assert_allclose(run(observed, X, 0.8), same, rtol=1e-12)


@pytest.mark.slow
def test_blocks_of_replicas_and_noises():
    """Each as it is alone; eager as well."""
    observed = seen()
    keys, noises = jr.split(KEY, 3), jnp.array([0.8, 1e-6, 2.0])
    found = jax.vmap(lambda key, t: run(observed, X, t, key))(keys, noises)
    np.testing.assert_array_equal(found[1], X)
    np.testing.assert_allclose(found[2], run(observed, X, 2.0, keys[2]), rtol=1e-12)
    eager = observed.resample(keys[0], X, 0.8)
    np.testing.assert_allclose(found[0], eager, rtol=1e-12)


def test_another_key_or_noise_is_another_run():
    ends = [run(seen(), X, t, key) for key in jr.split(KEY) for t in (0.8, 0.9)]
    assert len({tuple(np.asarray(end)) for end in ends}) == 4


class Learned(AbstractScore):
    """A score without a law: a network's place."""

    process: AbstractProcess
    inner: ExactScore

    def __call__(self, x, t):
        return self.inner(x, t)


class HeldOut(eqx.Module):
    """Labelled points, of which no law is known."""

    law: GaussianMixture

    def sample_labelled(self, key):
        return self.law.sample_labelled(key)

    def log_label_prior(self):
        return self.law.log_label_prior()


def at_no_noise(x):
    return jnp.exp(LAW.label_log_posterior(x, 1.0, 0.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "score",
    [
        Learned(OU, ExactScore(LAW, OU)),
        ExactScore(FunctionDenoiser(lambda x, a, s: LAW.denoise(x, a, s)), OU),
    ],
)
def test_a_score_without_a_law_and_held_out_points(score):
    """The path of the exact score; data and labels are those given."""
    known = seen(EulerMaruyama(), classify=at_no_noise)
    data = HeldOut(LAW)
    found = SampledObserved(EulerMaruyama(), score, grid(), at_no_noise, data=data)
    ends = [run(observed, X, 1.0) for observed in (found, known)]
    np.testing.assert_allclose(*ends, rtol=1e-7)
    x0, label = found.start(KEY)
    np.testing.assert_array_equal(x0, known.start(KEY)[0])
    assert label == known.start(KEY)[1]
    np.testing.assert_array_equal(found.log_label_prior(), LAW.log_label_prior())


# The channel


def test_observations_are_those_of_the_gaussian_channel():
    channel, observed = Gaussian(LINE), seen(process=LINE)
    np.testing.assert_array_equal(
        observed.observe(KEY, X, 0.4), channel.corrupt(KEY, X, 0.4)
    )
    noises = jnp.array([0.2, 0.7])
    place = observed.coordinate(noises)
    np.testing.assert_array_equal(place, channel.coordinate(noises))
    np.testing.assert_allclose(observed.noise_at(place), noises, rtol=1e-12)
    assert not observed.has_exact_labels


def test_labels_are_taken_at_the_noise_of_the_end():
    noisy, end = grid(log_snr=1.0), OU.time(1.0)
    at_end = jnp.exp(LAW.label_log_posterior(X, OU.alpha(end), OU.sigma(end)))
    p = seen(grid=noisy).label_probabilities(X)
    np.testing.assert_allclose(p, at_end, rtol=1e-12)
    clean = seen(denoise=True, grid=noisy).label_probabilities(X)
    np.testing.assert_allclose(clean, at_no_noise(X), rtol=1e-12)
    assert np.max(np.abs(clean - at_end)) > 0.01
    own = seen(classify=lambda x: jnp.array([1.0, 0.0, 0.0]), grid=noisy)
    np.testing.assert_array_equal(own.label_probabilities(X), [1.0, 0.0, 0.0])


def test_there_is_no_label_posterior():
    observed = seen()
    with pytest.raises(ValueError, match="simulated"):
        observed.label_log_posterior(X, 0.5)
    with pytest.raises(ValueError, match="simulated"):
        observed.soft_labels(KEY, jnp.array([0.5]))


# The clean end


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_below_the_end_nothing_moves(noise):
    """Concrete and traced; at sigma = 0 the posterior mean is the point itself."""
    for denoise in (False, True):
        observed = seen(denoise=denoise)
        found = observed.resample(KEY, X, noise)
        np.testing.assert_allclose(found, X, atol=2e-5)
        traced = run(observed, X, noise)
        np.testing.assert_allclose(traced, found, rtol=1e-12)
    if noise:
        mean = LAW.denoise(X, OU.alpha(noise), OU.sigma(noise))
        # (x + sigma^2 score) / alpha.
        np.testing.assert_allclose(found, mean, rtol=1e-9)


def test_the_denoised_end_is_the_posterior_mean():
    observed = seen(denoise=True, grid=grid(log_snr=1.0))
    end = run(seen(grid=grid(log_snr=1.0)), X, 1.5)
    last = observed.grid(1.5)[-1]
    mean = LAW.denoise(end, OU.alpha(last), OU.sigma(last))
    np.testing.assert_allclose(run(observed, X, 1.5), mean, rtol=1e-10)
    assert jnp.max(jnp.abs(mean - end)) > 0.05


# Grids


@pytest.mark.parametrize("process", [OU, LINE, VE, EDM()], **named)
def test_steps_are_equal_in_log_snr(process):
    made, noise = grid(process, 6.0, 5), process.time(jnp.asarray(-3.0))
    traced = eqx.filter_jit(lambda made, noise: made(noise))(made, noise)
    for times in (made(noise), traced):
        assert times[0] == noise
        assert times[-1] == made.end
        np.testing.assert_allclose(jnp.diff(process.log_snr(times)), 1.8, rtol=1e-9)


def test_grids_stand_still_below_their_end():
    made = grid(steps=3)
    for noise in (made.end, 0.0, float(made.end) / 2):
        still = jnp.full(4, noise)
        np.testing.assert_array_equal(made(noise), still)
        np.testing.assert_array_equal(jax.jit(lambda t: made(t))(noise), still)


def test_the_noisy_end_of_a_clock():
    """alpha = 0: exact transitions begin there, others refuse it by name."""
    made = grid(LINE, steps=4)
    times = made(1.0)
    assert times[0] == 1.0
    assert np.all(np.diff(times) < 0)
    np.testing.assert_allclose(jax.jit(lambda t: made(t))(1.0), times, rtol=1e-12)
    end = run(seen(ExactTransition(LAW), process=LINE, grid=made), X, 1.0)
    assert np.all(np.isfinite(end))
    with pytest.raises(ValueError, match="alpha = 0"):
        seen(process=LINE, grid=made).resample(KEY, X, 1.0)
    assert np.all(np.isnan(run(seen(process=LINE, grid=made), X, 1.0)))


@pytest.mark.slow
def test_runs_from_no_signal_are_refused_on_the_host():
    with pytest.raises(FloatingPointError):
        confusion(seen(process=LINE), [0.5, 1.0], num_replicas=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((OU, 0.0, 4), "`end` is 0"),
        ((OU, -1.0, 4), "`end` is -1"),
        ((LINE, 1.0, 4), "`end` is 1"),
        ((OU, 0.1, 0), "`steps` is 0"),
    ],
)
def test_bad_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogSNRGrid(*arguments)


def test_noises_off_the_clock_are_refused():
    with pytest.raises(ValueError, match="`noise` is 1.5"):
        grid(LINE)(1.5)


def test_grids_begin_at_the_noise():
    """Fixed times would take an observation for one at another noise."""
    fixed = jnp.linspace(2.0, 0.1, 9)
    observed = seen(grid=lambda noise: fixed, classify=at_no_noise)
    assert np.all(np.isfinite(run(observed, X, 2.0)))
    with pytest.raises(ValueError, match="begins at 2 for the noise 1"):
        observed.resample(KEY, X, 1.0)
    assert np.all(np.isnan(run(observed, X, 1.0)))
    lost = seen(grid=lambda noise: jnp.stack([noise, jnp.nan]), classify=at_no_noise)
    assert np.all(np.isnan(run(lost, X, 1.0)))


# What is refused


def test_missing_parts_are_named():
    learned = Learned(OU, ExactScore(LAW, OU))
    with pytest.raises(ValueError, match="`data` is left out"):
        SampledObserved(SDE, learned, grid(), at_no_noise)
    with pytest.raises(ValueError, match="`data` is a HeldOut without label"):
        SampledObserved(SDE, learned, grid(), data=HeldOut(LAW))
    own = lambda noise: log_snr_uniform(OU, noise, 0.1, 8)
    with pytest.raises(ValueError, match="`grid` has no `end`"):
        SampledObserved(SDE, learned, own, data=LAW)
    assert SampledObserved(SDE, learned, own, data=LAW, denoise=True).denoise


@pytest.mark.parametrize("other", [LINE, VarianceExploding(0.01, 40.0)])
def test_a_grid_of_another_clock_is_refused(other):
    with pytest.raises(ValueError, match="give both one process"):
        seen(process=VE, grid=grid(other))


def test_the_law_of_a_score_is_its_data():
    left_out = SampledObserved(SDE, ExactScore(LAW, OU), grid())
    for found, given in zip(left_out.start(KEY), seen().start(KEY), strict=True):
        np.testing.assert_array_equal(found, given)
    p, q = (o.label_probabilities(X) for o in (left_out, seen()))
    np.testing.assert_array_equal(p, q)


@pytest.mark.f32
@pytest.mark.slow
def test_without_64_bits():
    """1,024 U-turns, seed 0, in float32: z <= 4."""
    means = np.asarray(MEANS, np.float32)
    law = GaussianMixture.isotropic(means, np.float32(0.3), [0.5, 0.3, 0.2])
    observed = SampledObserved(SDE, ExactScore(law, OU), grid())
    noises = times_of(OU, count=4)
    found = confusion(observed, noises, num_replicas=1024)
    exact = confusion(Observed(law, Gaussian(OU)), noises)
    assert found.matrix.dtype.kind == "f"
    gap = np.abs(found.matrix - exact.matrix)
    assert np.all(gap < 4 * (found.stderr + 1 / 1024))
