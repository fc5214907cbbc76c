"""Points noised from a known data point: weights relative to the own one.

At x = alpha a_own + sqrt(v) z the log-weight of point k relative to the own one is

    s z . (a_k - a_own) - s^2 |a_k - a_own|^2 / 2,    s = alpha / sqrt(v),

in which nothing cancels. The two products do not depend on the noise level: under
`vmap` over levels they are taken once.

References:
    Biroli et al., arXiv:2402.18491, section 3 (excess entropy by the own-point form).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._numerics import LOG_TWO_PI
from jaxwin._streaming import (
    Block,
    Blocks,
    Online,
    Posterior,
    coordinate_sum,
    finish,
    merge,
    partial,
)
from jaxwin._typing import Point, ScalarLike


def own_partial(
    blocks: Blocks, index: Int[Array, ""], z: Point, scale: Float[Array, ""]
) -> Online:
    """Averages over all points but `index`, relative to its weight; s = `scale`."""
    own, own_log_weight, _ = _own(blocks, index)
    own_index = jnp.asarray(index).astype(jnp.int32)

    def step(online: Online, block: Block) -> Online:
        along, square = coordinate_sum(_along_and_square, block.points, own, z)
        ratio = scale * along - 0.5 * scale**2 * square
        ratio = ratio + (block.log_weights - own_log_weight)
        others = jnp.where(block.index() == own_index, -jnp.inf, ratio)
        return merge(online, partial(others, block.points, block.one_hot()))

    return blocks.fold(step, Online.empty(z.size, blocks.num_labels, z.dtype))


def _along_and_square(column: Array, own: Array, z: Array) -> tuple[Array, Array]:
    apart = column - own
    return apart * z, apart**2


def own_posterior(
    blocks: Blocks,
    others: Online,
    index: Int[Array, ""],
    z: Point,
    alpha: ScalarLike,
    variance: Float[Array, ""],
) -> tuple[Posterior, Point]:
    """The posterior over data points with the own one in, and the noised point x.

    The `mean` is that of the data points, sum_i p_i a_i.
    """
    own, log_weight, label = _own(blocks, index)
    present = blocks.log_weights.reshape(-1)[index] > -jnp.inf
    one = present.astype(z.dtype)
    # An absent point must not set the scale of the others: as in `Online.empty`.
    top = jnp.where(present, jnp.zeros((), z.dtype), jnp.finfo(z.dtype).min)
    labels = jnp.arange(blocks.num_labels, dtype=label.dtype)
    alone = Online(top, one, one * own, one * (labels == label).astype(z.dtype), one)
    square = jnp.sum(z**2)
    log_kernel = -0.5 * (square + z.size * (LOG_TWO_PI + jnp.log(variance)))
    posterior = finish(merge(alone, others), log_weight + log_kernel)
    return posterior, alpha * own + jnp.sqrt(variance) * z


def _own(
    blocks: Blocks, index: Int[Array, ""]
) -> tuple[Point, Float[Array, ""], Int[Array, ""]]:
    points = blocks.points.reshape(-1, blocks.points.shape[-1])
    weights, labels = blocks.log_weights.reshape(-1), blocks.labels.reshape(-1)
    # A point outside a restricted law has no weight: it stands for a unit weight.
    own_weight = weights[index]
    return points[index], jnp.where(own_weight > -jnp.inf, own_weight, 0), labels[index]
