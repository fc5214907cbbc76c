"""Laws on which late starts are compared, on the clock of the published tables."""

import numpy as np

from jaxwin.datasets import digits, normalize
from jaxwin.processes import DiscreteDDPM
from jaxwin.report.reproduce._symmetry_arc import (
    CENTRE,
    DIMENSION,
    HALVES,
    VARIANCE,
    WEIGHTS,
)
from jaxwin.targets import Empirical, GaussianMixture

TABLE = DiscreteDDPM()
INDEX = "start, DDPM index (more noise →)"
TWO, THREE, PATTERNS = "two clusters", "three components", "four patterns"
PROBLEM, DIGITS = "8-D mixture", "digits"
# Half the width of largest likelihood: modes that a late start could lose stay apart.
BANDWIDTH = 0.15
# Distance of the two clusters from their centre, and their variance.
SQUARE, WITHIN = 1.0, 0.02


def problem() -> GaussianMixture:
    """Four modes in eight dimensions, of weights 0.4 to 0.1."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    means = np.zeros((4, DIMENSION))
    means[:, :2] = np.array(CENTRE) + signs * np.array(HALVES)
    return GaussianMixture.isotropic(means, VARIANCE, WEIGHTS)


def two_clusters() -> GaussianMixture:
    """Weights 0.8 and 0.2, at unit distance from their centre in four dimensions."""
    u = np.full(4, 0.5 * SQUARE**0.5)
    return GaussianMixture.isotropic(np.stack([u, -u]), WITHIN, [0.8, 0.2])


def three_components() -> GaussianMixture:
    """Three modes of a plane."""
    means = [[1.5, 0.0], [-0.5, 1.0], [-0.8, -1.2]]
    return GaussianMixture.isotropic(means, 0.05, [0.5, 0.3, 0.2])


def patterns() -> GaussianMixture:
    """Four orthogonal patterns, of the shapes of `problem`: programs are shared."""
    means = 2 * np.eye(4, DIMENSION)
    return GaussianMixture.isotropic(means, 0.02, [0.4, 0.3, 0.2, 0.1])


def digits_law() -> Empirical:
    """A kernel density of all digits, pixels in [-1, 1] and centred."""
    data = digits()
    points = normalize(data, "pm1").points
    return Empirical(points, data.labels, bandwidth=BANDWIDTH)


def unequal_digits(percent: tuple[float, ...]) -> Empirical:
    """Digits 0, 1, ... in given proportions, the first class whole."""
    data = digits()
    points, labels = normalize(data, "pm1").points, np.asarray(data.labels)
    whole = int(np.sum(labels == 0))
    chosen = []
    for k, share in enumerate(percent):
        count = round(whole * share / percent[0])
        chosen.append(np.flatnonzero(labels == k)[:count])
    rows = np.concatenate(chosen)
    points = points[rows] - points[rows].mean(axis=0)
    return Empirical(points, labels[rows], bandwidth=BANDWIDTH)
