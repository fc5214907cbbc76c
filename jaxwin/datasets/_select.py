import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets._data import Data, check_not_identical
from jaxwin.datasets._mapped import take
from jaxwin.datasets._memory import check_fits
from jaxwin.datasets._quoting import listing, quoted


def select(
    data: Data,
    classes: str | Sequence[str | int] | None = None,
    num_points: int | None = None,
    seed: int = 0,
) -> Data:
    """Keep some classes, then draw some of their points without replacement.

    Args:
        data: From `load`, `digits` or `from_arrays`.
        classes: Names of classes of the first feature, or one string with commas
            ("1,8"); None keeps all, labelled or not.
        num_points: How many to draw; None keeps all. At one seed a smaller draw is
            part of a larger one. Points stay in their order.
        seed: Of the draw.

    Returns:
        The selection, classes renumbered in their old order; the span is kept. Of
        further features, classes that no point is left of are dropped. Of a
        memory-mapped file only the rows kept are read.

    Raises:
        BadInput: Unknown classes, classes without labels, fewer points than asked,
            fewer than two points left, a class left with none, identical points, or
            more than fit into the memory.
    """
    kept = np.arange(len(data.points))
    names = data.class_names
    if classes is not None:
        names = _known(data, classes)
        wanted = np.array([name in names for name in data.class_names])
        kept = kept[wanted[data.features[0].labels]]
    if num_points is not None:
        if num_points < 2:
            raise BadInput(f"`num_points` is {num_points}; it must be at least 2.")
        if num_points > kept.size:
            raise BadInput(
                f"`num_points` is {num_points} and there are {kept.size} points; ask "
                f"for at most so many, or for more classes."
            )
        drawn = np.random.default_rng(seed).permutation(kept.size)[:num_points]
        kept = kept[np.sort(drawn)]
    if kept.size < 2:
        raise BadInput(
            f"`classes` leaves {kept.size} points; at least 2 are needed; take more "
            f"classes."
        )
    if kept.size == len(data.points):
        check_not_identical(data.points, "The selection")
        return data
    check_fits(kept.size, data.points.shape[1])
    features = tuple(feature.take(kept) for feature in data.features)
    empty = [name for name in names if name not in features[0].classes]
    if empty:
        raise BadInput(
            f"`num_points` is {num_points}, a draw with no point of class "
            f"{listing(empty)}; draw more points, take another seed or name fewer "
            f"classes."
        )
    points = take(data.points, kept)
    check_not_identical(points, "The selection")
    return dataclasses.replace(data, points=points, features=features)


def _known(data: Data, classes: str | Sequence[str | int]) -> tuple[str, ...]:
    """The classes asked for, in the order of the data."""
    if not data.features:
        raise BadInput(
            f"`classes` is given and {quoted(data.name)} has no labels; give "
            f"labels too, or leave `classes` out."
        )
    parts = classes.split(",") if isinstance(classes, str) else classes
    asked = [
        str(part).strip() if isinstance(classes, str) else str(part) for part in parts
    ]
    unknown = [name for name in asked if name not in data.class_names]
    if unknown or not asked:
        raise BadInput(
            f"`classes` names {listing(unknown)}; the classes are "
            f"{listing(data.class_names)}; name some of these."
        )
    return tuple(name for name in data.class_names if name in asked)
