"""The cascade of real data: minima of the digits' kernel density, named by class."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import KDTree
from sklearn.datasets import load_digits

from jaxwin.analysis import symmetry
from jaxwin.processes import VariancePreserving
from jaxwin.targets import Empirical, FunctionDenoiser

VP = VariancePreserving(0.1, 20.0)


@pytest.fixture(scope="module")
def digits():
    points, labels = load_digits(return_X_y=True)
    points = points / 8 - 1
    points = points - points.mean(axis=0)
    nearest = KDTree(points).query(points, 2)[0][:, 1].mean()
    return points, labels, nearest


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("share", [0.2, 0.4])
def test_cascade_of_digits(digits, share):
    points, labels, nearest = digits
    law = Empirical(points, labels, bandwidth=share * nearest)
    found = symmetry.critical_times(law, VP, starts=16, most=2)
    row = found.transitions
    assert found.symmetric
    assert not found.complete
    assert np.all(np.diff(found.minima) <= 0)
    # Nothing maps digits to digits: minima appear at folds, one at a time.
    assert not np.any(row.second_order)
    assert row.copies.tolist() == [1] * len(row.copies)
    means = np.stack([points[labels == c].mean(axis=0) for c in range(10)])
    first = row.child[0] - row.parent[0]
    first = first / np.linalg.norm(first)
    overlaps = {
        (a, b): abs(first @ (means[a] - means[b])) / np.linalg.norm(means[a] - means[b])
        for a, b in itertools.combinations(range(10), 2)
    }
    assert max(overlaps, key=overlaps.__getitem__) == (0, 3)
    assert max(overlaps.values()) > 0.9
    _check_folds(points, share * nearest, found)


def _check_folds(points, bandwidth, found):
    """At the spinodal the drift vanishes and is marginal, by a dense plain form."""
    row = found.transitions
    for time, clean in zip(np.asarray(row.time.time), row.child, strict=True):
        alpha, sigma = (float(v) for v in VP.levels(jnp.asarray(time)))
        gain = 2 / (1 + alpha**2)
        x = gain * alpha * clean
        v = sigma**2 + alpha**2 * bandwidth**2
        away = x - alpha * points
        logits = -np.sum(away**2, axis=1) / (2 * v)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        score = -(p @ away) / v
        np.testing.assert_allclose(-0.5 * x - score, 0, atol=1e-7)
        mean = p @ away
        spread = (away - mean).T @ ((away - mean) * p[:, None]) / v**2
        hessian = (1 / v - 0.5) * np.eye(x.size) - spread
        lowest, directions = np.linalg.eigh(hessian)
        np.testing.assert_allclose(lowest[0], 0, atol=1e-6)
        assert lowest[1] > 1e-3


@pytest.mark.slow
@pytest.mark.long
def test_large_dimension_without_a_matrix():
    # d = 320 > 256: Newton by GMRES, slopes by block Krylov; two clusters of a width.
    size, half, within = 320, 1.3, 0.2
    direction = np.ones(size) / np.sqrt(size)
    centres = half * np.stack([direction, -direction])

    def mean(x, alpha, sigma):
        v = sigma**2 + alpha**2 * within
        away = x[None] - alpha * jnp.asarray(centres)
        p = jax.nn.softmax(-jnp.sum(away**2, axis=1) / (2 * v))
        return p @ (centres + alpha * within / v * away)

    found = symmetry.critical_times(
        FunctionDenoiser(eqx.Partial(mean)), VP, starts=centres, times=(0.1, 0.6)
    )
    q = np.asarray(VP.alpha(found.transitions.time.time)) ** 2
    expected = 1 / (half**2 + np.hypot(half**2, 1 - within))
    np.testing.assert_allclose(q, [expected], rtol=1e-7)
    overlap = abs(direction @ found.transitions.eigenvectors[0, :, 0])
    np.testing.assert_allclose(overlap, 1, atol=1e-6)
