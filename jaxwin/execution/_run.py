"""Replicas in blocks of one compiled program, merged on the host in block order."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._typing import Key

Replica = Callable[[Key, Int[Array, ""]], PyTree[Float[Array, "..."]]]
Progress = Callable[[int, int], None]


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


def run(
    replica_function: Replica,
    num_replicas: int,
    key: Key,
    *,
    block_size: int = 64,
    progress: Progress | None = None,
) -> Estimate:
    """Average a function of one replica over many.

    Replica i sees the key `fold_in(key, i)`: its result does not depend on the block it
    falls in (bits are equal at equal block size, rounding otherwise).

    Args:
        replica_function: `function(key, replica)`, a callable pytree such as
            `equinox.Partial(f, law, noises)`: arrays it closes over otherwise would be
            compiled in. Returns a pytree of float arrays of fixed shapes.
        num_replicas: How many, at least 2.
        key: Root key.
        block_size: Replicas computed at once. Two blocks at least are made, since a
            bootstrap needs them.
        progress: Called as `progress(done, total)` with replicas after each block.

    Raises:
        ValueError: Fewer than 2 replicas, or a block size below 1.
        FloatingPointError: A replica returned NaN or infinity; names block and replica.
    """
    if num_replicas < 2:
        raise ValueError(f"`num_replicas` is {num_replicas}; errors need at least 2.")
    if block_size < 1:
        raise ValueError(f"`block_size` is {block_size}; it must be at least 1.")
    block_size = min(block_size, -(-num_replicas // 2))
    blocks = -(-num_replicas // block_size)
    means, squares, counts = [], [], []
    for block in range(blocks):
        first = jnp.asarray(block * block_size, jnp.int32)
        count = min(block_size, num_replicas - block * block_size)
        mean, square, finite = _block(
            replica_function, key, first, jnp.asarray(count, jnp.int32), block_size
        )
        finite = np.asarray(finite)
        if not finite.all():
            replica = block * block_size + int(np.argmin(finite))
            raise FloatingPointError(
                f"replica {replica} (block {block} of {blocks}) returned NaN or "
                f"infinity; run it alone with key fold_in(key, {replica}) to see why."
            )
        means.append(jax.tree.map(_to_host, mean))
        squares.append(jax.tree.map(_to_host, square))
        counts.append(count)
        if progress is not None:
            progress(block * block_size + count, num_replicas)
    return _merge(means, squares, np.asarray(counts))


@eqx.filter_jit
def _block(
    function: Replica,
    key: Key,
    first: Int[Array, ""],
    count: Int[Array, ""],
    size: int,
) -> tuple[PyTree, PyTree, Bool[Array, " size"]]:
    """Mean and centred square sum of one block, and which replicas are finite."""
    index = jnp.arange(size, dtype=jnp.int32)
    present = index < count
    # A short block repeats its first replica and gives the repetitions no weight.
    replicas = jnp.where(present, first + index, first)
    values = jax.vmap(lambda i: function(jr.fold_in(key, i), i))(replicas)
    weight = lambda leaf: present.reshape((-1,) + (1,) * (leaf.ndim - 1))
    total = lambda leaf: jnp.sum(jnp.where(weight(leaf), leaf, 0), axis=0)
    mean = jax.tree.map(lambda leaf: total(leaf) / count.astype(leaf.dtype), values)
    square = jax.tree.map(lambda leaf, m: total((leaf - m[None]) ** 2), values, mean)
    finite = [
        jnp.all(jnp.isfinite(leaf.reshape(size, -1)), axis=1)
        for leaf in jax.tree.leaves(values)
    ]
    return mean, square, jnp.all(jnp.stack(finite), axis=0)


def _to_host(leaf: Array) -> np.ndarray:
    return np.asarray(leaf, np.float64)


def _merge(means: list, squares: list, counts: np.ndarray) -> Estimate:
    """Join blocks in order: total mean and, by Chan's formula, total variance."""
    stack = lambda *leaves: np.stack(leaves)
    block_means = jax.tree.map(stack, *means)
    weights = counts / counts.sum()
    average = lambda leaf: np.tensordot(weights, leaf, 1)
    mean = jax.tree.map(average, block_means)
    size = int(counts.sum())

    def stderr(within: np.ndarray, between: np.ndarray, m: np.ndarray) -> np.ndarray:
        spread = within.sum(0) + np.tensordot(counts, (between - m) ** 2, 1)
        return np.asarray(np.sqrt(spread / (size - 1)) / math.sqrt(size))

    errors = jax.tree.map(stderr, jax.tree.map(stack, *squares), block_means, mean)
    return Estimate(mean, errors, size, block_means, counts)
