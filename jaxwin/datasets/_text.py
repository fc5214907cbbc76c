"""Tables in text files: what parts the columns, and whether a line names them."""

import csv
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxwin._checks import BadInput
from jaxwin.datasets._quoting import quoted
from jaxwin.datasets._source import GENERIC

_SPACES = r"\s+"
# Lines looked at to tell the format.
_LINES = 20
# How a value that is not there is written, beside nothing at all.
_MISSING = ("?", "na", "n/a", "nan", "null", "none")


def read_text(
    path: Path, argument: str, named: Iterable[str] = (), rows: int | None = None
) -> Any:
    """A pandas table from a text file; columns without names are called "0", "1", ...

    Args:
        path: The file.
        argument: What the file was given as.
        named: Names somebody uses for columns: a first line with one of them is a line
            of names.
        rows: How many there must be: decides where the first line may be either.

    Raises:
        BadInput: The file is no table, ragged, or holds names alone.
    """
    what = f"`{argument}` is {quoted(path)}"
    lines = _first_lines(path, what)
    try:
        separator = _separator(lines)
        cells = [_cells(line, separator) for line in lines]
    except csv.Error as error:
        raise BadInput(
            f"{what}, a text file that is no table; it must have columns parted by "
            f"commas, semicolons, tabs or spaces."
        ) from error
    has_names = _has_names(cells, {name.strip() for name in named})
    table = _read(path, what, separator, cells[0], has_names)
    if rows is not None and len(table) == (rows - 1 if has_names else rows + 1):
        has_names = not has_names
        table = _read(path, what, separator, cells[0], has_names)
    if not len(table):
        raise BadInput(
            f"{what}, a table with a line of names and no rows; it must hold points; "
            f"make it again."
        )
    return table


def _read(
    path: Path, what: str, separator: str, first: list[str], has_names: bool
) -> Any:
    import pandas as pd

    names = first if has_names else [str(i) for i in range(len(first))]
    (name, count), *_ = Counter(names).most_common(1)
    if count > 1:
        raise BadInput(
            f"{what}, a table with {count} columns called {quoted(name)}; each needs "
            f"a name of its own; rename them."
        )
    try:
        with warnings.catch_warnings():
            # Lines longer than the first are a warning, and would be cut.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path,
                sep=separator,
                names=names,
                header=0 if has_names else None,
                index_col=False,
                skipinitialspace=True,
                na_values=["?"],
                encoding="utf-8-sig",
                low_memory=False,
            )
    except UnicodeDecodeError as error:
        raise BadInput(f"{what}, which is no UTF-8 text; save it as UTF-8.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        found = re.search(r"in line (\d+), saw (\d+)", str(error))
        where = f" (line {found[1]} has {found[2]} columns)" if found else ""
        raise BadInput(
            f"{what}, a ragged table{where}; all lines must have as many columns as "
            f"the first ({len(first)}); mend them."
        ) from error


def _first_lines(path: Path, what: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as stream:
            lines = [line for line in itertools.islice(stream, _LINES) if line.strip()]
    except UnicodeDecodeError as error:
        raise BadInput(f"{what}, which is no UTF-8 text; save it as UTF-8.") from error
    if not lines:
        raise BadInput(f"{what}, a file of empty lines; it must hold points.")
    return lines


def _separator(lines: list[str]) -> str:
    """What parts every line into as many columns, more than one if possible."""
    # A comma may stand inside numbers or texts that the others part.
    candidates = ("\t", ";", ",", _SPACES)
    counts = {c: [len(_cells(line, c)) for line in lines] for c in candidates}
    even = [c for c in candidates if min(counts[c]) == max(counts[c]) > 1]
    if even:
        return even[0]
    # Ragged, or texts: spaces part no more than numbers.
    if not all(_is_number(cell) for line in lines for cell in line.split()):
        counts.pop(_SPACES)
    return max(counts, key=lambda c: sum(counts[c]))


def _cells(line: str, separator: str) -> list[str]:
    if separator == _SPACES:
        return line.split()
    (cells,) = csv.reader([line.strip("\r\n")], delimiter=separator)
    return [cell.strip() for cell in cells]


def _has_names(cells: list[list[str]], named: set[str]) -> bool:
    """Whether the first line names the columns."""
    first = cells[0]
    texts = {cell for cell in first if not _is_number(cell)}
    if not texts:
        # Columns that pandas numbered; a point of these values is unlikely.
        return len(first) > 3 and first == [str(i) for i in range(len(first))]
    if texts & named or any(cell.lower() in GENERIC for cell in texts):
        return True
    values = itertools.islice(zip(*cells, strict=False), len(first))
    over_numbers = [
        all(map(_is_number, column[1:]))
        for column in values
        if column[0] in texts and len(column) > 1
    ]
    return any(over_numbers) or len(texts) == len(first)


def _is_number(cell: str) -> bool:
    """Whether a value of a column of numbers is written so."""
    if not cell or cell.lower() in _MISSING:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True
