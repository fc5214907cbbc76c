"""Samples of a denoiser, and what is said of samples, against NumPy and a law."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin._checks import BadInput
from jaxwin.analysis import comparison
from jaxwin.targets import GaussianMixture

DRAWS = np.random.default_rng(0)
TRAIN = DRAWS.normal(size=(40, 3))
UNSEEN = DRAWS.normal(size=(30, 3))
SAMPLES = DRAWS.normal(size=(50, 3)) + 0.5
WEIGHTS = DRAWS.normal(size=(3, 4))


class Linear(eqx.Module):
    """Class probabilities softmax(x W)."""

    def features(self, x):
        return x

    def log_probabilities(self, x):
        logits = x @ jnp.asarray(WEIGHTS, x.dtype)
        return logits - jnp.log(jnp.sum(jnp.exp(logits)))


def probabilities(points):
    raw = np.exp(points @ WEIGHTS)
    return raw / raw.sum(axis=1, keepdims=True)


def distances(points):
    return np.sqrt(((points[:, None] - TRAIN[None]) ** 2).sum(axis=2)).min(axis=1)


@pytest.fixture(scope="module")
def found():
    return comparison.sample_quality(SAMPLES, UNSEEN, TRAIN, Linear())


def test_shares_and_their_variation(found):
    shares = [
        np.bincount(probabilities(one).argmax(axis=1), minlength=4) / len(one)
        for one in (SAMPLES, UNSEEN)
    ]
    np.testing.assert_array_equal(found.share, shares[0])
    np.testing.assert_array_equal(found.held_out_share, shares[1])
    np.testing.assert_allclose(found.variation, np.abs(shares[0] - shares[1]).sum() / 2)
    # Its error by resampling both sets of labels.
    again = [
        np.abs(
            DRAWS.multinomial(50, shares[0]) / 50
            - DRAWS.multinomial(30, shares[1]) / 30
        ).sum()
        / 2
        for _ in range(4000)
    ]
    assert 0.6 < np.std(again) / found.variation_stderr < 1.2


def test_entropies_and_distances(found):
    for points, value, error in (
        (SAMPLES, found.entropy, found.entropy_stderr),
        (UNSEEN, found.held_out_entropy, found.held_out_entropy_stderr),
    ):
        p = probabilities(points)
        each = -(p * np.log(p)).sum(axis=1)
        np.testing.assert_allclose(value, each.mean(), rtol=1e-10)
        np.testing.assert_allclose(error, each.std(ddof=1) / np.sqrt(len(each)))
    near, base = distances(SAMPLES), distances(UNSEEN)
    np.testing.assert_allclose(found.distance, near.mean(), rtol=1e-10)
    np.testing.assert_allclose(found.distance_ratio, near.mean() / base.mean())
    np.testing.assert_allclose(found.copied, np.mean(near < np.quantile(base, 0.01)))


def test_copies_are_seen():
    found = comparison.sample_quality(TRAIN[:20], UNSEEN, TRAIN, Linear())
    assert float(found.distance_ratio) == 0
    assert float(found.copied) == 1


def test_points_that_are_refused():
    for samples, unseen in (
        (SAMPLES[0], UNSEEN),
        (SAMPLES[:1], UNSEEN),
        (np.where(SAMPLES > 1, np.nan, SAMPLES), UNSEEN),
        (SAMPLES, UNSEEN[:, :2]),
    ):
        with pytest.raises(BadInput):
            comparison.sample_quality(samples, unseen, TRAIN, Linear())


@pytest.mark.slow
def test_generated_points_have_the_law():
    """Two clusters of a line in the plane: moments, and the share of each cluster."""
    law = GaussianMixture.isotropic([[2.0, 0.5], [-2.0, 0.5]], 0.2, [0.7, 0.3])
    moments = law.moments()
    spread = jnp.sqrt(moments.total_variance() / 2)
    points = np.asarray(
        comparison.generate(law, 2000, jr.key(1), mean=moments.mean, spread=spread)
    )
    assert points.shape == (2000, 2)
    error = np.sqrt(np.diag(moments.covariance()) / 2000)
    assert np.all(np.abs(points.mean(axis=0) - moments.mean) < 4 * error)
    right = (points[:, 0] > 0).mean()
    assert abs(right - 0.7) < 4 * np.sqrt(0.21 / 2000)
    inside = points[points[:, 0] > 0]
    assert np.all(np.abs(inside.var(axis=0) - 0.2) < 4 * 0.2 * np.sqrt(2 / len(inside)))


@pytest.mark.slow
def test_units_do_not_matter():
    """Data of any size: a scale of the law is a scale of its samples."""
    made = []
    for scale in (1.0, 100.0):
        law = GaussianMixture.isotropic([[2.0 * scale], [-scale]], 0.2 * scale**2)
        moments = law.moments()
        spread = jnp.sqrt(moments.total_variance())
        points = comparison.generate(
            law, 8, jr.key(2), mean=moments.mean, spread=spread, num_steps=8
        )
        made.append(np.asarray(points) / scale)
    np.testing.assert_allclose(made[1], made[0], rtol=1e-8)


def test_generate_refuses():
    law = GaussianMixture.isotropic([[0.0]], 1.0)
    with pytest.raises(BadInput, match="at least 1"):
        comparison.generate(law, 0, jr.key(0), mean=jnp.zeros(1), spread=1.0)
