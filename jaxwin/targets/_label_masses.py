"""Weights of labels at a point noised from a known clean one, at many levels at once.

At x = alpha y + sqrt(u) z, data point k has, relative to one at y itself, log-weight

    b z . (a_k - y) - c |a_k - y|^2 / 2,    b = alpha sqrt(u) / v,    c = alpha^2 / v,

v the variance by which points are seen: u = v for y a data point noised with its
kernel, u = sigma^2 for any other. Only b and c change with the noise level: the two
products are taken once for a whole curve, and nothing cancels.

References:
    Biroli et al., arXiv:2402.18491, section 3 (excess entropy by the own-point form).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._streaming import ROUNDING, Block, Blocks, coordinate_sum
from jaxwin._typing import Point


def log_label_masses(
    blocks: Blocks,
    centre: Point,
    radius: Float[Array, ""],
    y: Point,
    z: Point,
    b: Float[Array, " t"],
    c: Float[Array, " t"],
    skip: Int[Array, ""] | int = -1,
) -> Float[Array, "t labels"]:
    """Log of the summed weights of each label, relative to a unit weight at y.

    Args:
        blocks: The data points with their weights.
        centre: Their mean, `radius` the largest distance from it.
        radius: See `centre`.
        y: Clean point.
        z: Gaussian.
        b: Factor of z . (a_k - y) at each level.
        c: Factor of |a_k - y|^2 / 2 at each level.
        skip: Index of a point that is left out.

    Returns:
        -inf for a label without weight.
    """
    skip = jnp.asarray(skip).astype(jnp.int32)
    dtype, lowest = z.dtype, jnp.finfo(z.dtype).min

    def masses(products) -> Array:
        def step(carry: tuple[Array, Array], block: Block) -> tuple[Array, Array]:
            top, mass = carry
            along, square = products(block)
            ratio = b[:, None] * along[None] - 0.5 * c[:, None] * square[None]
            ratio = ratio + block.log_weights[None]
            ratio = jnp.where((block.index() == skip)[None], -jnp.inf, ratio)
            new = jnp.maximum(top, ratio.max(axis=1))
            weight = jnp.exp(ratio - new[:, None])
            added = jnp.matmul(weight, block.one_hot(), precision="highest")
            return new, mass * jnp.exp(top - new)[:, None] + added

        start = (
            jnp.full(b.shape, lowest, dtype),
            jnp.zeros((b.size, blocks.num_labels), dtype),
        )
        top, mass = blocks.fold(step, start)
        some = mass > 0
        return jnp.where(
            some, top[:, None] + jnp.log(jnp.where(some, mass, 1)), -jnp.inf
        )

    def by_coordinates() -> Array:
        return masses(lambda block: coordinate_sum(_terms, block.points, y, z))

    def by_matrix_products() -> Array:
        near_y = y - centre
        z_y, y_y = jnp.sum(z * near_y), jnp.sum(near_y**2)

        def products(block: Block) -> tuple[Array, Array]:
            near = block.points - centre[None]
            dot = lambda v: jnp.matmul(v, near.T, precision="highest")
            square = jnp.sum(near**2, axis=1) + y_y - 2 * dot(near_y)
            return dot(z) - z_y, square

        return masses(products)

    # |a_k - y|^2 from squares of distances to the centre: wrong by some eps radius^2.
    # Without y: under `vmap` over points this must stay a branch.
    rounding = 4 * jnp.max(c) * radius**2 * float(jnp.finfo(dtype).eps)
    harmless = rounding <= ROUNDING[dtype.name]
    return jax.lax.cond(harmless, by_matrix_products, by_coordinates)


def _terms(column: Array, y: Array, z: Array) -> tuple[Array, Array]:
    apart = column - y
    return apart * z, apart**2
