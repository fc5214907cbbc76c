"""Replicas in blocks of one compiled program, merged on the host in block order."""

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Bool, PyTree

from jaxwin._files import PathLike
from jaxwin._typing import Key
from jaxwin.execution._block import Device, Replica, blocks
from jaxwin.execution._block_size import fitting_size, two_block_size
from jaxwin.execution._checkpoint import checkpoint
from jaxwin.execution._configuration import configuration
from jaxwin.execution._estimate import Estimate, Total, join, largest_error
from jaxwin.execution._progress import Progress, Status

# Replicas are counted in 32 bits, with those that fill up the last round.
MOST_REPLICAS = 2**30


def run(
    replica_function: Replica,
    num_replicas: int,
    key: Key,
    *,
    block_size: int = 64,
    progress: Progress | None = None,
    until_stderr: float | None = None,
    watch: Callable[[PyTree], PyTree] = lambda result: result,
    min_blocks: int = 2,
    memory: int | None = None,
    folder: PathLike | None = None,
    resume: bool = False,
    devices: Sequence[Device] | None = None,
) -> Estimate:
    """Average a function of one replica over many, on all devices of this machine.

    A device computes whole blocks, all of one shape and by one compiled program; the
    host joins them in block order. At equal block size a replica's bits depend neither
    on its position or block, nor on the devices, nor on where a run was cut and
    resumed; at another block size results agree to rounding.

    The seam for many hosts: a block depends on its number alone, so that hosts may take
    blocks in turn and one of them joins all in block order. The seam for data that no
    device can hold: shards whose number belongs to the configuration, their partial
    results gathered and merged in shard order inside the replica function.

    Args:
        replica_function: `function(key, replica)` with the root key and the number of a
            replica, to be folded into the key where random numbers are wanted:
            `jax.random.fold_in(key, replica)`. A callable pytree such as
            `equinox.Partial(f, law, noises)`: arrays it closes over otherwise would be
            compiled in. Returns a pytree of float arrays of fixed shapes. If it has a
            method `many(key, replicas)`, that is called in place of `vmap`: consecutive
            replicas, the first one even, to leaves with a leading replica axis.
        num_replicas: How many, at least 2; with `until_stderr`, at most.
        key: Root key.
        block_size: Replicas computed at once, by one device. Lowered so that two blocks
            are made, since a bootstrap needs them; made even where there is `many`.
        progress: Called with a `Status` after each block.
        until_stderr: Stop once every watched standard error is below it, tested after
            `min_blocks` and then after a fifth more blocks each time, at least one: a
            run overshoots by a fifth at most. Stopping at a lucky moment biases errors
            down, hence few looks, and none before errors are known well: those of n
            Gaussian replicas to 1 / sqrt(2 n).
        watch: Picks from a result what `until_stderr` and `progress` look at.
        min_blocks: Blocks before the first test of `until_stderr`.
        memory: Bytes that the compiled program of a block may take on a device beside
            the function's arrays. It may only lower the block size, and warns then.
        folder: Where finished blocks are kept; they stay there. Made if missing.
        resume: Go on from the blocks in `folder`, of this very configuration; the
            number of replicas may differ. Otherwise they are removed.
        devices: Local devices of one kind; all of the default backend if left out.

    Raises:
        ValueError: Fewer than 2 replicas, a block size below 1, a memory budget too
            small for any block.
        BadInput: `folder` cannot be written, is in use, or cannot be resumed from:
            another configuration, a truncated or an altered file.
        FloatingPointError: A replica returned NaN or infinity; names block and replica.
    """
    if not 2 <= num_replicas <= MOST_REPLICAS:
        raise ValueError(
            f"`num_replicas` is {num_replicas}; errors need at least 2, and there are "
            f"numbers for {MOST_REPLICAS}."
        )
    if block_size < 1:
        raise ValueError(f"`block_size` is {block_size}; it must be at least 1.")
    devices = jax.local_devices() if devices is None else devices
    size = two_block_size(replica_function, block_size, num_replicas)
    if memory is not None:
        size = fitting_size(replica_function, key, size, memory, devices[0])
    num_blocks = -(-num_replicas // size)
    keep = contextlib.nullcontext()
    if folder is not None:
        parts, structure = configuration(replica_function, key, size, devices[0])
        keep = checkpoint(folder, parts, structure, num_replicas, size, resume)
    with keep as kept:
        # A short last block is not kept: a run may be extended.
        saved = kept.saved[: num_replicas // size] if kept else []
        computed = blocks(
            replica_function, key, len(saved), num_replicas, size, devices
        )
        old = ((mean, square, np.ones(size, bool)) for mean, square in saved)
        total, means, counts = None, [], []
        started = time.monotonic()
        results = zip(range(num_blocks), itertools.chain(old, computed), strict=False)
        for block, (mean, square, finite) in results:
            _check_finite(finite, block, num_blocks)
            part = Total(min(size, num_replicas - block * size), mean, square)
            total = part if total is None else join(total, part)
            reading = functools.partial(_worst, watch, total)
            means.append(mean)
            counts.append(part.count)
            if kept and block >= len(saved) and part.count == size:
                kept.append((mean, square), reading)
            if progress is not None and block >= len(saved) - 1:
                new = total.count - len(saved) * size
                rate = new / (time.monotonic() - started)
                progress(Status(total.count, num_replicas, rate, *reading()))
            if until_stderr is not None and _is_time(block + 1, min_blocks):
                if reading()[1] < until_stderr:
                    break
        assert total is not None  # two blocks at least
        if kept:
            kept.finish(total.count, _worst(watch, total))
    block_means = jax.tree.map(lambda *leaves: np.stack(leaves), *means)
    return Estimate(
        total.mean, total.stderr, total.count, block_means, np.asarray(counts)
    )


def _worst(watch: Callable[[PyTree], PyTree], total: Total) -> tuple[float, float]:
    return largest_error(watch(total.mean), watch(total.stderr))


def next_look(blocks: int, min_blocks: int) -> int:
    """The first number of blocks >= `blocks` after which `until_stderr` is tested."""
    look = max(min_blocks, 1)
    while look < blocks:
        look += max(1, look // 5)
    return look


def _is_time(made: int, min_blocks: int) -> bool:
    return made == next_look(made, min_blocks)


def _check_finite(finite: Bool[np.ndarray, " size"], block: int, blocks: int) -> None:
    if not finite.all():
        replica = block * finite.size + int(np.argmin(finite))
        raise FloatingPointError(
            f"replica {replica} (block {block} of {blocks}) returned NaN or infinity; "
            f"call it alone as function(key, {replica}) to see why."
        )
