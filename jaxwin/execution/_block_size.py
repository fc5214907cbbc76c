"""How many replicas a block has."""

import warnings

from jaxwin._typing import Key
from jaxwin.execution._block import Device, Replica, bytes_of_block


def two_block_size(function: Replica, size: int, num_replicas: int) -> int:
    """`size`, lowered so that two blocks are made, and even where pairs need it."""
    return _allowed(function, min(size, -(-num_replicas // 2)))


def fitting_size(
    function: Replica, key: Key, size: int, memory: int, device: Device
) -> int:
    """`size`, halved until the compiled program of a block takes at most `memory`.

    Each halving costs a compilation.

    Raises:
        ValueError: The smallest block does not fit.
    """
    fitting = size
    while (needed := bytes_of_block(function, key, fitting, device)) > memory:
        lower = _allowed(function, fitting // 2)
        if lower in (0, fitting):
            raise ValueError(
                f"`memory` is {memory} bytes; a block of {fitting} needs {needed}."
            )
        fitting = lower
    if fitting < size:
        warnings.warn(
            f"block size lowered from {size} to {fitting}: a block of {fitting} takes "
            f"{needed} of the {memory} bytes of `memory`",
            stacklevel=3,
        )
    return fitting


def _allowed(function: Replica, size: int) -> int:
    """Replicas 2p and 2p + 1 share random numbers in `many`: they stay together."""
    return size + size % 2 if hasattr(function, "many") else size
