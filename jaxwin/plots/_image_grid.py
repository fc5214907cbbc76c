from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxwin.plots._noised_images import is_image
from jaxwin.plots._style import INK, NORMAL, WIDTH, new_figure

if TYPE_CHECKING:
    import matplotlib.figure

ACROSS = 16


def image_grids(
    groups: Mapping[str, Float[np.ndarray, "k d"]], shape: Sequence[int], rows: int = 4
) -> "matplotlib.figure.Figure":
    """Pictures side by side, groups of them one above the other on one grey scale.

    Args:
        groups: Title and flattened images of each; 16 a row are shown, `rows` rows.
        shape: (h, w), (h, w, 1) or (h, w, 3).
        rows: Of each group.

    Raises:
        ValueError: Points that are no images.
    """
    if not is_image(shape):
        raise ValueError(f"`shape` is {tuple(shape)}; it must be (h, w) or (h, w, 3).")
    high, wide = shape[:2]
    colours = tuple(shape[2:]) if len(shape) == 3 and shape[2] == 3 else ()
    sheets = [
        _sheet(np.asarray(points), (high, wide, *colours), rows)
        for points in groups.values()
    ]
    low, top = (
        reach([reach(points) for points in groups.values()])
        for reach in (np.min, np.max)
    )
    height = 0.3 + WIDTH * rows * high / (ACROSS * wide)
    figure = new_figure(height=height * len(sheets))
    panels = figure.subplots(len(sheets), 1, squeeze=False)[:, 0]
    for axes, title, sheet in zip(panels, groups, sheets, strict=True):
        shown = (sheet - low) / (top - low)
        if colours:
            # Colours know no NaN: opacity in its place.
            clear = np.isfinite(shown).all(axis=2, keepdims=True)
            shown = np.concatenate([np.nan_to_num(shown), clear], axis=2)
        axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="none")
        axes.set_title(title, fontsize=NORMAL, loc="left", color=INK)
        axes.set_axis_off()
    return figure


def _sheet(
    points: Float[np.ndarray, "k d"], shape: tuple[int, ...], rows: int
) -> Float[np.ndarray, "..."]:
    """The first images as one, a pixel apart; what is not there is not drawn."""
    wanted = rows * ACROSS
    some = np.asarray(points[:wanted], float)
    blank = np.full((wanted - len(some), points.shape[1]), np.nan)
    high, wide, *colours = shape
    tiles = np.full((rows, ACROSS, high + 1, wide + 1, *colours), np.nan)
    filled = np.concatenate([some, blank]).reshape(rows, ACROSS, *shape)
    tiles[:, :, :high, :wide] = filled
    tall, across = rows * (high + 1), ACROSS * (wide + 1)
    return np.swapaxes(tiles, 1, 2).reshape(tall, across, *colours)
