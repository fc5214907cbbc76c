"""Arrays that numpy saved: `.npy` and `.npz`. Pickles are never loaded."""

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets._mapped import BLOCK
from jaxwin.datasets._quoting import listing, quoted
from jaxwin.datasets._source import Source, no_columns

_POINT_KEYS = ("x", "X", "x_train", "data", "images", "points", "arr_0")
_LABEL_KEYS = ("y", "labels", "y_train", "targets")


def npy_source(path: Path, x: str | None) -> Source:
    """The one array of an `.npy` file."""
    no_columns(x, "a single array", path.name)
    return Source(path.stem, lambda labels: read_array(path, None, "file"))


def npz_source(path: Path, x: str | None) -> Source:
    """The arrays of an `.npz` file; see `load` for the keys taken by default."""
    keys = npz_keys(path, "file")
    key = _point_key(keys, x, path)
    rest = {k: partial(read_array, path, k, "file") for k in keys if k != key}
    first = ("y_train",) if key == "x_train" else ()
    found = [name for name in (*first, *_LABEL_KEYS) if name in rest]
    points = partial(read_array, path, key, "file")
    return Source(path.stem, lambda labels: points(), rest, tuple(found[:1]))


def npz_labels(path: Path) -> np.ndarray:
    """The array of a file of labels: the one called so, or the only one."""
    keys = npz_keys(path, "labels")
    found = [key for key in _LABEL_KEYS if key in keys] or keys
    if len(found) > 1 and found == keys:
        raise BadInput(
            f"`labels` is {quoted(path)} with the arrays {listing(keys)}; one must be "
            f"called y or labels; save it so."
        )
    return read_array(path, found[0], "labels")


def read_array(path: Path, key: str | None, argument: str) -> np.ndarray:
    """One array of a file; a large one that is alone in it stays on disk, mapped."""
    what = f"`{argument}` is {quoted(path)}" + (f", key {quoted(key)}" if key else "")
    try:
        if key is None:
            return _read_alone(path)
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
            return _read(stream)
    except Exception as error:  # a damaged file raises nearly anything
        if "pickle" in str(error) or "Python objects" in str(error):
            raise BadInput(
                f"{what}, which holds Python objects; pickles are never loaded; save "
                f"an array of numbers (labels: of numbers or strings)."
            ) from error
        raise BadInput(
            f"{what}, which is truncated or damaged; make it again."
        ) from error


def _read_alone(path: Path) -> np.ndarray:
    # A map breaks where somebody writes the file anew: small arrays are read.
    if path.stat().st_size > BLOCK:
        array = np.lib.format.open_memmap(path, mode="r")
        # Other orders of axes or bytes would be copied as a whole, map or not.
        if array.flags.c_contiguous and array.dtype.isnative:
            return array
    with open(path, "rb") as stream:
        return _read(stream)


def _read(stream: Any) -> np.ndarray:
    return np.lib.format.read_array(stream, allow_pickle=False)


def _point_key(keys: list[str], x: str | None, path: Path) -> str:
    if x is not None:
        if x not in keys:
            raise BadInput(
                f"`x` is {quoted(x)}; it must be a key of {quoted(path.name)}, which "
                f"has {listing(keys)}."
            )
        return x
    known = [key for key in _POINT_KEYS if key in keys]
    rest = known or [key for key in keys if key not in _LABEL_KEYS] or keys
    if not known and len(rest) > 1:
        raise BadInput(
            f"`x` is not given and {quoted(path.name)} has the arrays {listing(rest)}; "
            f"name the one with the points by `x`."
        )
    return rest[0]


def npz_keys(path: Path, argument: str) -> list[str]:
    what = f"`{argument}` is {quoted(path)}"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # a damaged archive raises nearly anything
        raise BadInput(
            f"{what}, a truncated or damaged .npz file; make it again."
        ) from error
    keys = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if not keys:
        raise BadInput(
            f"{what}, an archive without arrays; it must be made by numpy.savez."
        )
    return keys
