"""General-class times measured on any law with exact labels."""

import jax.random as jr
import numpy as np
import pytest
from scipy.optimize import root_scalar

from jaxwin.analysis import speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.targets import GaussianMixture

CHANNEL = Gaussian()


@pytest.mark.slow
def test_measured_times_are_those_in_closed_form():
    # Three isotropic classes, 8,192 replicas, key 2.
    means = 3.0 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1.5, 0]])
    law = GaussianMixture.isotropic(
        means, np.array([0.3, 1.0, 0.6]), np.array([0.5, 0.2, 0.3])
    )
    exact = speciation.gaussian_general_times(law)
    times = np.linspace(0.1, 2.5, 15)
    found = speciation.measured_general_times(
        Observed(law, CHANNEL), times, key=jr.key(2)
    )
    np.testing.assert_array_equal(found.pair, exact.pair)
    assert bool(found.crossing.found.all())
    z = (found.crossing.time - exact.crossing.time) / found.crossing.stderr
    assert np.all(np.abs(z) < 4), z
    assert np.all(np.asarray(found.crossing.stderr) < 0.05)


@pytest.mark.slow
def test_measured_times_of_classes_of_many_components():
    # Classes +-1 and +-3 on a line: E[L] and sd(L) by quadrature.
    means = np.array([[1.0], [-1.0], [3.0], [-3.0]])
    law = GaussianMixture.isotropic(means, 0.1, labels=np.array([0, 0, 1, 1]))

    def excess(t: float, own: int) -> float:
        alpha, variance = np.exp(-t), 1 - 0.9 * np.exp(-2 * t)
        x = np.linspace(-16, 16, 4001)
        square = (x[None] - alpha * means) ** 2 / variance
        log_p = np.logaddexp.reduce(-square.reshape(2, 2, -1) / 2, axis=1)
        p = np.exp(log_p[own])
        p /= p.sum()
        ratio = log_p[own] - log_p[1 - own]
        mean = p @ ratio
        return mean - np.sqrt(p @ ratio**2 - mean**2)

    found = speciation.measured_general_times(
        Observed(law, CHANNEL), np.linspace(0.1, 2, 12), key=jr.key(3)
    )
    for side in range(2):
        gap = lambda t, s=side: excess(t, s)
        root = root_scalar(gap, bracket=(0.2, 1.9)).root
        z = (found.crossing.time[0, side] - root) / found.crossing.stderr[0, side]
        assert abs(float(z)) < 4
        assert float(found.crossing.stderr[0, side]) < 0.03
    # Equal classes never were apart: an answer.
    same = GaussianMixture.isotropic(np.zeros((2, 2)), 1.0)
    never = speciation.measured_general_times(
        Observed(same, CHANNEL), [0.1, 0.5, 1.0, 2.0], num_replicas=256
    )
    assert not bool(never.crossing.found.any())


def test_bad_arguments_are_named():
    law = GaussianMixture.isotropic(np.zeros((2, 2)), 1.0, np.array([1.0, 0.0]))
    observed = Observed(law, CHANNEL)
    with pytest.raises(ValueError, match="at least 4"):
        speciation.measured_general_times(observed, [1.0, 2.0])
    with pytest.raises(ValueError, match="label 1, which has no weight"):
        speciation.measured_general_times(observed, [0.5, 1, 2, 3], pairs=[[0, 1]])
