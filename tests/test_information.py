"""Information about class and point: closed forms of two Gaussian classes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.optimize import root_scalar

from jaxwin.analysis import information, speciation
from jaxwin.execution import run
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
DISTANCE, VARIANCE = 3.0, 0.25
closed = jax.jit(jax.vmap(speciation.class_information, in_axes=(0, None)))


def clock(coordinate):
    return OU.time(-coordinate)


def coordinate_of(times):
    return -np.asarray(OU.log_snr(jnp.asarray(times)))


def exact(times, weight):
    """I(c; x_t) of two classes `DISTANCE` apart."""
    levels = OU.levels(jnp.atleast_1d(times))
    r = jax.vmap(lambda a, s: speciation.separation(DISTANCE, VARIANCE, a, s))(*levels)
    return np.asarray(closed(r, weight))


def entropy(weight):
    return -weight * np.log(weight) - (1 - weight) * np.log(1 - weight)


def read(block_loss, counts, times, log_prior):
    return information.class_information(
        block_loss, counts, coordinate_of(times), times, log_prior, clock
    )


@pytest.mark.parametrize("weight", [0.5, 0.85])
def test_interval_of_an_exact_curve(weight):
    times = np.geomspace(0.01, 4, 60)
    loss = entropy(weight) - exact(times, weight)
    found = read(np.stack([loss] * 4), np.ones(4), times, np.log([weight, 1 - weight]))
    np.testing.assert_allclose(found.entropy, entropy(weight), rtol=1e-14)
    np.testing.assert_allclose(found.information, exact(times, weight), atol=1e-13)
    np.testing.assert_allclose(found.stderr, 0, atol=1e-14)
    for crossing, share in ((found.low, 0.95), (found.high, 0.05)):
        gap = lambda t, s=share: exact(t, weight)[0] - s * entropy(weight)
        root = root_scalar(gap, bracket=(0.01, 4)).root
        np.testing.assert_allclose(crossing.time, root, rtol=1e-3)
    assert found.low.time < found.high.time


def own_loss(law, alphas, sigmas, key, replica):
    label, log_posterior = law.soft_labels(jr.fold_in(key, replica), alphas, sigmas)
    return -log_posterior[:, label]


@pytest.mark.slow
def test_measured_loss_agrees_with_the_closed_form():
    times = np.geomspace(0.02, 3, 24)
    means, weight = [[0.0, 0.0], [DISTANCE, 0.0]], 0.7
    law = GaussianMixture.isotropic(means, [VARIANCE] * 2, [weight, 1 - weight])
    replica = eqx.Partial(own_loss, law, *OU.levels(jnp.asarray(times)))
    losses = run(replica, 8192, jr.key(3))
    found = read(losses.block_means, losses.block_counts, times, law.log_label_prior())
    z = (found.information - exact(times, weight)) / found.stderr
    assert np.abs(z).max() < 4
    # The spread of block means against that of replicas.
    np.testing.assert_allclose(found.stderr, losses.stderr, rtol=0.3)
    gap = lambda t: exact(t, weight)[0] - 0.95 * entropy(weight)
    low = root_scalar(gap, bracket=(0.02, 3)).root
    assert float(found.low.low) <= low <= float(found.low.high)


def test_one_class_has_no_interval():
    times = np.geomspace(0.1, 2, 6)
    found = read(np.zeros((4, 6)), np.ones(4), times, np.log([1.0]))
    assert found.entropy == 0
    assert not found.low.found
    assert not found.high.found


def test_absent_classes_do_not_count():
    times = np.geomspace(0.1, 2, 6)
    log_prior = np.array([np.log(0.5), -np.inf, np.log(0.5)])
    found = read(np.zeros((4, 6)), np.ones(4), times, log_prior)
    np.testing.assert_allclose(found.entropy, np.log(2), rtol=1e-15)


def test_blocks_count_by_their_size():
    times = np.geomspace(0.1, 2, 5)
    losses = np.array([[0.1] * 5, [0.5] * 5])
    found = read(losses, np.array([3, 1]), times, np.log([0.5, 0.5]))
    np.testing.assert_allclose(found.information, np.log(2) - 0.2, rtol=1e-14)


def test_result_is_written():
    times = np.geomspace(0.01, 4, 30)
    loss = entropy(0.5) - exact(times, 0.5)
    found = read(np.stack([loss] * 4), np.ones(4), times, np.log([0.5, 0.5]))
    assert to_dataset(found)["information"].dims == ("noise",)
    assert to_json(found)["low"]["found"] is True


def test_information_about_the_point():
    # Two points are two classes, and L = -(2 r^2 + 2 r z) for the draw of one of them.
    r, (nodes, weights) = 0.8, np.polynomial.hermite_e.hermegauss(60)
    mean = weights @ np.logaddexp(0, -2 * r**2 - 2 * r * nodes) / weights.sum()
    found = information.mutual_information(np.array([0.0, mean, np.log(2)]), 2)
    expected = [np.log(2), float(speciation.class_information(r)), 0]
    np.testing.assert_allclose(found, expected, atol=1e-10)
