import dataclasses

import numpy as np
from jaxtyping import Int, Real

from jaxwin._checks import BadInput

# Squares of larger values, summed over a data set, leave the range of float64.
_LARGEST = 1e150


@dataclasses.dataclass(frozen=True)
class Data:
    """Points as they came, flattened, with their labels; see `from_arrays`.

    Attributes:
        points: One row a point, row-major, in the type they came in (uint8 stays).
        labels: Index of the class of each point, or None.
        class_names: Name of each class.
        shape: Shape of one point before it was flattened.
        name: What reports call the data.
        span: Lowest and highest value of the array that was loaded, (0, 255) for
            uint8. A selection keeps it, so that normalised values do not depend on
            which points were selected.
    """

    points: Real[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"] | None
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    name: str
    span: tuple[float, float]

    @property
    def source_dtype(self) -> str:
        """Type of the values as they came."""
        return str(self.points.dtype)

    @property
    def is_image(self) -> bool:
        """Whether a point has at least two axes, or is made of uint8 pixels."""
        return len(self.shape) >= 2 or self.points.dtype == np.uint8


def from_arrays(points: object, labels: object = None, name: str = "data") -> Data:
    """Check arrays and make them a data set.

    Args:
        points: Anything array-like, first axis the points: (n, d), images (n, h, w)
            or (n, h, w, channels), or (n,) for points on a line.
        labels: Integers, whole floats, booleans or strings, one a point.
        name: What reports call the data.

    Raises:
        BadInput: The points are empty, fewer than two, ragged, not real numbers, not
            finite or all identical; the labels are of another length or not classes.
    """
    array = _as_points(points)
    flat = array.reshape(array.shape[0], -1)
    indices, names = (None, ()) if labels is None else _as_classes(labels, len(flat))
    shape = tuple(array.shape[1:]) or (1,)
    return Data(flat, indices, names, shape, name, _span(flat))


def check_not_identical(points: np.ndarray, what: str) -> None:
    """Raise BadInput if all points are the same."""
    if np.array_equal(points, np.broadcast_to(points[:1], points.shape)):
        raise BadInput(
            f"{what} holds {len(points)} identical points; they must vary; check the "
            f"data, or take other points."
        )


def listing(names: tuple[str, ...] | list[str], most: int = 12) -> str:
    """The names in quotes on one line, shortened where they are many."""
    text = ", ".join(repr(name) for name in names[:most]) or "none"
    more = len(names) - most
    return f"{text} and {more} more" if more > 0 else text


def _as_points(points: object) -> np.ndarray:
    try:
        array = np.asarray(points)
    except ValueError as error:
        raise BadInput(
            "`x` is ragged; its points must be of one shape; pad or cut them."
        ) from error
    if array.dtype.kind not in "biuf":
        raise BadInput(
            f"`x` holds values of type {str(array.dtype)!r}; they must be real "
            f"numbers; convert them and save the array again."
        )
    if array.ndim == 0:
        raise BadInput("`x` is a single number; it must be an array (n, d).")
    if array.size == 0:
        raise BadInput(
            f"`x` has shape {array.shape} and is empty; it must hold at least 2 points."
        )
    if array.shape[0] < 2:
        raise BadInput(
            f"`x` has shape {array.shape}, one point; it must hold at least 2; put "
            f"the points on the first axis."
        )
    if array.dtype.kind == "f":
        # Covers infinity, NaN and what float64 cannot hold (long doubles).
        bad = np.count_nonzero(~(np.abs(array) <= _LARGEST)) if _is_wide(array) else 0
        bad = bad or np.count_nonzero(~np.isfinite(array))
        if bad:
            raise BadInput(
                f"`x` has {bad} of {array.size} values that are NaN, infinite or "
                f"beyond {_LARGEST:g}; all must be finite; remove those points or "
                f"fill them in."
            )
    if array.dtype.kind == "b" or array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    check_not_identical(array, "`x`")
    return array


def _is_wide(array: np.ndarray) -> bool:
    return array.dtype.itemsize >= 8


def _span(points: np.ndarray) -> tuple[float, float]:
    if points.dtype == np.uint8:
        return 0.0, 255.0
    return float(points.min()), float(points.max())


def _as_classes(labels: object, num_points: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Indices of the classes, in sorted order, and their names."""
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise BadInput("`labels` is ragged; it must hold one label a point.") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise BadInput(
            f"`labels` has shape {array.shape}; it must be (n,), one label a point; "
            f"give one column (of one-hot rows, the argmax)."
        )
    if len(array) != num_points:
        raise BadInput(
            f"`labels` has {len(array)} entries and there are {num_points} points; "
            f"it must have one a point; give the labels of these points."
        )
    values, indices = np.unique(_as_names(array), return_inverse=True)
    return indices.astype(np.int64), tuple(str(value) for value in values)


def _as_names(array: np.ndarray) -> np.ndarray:
    """Labels as integers, booleans or strings."""
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~(np.isfinite(array) & (np.trunc(array) == array)))
        if bad.size or np.any(np.abs(array) > 2**53):
            entry = array[bad[0] if bad.size else np.argmax(np.abs(array))]
            raise BadInput(
                f"`labels` holds {float(entry)}; labels must be whole numbers or "
                f"strings; remove those points, or turn the values into classes."
            )
        return array.astype(np.int64)
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                "`labels` holds bytes that are no UTF-8; save them as strings."
            ) from error
    if array.dtype.kind == "T" or (
        array.dtype.kind == "O" and all(isinstance(v, str) for v in array)
    ):
        return array.astype(np.str_)
    if array.dtype.kind not in "biuU":
        raise BadInput(
            f"`labels` holds values of type {str(array.dtype)!r}; they must be whole "
            f"numbers or strings; convert them."
        )
    return array
