"""Certificates of 150 random mixtures: lower bound <= truth <= U(T), everywhere."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.analysis import windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.targets import GaussianMixture

EPSILON = 0.1
TIMES = jnp.asarray(np.geomspace(0.05, 4.0, 6))
# (K, d) of laws whose labels depend on two numbers at most, and of others, with how
# many of them: a shape is compiled once, and then planes and many dimensions take long.
SMALL = {(2, 1): 21, (5, 1): 21, (8, 1): 21, (2, 2): 1, (4, 2): 1}
LARGE = {(2, 3): 40, (7, 4): 20, (4, 16): 20, (8, 64): 4}


def mixture(shape, seed):
    """Random weights, means and full covariances, and sets one inside the other."""
    count, d = shape
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(count, d, d)) / np.sqrt(d)
    scale = rng.uniform(0.3, 1.5, size=(count, 1, 1))
    covariances = scale * (factors @ np.swapaxes(factors, 1, 2) + 0.1 * np.eye(d))
    means = rng.normal(size=(count, d)) * rng.uniform(0.5, 4) / np.sqrt(d) * 2
    weights = rng.dirichlet(np.full(count, 2.0))
    law = GaussianMixture.full(means, covariances, weights)
    order = rng.permutation(count)
    target = order[: rng.integers(1, count + 1)]
    initial = target[: rng.integers(1, len(target) + 1)]
    return law, sorted(initial.tolist()), sorted(target.tolist())


def check_detailed_balance(confusion, law):
    weights, matrix = np.exp(np.asarray(law.log_weights)), np.asarray(confusion.matrix)
    flows = weights[None, :, None] * matrix
    assert np.max(np.abs(flows - np.swapaxes(flows, 1, 2))) < 1e-12
    assert np.max(np.abs(np.einsum("i,tij->tj", weights, matrix) - weights)) < 1e-12
    assert np.max(np.abs(matrix.sum(axis=2) - 1)) < 1e-12


def check_theorem(thresholds, truth, slack):
    """Inside its interval the theorem bounds the truth."""
    if thresholds.answer not in ("interval", "vacuous"):
        return 0
    low = float(thresholds.end.time)
    high = np.inf if thresholds.vacuous else float(thresholds.start.time)
    inside = (np.asarray(TIMES) >= low) & (np.asarray(TIMES) <= high)
    assert np.all((truth <= float(thresholds.bound) + slack)[inside])
    return int(inside.sum())


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("shape", SMALL)
def test_bounds_hold_where_the_truth_is_known(shape):
    """63 laws on lines and 2 on planes by quadrature everywhere."""
    for i in range(SMALL[shape]):
        law, initial, target = mixture(shape, 1000 * shape[0] + 10 * shape[1] + i)
        found = windows.certificate(law, initial, target, TIMES)
        closed = windows.certificate(law, initial, target, TIMES, closed=True)
        truth = windows.uturn_distance(law, initial, target, np.asarray(TIMES))
        error = np.asarray(truth.error) + np.asarray(found.error) + 1e-9
        assert np.all(np.asarray(truth.value) <= np.asarray(found.upper) + error)
        assert np.all(np.asarray(found.lower) <= np.asarray(truth.value) + error)
        # Pairs of components bound what sets of them do.
        assert np.all(np.asarray(found.upper) <= np.asarray(closed.upper) + error)
        thresholds = windows.thresholds(law, initial, target, EPSILON)
        check_theorem(thresholds, np.asarray(truth.value), error)
        confusion = windows.confusion(law, TIMES)
        assert confusion.method in ("closed", "quadrature")
        check_detailed_balance(confusion, law)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("shape", LARGE)
def test_bounds_hold_within_errors_of_sampling(shape):
    """84 laws of 4 shapes: 512 draws each, every comparison within z = 4."""
    for i in range(LARGE[shape]):
        law, initial, target = mixture(shape, 5000 + 100 * shape[0] + i)
        observed = Observed(law, Gaussian())
        noises = np.asarray(TIMES)
        found = windows.sampled_certificate(
            observed, initial, target, noises, num_replicas=512
        )
        truth = windows.uturn_distance(
            law, initial, target, noises, num_replicas=512, inner=32
        )
        error = 4 * np.hypot(truth.error, found.error) + 1e-9
        assert np.all(np.asarray(truth.lower) <= np.asarray(found.upper) + error)
        assert np.all(np.asarray(found.lower) <= np.asarray(truth.upper) + error)
        confusion = windows.confusion(law, TIMES, num_replicas=512)
        assert confusion.method == "sampled"
        check_detailed_balance(confusion, law)


@pytest.mark.slow
@pytest.mark.long
def test_tiers_agree_within_their_errors():
    """One law with quadrature and draws of everything: 16,384 draws, z <= 4."""
    law, initial, target = mixture((4, 2), 7)
    exact = windows.certificate(law, initial, target, TIMES)
    sampled = windows.sampled_certificate(
        Observed(law, Gaussian()),
        initial,
        target,
        np.asarray(TIMES),
        num_replicas=16384,
    )
    z = (np.asarray(sampled.upper) - np.asarray(exact.upper)) / np.asarray(
        sampled.error
    )
    assert np.all(np.abs(z) < 4)
    for kind in ("total_variation", "bhattacharyya", "hellinger", "kl"):
        known, drawn = (
            windows.distance(
                law, [0], [1, 2], TIMES, kind=kind, method=method, num_replicas=16384
            )
            for method in ("quadrature", "sampled")
        )
        error = np.hypot(known.error, drawn.error)
        assert np.all(np.abs(known.value - drawn.value) < 4 * error + 1e-9)
