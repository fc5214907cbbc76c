"""Errors of what is read off several means at once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxwin.execution import Estimate


def jackknife(
    estimate: Estimate, statistic: Callable[[PyTree, Any], PyTree]
) -> tuple[PyTree, PyTree]:
    """A statistic of means and its standard error, leaving out one block at a time.

    `statistic(means, count)` also takes means with a leading axis, and as many counts.
    """
    counts, total = estimate.block_counts.astype(float), float(estimate.count)

    def left_out(mean: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        share = counts.reshape(-1, *[1] * mean.ndim)
        return (total * mean - share * blocks) / (total - share)

    others = jax.tree.map(left_out, estimate.mean, estimate.block_means)
    each = statistic(others, total - counts)
    error = lambda part: np.sqrt((counts.size - 1) * part.var(axis=0))
    return statistic(estimate.mean, total), jax.tree.map(error, each)
