"""Averages over backward runs: reduced and full runs agree, labels are the law's."""

from functools import partial

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck, log_snr_uniform
from jaxwin.samplers import EulerFlow, EulerMaruyama, simulate
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
RNG = np.random.default_rng(0)
MEANS = 2 * RNG.normal(size=(3, 40)) / np.sqrt(40) + 0.5
LAW = GaussianMixture.isotropic(MEANS, 0.3, [0.5, 0.3, 0.2])
SCORE = ExactScore(LAW, OU)
TIMES = log_snr_uniform(OU, 2.0, 0.1, 12)


@pytest.mark.slow
@pytest.mark.long
def test_labels_of_reduced_and_full_runs():
    """4,096 replicas each, independent noise: 4 combined standard errors."""
    full = simulate(EulerMaruyama(), SCORE, TIMES, 4096, jr.key(0), reduce=False)
    less = simulate(EulerMaruyama(), SCORE, TIMES, 4096, jr.key(1))
    assert (full.dimension, less.dimension) == (40, 2)
    assert (full.saving, less.saving) == (1, 20)
    assert full.evaluations == less.evaluations == 12
    assert full.method == "EulerMaruyama, 12 steps"
    assert less.method == "EulerMaruyama, 12 steps, exact reduction"
    gap = full.estimate.mean - less.estimate.mean
    error = np.hypot(full.estimate.stderr, less.estimate.stderr)
    assert np.all(np.abs(gap) < 4 * error)
    np.testing.assert_allclose(less.estimate.mean.sum(), 1, rtol=1e-12)


def second_moments(score, x, t):
    """Projections on a mean, and on a direction outside the means."""
    assert score.target.dimension == x.size
    outside = x @ jnp.asarray(OUTSIDE)
    along = x @ jnp.asarray(MEANS[0])
    return jnp.stack([along, along**2, outside, outside**2, x @ x])


OUTSIDE = np.linalg.svd(MEANS - MEANS.mean(0))[2][-1]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("step", [EulerMaruyama(), EulerFlow()], ids=["EM", "flow"])
def test_lifted_points_have_the_law_of_the_full_run(step):
    """8,192 replicas each: first and second moments within 4 combined errors."""
    measure = partial(simulate, step, SCORE, TIMES, 8192, observable=second_moments)
    full = measure(jr.key(2), reduce=False)
    less = measure(jr.key(3))
    assert less.saving == 20
    gap = full.estimate.mean - less.estimate.mean
    error = np.hypot(full.estimate.stderr, less.estimate.stderr)
    assert np.all(np.abs(gap) < 4 * error)


@pytest.mark.slow
@pytest.mark.long
def test_one_replica_is_that_of_the_block():
    from jaxwin.samplers import reduce_scheme
    from jaxwin.samplers._simulate import _Backward

    for scheme in (None, reduce_scheme(EulerMaruyama(), SCORE, TIMES)):
        replica = _Backward(
            EulerMaruyama(), SCORE, TIMES, scheme, second_moments, None, True
        )
        together = eqx.filter_jit(replica.many)(jr.key(4), jnp.arange(4, 8))
        each = [eqx.filter_jit(replica)(jr.key(4), jnp.asarray(i)) for i in range(4, 8)]
        np.testing.assert_allclose(together, np.stack(each), rtol=1e-11)


@pytest.mark.slow
def test_a_start_of_your_own_is_not_reduced():
    start = lambda key: jnp.zeros(40)
    found = simulate(EulerFlow(), SCORE, TIMES, 4, jr.key(0), start=start, block_size=2)
    assert (found.dimension, found.saving) == (40, 1)
    # All replicas are the same deterministic path.
    assert np.all(found.estimate.stderr < 1e-12)


def test_a_score_without_a_law_needs_a_start():
    class Linear(AbstractScore):
        process: AbstractProcess

        def __call__(self, x, t):
            return -x

    with pytest.raises(ValueError, match="`start` is left out"):
        simulate(EulerFlow(), Linear(OU), TIMES, 4, jr.key(0))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (TIMES[:1], "at least 2 times"),
        (TIMES[::-1], "decrease strictly"),
    ],
)
def test_times_that_cannot_be(times, message):
    with pytest.raises(ValueError, match=message):
        simulate(EulerMaruyama(), SCORE, times, 4, jr.key(0))
    with pytest.raises(ValueError, match="at least 1"):
        simulate(EulerMaruyama(), SCORE, TIMES, 4, jr.key(0), block_size=0)
