import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets._data import Data, from_arrays, listing

_POINT_KEYS = ("x", "X", "x_train", "data", "images", "points", "arr_0")
_LABEL_KEYS = ("y", "labels", "y_train", "targets")
_WITHOUT = "none"

PathLike = str | os.PathLike[str]


def load(file: PathLike, x: str | None = None, labels: str | None = None) -> Data:
    """Read points, and labels where there are some, from a `.npy` or `.npz` file.

    The format is told by the content, not by the name. Pickles are never loaded.

    Args:
        file: The points, first axis the points (see `from_arrays`).
        x: Key of the points in a `.npz`. By default the first there is of x, X,
            x_train, data, images, points, arr_0, or else the only array.
        labels: Key in the same `.npz`, or another file; "none" for none. By default
            the first there is of y, labels, y_train, targets in the same `.npz`
            (beside `x_train`, `y_train` first).

    Raises:
        BadInput: There is no such file or key, the format is unknown, the file is
            empty, truncated or pickled, or what `from_arrays` refuses.
    """
    path = Path(file)
    members = _members(path, "file")
    if members is None:
        if x is not None:
            raise BadInput(
                f"`x` is {x!r} and {path.name!r} is a single array; keys are for .npz "
                f"files; leave `x` out."
            )
        key = None
    else:
        key = _point_key(members, x, path)
    points = _read(path, key, "file")
    return from_arrays(points, _labels(path, members, key, labels), name=path.stem)


def _labels(
    path: Path, members: list[str] | None, point_key: str | None, labels: str | None
) -> np.ndarray | None:
    rest = [key for key in members or () if key != point_key]
    if labels is None:
        first = "y_train" if point_key == "x_train" else None
        found = [k for k in (first, *_LABEL_KEYS) if k in rest]
        return _read(path, found[0], "file") if found else None
    if labels in rest:
        return _read(path, labels, "file")
    if labels == _WITHOUT:
        return None
    other = Path(labels)
    if not _is_file(other):
        keys = f"{path.name!r} has the keys {listing(rest)}" if rest else "give a file"
        raise BadInput(
            f"`labels` is {labels!r}, no such file or key; it must be a .npy or .npz "
            f"file, a key or 'none'; {keys}."
        )
    keys = _members(other, "labels")
    if keys is None:
        return _read(other, None, "labels")
    found = [k for k in _LABEL_KEYS if k in keys] or keys
    if len(found) > 1 and found == keys:
        raise BadInput(
            f"`labels` is {labels!r} with the arrays {listing(keys)}; one must be "
            f"called y or labels; save it so."
        )
    return _read(other, found[0], "labels")


def _point_key(keys: list[str], x: str | None, path: Path) -> str:
    if x is not None:
        if x not in keys:
            raise BadInput(
                f"`x` is {x!r}; it must be a key of {path.name!r}, which has "
                f"{listing(keys)}."
            )
        return x
    known = [key for key in _POINT_KEYS if key in keys]
    rest = known or [key for key in keys if key not in _LABEL_KEYS] or keys
    if not known and len(rest) > 1:
        raise BadInput(
            f"`x` is not given and {path.name!r} has the arrays {listing(rest)}; name "
            f"the one with the points by `x`."
        )
    return rest[0]


def _members(path: Path, argument: str) -> list[str] | None:
    """Keys of an `.npz`; None for an `.npy`; anything else is refused."""
    what = f"`{argument}` is {str(path)!r}"
    if not _is_file(path):
        raise BadInput(f"{what}; there is no such file; give a .npy or .npz file.")
    try:
        with open(path, "rb") as stream:
            magic = stream.read(8)
    except OSError as error:
        raise BadInput(
            f"{what}, which cannot be read ({error.strerror}); give another file."
        ) from error
    if not magic:
        raise BadInput(f"{what}, an empty file; it must hold an array; make it again.")
    if magic.startswith(b"\x93NUMPY"):
        return None
    if not magic.startswith(b"PK"):
        raise BadInput(
            f"{what}, of unknown format; it must be .npy or .npz (a pickle is never "
            f"loaded); save the array by numpy.save."
        )
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


def _is_file(path: Path) -> bool:
    # os.path says False where pathlib raises: names too long, null characters.
    return os.path.isfile(path)


def _read(path: Path, key: str | None, argument: str) -> np.ndarray:
    """One array of a file; Python objects are refused, never unpickled."""
    what = f"`{argument}` is {str(path)!r}" + (f", key {key!r}" if key else "")
    try:
        if key is None:
            with open(path, "rb") as stream:
                return _read_array(stream)
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
            return _read_array(stream)
    except Exception as error:  # a damaged file raises nearly anything
        if "pickle" in str(error):
            raise BadInput(
                f"{what}, which holds Python objects; pickles are never loaded; save "
                f"an array of numbers (labels: of numbers or strings)."
            ) from error
        raise BadInput(
            f"{what}, which is truncated or damaged; make it again."
        ) from error


def _read_array(stream: Any) -> np.ndarray:
    return np.lib.format.read_array(stream, allow_pickle=False)
