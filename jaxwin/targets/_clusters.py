"""Certified pruning of a data set: blocks that no point of a tile can feel.

A ball about the points of a block bounds their log-weights at x from above; points of
the nearest block bound the largest log-weight from below. A block whose bound lies so
far under the latter that its exponential is exactly zero is left out: results agree to
rounding. Tiles of neighbouring points at one noise level decide together, for where
conditions are batched (a `vmap` over noise levels) both sides are evaluated.
"""

from collections.abc import Callable
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._checks import is_concrete
from jaxwin._typing import Point
from jaxwin.targets._noised_points import NoisedPoints

# Points that decide together: the fewer, the more blocks are left out, but the slower
# their matrix products. Tiles are worth it where this share of blocks or less is felt.
TILE, WORTH = 64, 0.7
# Log of the smallest positive number: exponentials below it are exactly zero.
ZERO = {np.dtype(kind): -np.log(np.finfo(kind).smallest_subnormal) for kind in "fd"}


class Balls(eqx.Module):
    """Balls that contain the points of the blocks, about the centre of the data."""

    centres: Float[Array, "c d"]
    radii: Float[Array, " c"]
    block: Int[Array, " c"]

    def bounds(
        self, seen: NoisedPoints, log_mass: Float[Array, " m"], x: Point
    ) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """Upper bounds of the log-weight of each block at x, and their rounding.

        Relative to a unit weight at the centre c of the data, with y = x - alpha c,

            log w + (|y|^2 - max(|y - alpha n| - alpha r, 0)^2) / 2v

        for a ball of radius r at c + n. Inner products of d terms err by d eps at most.
        """
        variance, alpha = seen.variance(), seen.alpha
        y = x - alpha * seen.centre
        along = jnp.matmul(y, self.centres.T, precision="highest")
        square, own = jnp.sum(y**2), alpha**2 * jnp.sum(self.centres**2, axis=1)
        eps = float(jnp.finfo(y.dtype).eps)
        error = 4 * y.size * eps * (jnp.sqrt(square) + alpha * seen.radius) ** 2
        apart = jnp.sqrt(jnp.maximum(square - 2 * alpha * along + own - error, 0))
        gap = jnp.maximum(apart - alpha * self.radii, 0)
        each = (square - gap**2) / (2 * variance)
        most = jax.ops.segment_max(each, self.block, log_mass.size)
        return log_mass + most, error / variance


def clustered(
    points: Float[Array, "n d"],
    centre: Float[Array, " d"],
    num_clusters: int,
    block: int,
) -> tuple[Int[np.ndarray, " n"], Balls]:
    """An order of the points, and the balls of their blocks of `block` in that order.

    Points are ordered by cluster (k-means); a block has a ball for each cluster in it.

    Raises:
        ValueError: Traced points, or not 1 <= num_clusters <= n.
    """
    from sklearn.cluster import MiniBatchKMeans

    if not is_concrete(points):
        raise ValueError("`clusters` are made from concrete points: build outside jit.")
    if type(num_clusters) is not int or not 1 <= num_clusters <= len(points):
        raise ValueError(
            f"`clusters` is {num_clusters!r}; it must be a whole number between 1 and "
            f"the number of points, {len(points)}."
        )
    near = np.asarray(points) - np.asarray(centre)
    means = MiniBatchKMeans(num_clusters, batch_size=4096, max_iter=20, random_state=0)
    cluster = means.fit_predict(near)
    order = np.argsort(cluster, kind="stable")
    near, cluster = near[order], cluster[order]
    # A ball ends where a block or a cluster does.
    of_clusters = np.flatnonzero(np.diff(cluster)) + 1
    starts = np.union1d(np.arange(0, len(near), block), of_clusters)
    parts = np.split(near, starts[1:])
    centres = np.stack([part.mean(axis=0) for part in parts])
    radii = [
        np.linalg.norm(part - own, axis=1).max()
        for part, own in zip(parts, centres, strict=True)
    ]
    # Rounding must not leave a point outside.
    slack = 8 * np.finfo(points.dtype).eps * np.linalg.norm(near, axis=1).max()
    ball = Balls(
        jnp.asarray(centres),
        jnp.asarray(np.asarray(radii) + slack, points.dtype),
        jnp.asarray(starts // block, jnp.int32),
    )
    return order, ball


def by_tile(
    seen: NoisedPoints,
    balls: Balls,
    xs: Float[Array, "b d"],
    use: Callable[[NoisedPoints, Point], PyTree[Array]],
) -> PyTree[Array]:
    """`use(seen, x)` at every point, each tile of them on the blocks that matter."""
    log_mass = jax.nn.logsumexp(seen.blocks.log_weights, axis=1)
    bounds, error = jax.vmap(lambda x: balls.bounds(seen, log_mass, x))(xs)
    own = jnp.argmax(bounds, axis=1)
    # Neighbours side by side; the last tile is filled up with its last point.
    order = jnp.argsort(own)
    tile = min(TILE, len(xs))
    tiles = jnp.pad(order, (0, -len(xs) % tile), mode="edge").reshape(-1, tile)

    def judge(index: Int[Array, " tile"]) -> Bool[Array, " m"]:
        home = jnp.zeros(log_mass.size, bool).at[own[index]].set(True)
        return felt_blocks(seen, xs[index], bounds[index], error[index], home)

    def of_tile(now: tuple[Int[Array, " tile"], Bool[Array, " m"]]) -> PyTree[Array]:
        near = _only(seen, now[1])
        return jax.vmap(lambda x: use(near, x))(xs[now[0]])

    # No weight exceeds the largest bound: if none is zero beside that, none is at all.
    most = bounds.max(axis=1, keepdims=True) - ZERO[np.dtype(xs.dtype)]
    some = jnp.any(bounds + 2 * error[:, None] < most)
    all_felt = lambda tiles: jnp.ones((len(tiles), log_mass.size), bool)
    judged = lambda tiles: jax.lax.map(judge, tiles)
    felt = jax.lax.cond(some, judged, all_felt, tiles)

    def in_tiles() -> PyTree[Array]:
        found, place = jax.lax.map(of_tile, (tiles, felt)), jnp.argsort(order)
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[place], found)

    together = lambda: jax.vmap(lambda x: use(seen, x))(xs)
    return jax.lax.cond(jnp.mean(felt) < WORTH, in_tiles, together)


def felt_blocks(
    seen: NoisedPoints,
    xs: Float[Array, "tile d"],
    bounds: Float[Array, "tile m"],
    error: Float[Array, " tile"],
    home: Bool[Array, " m"],
) -> Bool[Array, " m"]:
    """Blocks that may weigh more than zero at some point, judged by those `home`."""
    # The weight of a point at home is a lower bound of the largest.
    top = jax.vmap(lambda x: _only(seen, home).largest(x)[0])(xs)
    zero = top - error - ZERO[np.dtype(xs.dtype)]
    # Written so that NaN leaves nothing out.
    return ~jnp.all(bounds + error[:, None] < zero[:, None], axis=0)


def _only(seen: NoisedPoints, felt: Bool[Array, " m"]) -> NoisedPoints:
    return replace(seen, blocks=replace(seen.blocks, felt=felt))
