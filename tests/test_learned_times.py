"""Times read off networks that are trained here, beside the exact ones."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis import comparison, speciation, symmetry
from jaxwin.learned import LogNormal, Network, Training, train
from jaxwin.processes import OrnsteinUhlenbeck, VariancePreserving
from jaxwin.samplers import DPMSolverPP
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

pytestmark = [pytest.mark.slow, pytest.mark.long]
CLOCK = OrnsteinUhlenbeck()


def trained(law, width, steps):
    sizes = Network(kind="mlp", dimension=law.dimension, width=width, depth=2)
    how = Training(num_steps=steps, batch_size=512, learning_rate=3e-3)
    with jax.numpy_dtype_promotion("standard"):
        return train(law, sizes, how, levels=LogNormal(0.0)).denoiser


def test_critical_time_of_two_deltas():
    """theta_c within 2 % of 0.643594; the two clusters are not quite images any more.

    What is a pitchfork of the law is a pair of first-order transitions of a network
    that is symmetric but for its errors; both are where the law breaks.
    """
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    process = VariancePreserving(0.1, 20.0)
    denoiser = trained(law, 64, 2000)
    found = symmetry.critical_times(denoiser, process, dimension=1, starts=8)
    theta = np.asarray(process.alpha(jnp.asarray(found.transitions.time.time)))
    assert theta.size
    np.testing.assert_allclose(theta, 0.643594, rtol=0.02)


def test_clone_agreement_of_two_modes():
    """d = 16: phi = 0.775 within 0.05 of its exact time; errors by noise level."""
    law = GaussianMixture.isotropic([np.ones(16), -np.ones(16)], 1.0)
    denoiser = trained(law, 128, 3000)
    times = np.linspace(0.6, 2.2, 6)
    exact = float(speciation.times(law).curvature.time)
    end = 0.02

    def crossing(one):
        levels = CLOCK.levels(end, jnp.float64)
        return speciation.simulated_agreement(
            DPMSolverPP(2, stochastic=True),
            ExactScore(one, CLOCK),
            times,
            4096,
            jr.key(0),
            num_steps=24,
            end=end,
            draw=law.sample,
            classify=eqx.Partial(_classes, law, levels),
            reduce=False,
        )

    learned = crossing(denoiser)
    assert bool(learned.crossing.found)
    assert abs(float(learned.crossing.time) - exact) < 0.05
    assert float(learned.crossing.stderr) < 0.02
    errors = comparison.denoiser_errors(
        denoiser, {"population": law}, np.linspace(-8, 6, 15), num_replicas=1024
    )
    # Of the variance that is left at each noise, at most 2 % more is lost.
    assert np.all(errors.error[0] < 0.02 * errors.optimal_loss[0])
    assert errors.path[0, -1] < 0.1


def _classes(law, levels, score, x, t):
    return jnp.exp(law.label_log_posterior(x, *levels))
