"""Which leaves change together: chi and C_h from U-turns, dynamics and starts apart."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real


class Correlations(NamedTuple):
    """Covariances of the spins sigma = +-1 (leaf changed or not), per noise.

    Index h is the height of the lowest common ancestor, h = 0 a leaf with itself.

    total: C_h of pooled U-turns = dynamic + static, to rounding. dynamic: given the
    start, E_x0[Cov(sigma_i, sigma_j | x0)]. static: between starts, some of which are
    simply easier. chi: sum_ij C_ij / sum_i C_ii; chi_within: the same of the dynamic
    part alone; chi_static: what the static part adds to chi.
    """

    total: Float[np.ndarray, "*b t h"]
    dynamic: Float[np.ndarray, "*b t h"]
    static: Float[np.ndarray, "*b t h"]
    chi: Float[np.ndarray, "*b t"]
    chi_within: Float[np.ndarray, "*b t"]
    chi_static: Float[np.ndarray, "*b t"]


def correlations(
    changed: Float[np.ndarray, "*b t n"],
    squares: Float[np.ndarray, "*b t l"],
    crossed: Float[np.ndarray, "*b t l"],
    starts: Real[np.ndarray, "*b"] | float,
    branching: int,
) -> Correlations:
    """Covariances by height from the means of `Counts`, unbiased.

    With N_j the changed leaves below a node, sums over the nodes of one height of
    E[N_j^2], of E[N_j N_j'] over two turns of a start and of E[N_j]^2 count all pairs
    of leaves with an ancestor there.

    References:
        arXiv:2410.13770 (chi, pooled); the split derived.
    """
    depth, leaves = squares.shape[-1] - 1, changed.shape[-1]
    starts = np.asarray(starts, float)[..., None, None]
    # Leaves first: index h of what follows is a height.
    squares, crossed = squares[..., ::-1], crossed[..., ::-1]
    below = [changed]
    for _ in range(depth):
        last = below[-1]
        below.append(last.reshape(*last.shape[:-1], -1, branching).sum(axis=-1))
    means = np.stack([np.sum(one**2, axis=-1) for one in below], axis=-1)
    # The square of a mean over starts is too large by its variance.
    both = (squares + crossed) / 2
    means = (starts * means - both) / (starts - 1)
    pairs = np.diff(np.r_[0, leaves * branching ** np.arange(depth + 1)])
    by_height = lambda sums: 4 * np.diff(sums, axis=-1, prepend=0) / pairs
    of_pairs = lambda part: np.sum(part * pairs, axis=-1) / leaves
    dynamic, static = by_height(squares - crossed), by_height(crossed - means)
    total = dynamic + static
    with np.errstate(invalid="ignore", divide="ignore"):
        return Correlations(
            total,
            dynamic,
            static,
            of_pairs(total) / total[..., 0],
            of_pairs(dynamic) / dynamic[..., 0],
            of_pairs(static) / total[..., 0],
        )
