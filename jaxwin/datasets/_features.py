"""Labels of points, one feature a column: from anything array-like to class indices."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxwin._checks import BadInput
from jaxwin.datasets._quoting import quoted

# The feature of labels that come without a name of their own.
PLAIN = "class"


@dataclasses.dataclass(frozen=True)
class Feature:
    """One property of the points, such as the digit shown, in classes.

    Attributes:
        name: What reports call it; "class" for plain labels.
        labels: Index of the class of each point.
        classes: Name of each class.
    """

    name: str
    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]

    def take(self, rows: Int[np.ndarray, " m"]) -> "Feature":
        """The feature of some of the points; classes left without any are dropped."""
        found, labels = np.unique(self.labels[rows], return_inverse=True)
        classes = tuple(self.classes[i] for i in found)
        return Feature(self.name, labels.astype(np.int64), classes)


class Labelled:
    """What has features: plain labels are those of the first."""

    features: tuple[Feature, ...]

    @property
    def labels(self) -> Int[np.ndarray, " n"] | None:
        """Index of the class of each point in the first feature; None without one."""
        return self.features[0].labels if self.features else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the first feature; empty without one."""
        return self.features[0].classes if self.features else ()


def features_of(labels: object, num_points: int) -> tuple[Feature, ...]:
    """Check labels and number their classes, in sorted order.

    Args:
        labels: None, (n,), (n, k), or k named columns: a mapping or a pandas table.
        num_points: How many there must be.

    Raises:
        BadInput: Labels of another length, one-hot rows, or what is no class.
    """
    if labels is None:
        return ()
    # A pandas table is no Mapping, and lists its columns as one does.
    if isinstance(labels, Mapping) or hasattr(labels, "columns"):
        table: Any = labels
        columns = [(str(name), _as_array(values)) for name, values in table.items()]
    else:
        columns = _split(_as_array(labels))
    if not columns:
        raise BadInput(
            "`labels` has no columns; it must hold one label a point; leave it out "
            "where there are none."
        )
    features = []
    for name, column in columns:
        # A name is told where it tells something.
        what = "`labels`" if len(columns) == 1 else f"`labels`, column {quoted(name)},"
        if column.ndim != 1:
            raise BadInput(
                f"{what} has shape {column.shape}; it must be (n,), one label a point; "
                f"or (n, k), k labels a point."
            )
        if len(column) != num_points:
            raise BadInput(
                f"{what} has {len(column)} entries and there are {num_points} points; "
                f"it must have one a point; give the labels of these points."
            )
        values, indices = np.unique(_as_names(column, what), return_inverse=True)
        classes = tuple(str(value) for value in values)
        features.append(Feature(name, indices.astype(np.int64), classes))
    return tuple(features)


def _as_array(labels: object) -> np.ndarray:
    try:
        return np.asarray(labels)
    except ValueError as error:
        raise BadInput("`labels` is ragged; it must hold one label a point.") from error


def _split(array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Columns of an array with their names."""
    if array.ndim != 2:
        return [(PLAIN, array)]
    if array.shape[1] == 1:
        return [(PLAIN, array[:, 0])]
    if _is_one_hot(array):
        raise BadInput(
            f"`labels` has shape {array.shape} with one-hot rows; it must hold one "
            f"label a point; give labels.argmax(axis=1)."
        )
    return [(f"feature {i + 1}", column) for i, column in enumerate(array.T)]


def _is_one_hot(array: np.ndarray) -> bool:
    if array.dtype.kind not in "biuf":
        return False
    ones = array == 1
    return bool(np.all(ones | (array == 0)) and np.all(ones.sum(axis=1) == 1))


def _as_names(array: np.ndarray, what: str) -> np.ndarray:
    """Labels as integers, booleans or strings."""
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~(np.isfinite(array) & (np.trunc(array) == array)))
        if bad.size or np.any(np.abs(array) > 2**53):
            entry = array[bad[0] if bad.size else np.argmax(np.abs(array))]
            raise BadInput(
                f"{what} holds {float(entry)}; labels must be whole numbers or "
                f"strings; remove those points, or turn the values into classes."
            )
        return array.astype(np.int64)
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{what} holds bytes that are no UTF-8; save them as strings."
            ) from error
    if array.dtype.kind == "T" or (
        array.dtype.kind == "O" and all(isinstance(v, str) for v in array)
    ):
        return array.astype(np.str_)
    if array.dtype.kind not in "biuU":
        raise BadInput(
            f"{what} holds values of type {str(array.dtype)!r}; they must be whole "
            f"numbers or strings; convert them."
        )
    return array
