"""Rescaled entropic time: of Gaussian data, and from a recorded entropy."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

NODES, WEIGHTS = np.polynomial.legendre.leggauss(5)


def gaussian_rescaled_entropy(
    coordinate: Float[np.ndarray, " t"], eigenvalues: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " t"]:
    """Rescaled entropy of Gaussian data, from no noise on.

        S(sigma) = int_0^sigma sigma' dH[x0 | x_t] = sum_i c_i arctan(sigma / c_i),

    c_i^2 the eigenvalues of the covariance. For one width equal steps in S are the best
    steps known for a Gaussian.

    Args:
        coordinate: Minus the log-SNR, 2 log sigma where alpha = 1.
        eigenvalues: Of the covariance; rounding below zero counts as zero.

    References:
        Entropic time schedulers, arXiv:2504.13612.
    """
    width = np.sqrt(np.maximum(np.asarray(eigenvalues, np.float64), 0))
    sigma = np.exp(np.asarray(coordinate, np.float64) / 2)[:, None]
    return np.sum(width * np.arctan2(sigma, width), axis=1)


def rescaled_entropy(
    coordinate: Float[np.ndarray, " t"], entropy: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """Cumulative rescaled entropy from the first noise on.

        S(sigma) = int sigma dH[x0 | x_t],    sigma = e^{-log-SNR / 2},

    sigma the noise where alpha = 1. The recorded entropy is made to rise by its running
    maximum, and integrated between its points as monotone cubics.

    Args:
        coordinate: Minus the log-SNR, strictly increasing.
        entropy: H[x0 | x_t] in nats, up to a constant; for a data set the excess
            entropy, which is zero where each point is known.

    Returns:
        S at each point, rising from zero; what lies beyond the ends is left out.

    References:
        Entropic time schedulers, arXiv:2504.13612.
    """
    curve = PchipInterpolator(coordinate, np.maximum.accumulate(entropy))
    half, middle = np.diff(coordinate) / 2, (coordinate[1:] + coordinate[:-1]) / 2
    at = middle[:, None] + half[:, None] * NODES
    rate = np.exp(at / 2) * curve(at, 1)
    # The slope of a monotone cubic may round below zero.
    steps = np.maximum(half * (rate @ WEIGHTS), 0)
    return np.append(0.0, np.cumsum(steps))
