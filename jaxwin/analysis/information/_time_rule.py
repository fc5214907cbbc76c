"""Quadrature over OU time from no noise on."""

import numpy as np
from jaxtyping import Float

# Rates change over tenths of a unit of OU time: panels no longer than this.
LONGEST = 0.5
# Nodes of a panel, and of the rule whose difference tells the error.
NODES, FEWER = 16, 11


def cumulative_rule(
    ends: Float[np.ndarray, " t"], nodes: int = NODES
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "t n"]]:
    """Times and, for every end T, weights of int_0^T.

    Gauss-Legendre on panels between all ends; on the first of them in sqrt(t), in which
    a rate that starts like t^{-1/2}, as at the edge of a density, is smooth.
    """
    whole = np.arange(1, int(np.ceil(ends.max(initial=0) / LONGEST)) + 1) * LONGEST
    edges = np.unique(np.concatenate([[0.0], ends, whole[whole < ends.max()]]))
    y, w = np.polynomial.legendre.leggauss(nodes)
    low, high = edges[:-1, None], edges[1:, None]
    times = (low + high) / 2 + (high - low) / 2 * y
    weights = np.broadcast_to((high - low) / 2 * w, times.shape).copy()
    if edges.size > 1:
        root = (y + 1) / 2
        times[0], weights[0] = edges[1] * root**2, edges[1] * root * w
    inside = high[None, :, 0] <= ends[:, None]
    return times.ravel(), (inside[:, :, None] * weights[None]).reshape(ends.size, -1)
