"""Named arrays: a JSON object of lists of numbers, or an `.npz` of arrays."""

import json
from pathlib import Path

import numpy as np

from jaxwin._checks import BadInput
from jaxwin._files import PathLike
from jaxwin.datasets._arrays import npz_keys, read_array
from jaxwin.datasets._quoting import quoted

# What a JSON object begins with, after white space.
_OPEN = b"{"
_ZIP = b"PK\x03\x04"


def is_named(file: PathLike, key: str) -> bool:
    """Whether a file is a JSON object, or an `.npz` that holds the array `key`."""
    path = Path(file)
    try:
        with open(path, "rb") as stream:
            start = stream.read(64).lstrip()
    except OSError:
        return False
    if start.startswith(_ZIP):
        return key in npz_keys(path, "file")
    return start.startswith(_OPEN)


def named_arrays(file: PathLike) -> dict[str, np.ndarray]:
    """All arrays of a JSON object or an `.npz` file, by name.

    Raises:
        BadInput: The file is damaged, or a value is no array of numbers.
    """
    path = Path(file)
    if path.read_bytes()[:4] == _ZIP:
        return {key: read_array(path, key, "file") for key in npz_keys(path, "file")}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BadInput(
            f"`file` is {quoted(path)}, which is no JSON ({error}); write an object of "
            f'lists such as {{"means": [[1, 1], [-1, -1]], "variances": 1}}.'
        ) from error
    return {key: numbers(value, key) for key, value in found.items()}


def numbers(value: object, name: str) -> np.ndarray:
    """A list of numbers, or of lists of them, as an array.

    Raises:
        BadInput: Ragged lists, or what is no number.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise BadInput(
            f"`{name}` is {quoted(str(value)[:60])}; it must be a number, a list of "
            f"numbers, or lists of equal length."
        )
    return array
