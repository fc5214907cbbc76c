"""Points and labels from a pandas table."""

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets._features import PLAIN
from jaxwin.datasets._quoting import listing, quoted
from jaxwin.datasets._source import Source

# Columns that label where none are named, the first there is.
_DEFAULT = ("label", "labels", "class", "target", "y")


def table_source(
    table: Any, name: str, x: str | None, default: tuple[str, ...] | None = None
) -> Source:
    """The columns of a table as points and labels.

    Args:
        table: A pandas table.
        name: What reports call the data.
        x: Columns of the points, with commas; None takes all that are no labels.
        default: Columns that label where none are named; None finds one.

    Raises:
        BadInput: `x` names a column that there is not.
    """
    table = _without_index(table)
    wanted = None if x is None else _columns(table, x)
    rest = [column for column in table.columns if column not in (wanted or ())]
    if default is None:
        default = _default(table)
    default = tuple(column for column in default if column in rest)
    labels = {column: partial(_labels, table, column) for column in rest}
    return Source(name, partial(_points, table, wanted), labels, default)


def table_labels(table: Any) -> dict[str, np.ndarray]:
    """Every column of a table as labels."""
    table = _without_index(table)
    columns = list(table.columns)
    if len(columns) == 1:
        return {PLAIN: _labels(table, columns[0])}
    return {column: _labels(table, column) for column in columns}


def _without_index(table: Any) -> Any:
    """The table with text as names, without an index that was saved with it."""
    names = [str(column) for column in table.columns]
    table = table.set_axis(names, axis=1)
    if len(names) > 1 and names[0] in ("", "Unnamed: 0", "__index_level_0__"):
        return table.drop(columns=names[0])
    return table


def _columns(table: Any, x: str) -> list[str]:
    names = [x] if x in table.columns else [name.strip() for name in x.split(",")]
    unknown = [name for name in names if name not in table.columns]
    if unknown:
        raise BadInput(
            f"`x` names {listing(unknown)}; it must name columns of the table, which "
            f"has {listing(table.columns)}."
        )
    return names


def _default(table: Any) -> tuple[str, ...]:
    lower = {column.lower(): column for column in table.columns}
    # Beside an x, a y is a coordinate.
    names = [name for name in _DEFAULT if name != "y" or "x" not in lower]
    return tuple(lower[name] for name in names if name in lower)[:1]


def _points(table: Any, wanted: list[str] | None, without: Collection[str]) -> Any:
    from pandas.api.types import is_numeric_dtype

    columns = wanted or [name for name in table.columns if name not in without]
    if not columns:
        raise BadInput(
            "The table has labels and no column of points; it must have some; name "
            "the labels by `labels`."
        )
    _check_complete(table, columns)
    if wanted and len(wanted) == 1 and _is_lists(table[wanted[0]]):
        return _stacked(table[wanted[0]], wanted[0])
    for name in columns:
        if is_numeric_dtype(table[name]):
            continue
        if _is_lists(table[name]):
            raise BadInput(
                f"Column {quoted(name)} holds lists; points are the numeric columns "
                f"or one column of lists; take it by --x NAME."
            )
        raise BadInput(
            f"Column {quoted(name)} is not numeric (it holds "
            f"{quoted(table[name].iloc[0])}); if it labels the points, give --labels "
            f"NAME; if not, name the columns to take by --x A,B."
        )
    # Column by column: pandas makes objects of numbers and truth values together.
    return np.stack([_numbers(table[name]) for name in columns], axis=1)


def _numbers(column: Any) -> np.ndarray:
    values = column.to_numpy()
    # Types of pandas that know a missing value may give objects.
    return values.astype(np.float64) if values.dtype == object else values


def _is_lists(column: Any) -> bool:
    return isinstance(column.iloc[0], list | tuple | np.ndarray)


def _stacked(column: Any, name: str) -> np.ndarray:
    try:
        return np.array([np.asarray(entry) for entry in column])
    except ValueError as error:
        raise BadInput(
            f"Column {quoted(name)} holds lists of several lengths; its points must be "
            f"of one shape; pad or cut them."
        ) from error


def _labels(table: Any, name: str) -> np.ndarray:
    _check_complete(table, [name])
    values = table[name].to_numpy()
    if values.dtype != object:
        return values
    # Categories and texts of pandas come as objects.
    listed = values.tolist()
    plain = np.array(listed) if len({type(entry) for entry in listed}) == 1 else values
    return plain if plain.ndim == 1 else values


def _check_complete(table: Any, columns: list[str]) -> None:
    missing = table[columns].isna().to_numpy()
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise BadInput(
            f"Column {quoted(columns[column])} has no value in row {row + 1}, and "
            f"{np.count_nonzero(missing)} are missing in all; remove those rows or "
            f"fill them in."
        )
