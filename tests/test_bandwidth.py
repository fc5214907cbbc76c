"""The bandwidth of largest leave-one-out likelihood."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal

from jaxwin.targets import likely_bandwidth


def left_out(points, h):
    """The criterion, one density at a time."""
    total, d = 0.0, points.shape[1]
    for i, x in enumerate(points):
        others = np.delete(points, i, axis=0)
        kernel = multivariate_normal(np.zeros(d), h**2 * np.eye(d))
        total += np.log(np.mean(kernel.pdf(x[None] - others)))
    return total


@pytest.mark.parametrize(
    ("n", "d", "scale"), [(60, 1, 1.0), (80, 3, 7.0), (40, 6, 0.1)]
)
def test_it_is_the_most_likely(n, d, scale):
    points = scale * np.random.default_rng(n).normal(size=(n, d)) + 100.0
    found = likely_bandwidth(points)
    best = minimize_scalar(
        lambda log_h: -left_out(points, np.exp(log_h)),
        bounds=(np.log(0.2 * found), np.log(5 * found)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    place = best.x  # pyright: ignore[reportAttributeAccessIssue]
    assert abs(np.log(found) - place) < 1e-3


def test_repeated_points_are_one():
    points = np.random.default_rng(0).normal(size=(50, 2))
    twice = np.concatenate([points, points])
    assert abs(likely_bandwidth(twice) / likely_bandwidth(points) - 1) < 1e-6
    assert likely_bandwidth(np.ones((4, 3))) == 0
