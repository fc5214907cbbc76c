"""Log-likelihoods by the flow and their variational bound, against exact densities."""

from functools import partial

import diffrax
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
    log_snr_uniform,
    uniform,
)
from jaxwin.processes._base import Prior
from jaxwin.samplers._elbo import elbo
from jaxwin.samplers._likelihood import log_likelihood, mean_of_draws, start_density
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import AbstractTarget, Empirical, GaussianMixture

OU = OrnsteinUhlenbeck()
KEY = jr.key(3)
# Clock, noisy end, clean end.
CLOCKS: dict[str, tuple[AbstractProcess, float, float]] = {
    "edm": (EDM(), 80.0, 0.01),
    "flow": (LinearInterpolant(), 1.0, 0.01),
    "ddpm": (DiscreteDDPM(), 999.0, 0.0),
    "ou": (OU, 5.0, 0.01),
    "ve": (VarianceExploding(0.01, 50.0), 1.0, 0.0),
    "vp": (VariancePreserving(0.1, 20.0), 1.0, 0.001),
    "cosine": (Cosine(), 1.0, 0.001),
}


def law_of(kind: str, d: int) -> GaussianMixture:
    rng = np.random.default_rng(d)
    means, weights = rng.normal(size=(3, d)), [0.5, 0.3, 0.2]
    if kind == "isotropic":
        return GaussianMixture.isotropic(means, [0.1, 0.3, 0.6], weights)
    if kind == "diagonal":
        return GaussianMixture.diagonal(means, rng.uniform(0.1, 0.6, (3, d)), weights)
    roots = rng.normal(size=(3, d, d)) / np.sqrt(d)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d)
    return GaussianMixture.full(means, covariances, weights)


class Exact(eqx.Module):
    """Log-density of the noised law at one time."""

    law: AbstractTarget
    alpha: jax.Array
    sigma: jax.Array

    def __call__(self, x):
        return self.law.log_density(x, self.alpha, self.sigma)


def exact(score: ExactScore, t: float) -> Exact:
    assert isinstance(score.target, AbstractTarget)
    process = score.process
    return Exact(score.target, process.alpha(t), process.sigma(t))


@eqx.filter_jit
def drawn(law, alpha, sigma, keys):
    clean = jax.vmap(law.sample)(keys)
    noise = jr.normal(jr.key(5), clean.shape)
    xs = (alpha * clean + sigma * noise).at[0].set(-1.5)
    return xs, jax.vmap(lambda x: law.log_density(x, alpha, sigma))(xs)


def some_points(score: ExactScore, t: float, count: int) -> tuple[jax.Array, jax.Array]:
    """Points of the noised law at t, the first no typical one; their log-densities."""
    alpha, sigma = score.process.alpha(t), score.process.sigma(t)
    return drawn(score.target, alpha, sigma, jr.split(KEY, count))


@eqx.filter_jit
def flows(score, xs, times, rtol=1e-9, **options):
    one = lambda x: log_likelihood(score, x, times, rtol=rtol, atol=rtol, **options)
    return jax.vmap(one)(xs)


@eqx.filter_jit
def bounds(score, xs, times, key=KEY, **options):
    one = lambda x, r: elbo(score, x, times, key, r, **options)
    return jax.vmap(one)(xs, jnp.arange(len(xs)))


# Every clock; every covariance and every dimension, and most of their pairs.
KINDS, DIMENSIONS = ("isotropic", "diagonal", "full"), (1, 2, 5)
CASES = [
    pytest.param(clock, KINDS[i % 3], DIMENSIONS[(i + i // 3) % 3], id=clock)
    for i, clock in enumerate(CLOCKS)
]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("clock", "kind", "d"), CASES)
def test_log_likelihood_is_the_log_density(clock, kind, d):
    process, start, end = CLOCKS[clock]
    score, times = ExactScore(law_of(kind, d), process), jnp.array([start, end])
    xs, truth = some_points(score, end, 4)
    # Without any signal the process's own prior is the exact law.
    prior = None if clock in ("flow", "cosine") else exact(score, start)
    found = flows(score, xs, times, prior=prior)
    np.testing.assert_allclose(found.value, truth, atol=2e-7)
    np.testing.assert_array_equal(found.stderr, 0.0)


def holds(score: ExactScore, times, tolerance: float, **options) -> bool:
    """Whether likelihoods of typical points are their exact log-densities."""
    end = float(times[-1])
    xs, truth = some_points(score, end, 4)
    gap = flows(score, xs, times, **options).value - truth
    return bool(jnp.all(jnp.abs(gap) < tolerance))


# What the signal that is left shifts, at most: alpha/sigma |x0|, a few times.
PRIOR = {"edm": 0.05, "ve": 0.08, "ou": 0.03, "ddpm": 0.03}


@pytest.mark.slow
def test_a_density_at_the_clean_end_outside_jit():
    score, times = ExactScore(law_of("isotropic", 2), OU), jnp.array([8.0, 0.0])
    found = log_likelihood(score, jnp.ones(2), times, rtol=1e-8, atol=1e-8)
    exact = law_of("isotropic", 2).log_density(jnp.ones(2), 1.0, 0.0)
    np.testing.assert_allclose(found.value, exact, atol=1e-3)


@pytest.mark.slow
def test_times_between_the_ends_are_checked_and_bounds_are_finite():
    score, x = ExactScore(law_of("isotropic", 2), OU), jnp.ones(2)
    with pytest.raises(ValueError, match="must decrease strictly"):
        log_likelihood(score, x, jnp.array([7.0, 9.0, 0.1]))
    for run in (partial(log_likelihood, score, x), partial(elbo, score, x, key=KEY)):
        with pytest.raises(ValueError, match="must lie between 0 and"):
            run(times=jnp.array([7.0, 1.0, -0.5]))
    times = jnp.array([7.0, 1.0, 0.5])
    with pytest.raises(ValueError, match="`x` is not finite"):
        elbo(score, jnp.full(2, jnp.nan), times, KEY)
    with pytest.raises(FloatingPointError, match="the bound is nan"):
        elbo(Undefined(OU), x, times, KEY)


class Undefined(AbstractScore):
    """NaN, found out when run."""

    process: AbstractProcess

    def __call__(self, x, t):
        return jnp.log(-1 - x**2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["diagonal", "kernel"])
def test_from_pure_noise_to_clean_data(kind):
    """u from 1, where f is infinite, to 0, where no score is defined by the mean."""
    points = np.random.default_rng(0).normal(size=(9, 4))
    law = Empirical(points, bandwidth=0.3) if kind == "kernel" else law_of(kind, 4)
    xs, exact = drawn(law, 1.0, 0.0, jr.split(KEY, 4))
    score = ExactScore(law, LinearInterpolant())
    found = flows(score, xs, jnp.array([1.0, 0.0]), 1e-8)
    np.testing.assert_allclose(found.value, exact, atol=1e-6)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "clock",
    some(["edm", "ve", "ou", "ddpm"], ["ve"]),
)
def test_the_prior_is_the_process_own(clock):
    process, start, end = CLOCKS[clock]
    score, times = ExactScore(law_of("isotropic", 2), process), jnp.array([start, end])
    own = start_density(score, times, None)
    assert holds(score, times, PRIOR[clock], prior=own)
    # The fault of a published library: N(0, I) on every clock.
    mis_scaled = holds(score, times, PRIOR[clock], prior=Prior(1.0).log_density)
    assert mis_scaled == (clock not in ("edm", "ve"))


@pytest.mark.parametrize(
    ("process", "start"),
    [
        (EDM(), 40.0),
        (OU, 1.0),
        (LinearInterpolant(), 0.9),
        (VarianceExploding(0.01, 50.0), 0.9),
        (DiscreteDDPM(), 500.0),
    ],
)
def test_a_prior_is_asked_for_before_the_noisy_end(process, start):
    score, x = ExactScore(law_of("isotropic", 2), process), jnp.ones(2)
    times = jnp.array([start, 0.5])
    for run in (
        lambda: log_likelihood(score, x, times),
        lambda: elbo(score, x, times, KEY),
    ):
        with pytest.raises(ValueError, match=r"or give `prior`, the log-density at"):
            run()


# Random directions


@pytest.mark.slow
def test_hutchinson_is_unbiased_and_its_error_calibrated():
    """400 keys of 4 directions, d = 5: mean within 4 standard errors of the truth.

    The mean square of the standard errors is the variance over keys within 4 of its own
    standard deviations, as measured over the keys.
    """
    score, times = ExactScore(law_of("full", 5), LinearInterpolant()), (0.999, 0.05)
    xs, densities = some_points(score, times[-1], 2)
    x, truth, prior = xs[1], float(densities[1]), exact(score, times[0])

    @eqx.filter_jit
    def run(keys):
        one = lambda key: log_likelihood(
            score,
            x,
            jnp.array(times),
            divergence="hutchinson",
            key=key,
            probes=4,
            prior=prior,
        )
        return jax.vmap(one)(keys)

    found = run(jr.split(KEY, 400))
    values, squares = np.asarray(found.value), np.asarray(found.stderr) ** 2
    spread = values.var(ddof=1)
    assert abs(values.mean() - truth) < 4 * np.sqrt(spread / 400)
    # Variances of both estimates of the variance, by their own samples.
    noise = np.hypot(squares.std(), ((values - values.mean()) ** 2).std()) / 20
    assert abs(squares.mean() - spread) < 4 * noise
    assert spread > 0.01
    assert found.method == "flow, 4 random directions"


def test_one_direction_knows_no_error():
    mean, stderr = mean_of_draws(jnp.array([2.0]))
    assert float(mean) == 2.0
    assert jnp.isinf(stderr)


# Any score, any solver; types; compilation


class Plain(AbstractScore):
    """A score that is not an ExactScore, and tells of its calls."""

    inner: AbstractScore
    process: AbstractProcess

    def __call__(self, x, t):
        jax.debug.callback(lambda: CALLS.append(1))
        return self.inner(x, t)


CALLS: list[int] = []


@pytest.mark.slow
def test_any_score_and_its_evaluations():
    score = ExactScore(law_of("isotropic", 2), OU)
    (xs, truth), times = some_points(score, 0.05, 2), jnp.array([5.0, 0.05])
    CALLS.clear()
    found = eqx.filter_jit(log_likelihood)(
        Plain(inner=score, process=OU), xs[1], times, prior=exact(score, 5.0)
    )
    jax.effects_barrier()
    assert float(found.value) == pytest.approx(float(truth[1]), abs=1e-3)
    assert int(found.evaluations) == len(CALLS)


@pytest.mark.slow
@pytest.mark.long
def test_steps_of_the_grid():
    score = ExactScore(law_of("isotropic", 2), OU)
    xs, truth = some_points(score, 0.05, 2)
    errors = []
    for n in (50, 100, 200):
        times = log_snr_uniform(OU, 5.0, 0.05, n)
        steps = {"solver": diffrax.Heun(), "controller": diffrax.StepTo(times[::-1])}
        found = flows(score, xs, times, prior=exact(score, 5.0), **steps)
        np.testing.assert_array_equal(found.evaluations, 2 * n)
        errors.append(float(jnp.abs(found.value - truth).max()))
    slope = np.polyfit(np.log([50, 100, 200]), np.log(errors), 1)[0]
    assert abs(slope + 2) < 0.1


@pytest.mark.slow
@pytest.mark.long
def test_gradient_is_the_score():
    score = ExactScore(law_of("isotropic", 2), OU)
    x = some_points(score, 0.05, 2)[0][1]
    value = lambda x: flows(
        score, x[None], jnp.array([5.0, 0.05]), prior=exact(score, 5.0)
    ).value[0]
    np.testing.assert_allclose(jax.grad(value)(x), score(x, 0.05), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["flow", pytest.param("bound", marks=pytest.mark.slow)]
)
def test_float32_and_new_values_do_not_recompile(kind):
    traced = []

    @eqx.filter_jit
    def run(score, x, times, key):
        traced.append(1)
        if kind == "flow":
            return log_likelihood(score, x, times)
        return elbo(score, x, times, key, draws=256)

    wide_bound = eqx.filter_jit(partial(elbo, draws=256))
    means = np.float32(np.random.default_rng(2).normal(size=(3, 2)))
    for i, end in enumerate([0.05, 0.1]):
        law = GaussianMixture.isotropic(means * (1 + i), np.float32(0.3 + i))
        wide = GaussianMixture.isotropic(np.float64(law.means), 0.3 + i)
        x, times = np.array([0.4, -0.3]), log_snr_uniform(OU, 8.0, end, 200)
        narrow = jnp.asarray(x, jnp.float32), jnp.asarray(times, jnp.float32)
        found = run(ExactScore(law, OU), *narrow, jr.key(i))
        assert found.value.dtype == found.stderr.dtype == jnp.float32
        if kind == "flow":
            truth = float(exact(ExactScore(wide, OU), end)(jnp.asarray(x)))
            assert float(found.value) == pytest.approx(truth, abs=2e-3)
        else:
            # The same draws in float64.
            score = ExactScore(wide, OU)
            truth = wide_bound(score, jnp.asarray(x), times, jr.key(i)).value
            assert float(found.value) == pytest.approx(float(truth), abs=5e-3)
    assert len(traced) == 1


def test_refused():
    score, x, times = ExactScore(law_of("isotropic", 2), OU), jnp.ones(2), (5.0, 0.1)
    grid = jnp.array(times)
    with pytest.raises(ValueError, match="`divergence` is 'none'; it must be one of"):
        log_likelihood(score, x, grid, divergence="none")
    with pytest.raises(ValueError, match="`key` is left out"):
        log_likelihood(score, x, grid, divergence="hutchinson")
    with pytest.raises(ValueError, match="`probes` is 0; it must be at least 1"):
        log_likelihood(score, x, grid, divergence="hutchinson", key=KEY, probes=0)
    with pytest.raises(ValueError, match="`times` must decrease strictly"):
        log_likelihood(score, x, grid[::-1], prior=exact(score, 0.1))
    with pytest.raises(ValueError, match="`times` must decrease strictly"):
        elbo(score, x, grid[::-1], KEY, prior=exact(score, 0.1))
    with pytest.raises(ValueError, match="at least 2 times"):
        elbo(score, x, grid[:1], KEY)
    with pytest.raises(ValueError, match="`draws` is 0; it must be at least 1"):
        elbo(score, x, grid, KEY, draws=0)


@pytest.mark.slow
def test_a_run_that_stops_early():
    score, xs = ExactScore(law_of("isotropic", 2), OU), jnp.ones((1, 2))
    times = jnp.array([5.0, 0.1])
    found = flows(score, xs, times, prior=exact(score, 5.0), max_steps=2, throw=False)
    assert jnp.all(jnp.isnan(found.value) & jnp.isnan(found.stderr) & ~found.solved)


# The variational bound


def bound_of_a_gaussian(process, times, x, mean, variance, std) -> float:
    """Expectation of the bound for N(mean, variance I), term by term from its kernels.

    The density of every move and of q are written as Gaussians in numpy; nothing is in
    log-SNR.
    """
    d, times = x.size, np.asarray(times)
    a, s2 = np.asarray(process.alpha(times)), np.asarray(process.sigma(times)) ** 2
    law_mean, law_var = a[-1] * mean, a[-1] ** 2 * variance + s2[-1]
    # The channel from x_e, and from each time to the next.
    seen = a / a[-1]
    noise = s2 - seen**2 * s2[-1]
    total = -0.5 * (
        d * (noise[0] / std**2 - 1 - np.log(noise[0] / std**2))
        + np.sum((seen[0] * x / std) ** 2)
    )
    for i in range(len(times) - 1):
        gain = law_var * seen[i] / (seen[i] ** 2 * law_var + noise[i])
        # E |x - m(x_t)|^2 over x_t given x.
        bias = (1 - gain * seen[i]) * (x - law_mean)
        missed = np.sum(bias**2) + d * gain**2 * noise[i]
        if i == len(times) - 2:
            width = noise[i] / seen[i] ** 2
            total -= 0.5 * (missed / width + d * np.log(2 * np.pi * width))
            continue
        step = a[i] / a[i + 1]
        fresh = s2[i] - step**2 * s2[i + 1]
        true_var = fresh * noise[i + 1] / noise[i]
        model_var = fresh * s2[i + 1] / s2[i]
        # Mean of x_s given (x_t, x_e) moves by this times the error in x_e.
        lever = seen[i + 1] * fresh / noise[i]
        r = true_var / model_var
        total -= 0.5 * (lever**2 * missed / model_var + d * (r - 1 - np.log(r)))
    return total


MEAN, VARIANCE = np.array([0.5, -1.0]), 0.25
GAUSS = GaussianMixture.isotropic([[0.5, -1.0]], VARIANCE)
GRIDS: dict[str, tuple[AbstractProcess, np.ndarray]] = {
    "ou": (OU, np.asarray(log_snr_uniform(OU, 5.0, 0.01, 40))),
    # Where the prior is far from the law: its part of the bound is large.
    "ou-early": (OU, np.asarray(log_snr_uniform(OU, 0.7, 0.01, 40))),
    "edm": (EDM(), np.append(np.geomspace(80.0, 0.05, 40), 0.0)),
    "flow": (LinearInterpolant(), np.asarray(uniform(LinearInterpolant(), 1, 0, 40))),
    "ddpm": (DiscreteDDPM(), np.append(np.linspace(999.0, 9.0, 34), 2.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "clock",
    [
        "ou",
        "ou-early",
        "flow",
        *(pytest.param(c, marks=pytest.mark.slow) for c in ("edm", "ddpm")),
    ],
)
def test_bound_of_a_gaussian(clock):
    """16,384 draws, key 3: within 4 standard errors of the closed form."""
    process, times = GRIDS[clock]
    x, std = np.array([1.3, 0.2]), float(process.prior().std)
    if clock == "flow":
        # The closed form has no limit at alpha = 0.
        times = np.append(1 - 1e-7, times[1:])
    expected = bound_of_a_gaussian(process, times, x, MEAN, VARIANCE, std)
    xs, grid = jnp.tile(jnp.asarray(x), (64, 1)), jnp.asarray(times)
    score = ExactScore(GAUSS, process)
    found = bounds(score, xs, grid, draws=256)
    error = float(jnp.sqrt(jnp.mean(found.stderr**2) / 64))
    assert abs(float(found.value.mean()) - expected) < 4 * error
    assert error < 0.1
    # Standard errors are those of the replicas: 64 of them, to 4 standard deviations.
    assert abs(float(found.value.std() / (8 * error)) - 1) < 4 / np.sqrt(128)
    np.testing.assert_array_equal(found.evaluations, 256 * (times.size - 1))


@pytest.mark.slow
def test_the_bound_of_a_score_without_denoiser():
    """The same estimates, by Tweedie's formula."""
    process, times = GRIDS["ou"]
    score, xs = ExactScore(GAUSS, process), jnp.tile(jnp.array([1.3, 0.2]), (8, 1))
    found = bounds(score, xs, jnp.asarray(times), draws=64)
    plain = Plain(inner=score, process=process)
    other = bounds(plain, xs, jnp.asarray(times), draws=64)
    np.testing.assert_allclose(other.value, found.value, rtol=1e-9)


@pytest.mark.slow
def test_the_bound_with_a_given_prior():
    """E log N(x_T; 0, 1) + entropy, by draws: 512 of them, key 3, 4 standard errors."""
    process, times = GRIDS["ou"]
    score, xs = ExactScore(GAUSS, process), jnp.tile(jnp.array([1.3, 0.2]), (8, 1))
    found = bounds(score, xs, jnp.asarray(times), draws=64)
    prior = process.prior().log_density
    drawn = bounds(score, xs, jnp.asarray(times), draws=64, prior=prior)
    # What remains is the noise of d/2 - |x_T|^2/2, of variance d/2.
    gap = np.asarray(drawn.value - found.value)
    assert abs(gap.mean()) < 4 / np.sqrt(8 * 64)
    assert np.all(np.abs(gap) > 1e-6)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("clock", ["ou", pytest.param("ddpm", marks=pytest.mark.slow)])
def test_bound_stays_below(clock):
    """1,000 points of a mixture, key 3: the mean gap is negative, and not by much.

    Equal steps of log-SNR, since one by log r costs up to d (r - 1 - log r) / 2.
    """
    process, (start, *_, end) = GRIDS[clock]
    times = log_snr_uniform(process, start, end, 40)
    score = ExactScore(law_of("diagonal", 2), process)
    xs, truth = some_points(score, float(end), 1001)
    found = bounds(score, xs[1:], times, draws=4)
    gap = np.asarray(found.value - truth[1:])
    error = gap.std() / np.sqrt(gap.size)
    assert -2 < gap.mean() < -4 * error
