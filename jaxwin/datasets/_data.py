import dataclasses

import numpy as np
from jaxtyping import Real, Shaped

from jaxwin._checks import BadInput
from jaxwin.datasets._features import Feature, Labelled, features_of
from jaxwin.datasets._mapped import blocks

# Squares of larger values, summed over a data set, leave the range of float64.
_LARGEST = 1e150


@dataclasses.dataclass(frozen=True)
class Data(Labelled):
    """Points as they came, flattened, with their labels; see `from_arrays`.

    Attributes:
        points: One row a point, row-major, in the type they came in (uint8 stays);
            of a large `.npy` file a memory map.
        features: What the points are labelled by; empty without labels. `labels` and
            `class_names` are those of the first.
        shape: Shape of one point before it was flattened; (h, w) or (h, w, channels)
            of images.
        name: What reports call the data.
        span: Lowest and highest value of the array that was loaded, (0, 255) for
            uint8. A selection keeps it, so that normalised values do not depend on
            which points were selected.
    """

    points: Real[np.ndarray, "n d"]
    features: tuple[Feature, ...]
    shape: tuple[int, ...]
    name: str
    span: tuple[float, float]

    @property
    def source_dtype(self) -> str:
        """Type of the values as they came."""
        return str(self.points.dtype)

    @property
    def is_image(self) -> bool:
        """Whether a point is made of uint8 pixels, or has the shape of a picture.

        That is (h, w), or three axes with 1 or 3 channels, first or last. Latents of
        other shapes are tables: their units are not to be touched.
        """
        shape = self.shape
        channels = len(shape) == 3 and {shape[0], shape[-1]} & {1, 3}
        return self.points.dtype == np.uint8 or len(shape) == 2 or bool(channels)


def from_arrays(points: object, labels: object = None, name: str = "data") -> Data:
    """Check arrays and make them a data set.

    A memory-mapped array is checked by blocks of rows and stays mapped.

    Args:
        points: Anything array-like, first axis the points: (n, d), images (n, h, w)
            or (n, h, w, channels), or (n,) for points on a line.
        labels: Integers, whole floats, booleans or strings: (n,), one a point; (n, k)
            for k features; or a mapping from the name of each feature to its (n,).
        name: What reports call the data.

    Raises:
        BadInput: The points are empty, fewer than two, ragged, not real numbers, not
            finite or all identical; the labels are of another length, one-hot rows or
            not classes.
    """
    array = _as_points(points)
    flat = array.reshape(array.shape[0], -1)
    shape = tuple(array.shape[1:]) or (1,)
    span = _span(flat)
    flat = _as_loaded(flat)
    check_not_identical(flat, "`x`")
    return Data(flat, features_of(labels, len(flat)), shape, name, span)


def check_not_identical(points: Real[np.ndarray, "n d"], what: str) -> None:
    """Raise BadInput if all points are the same."""
    if not any(np.any(block != points[:1]) for block in blocks(points)):
        raise BadInput(
            f"{what} holds {len(points)} identical points; they must vary; check the "
            f"data, or take other points."
        )


def _as_points(points: object) -> np.ndarray:
    try:
        array = points if isinstance(points, np.memmap) else np.asarray(points)
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
    return array


def _as_loaded(points: Shaped[np.ndarray, "n d"]) -> Real[np.ndarray, "n d"]:
    """The same values in a type of this machine that float64 can hold."""
    if points.dtype.kind == "b" or points.dtype.itemsize > 8:
        return np.asarray(points).astype(np.float64)
    native = points.dtype.newbyteorder("=")
    return points if points.dtype == native else np.asarray(points).astype(native)


def _span(points: Shaped[np.ndarray, "n d"]) -> tuple[float, float]:
    """Lowest and highest value; BadInput unless all are finite."""
    if points.dtype == np.uint8:
        return 0.0, 255.0
    # The extremes of an array with a NaN are NaN.
    extremes = [(block.min(), block.max()) for block in blocks(points)]
    low, high = np.min(extremes), np.max(extremes)
    # Covers infinity, NaN and what float64 cannot hold (long doubles).
    largest = np.longdouble(_LARGEST)
    if not (-largest <= low and high <= largest):
        bad = sum(
            np.count_nonzero(~(np.abs(block.astype(np.longdouble)) <= largest))
            for block in blocks(points)
        )
        raise BadInput(
            f"`x` has {bad} of {points.size} values that are NaN, infinite or "
            f"beyond {_LARGEST:g}; all must be finite; remove those points or "
            f"fill them in."
        )
    return float(low), float(high)
