"""IDX files, the format of MNIST, packed by gzip or not.

Two zero bytes, the type, the number of axes, the length of each axis (4 bytes), the
values row-major; all big-endian.

References:
    LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets._quoting import quoted
from jaxwin.datasets._source import Source, no_columns

_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def idx_source(path: Path, x: str | None) -> Source:
    """The array of an IDX file, labelled by the file of labels beside it."""
    no_columns(x, "a single array", path.name)
    name = path.name.removesuffix(".gz")
    source = Source(name, lambda labels: read_idx(path, "file"))
    beside = _labels_beside(path)
    if beside is None:
        return source
    columns = {"labels": lambda: read_idx(beside, "labels")}
    return Source(name, source.points, columns, ("labels",))


def read_idx(path: Path, argument: str) -> np.ndarray:
    """The array of an IDX file, in the byte order of this machine.

    Raises:
        BadInput: The file is truncated, damaged, or no IDX.
    """
    what = f"`{argument}` is {quoted(path)}"
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{what}, a truncated or damaged .gz file; get it again."
        ) from error
    start = content[:4].ljust(4, b"\0")
    if start[:2] != b"\0\0" or start[2] not in _TYPES or not start[3]:
        raise BadInput(
            f"{what}, which is no IDX file: it begins with {start.hex()}; it must "
            f"begin with 0000, a type (08 to 0e) and the number of axes; unpack or "
            f"convert it."
        )
    kind, axes = np.dtype(_TYPES[start[2]]), start[3]
    begin = 4 + 4 * axes
    shape = ()
    if len(content) >= begin:
        shape = struct.unpack(f">{axes}I", content[4:begin])
    size = begin + kind.itemsize * math.prod(shape)
    if len(content) != size or not shape:
        raise BadInput(
            f"{what}, a truncated or damaged IDX file: {len(content)} bytes where its "
            f"header asks for {size}; get it again."
        )
    array = np.frombuffer(content, kind, offset=begin).reshape(shape)
    return array.astype(kind.newbyteorder("="), copy=False)


def _labels_beside(path: Path) -> Path | None:
    """MNIST's file of labels of a file of images, packed or not."""
    for images, labels in (
        ("images-idx3", "labels-idx1"),
        ("images.idx3", "labels.idx1"),
    ):
        if images in path.name:
            name = path.name.replace(images, labels)
            for other in (name, name.removesuffix(".gz"), f"{name}.gz"):
                if path.with_name(other).is_file():
                    return path.with_name(other)
    return None
