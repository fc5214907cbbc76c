"""Gaussian classes: the law that knows of each class its mean and covariance alone."""

import numpy as np
from jaxtyping import Float, Int

from jaxwin.targets import GaussianMixture

# Numbers in all covariances together, and directions, at most.
MOST_NUMBERS, MOST_DIRECTIONS = 5e7, 1024


def gaussian_classes(
    coordinates: Float[np.ndarray, "n r"], labels: Int[np.ndarray, " n"]
) -> GaussianMixture:
    """A Gaussian for each class with its mean, covariance (over n_c) and weight.

    Clone agreement under it is that of a population without memory of single points, to
    be put beside the agreement under the data themselves.

    Args:
        coordinates: Points in principal axes, leading first. At most 1,024 directions
            are taken, fewer for many classes.
        labels: Classes 0 ... c - 1, none empty.
    """
    counts = np.bincount(labels)
    most = int(min(MOST_DIRECTIONS, np.sqrt(MOST_NUMBERS / counts.size)))
    points = coordinates[:, :most]
    means, covariances = [], []
    for c in range(counts.size):
        own = points[labels == c]
        centred = own - own.mean(axis=0)
        means.append(own.mean(axis=0))
        covariances.append(centred.T @ centred / len(own))
    return GaussianMixture.full(
        np.stack(means), np.stack(covariances), counts / counts.sum()
    )
