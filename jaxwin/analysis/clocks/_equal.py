"""Points at equal increments of a measured curve."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

# Halvings of an interval: its place is then known to rounding.
HALVINGS = 60


def equal(
    coordinate: Float[np.ndarray, " t"],
    cumulative: Float[np.ndarray, " t"],
    count: int,
) -> Float[np.ndarray, " count"]:
    """Places at equal increments of a curve that rises along the coordinate.

        F(u_i) = F(u_0) + (i / (count - 1)) (F(u_end) - F(u_0)),

    both ends included. A measured curve is made to rise by its running maximum, and
    read between its points by monotone cubics (PCHIP).

    Args:
        coordinate: Where the curve is known, strictly increasing.
        cumulative: The curve F, rising up to noise.
        count: Places, >= 2.

    Returns:
        Strictly increasing places, the first and last those of the curve.

    Raises:
        ValueError: Fewer than 2 places, or a curve that does not rise.

    References:
        Fritsch & Butland (1984), SIAM J. Sci. Stat. Comput. 5 (the interpolation).
    """
    if count < 2:
        raise ValueError(f"`count` is {count}; a grid needs at least its 2 ends.")
    rising = np.maximum.accumulate(cumulative)
    if not rising[-1] > rising[0]:
        raise ValueError(
            f"`cumulative` stays at {rising[0]:g} or below; it must rise along the "
            f"coordinate: take a curve on which something happens."
        )
    # Values in [0, 1]: PCHIP takes harmonic means of slopes, which may underflow.
    rising = (rising - rising[0]) / (rising[-1] - rising[0])
    curve = PchipInterpolator(coordinate, rising)
    levels = np.arange(1, count - 1) / (count - 1)
    upper = np.searchsorted(rising, levels)
    left, right = coordinate[upper - 1], coordinate[upper]
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        below = curve(middle) < levels
        left, right = np.where(below, middle, left), np.where(below, right, middle)
    return np.concatenate([coordinate[:1], (left + right) / 2, coordinate[-1:]])
