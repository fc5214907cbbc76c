"""What kind a file is, told by its first bytes and not by its name."""

import os
from pathlib import Path
from typing import Literal

from jaxwin._checks import BadInput
from jaxwin.datasets._quoting import quoted

Kind = Literal["folder", "npy", "npz", "idx", "parquet", "text"]
FORMATS = ".npy, .npz, IDX, CSV, Parquet or a folder of images"


def kind_of(path: Path, argument: str) -> Kind:
    """The kind of a file that `argument` names.

    Raises:
        BadInput: There is none, it cannot be read, is empty or of no known kind.
    """
    what = f"`{argument}` is {quoted(path)}"
    # os.path says False where pathlib raises: names too long, null characters.
    if os.path.isdir(path):
        return "folder"
    if not os.path.isfile(path):
        raise BadInput(f"{what}; there is no such file; give {FORMATS}.")
    try:
        with open(path, "rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise BadInput(
            f"{what}, which cannot be read ({error.strerror}); give another file."
        ) from error
    if not start:
        raise BadInput(f"{what}, an empty file; it must hold points; make it again.")
    signatures: dict[bytes, Kind] = {
        b"\x93NUMPY": "npy",
        b"PK": "npz",
        b"PAR1": "parquet",
        b"\x1f\x8b": "idx",  # packed by gzip
        b"\0\0": "idx",
    }
    for signature, kind in signatures.items():
        if start.startswith(signature):
            return kind
    if _is_text(start):
        return "text"
    raise BadInput(
        f"{what}, of unknown format; it must be {FORMATS} (a pickle is never loaded); "
        f"save it as one of these."
    )


def _is_text(start: bytes) -> bool:
    """Whether these bytes may begin a table: UTF-8 without control characters."""
    # The last character may be cut.
    text = start.decode("utf-8", "ignore")
    whole = len(text.encode()) > len(start) - 4
    return whole and all(c.isprintable() or c.isspace() or c == "\ufeff" for c in text)
