"""From data as they came to a law in its principal axes, and where to look."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxwin._checks import BadInput
from jaxwin.analysis import Feature, speciation
from jaxwin.datasets import (
    Data,
    Normalized,
    normalize as in_units,
    scale,
    select,
)
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import Empirical

NUM_TIMES = 64
NUM_EIGENVALUES = 10
# Joint classes of all features; above `MANY` a curve has half as many times.
MOST_CLASSES, MANY = 256, 64
# A pair of classes is measured where so many draws of each are expected.
LEAST_DRAWS = 20
# Example images, one a class.
MOST_EXAMPLES = 5


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Data ready for the pass.

    law: points in principal axes, ordered by distance to the mean, under the joint
    labels of all features. features: their classes as groups of joint labels, with the
    pairs that are measured. unit01: factor to pixels in [0, 1], of uint8 images.
    """

    normal: Normalized  # without its points
    law: Empirical
    axes: speciation.Principal  # without its coordinates
    times: Float[np.ndarray, " t"]
    features: tuple[Feature, ...]
    repeated: int
    unit01: float | None
    examples: Float[np.ndarray, "e d"]
    is_image: bool

    @property
    def feature_labels(self) -> list[Int[np.ndarray, " n"]]:
        """Labels of every feature, in the order of the law's points."""
        return [feature.labels[self.axes.order] for feature in self.normal.features]


def prepare(
    data: Data,
    classes: Sequence[str | int] | str | None,
    num_points: int | None,
    normalize: str | None,
    pca: int | None,
    shape: Sequence[int] | None,
    seed: int,
    num_replicas: int,
) -> Prepared:
    """Select, normalise, and turn into principal axes; `diagnose` says what each is.

    Raises:
        BadInput: What cannot be diagnosed.
    """
    if shape is not None:
        data = in_shape(data, shape)
    data = select(data, classes, num_points, seed)
    joint, of_joint = _joint_labels(data)
    normal = in_units(data, normalize)
    points = normal.points
    repeated, shown = _repeated(points), _examples(normal)
    dimension = points.shape[1]
    # Nothing below depends on the origin; float32 would lose the digits of an offset.
    # In place, and let go of below: there may be gigabytes of them.
    points -= points.mean(axis=0)
    _check_spread(points)
    axes = speciation.principal(points, pca, NUM_EIGENVALUES)
    del points
    normal = dataclasses.replace(normal, points=np.empty((0, dimension)))
    count = NUM_TIMES if len(of_joint) <= MANY else NUM_TIMES // 2
    features = tuple(
        Feature(tuple(int(c) for c in column), _pairs(feature.labels, num_replicas))
        for column, feature in zip(of_joint.T, data.features, strict=True)
    )
    unit01 = None
    if data.points.dtype == np.uint8 and normal.convention not in ("unit01", "none"):
        unit01 = scale(data, "unit01") / normal.scale
    times = noise_times(axes.coordinates, seed, count)
    law = Empirical(axes.coordinates, joint[axes.order])
    return Prepared(
        normal=normal,
        law=law,
        axes=axes._replace(coordinates=np.empty((0, law.dimension))),
        times=times,
        examples=shown,
        is_image=data.is_image,
        features=features or (Feature.of_labels(1),),
        repeated=repeated,
        unit01=unit01,
    )


def noise_times(
    points: Float[np.ndarray, "n d"], seed: int = 0, count: int = NUM_TIMES
) -> Float[np.ndarray, " t"]:
    """OU times over which everything about these points is decided.

    Uniform in log-SNR between the noise that hides the widest direction and the noise
    that leaves each point to itself: alpha / sigma from 1 / (8 sqrt(trace)) to 12 times
    the inverse distance of near neighbours. A change of scale shifts the whole grid.
    """
    centred = points - points.mean(axis=0)
    widest = np.sqrt(np.mean(np.einsum("nd,nd->n", centred, centred)))
    near = np.quantile(near_distances(centred, 256, seed), 0.1)
    signal = np.geomspace(12 / near, 1 / (8 * widest), count)
    return np.asarray(OrnsteinUhlenbeck().time(2 * jnp.log(jnp.asarray(signal))))


def near_distances(
    centred: Float[np.ndarray, "n d"], count: int, seed: int = 0
) -> Float[np.ndarray, " m"]:
    """Distance of some points, drawn at random, to their nearest neighbour.

    Repeated points are one; what has no neighbour is left out.
    """
    square = np.einsum("nd,nd->n", centred, centred)
    some = np.random.default_rng(seed).permutation(len(centred))[:count]
    apart = square[some, None] + square[None] - 2 * centred[some] @ centred.T
    # Duplicates and the point itself are no neighbours.
    apart = np.where(apart > 1e-12 * np.mean(square), apart, np.inf)
    near = np.sqrt(apart.min(axis=1))
    return near[np.isfinite(near)]


def in_shape(data: Data, shape: Sequence[int]) -> Data:
    size = data.points.shape[1]
    if len(shape) not in (2, 3) or min(shape) < 1 or math.prod(shape) != size:
        raise BadInput(
            f"`shape` is {','.join(map(str, shape))}; it must be height,width or "
            f"height,width,channels with the product {size}, the numbers in a point."
        )
    return dataclasses.replace(data, shape=tuple(int(side) for side in shape))


def _joint_labels(data: Data) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "l f"]]:
    """A label for every combination of classes, and the class of each feature in it."""
    columns = [feature.labels for feature in data.features]
    if not columns:
        return np.zeros(len(data.points), np.int64), np.zeros((1, 0), np.int64)
    rows, joint = np.unique(np.stack(columns, 1), axis=0, return_inverse=True)
    if len(rows) > MOST_CLASSES:
        what = "classes" if len(columns) == 1 else "combinations of classes"
        raise BadInput(
            f"`labels` has {len(rows)} {what}, and pairs grow as their square; keep at "
            f"most {MOST_CLASSES} by `classes`, give fewer columns, or no labels."
        )
    return joint.reshape(-1), rows


def _pairs(labels: Int[np.ndarray, " n"], num_replicas: int) -> Int[np.ndarray, "p 2"]:
    """All pairs of classes of which enough draws are expected."""
    counts = np.bincount(labels)
    many = num_replicas * counts / counts.sum() >= LEAST_DRAWS
    # One point is no class: whoever knows it knows its label.
    drawn = np.flatnonzero(many & (counts > 1))
    return drawn[np.stack(np.triu_indices(drawn.size, 1), axis=1)].astype(np.int32)


def _examples(normal: Normalized) -> Float[np.ndarray, "e d"]:
    """The first point of each of the first classes, or the first points; not centred.

    In the units of the data, the mean added again: pictures as people know them.
    """
    rows = np.arange(len(normal.points))
    if normal.labels is not None:
        rows = np.unique(normal.labels, return_index=True)[1]
    return normal.points[rows[:MOST_EXAMPLES]] + normal.scale * normal.center


def _repeated(points: Float[np.ndarray, "n d"]) -> int:
    """How many points repeat an earlier one."""
    digest = lambda row: hashlib.blake2b(row.tobytes(), digest_size=16).digest()
    # Minus zero is zero.
    return len(points) - len({digest(row + 0.0) for row in points})


def _check_spread(centred: Float[np.ndarray, "n d"]) -> None:
    """Raise BadInput where squares of the data leave the range of the float type."""
    narrow = jnp.result_type(float) == jnp.float32
    low, high = (1e-6, 1e12) if narrow else (1e-60, 1e60)
    spread = max(-float(centred.min()), float(centred.max()))
    if not low <= spread <= high:
        raise BadInput(
            f"`x` spreads over {spread:.3g} about its mean; that must lie between "
            f"{low:g} and {high:g} in this precision; bring the data to other units."
        )
