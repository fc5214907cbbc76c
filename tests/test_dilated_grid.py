"""Dilated time: the grid, and the mode weights and widths that Euler's flow makes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from jaxwin.analysis.integrators import mode_weight_error
from jaxwin.processes import (
    EDM,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    dilated,
    uniform,
)
from jaxwin.samplers import EulerFlow, sample
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

LINE, OU = LinearInterpolant(), OrnsteinUhlenbeck()
EDM_TIMES = uniform(EDM(), 80.0, 0.0, 8)
MU, VARIANCE, WEIGHT = 1.0, 0.25, 0.8
# Steps, share in the + class: uniform and dilated, theory 5.22.
AT_1E4 = [
    (16, 0.99998, 0.86454),
    (64, 0.90724, 0.81419),
    (256, 0.82268, 0.80344),
    (1024, 0.80541, 0.80085),
]
AT_1E6 = [(16, 1.0, 0.86368), (64, 1.0, 0.81404), (256, 0.9942, 0.80341)]


def stretched(dimension, steps, kappa=8.0, share=0.5):
    until = 1 - kappa / dimension**0.5
    return dilated(LINE, 1.0, 0.0, steps, until=until, share=share)


def modes(dimension, times, process=LINE, unit=1.0):
    """Two modes at +-mu sqrt(d), in other units of length."""
    separation = MU * dimension**0.5 / unit
    return mode_weight_error(process, times, separation, VARIANCE / unit**2, WEIGHT)


@pytest.mark.parametrize(
    ("process", "start", "until", "end", "steps", "share"),
    [
        (LINE, 1.0, 0.92, 0.0, 16, 0.5),
        (OU, 6.0, 4.0, 1e-3, 7, 0.3),
        (VarianceExploding(0.01, 50.0), 1.0, 0.2, 0.0, 2, 0.9),
        (DiscreteDDPM(), 999, 800, -1, 5, 0.01),
    ],
)
def test_dilated_is_two_uniform_grids(process, start, until, end, steps, share):
    times = dilated(process, start, end, steps, until=until, share=share)
    taken = min(max(round(share * steps), 1), steps - 1)
    assert times.shape == (steps + 1,)
    np.testing.assert_allclose(
        times[: taken + 1], np.linspace(start, until, taken + 1), rtol=1e-13
    )
    np.testing.assert_allclose(
        times[taken:], np.linspace(until, end, steps - taken + 1), rtol=1e-13
    )
    assert (float(times[0]), float(times[-1])) == (start, end)


def test_dilated_keeps_the_dtype_and_traces():
    times = dilated(LINE, jnp.float32(1.0), 0.0, 8, until=0.9)
    assert times.dtype == jnp.float32
    traced = jax.jit(lambda u: dilated(LINE, 1.0, 0.0, 8, until=u))(0.9)
    np.testing.assert_allclose(traced, times, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.0, 1, 0.5, 0.5), "`steps` is 1"),
        ((1.0, 0.0, 4, 1.0, 0.5), "`until` is 1"),
        ((1.0, 0.0, 4, -0.1, 0.5), "`until` is -0.1"),
        ((1.0, 0.0, 4, np.nan, 0.5), "`until` is nan"),
        ((1.0, 0.0, 4, 0.5, 1.0), "`share` is 1"),
        ((1.0, 0.0, 4, 0.5, np.nan), "`share` is nan"),
        ((1.1, 0.0, 4, 0.5, 0.5), "on this clock"),
    ],
)
def test_bad_dilated_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        dilated(LINE, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "plain", "stretch"), AT_1E4)
def test_mode_weights_of_the_reference_table(steps, plain, stretch):
    for share, times in (
        (plain, uniform(LINE, 1.0, 0.0, steps)),
        (stretch, stretched(1e4, steps)),
    ):
        found = modes(1e4, times)
        # 0.6 of the last digit printed.
        np.testing.assert_allclose(found.share, share, atol=6e-6)
        assert bool(found.monotone)


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "plain", "stretch"), AT_1E6)
def test_dilated_errors_do_not_grow_with_the_dimension(steps, plain, stretch):
    found = modes(1e6, uniform(LINE, 1.0, 0.0, steps))
    np.testing.assert_allclose(found.share, plain, atol=6e-5)
    found = modes(1e6, stretched(1e6, steps))
    np.testing.assert_allclose(found.share, stretch, atol=6e-6)
    further = modes(1e10, stretched(1e10, steps))
    np.testing.assert_allclose(further.weight_error, found.weight_error, rtol=2e-3)


@pytest.mark.slow
def test_map_is_that_of_euler_flow():
    """Starts on either side of the separatrix, moved by the sampler itself."""
    times = jnp.linspace(0.97, 0.0, 24)
    found = modes(400.0, times)
    law = GaussianMixture.isotropic(
        jnp.array([[20.0], [-20.0]]), VARIANCE, [WEIGHT, 1 - WEIGHT]
    )
    score, key = ExactScore(law, LINE), jax.random.key(0)
    ends = jax.jit(
        jax.vmap(lambda x: sample(EulerFlow(), score, x[None], times, key)[0])
    )
    middle, share = float(found.separatrix), float(found.share)
    nearby = ends(middle + jnp.array([1e-7, -1e-7]))
    assert nearby[0] > 0 > nearby[1]
    # Share, means and variances by another quadrature, Simpson's rule in the logarithm
    # of the distance to the separatrix, over the exact law at the first time.
    std = np.sqrt(0.03**2 * VARIANCE + 0.97**2)
    distance = np.geomspace(1e-10, 12.0, 4001)
    for mode, (sign, mass) in enumerate([(1, share), (-1, 1 - share)]):
        x = middle + sign * distance
        density = WEIGHT * scipy.stats.norm.pdf(x, 20 * 0.03, std)
        density += (1 - WEIGHT) * scipy.stats.norm.pdf(x, -20 * 0.03, std)
        density *= distance  # dx = x d log x
        integral = partial(scipy.integrate.simpson, x=np.log(distance))
        end = np.asarray(ends(jnp.asarray(x)))
        total = integral(density)
        mean = integral(density * end) / total
        variance = integral(density * (end - mean) ** 2) / total
        np.testing.assert_allclose(total, mass, rtol=1e-7)
        np.testing.assert_allclose(mean, found.mean[mode], rtol=1e-7)
        np.testing.assert_allclose(variance, found.variance[mode], rtol=1e-6)


def test_width_across_is_that_of_euler_flow():
    times = jnp.linspace(1.5, 0.02, 9)
    law = GaussianMixture.isotropic(jnp.zeros((1, 1)), VARIANCE)
    end = sample(
        EulerFlow(), ExactScore(law, OU), jnp.ones(1), times, jax.random.key(0)
    )
    start = np.exp(-3.0) * VARIANCE - np.expm1(-3.0)
    found = mode_weight_error(OU, times, 3.0, VARIANCE, WEIGHT)
    np.testing.assert_allclose(found.across, end[0] ** 2 * start, rtol=1e-12)


def test_fine_grids_make_the_law():
    found = modes(100.0, stretched(100.0, 4096, kappa=4.0))
    np.testing.assert_allclose(found.weight_error, 0, atol=3e-4)
    np.testing.assert_allclose(found.mean, [10, -10], atol=5e-3)
    np.testing.assert_allclose(found.variance, VARIANCE, rtol=5e-3)
    np.testing.assert_allclose(found.across, VARIANCE, rtol=2e-3)


def test_uniform_keeps_widths_or_weights_and_dilated_both():
    """Aranguri et al.: noise of unit width (VP) against width sqrt(d) (VE)."""
    dimension, steps = 1e6, 64
    # The straight path from noise of width sqrt(d): the same in units of sqrt(d).
    line, unit = uniform(LINE, 1.0, 0.0, steps), dimension**0.5
    preserving = modes(dimension, line)
    exploding = modes(dimension, line, unit=unit)
    both = modes(dimension, stretched(dimension, steps))
    weight = lambda found: abs(float(found.weight_error))
    width = lambda found, unit=1.0: float(found.across) * unit**2 / VARIANCE
    assert weight(preserving) > 0.19
    assert 0.9 < width(preserving) < 1.1
    assert weight(exploding) < 0.01
    assert width(exploding, unit) < 0.01
    assert weight(both) < 0.015
    assert 0.9 < width(both) < 1.1


@pytest.mark.slow
def test_gradients_are_finite_differences():
    line, values = uniform(LINE, 1.0, 0.0, 16), jnp.array([20.0, VARIANCE, WEIGHT])

    @jax.jit
    def observed(values):
        found = mode_weight_error(LINE, line, *values)
        return jnp.stack([found.share, found.variance[1], found.across])

    slopes = jax.jit(jax.jacrev(observed))(values)
    for at, step in enumerate(1e-4 * np.diag(values)):
        moved = observed(values + step) - observed(values - step)
        expected = moved / (2 * step[at])
        np.testing.assert_allclose(slopes[:, at], expected, rtol=1e-5, atol=1e-9)


def test_a_mode_without_endpoints_has_no_mean():
    # One step from pure noise ends at the mean of all data.
    found = mode_weight_error(LINE, jnp.array([1.0, 0.0]), 5.0, VARIANCE, WEIGHT)
    np.testing.assert_allclose(found.share, 1, rtol=1e-12)
    np.testing.assert_allclose(found.mean[0], 3.0, rtol=1e-12)


def test_a_map_that_folds_is_flagged():
    process = VarianceExploding(0.01, 50.0)
    # A step across many factors of the noise overshoots.
    times = uniform(process, 1.0, 0.0, 2)
    assert not bool(mode_weight_error(process, times, 3.0, VARIANCE, WEIGHT).monotone)
    assert bool(mode_weight_error(EDM(), EDM_TIMES, 3.0, VARIANCE, WEIGHT).monotone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((jnp.array([1.0, 0.0]), 0.0, 1.0, 0.5), "`separation`"),
        ((jnp.array([1.0, 0.0]), 1.0, 0.0, 0.5), "`variance`"),
        ((jnp.array([1.0, 0.0]), 1.0, 1.0, 1.0), "`weight`"),
        ((jnp.array([1.0, 0.0]), 1.0, 1.0, np.nan), "`weight`"),
        ((jnp.array([1.0]), 1.0, 1.0, 0.5), "at least 2"),
        ((jnp.array([0.0, 1.0]), 1.0, 1.0, 0.5), "decrease"),
        ((jnp.array([1.2, 0.0]), 1.0, 1.0, 0.5), "stay between"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mode_weight_error(LINE, *arguments)
