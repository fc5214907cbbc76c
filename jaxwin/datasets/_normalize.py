import dataclasses

import numpy as np
from jaxtyping import Float, Real

from jaxwin._checks import BadInput, check_one_of
from jaxwin.datasets._data import Data, check_not_identical
from jaxwin.datasets._features import Feature, Labelled
from jaxwin.datasets._mapped import blocks
from jaxwin.datasets._memory import check_fits

CONVENTIONS = ("pm1", "unit01", "unit", "none")


@dataclasses.dataclass(frozen=True)
class Normalized(Labelled):
    """Points in the units of a convention: points = scale (raw - center).

    Attributes:
        points: One row a point.
        features: What the points are labelled by; empty without labels. `labels` and
            `class_names` are those of the first.
        shape: Shape of one point before it was flattened.
        name: What reports call the data.
        convention: One of "pm1", "unit01", "unit", "none".
        scale: Factor from raw units. From a convention A to another, B, variances
            grow by (scale_B / scale_A)^2 and t_S = 1/2 log Lambda by
            log(scale_B / scale_A); see `scale`.
        center: In raw units; zero for "none".
    """

    points: Float[np.ndarray, "n d"]
    features: tuple[Feature, ...]
    shape: tuple[int, ...]
    name: str
    convention: str
    scale: float
    center: Float[np.ndarray, " d"]


def default_convention(data: Data) -> str:
    """Say "pm1" for images (`Data.is_image`), else "none"."""
    return "pm1" if data.is_image else "none"


def normalize(data: Data, convention: str | None = None) -> Normalized:
    """Centre the points and bring them to the scale of a convention.

    - "pm1": uint8 pixels / 127.5 - 1; other values by min-max of the whole array
      that was loaded to [-1, 1]; then centred.
    - "unit01": the same to [0, 1] (pixels / 255), then centred; the convention of
      arXiv:2402.18491.
    - "unit": "pm1" times the one number that makes the mean over the dimensions of
      the variance 1 (over n - 1, as in the spectrum of a data set). No whitening.
    - "none": as given, not centred.

    Args:
        data: The span in it is that of the whole array; the centre is the mean of
            the points that are left after a selection.
        convention: None takes `default_convention`.

    Raises:
        BadInput: An unknown convention, identical points, values so close together
            or so far apart that they cannot be rescaled, or more points than fit into
            the memory.
    """
    convention = default_convention(data) if convention is None else convention
    check_fits(*data.points.shape)
    factor = scale(data, convention)
    points = _in_float64(data.points)
    center = np.zeros(points.shape[1])
    if convention != "none":
        center = points.mean(axis=0)
        points -= center[None, :]
        points *= factor
    return Normalized(
        points,
        data.features,
        data.shape,
        data.name,
        convention,
        factor,
        center,
    )


def scale(data: Data, convention: str) -> float:
    """Factor from raw units to those of a convention (see `normalize`).

    Raises:
        BadInput: As `normalize`.
    """
    check_one_of(convention, CONVENTIONS, "normalize")
    check_not_identical(data.points, "The data")
    if convention == "none":
        return 1.0
    low, high = data.span
    width = high - low
    if convention == "unit":
        # The factor of "pm1" cancels; dividing by the span keeps squares in range.
        width *= _spread(data.points, width if _is_sound(width) else np.inf)
    if not _is_sound(width):
        raise BadInput(
            f"`x` spans {low:g} to {high:g}, which cannot be rescaled in double "
            f"precision; bring the data to other units first."
        )
    return {"pm1": 2.0, "unit01": 1.0, "unit": 1.0}[convention] / width


def _spread(points: Real[np.ndarray, "n d"], unit: float) -> float:
    """Root of the mean over the dimensions of the variance, in some unit."""
    # About the first point: an offset costs no digits.
    first = points[0].astype(np.float64)
    about = lambda block: (block - first[None]) / unit
    mean = sum(about(block).sum(axis=0) for block in blocks(points)) / len(points)
    total = sum(np.sum((about(block) - mean) ** 2) for block in blocks(points))
    return float(np.sqrt(total / (points.size - points.shape[1])))


def _in_float64(points: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """A copy that holds no second one on the way."""
    out, start = np.empty(points.shape), 0
    for block in blocks(points):
        out[start : start + len(block)] = block
        start += len(block)
    return out


def _is_sound(width: float) -> bool:
    return bool(1e-150 < width < 1e200)
