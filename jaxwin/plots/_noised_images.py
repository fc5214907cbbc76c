from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxwin.plots._style import INK, SMALL, WIDTH, digits, new_figure, short

if TYPE_CHECKING:
    import matplotlib.figure

# Sides up to which pixels are drawn as they are; larger pictures are resampled.
MOST_PIXELS = 96


def is_image(shape: Sequence[int]) -> bool:
    """Whether points of this shape are grey (h, w) or colour (h, w, 3) pictures."""
    pictured = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    return pictured and min(shape[:2]) > 1


def noised_images(
    points: Float[np.ndarray, "k d"],
    shape: Sequence[int],
    times: Mapping[str, float],
    names: Sequence[str],
    seed: int = 0,
) -> "matplotlib.figure.Figure":
    """Example images, clean and with the noise of the key times, one row each.

    A picture is e^{-t} x0 + sqrt(1 - e^{-2t}) z with its own contrast, from its lowest
    to its highest value; z is one draw along a row.

    Args:
        points: Clean images x0, flattened, in the units in which times are stated.
        shape: (h, w), (h, w, 1) or (h, w, 3).
        times: Name and OU time of the columns after the clean one.
        names: What stands beside each row, such as its class.
        seed: Of the noise.

    Raises:
        ValueError: Points that are no images.
    """
    if not is_image(shape):
        raise ValueError(f"`shape` is {tuple(shape)}; it must be (h, w) or (h, w, 3).")
    columns = {"clean": 0.0} | dict(times)
    rows, across = len(points), len(columns)
    side = min(1.0, (WIDTH - 0.8) / across)
    size = (0.8 + side * across, 0.45 + side * rows * shape[0] / shape[1])
    figure = new_figure(*size)
    close = dict(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    figure.set_layout_engine("constrained", **close)
    panels = figure.subplots(rows, across, squeeze=False)
    noise = np.random.default_rng(seed).normal(size=points.shape)
    # Small pictures show their pixels, at no cost in bytes.
    way = "none" if max(shape[:2]) <= MOST_PIXELS else "antialiased"
    for row, name in enumerate(names):
        for column, (title, time) in enumerate(columns.items()):
            axes = panels[row, column]
            alpha, sigma = np.exp(-time), np.sqrt(-np.expm1(-2 * time))
            seen = alpha * points[row] + sigma * noise[row]
            axes.imshow(_contrast(seen, shape), cmap="gray", interpolation=way)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            if row == 0:
                head = title if time == 0 else f"{title}\nt = {digits(time)}"
                axes.set_title(head, color=INK, fontsize=SMALL)
        axes = panels[row, 0]
        # `parse_math` off: a class may be called "$x".
        axes.set_ylabel(
            short(name, 10),
            color=INK,
            fontsize=SMALL,
            rotation=0,
            ha="right",
            va="center",
            parse_math=False,
        )
    return figure


def _contrast(values: Float[np.ndarray, " d"], shape: Sequence[int]) -> np.ndarray:
    """A picture from 0 to 1; a flat one is grey."""
    low, high = values.min(), values.max()
    flat = not high > low
    scaled = np.full_like(values, 0.5) if flat else (values - low) / (high - low)
    # Bytes: what a screen shows, and small files.
    picture = np.round(255 * scaled).astype(np.uint8).reshape(shape)
    return picture[..., 0] if picture.ndim == 3 and shape[2] == 1 else picture
