"""Rows of arrays that may be larger than the memory, a block at a time."""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int, Real, Shaped

# Bytes in a block of rows.
BLOCK = 2**25


def blocks(points: Shaped[np.ndarray, "n d"]) -> Iterator[Shaped[np.ndarray, "m d"]]:
    """The rows in blocks; what a memory-mapped block held is given back after it."""
    plain, step = np.asarray(points), _rows(points)
    for start in range(0, len(plain), step):
        yield plain[start : start + step]
        _release(points)


def take(
    points: Real[np.ndarray, "n d"], rows: Int[np.ndarray, " m"]
) -> Real[np.ndarray, "m d"]:
    """A copy of some rows; of a memory-mapped array only these are read."""
    plain, step = np.asarray(points), _rows(points)
    out = np.empty((len(rows), points.shape[1]), points.dtype)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        np.take(plain, part, axis=0, out=out[start : start + step])
        _release(points)
    return out


def _rows(points: np.ndarray) -> int:
    # The block may be taken to float64.
    return max(1, BLOCK // (8 * points.shape[1]))


def _release(points: np.ndarray) -> None:
    """Give the pages of a map back: they count as memory of the process.

    Only of a map opened for reading: a private map that was written to would lose it.
    """
    held: Any = getattr(points, "_mmap", None)
    if held is None or getattr(points, "mode", None) != "r":
        return
    if hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)
