"""A data set cut into points to train on and points held out."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxwin._checks import BadInput
from jaxwin._files import sha256
from jaxwin.analysis import speciation
from jaxwin.datasets import Data, normalize as in_units, select
from jaxwin.report._prepare import in_shape

HELD_OUT = 0.2


@dataclasses.dataclass(frozen=True)
class Split:
    """Normalised points, some of them held out, each class in its share.

    labels: from 0; all 0 where there are none, and `classes` is then empty. shape: of
    an image, (height, width, channels); None for what is no image. digest: of points,
    labels and cut, to know the data again. scale, centre: points = scale times
    (raw - centre), before principal directions are taken.
    """

    name: str
    train: Float[np.ndarray, "n d"]
    held_out: Float[np.ndarray, "h d"]
    labels: Int[np.ndarray, " n"]
    held_out_labels: Int[np.ndarray, " h"]
    classes: tuple[str, ...]
    shape: tuple[int, int, int] | None
    normalization: str
    share: float
    digest: str
    scale: float
    centre: Float[np.ndarray, " raw"]

    def pictures(self, points: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        """Normalised points as they came, to be looked at."""
        return points / self.scale + self.centre[None]

    @property
    def dimension(self) -> int:
        """Coordinates of a point."""
        return self.train.shape[1]


def split_data(
    data: Data,
    *,
    held_out: float = HELD_OUT,
    seed: int = 0,
    classes: Any = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
) -> Split:
    """Select, normalise, and hold out a share of each class.

    Centre, scale and principal directions are those of all points, held-out ones too.

    Args:
        data: The data set.
        held_out: Share in (0, 1); at least one point of each class.
        seed: Of the selection and of the cut.
        classes: As in `diagnose`, and so is all else.
        num_points: See `classes`.
        normalize: See `classes`.
        pca: Leading principal directions to keep; the points are then no images.
        shape: See `classes`.

    Raises:
        BadInput: A share that leaves nothing on one side, a class of one point, and as
            `diagnose`.
    """
    if not 0 < held_out < 1:
        raise BadInput(f"`held_out` is {held_out}; it must be a share between 0 and 1.")
    if shape is not None:
        data = in_shape(data, shape)
    data = select(data, classes, num_points, seed)
    normal = in_units(data, normalize)
    names = normal.features[0].classes if normal.features else ()
    labels = (
        np.asarray(normal.features[0].labels, np.int32)
        if normal.features
        else np.zeros(len(normal.points), np.int32)
    )
    points = normal.points
    if pca is not None:
        axes = speciation.principal(points - points.mean(axis=0), pca)
        points, labels = axes.coordinates, labels[axes.order]
    out = _held(labels, held_out, np.random.default_rng(seed), names)
    return Split(
        name=normal.name,
        train=points[~out],
        held_out=points[out],
        labels=labels[~out],
        held_out_labels=labels[out],
        classes=tuple(names),
        shape=None if pca is not None else _image_shape(data),
        normalization=normal.convention,
        share=held_out,
        scale=normal.scale,
        centre=normal.center,
        digest=sha256(f"{sha256(points)} {sha256(labels)} {sha256(out)}".encode()),
    )


def _held(
    labels: Int[np.ndarray, " n"],
    share: float,
    random: np.random.Generator,
    names: tuple[str, ...],
) -> np.ndarray:
    """Which points are held out: of each class its share, rounded, one at least."""
    out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            what = f"class {names[label]!r}" if names else "the data set"
            raise BadInput(
                f"{what} has {len(rows)} point; one to train on and one to hold out "
                f"are needed: leave the class out with `classes`."
            )
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        out[rows[:count]] = True
    return out


def _image_shape(data: Data) -> tuple[int, int, int] | None:
    """Height, width and channels, last; None for what is no image in this order."""
    shape = data.shape
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if data.is_image and len(shape) == 3 and shape[2] in (1, 3):
        return shape[0], shape[1], shape[2]
    return None
