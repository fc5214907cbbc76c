"""One block of replicas on one device; a round is one block on each device."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._typing import Key

Replica = Callable[[Key, Int[Array, ""]], PyTree[Float[Array, "..."]]]
Device: TypeAlias = Any  # jax.Device, which pyright takes for a variable
_AXIS = "device"


def blocks(
    function: Replica,
    key: Key,
    first: int,
    num_replicas: int,
    size: int,
    devices: Sequence[Device],
) -> Iterator[tuple[PyTree[np.ndarray], PyTree[np.ndarray], Bool[np.ndarray, " size"]]]:
    """Mean, centred square sum and finiteness of block `first` and all that follow.

    Blocks come in order, on the host. The last round may go past the last replica.
    """
    mesh = Mesh(np.asarray(devices), (_AXIS,))
    # Laid out once: arrays on one device would travel to the others every round.
    arrays, static = eqx.partition((function, key), eqx.is_array)
    arrays = jax.device_put(arrays, NamedSharding(mesh, PartitionSpec()))
    function, key = eqx.combine(arrays, static)
    rounds = range(first, -(-num_replicas // size), len(devices))
    number = np.asarray(num_replicas, np.int32)
    launched = (
        _round(function, key, np.asarray(block, np.int32), number, size, mesh)
        for block in rounds
    )
    # `pairwise` launches the next round before this one is waited for.
    for result, _ in itertools.pairwise(itertools.chain(launched, [None])):
        means, squares, finite = jax.device_get(result)
        for i in range(len(devices)):
            pick = lambda leaf, i=i: np.asarray(leaf[i], np.float64)
            yield jax.tree.map(pick, means), jax.tree.map(pick, squares), finite[i]


def bytes_of_block(function: Replica, key: Key, size: int, device: Device) -> int:
    """Temporaries and results of the compiled program of a block on one device."""
    mesh, zero = Mesh(np.asarray([device]), (_AXIS,)), np.zeros((), np.int32)
    lower = _round.lower  # pyright: ignore[reportFunctionMemberAccess]
    program = lower(function, key, zero, zero, size, mesh).compile()
    found = program.compiled.memory_analysis()
    return found.temp_size_in_bytes + found.output_size_in_bytes


@eqx.filter_jit
def _round(
    function: Replica,
    key: Key,
    first: Int[Array | np.ndarray, ""],
    num_replicas: Int[Array | np.ndarray, ""],
    size: int,
    mesh: Mesh,
) -> tuple[PyTree, PyTree, Bool[Array, "devices size"]]:
    """Blocks `first`, `first` + 1, ..., one on each device, stacked."""
    arrays, static = eqx.partition((function, key), eqx.is_array)

    def on_one_device(arrays, first, num_replicas):
        function, key = eqx.combine(arrays, static)
        block = first + jax.lax.axis_index(_AXIS)
        result = one_block(function, key, block, num_replicas, size)
        return jax.tree.map(lambda leaf: leaf[None], result)

    # No collective: a device never waits for another, and bits cannot depend on them.
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(_AXIS),
        check_vma=False,
    )(arrays, first, num_replicas)


def one_block(
    function: Replica,
    key: Key,
    block: Int[Array, ""],
    num_replicas: Int[Array, ""],
    size: int,
) -> tuple[PyTree, PyTree, Bool[Array, " size"]]:
    """Mean and centred square sum of one block, and which replicas are finite."""
    replicas = block * size + jnp.arange(size, dtype=jnp.int32)
    # A short block is filled up with replicas that count for nothing.
    present = replicas < num_replicas
    count = jnp.maximum(jnp.sum(present), 1)
    many = getattr(function, "many", None) or jax.vmap(function, in_axes=(None, 0))
    values = many(key, replicas)
    weight = lambda leaf: present.reshape((-1,) + (1,) * (leaf.ndim - 1))
    total = lambda leaf: jnp.sum(jnp.where(weight(leaf), leaf, 0), axis=0)
    mean = jax.tree.map(lambda leaf: total(leaf) / count.astype(leaf.dtype), values)
    square = jax.tree.map(lambda leaf, m: total((leaf - m[None]) ** 2), values, mean)
    finite = [
        jnp.all(jnp.isfinite(leaf.reshape(size, -1)), axis=1)
        for leaf in jax.tree.leaves(values)
    ]
    return mean, square, jnp.all(jnp.stack(finite), axis=0) | ~present
