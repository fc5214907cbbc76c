"""The bandwidth at which a kernel density tells data points it has not seen best."""

import numpy as np
from jaxtyping import Array, Float
from scipy.special import softmax

# Points that are left out in turn, and steps of the iteration.
MOST, STEPS, SETTLED = 512, 200, 1e-6


def likely_bandwidth(points: Float[Array | np.ndarray, "n d"], seed: int = 0) -> float:
    """Bandwidth h of largest leave-one-out likelihood of a Gaussian kernel density.

        sum_i log p_i(x_i),   p_i = 1 / (n - 1) sum_{j != i} N(x_j, h^2 I),

    over at most 512 points i, drawn at random, and all j. Found by the EM iteration
    h^2 <- mean_i sum_j w_ij |x_i - x_j|^2 / d, w_ij the posterior of the centre j,
    which never lowers the likelihood. Repeated points are one: they would drive h to 0.

    Args:
        points: At least two that differ.
        seed: Of the draw.

    Returns:
        h in units of the data; 0 if all points are equal.

    References:
        Duin, IEEE Trans. Computers C-25 (1976) 1175, for the criterion.
    """
    values = np.asarray(points, np.float64)
    centred = values - values.mean(axis=0)
    square = np.einsum("nd,nd->n", centred, centred)
    some = np.random.default_rng(seed).permutation(len(centred))[:MOST]
    apart = square[some, None] + square[None] - 2 * centred[some] @ centred.T
    apart = np.where(apart > 1e-12 * np.mean(square), apart, np.inf)
    apart = apart[np.isfinite(apart).any(axis=1)]
    if not len(apart):
        return 0.0
    finite = np.where(np.isfinite(apart), apart, 0.0)
    # From where the nearest centre alone counts.
    variance = float(np.quantile(apart.min(axis=1), 0.5)) / centred.shape[1]
    for _ in range(STEPS):
        weight = softmax(-apart / (2 * variance), axis=1)
        new = float(np.mean(np.sum(weight * finite, axis=1))) / centred.shape[1]
        settled = abs(new - variance) <= SETTLED * variance
        variance = new
        if settled:
            break
    return variance**0.5
