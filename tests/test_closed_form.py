"""Phi in closed form wherever a mixture has it, against measured soft labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batteries import some

from jaxwin.analysis import known_crossing, speciation
from jaxwin.analysis.information import measured_class_information
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

TIMES = jnp.linspace(0.1, 2.5, 9)
MEANS = np.array([[1.0, 0.5, 0.0], [-1.0, 1.0, 2.0]])
COVARIANCE = np.array([[1.0, 0.4, 0.1], [0.4, 0.8, 0.0], [0.1, 0.0, 0.3]])
WEIGHTS = [0.3, 0.7]
LAWS = {
    "isotropic": GaussianMixture.isotropic(MEANS, 0.4, WEIGHTS),
    "diagonal": GaussianMixture.diagonal(MEANS, [1.0, 0.2, 0.5], WEIGHTS),
    "full": GaussianMixture.full(MEANS, COVARIANCE, WEIGHTS),
    "low rank": GaussianMixture.low_rank(MEANS, [[1.0], [0.5], [2.0]], 0.2, WEIGHTS),
    "covariances": GaussianMixture.isotropic(np.zeros((2, 9)), [0.3, 2.5], WEIGHTS),
    "modes": GaussianMixture.isotropic(1.5 * np.eye(4, 5), 0.3, [0.1, 0.2, 0.3, 0.4]),
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", some(LAWS, ["full", "modes"]))
def test_curve_is_what_is_measured(name):
    law = LAWS[name]
    curve = speciation.closed_form(law, TIMES)
    assert curve is not None
    found = speciation.clone_agreement(Observed(law, Gaussian()), TIMES)
    z = (found.phi - np.asarray(curve)) / found.stderr
    # 9 correlated points of one curve, 8,192 draws, seed 0.
    assert np.abs(z).max() < 4, z
    # Not by wide errors alone.
    assert found.stderr.max() < 0.005


@pytest.mark.slow
def test_labels_may_be_swapped():
    law = GaussianMixture.isotropic(MEANS, 0.4, WEIGHTS, labels=[1, 0])
    curves = [speciation.closed_form(one, TIMES) for one in (law, LAWS["isotropic"])]
    np.testing.assert_allclose(*map(np.asarray, curves), rtol=1e-14)


OTHERS = {
    "two covariances": GaussianMixture.isotropic(MEANS, [0.4, 0.5]),
    "unequal distances": GaussianMixture.isotropic([[0.0], [1.0], [3.0]], 0.4),
    "grouped": GaussianMixture.isotropic(np.eye(3), 0.4, labels=[0, 1, 1]),
    "one class": GaussianMixture.isotropic([[1.0]], 0.4),
    "an empty class": GaussianMixture.isotropic(np.eye(3), 0.4, [0.5, 0.5, 0.0]),
    "diagonal about one mean": GaussianMixture.diagonal(
        np.zeros((2, 2)), [[1.0, 2.0], [2.0, 1.0]]
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_mixtures_have_none(name):
    assert speciation.closed_form(OTHERS[name], TIMES) is None


def test_traced_mixture_is_refused():
    with pytest.raises(ValueError, match="`law` must be concrete"):
        jax.eval_shape(lambda law: speciation.closed_form(law, TIMES), LAWS["full"])


def test_crossing_of_a_known_curve():
    times = np.linspace(0.0, 3.0, 301)
    found = known_crossing(times, np.exp(-times), 0.25)
    np.testing.assert_allclose(found.time, np.log(4), atol=1e-9)
    assert float(found.stderr) == 0.0
    none = known_crossing(times, np.exp(-times), 2.0)
    assert not bool(none.found)
    assert str(none) == "not reached in [0, 3]"


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_times_cover_all_that_is_decided(scale):
    """From phi = 1 down to chance, and little beyond; a scale shifts the range."""
    law = GaussianMixture.isotropic(scale * np.array([[1.0], [-1.0]]), 1e-6 * scale**2)
    observed = Observed(law, Gaussian())
    times = speciation.decided_times(observed)
    ends = np.array([times[0], times[-1]])
    curve = speciation.closed_form(law, jnp.asarray(ends))
    assert curve is not None
    assert curve[0] > 0.99
    assert curve[1] < 0.51
    log_snr = OrnsteinUhlenbeck().log_snr(jnp.asarray(ends))
    assert float(log_snr[0] - log_snr[1]) < 15
    assert times.size == 64
    assert np.all(np.diff(times) > 0)


@pytest.mark.slow
def test_times_where_nothing_is_decided_are_the_whole_clock():
    law = GaussianMixture.isotropic([[0.0], [0.0]], 1.0)
    times = speciation.decided_times(Observed(law, Gaussian()), 8)
    log_snr = OrnsteinUhlenbeck().log_snr(jnp.asarray(times[[0, -1]]))
    np.testing.assert_allclose(log_snr, [80, -80], rtol=1e-6)


@pytest.mark.slow
def test_measured_information_is_the_closed_form():
    law, weight = LAWS["isotropic"], WEIGHTS[0]
    found = measured_class_information(Observed(law, Gaussian()), TIMES)
    apart = float(np.linalg.norm(MEANS[0] - MEANS[1]))
    alphas, sigmas = OrnsteinUhlenbeck().levels(TIMES)
    expected = np.array(
        [
            speciation.class_information(
                speciation.separation(apart, 0.4, alpha, sigma), weight
            )
            for alpha, sigma in zip(alphas, sigmas, strict=True)
        ]
    )
    z = (found.information - expected) / found.stderr
    # 8,192 draws, seed 0; entropies are averaged, hence the small errors.
    assert np.abs(z).max() < 4, z
    assert found.stderr.max() < 0.005
    np.testing.assert_allclose(found.entropy, -np.sum(WEIGHTS * np.log(WEIGHTS)))
