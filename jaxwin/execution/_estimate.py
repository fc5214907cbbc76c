"""What a run finds: averages over replicas, joined from blocks in block order."""

import math

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int, PyTree


class Estimate(eqx.Module):
    """Averages over replicas, with their standard errors and block means.

    mean, stderr: like what one replica returns. count: replicas. block_means: the same
    with a leading block axis, for bootstraps of whole curves; block_counts: sizes.
    """

    mean: PyTree[np.ndarray]
    stderr: PyTree[np.ndarray]
    count: int
    block_means: PyTree[np.ndarray]
    block_counts: Int[np.ndarray, " blocks"]


class Total(eqx.Module):
    """Blocks joined so far: replicas, their mean, centred sum of squares (float64)."""

    count: int
    mean: PyTree[np.ndarray]
    square: PyTree[np.ndarray]

    @property
    def stderr(self) -> PyTree[np.ndarray]:
        """Standard errors of the mean; infinite for a single replica."""
        scale = math.sqrt(self.count * (self.count - 1)) if self.count > 1 else 0.0

        def error(square: np.ndarray) -> np.ndarray:
            return np.asarray(np.sqrt(square) / scale if scale else square + np.inf)

        return jax.tree.map(error, self.square)


def join(a: Total, b: Total) -> Total:
    """Two disjoint sets of replicas as one, by Chan's formula.

    Rounding depends on the order: blocks are joined one by one in block order, so that
    bits depend neither on devices nor on where a run was cut.
    """
    count = a.count + b.count
    share, between = b.count / count, a.count * b.count / count

    def mean(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(x + (y - x) * share)

    def square(x: np.ndarray, y: np.ndarray, sx: np.ndarray, sy: np.ndarray):
        return np.asarray(sx + sy + (y - x) ** 2 * between)

    return Total(
        count,
        jax.tree.map(mean, a.mean, b.mean),
        jax.tree.map(square, a.mean, b.mean, a.square, b.square),
    )


def largest_error(
    mean: PyTree[np.ndarray], stderr: PyTree[np.ndarray]
) -> tuple[float, float]:
    """The entry known worst, as (mean, standard error); zeros where there is none."""
    means = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(mean)])
    errors = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(stderr)])
    if not errors.size:
        return 0.0, 0.0
    worst = int(np.argmax(errors))
    return float(means[worst]), float(errors[worst])
