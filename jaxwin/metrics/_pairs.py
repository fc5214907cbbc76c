"""Means of a kernel over pairs of two samples, tile by tile, and their U-statistic."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin.metrics._metric import Metric, join_orders, measured

Kernel = Callable[[Float[Array, "s u"]], Float[Array, "s u"]]

# Pairs of points are seen in squares of this side: 1 MiB in float32.
TILE = 512
# Up to so many coordinates squared distances are sums of squares, without rounding to
# speak of; beyond, a matrix product.
DIRECT = 8


class PairMeans(eqx.Module):
    """Means of a kernel, for each point over the others of its sample or of the other.

    squares_*: means of the squared kernel over all pairs.
    """

    own_x: Float[Array, " n"]
    cross_x: Float[Array, " n"]
    own_y: Float[Array, " m"]
    cross_y: Float[Array, " m"]
    squares_x: Float[Array, ""]
    squares_y: Float[Array, ""]
    squares_cross: Float[Array, ""]


def discrepancy(means: PairMeans) -> Metric:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) without bias, and its standard error.

    Hoeffding's decomposition: to first order the variance is 4 Var g(x) / n + 4 Var
    g(y) / m, g(x) = E k(x, x') - E k(x, y). Where the laws agree that vanishes, and 2
    zeta_xx / n(n-1) + 2 zeta_yy / m(m-1) + 4 zeta_xy / nm is left, zeta the variances
    of the kernel with its row and column means taken off. The spread of row means holds
    the first once and the second twice.
    """
    n, m = means.own_x.size, means.own_y.size
    of_x, of_y = means.own_x - means.cross_x, means.own_y - means.cross_y
    whole = 4 * jnp.var(of_x, ddof=1) / n + 4 * jnp.var(of_y, ddof=1) / m
    zeta_x = _own_rest(means.own_x, means.squares_x)
    zeta_y = _own_rest(means.own_y, means.squares_y)
    spread = means.squares_cross - means.cross_x.mean() ** 2
    spread = spread - jnp.var(means.cross_x, ddof=1) - jnp.var(means.cross_y, ddof=1)
    # Two and two samples tell nothing of it: keep the divisor off zero.
    zeta_cross = jnp.maximum(spread, 0) / max(1 - 1 / n - 1 / m, 0.25)
    # Floats: whole numbers like n (n - 1) may pass what 32 bits hold.
    second = 2 * zeta_x / float(n * (n - 1)) + 2 * zeta_y / float(m * (m - 1))
    second = second + 4 * zeta_cross / float(n * m)
    return measured(of_x.mean() + of_y.mean(), join_orders(whole, second))


def _own_rest(rows: Float[Array, " n"], squares: Float[Array, ""]) -> Array:
    """Variance of the kernel within a sample that its row means do not explain."""
    n = rows.size
    spread = squares - rows.mean() ** 2 - 2 * jnp.var(rows, ddof=1)
    return jnp.maximum(spread, 0) * ((n - 1) / max(n - 3, 1))


def pair_means(
    kernel: Kernel, x: Float[Array, "n d"], y: Float[Array, "m d"]
) -> PairMeans:
    """Means of a kernel of squared distances; points must be centred."""
    n, m = len(x), len(y)
    own_x, _, squares_x = _sums(kernel, x, x, same=True)
    own_y, _, squares_y = _sums(kernel, y, y, same=True)
    cross_x, cross_y, squares_cross = _sums(kernel, x, y, same=False)
    return PairMeans(
        own_x=own_x / (n - 1),
        cross_x=cross_x / m,
        own_y=own_y / (m - 1),
        cross_y=cross_y / n,
        squares_x=squares_x / n / (n - 1),
        squares_y=squares_y / m / (m - 1),
        squares_cross=squares_cross / n / m,
    )


def squared_distances(
    a: Float[Array, "s d"], b: Float[Array, "u d"]
) -> Float[Array, "s u"]:
    """All |a - b|^2; rounding of the product may leave some just below zero."""
    if a.shape[1] <= DIRECT:
        gaps = [a[:, i, None] - b[None, :, i] for i in range(a.shape[1])]
        return sum((gap**2 for gap in gaps[1:]), gaps[0] ** 2)
    product = jnp.matmul(a, b.T, precision="highest")
    return jnp.sum(a**2, 1)[:, None] + jnp.sum(b**2, 1)[None] - 2 * product


def _sums(
    kernel: Kernel, x: Float[Array, "n d"], y: Float[Array, "m d"], *, same: bool
) -> tuple[Float[Array, " n"], Float[Array, " m"], Float[Array, ""]]:
    """Sums over rows, over columns, and of squares; `same`: over pairs i != j.

    A symmetric sum visits tiles above its diagonal and counts each for both of its
    sides; the rows are then complete.
    """
    n, m = len(x), len(y)
    (x, side), (y, width) = _padded(x), _padded(y)
    rows, columns = len(x) // side, len(y) // width
    grid = np.indices((rows, columns), dtype=np.int32).reshape(2, -1).T
    if same:
        grid = grid[grid[:, 0] <= grid[:, 1]]

    # Made again on the way back: a gradient would keep every tile.
    @jax.checkpoint
    def tile(x: Array, y: Array, corner: Int[Array, " 2"]):
        above, left = corner[0] * side, corner[1] * width
        a = jax.lax.dynamic_slice_in_dim(x, above, side)
        b = jax.lax.dynamic_slice_in_dim(y, left, width)
        i = (above + jnp.arange(side, dtype=jnp.int32))[:, None]
        j = (left + jnp.arange(width, dtype=jnp.int32))[None]
        counted = (i < n) & (j < m)
        if same:
            counted = counted & (i != j)
        k = jnp.where(counted, kernel(squared_distances(a, b)), 0)
        square = jax.lax.stop_gradient(jnp.sum(k * k))
        return jnp.sum(k, 1), jnp.sum(k, 0), square

    def body(sums: tuple[Array, Array, Array], corner: Int[Array, " 2"]):
        by_row, by_column, square = tile(x, y, corner)
        above, left = corner[0] * side, corner[1] * width
        if same:
            twice = (corner[0] < corner[1]).astype(x.dtype)
            first = _add(_add(sums[0], by_row, above), twice * by_column, left)
            return (first, first, sums[2] + (1 + twice) * square), None
        first, second = _add(sums[0], by_row, above), _add(sums[1], by_column, left)
        return (first, second, sums[2] + square), None

    zeros = jnp.zeros(len(x), x.dtype), jnp.zeros(len(y), x.dtype)
    start = (*zeros, jnp.zeros((), x.dtype))
    first, second, square = jax.lax.scan(body, start, jnp.asarray(grid))[0]
    return first[:n], second[:m], square


def _padded(x: Float[Array, "n d"]) -> tuple[Float[Array, "p d"], int]:
    """Points in tiles of nearly one size, the last filled up; and that size."""
    count = -(-len(x) // TILE)
    side = -(-len(x) // count)
    return jnp.pad(x, ((0, count * side - len(x)), (0, 0))), side


def _add(total: Array, part: Array, start: Array) -> Array:
    """`part` added to a stretch of `total`."""
    old = jax.lax.dynamic_slice_in_dim(total, start, part.size)
    return jax.lax.dynamic_update_slice_in_dim(total, old + part, start, 0)
