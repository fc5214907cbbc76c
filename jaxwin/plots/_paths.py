from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SMALL,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

SHADES = (INK, GREEN, BLUE)


def paths(
    noise: Float[np.ndarray, " t"],
    path: Float[np.ndarray, "p t"],
    regimes: Sequence[tuple[str, float, float]],
    marks: Sequence[tuple[str, float]],
    xlabel: str,
    ylabel: str,
    *,
    dots: Float[np.ndarray, " p"] | None = None,
) -> "matplotlib.figure.Figure":
    """Paths from noise on the left to data on the right, coloured by where they end.

    Args:
        noise: Times, decreasing.
        path: One coordinate of each path.
        regimes: Name and ends of stretches that are shaded.
        marks: Name and place of times.
        xlabel: Of the time axis, which runs backwards.
        ylabel: Of the coordinate.
        dots: A time of each path, marked on it.
    """
    figure = new_figure(height=3.6)
    axes = figure.add_subplot()
    for (name, low, high), color in zip(regimes, SHADES, strict=False):
        axes.axvspan(low, high, color=color, alpha=0.1, linewidth=0)
        axes.text(
            (low + high) / 2,
            1.02,
            name,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            color=INK,
            fontsize=SMALL,
        )
    for i, row in enumerate(path):
        color = BLUE if row[-1] > 0 else ORANGE
        axes.plot(noise, row, color=color, linewidth=0.7, alpha=0.8)
        if dots is not None:
            place = np.argmin(np.abs(noise - dots[i]))
            axes.plot(noise[place], row[place], "o", color=color, markersize=3)
    for name, time in marks:
        axes.axvline(time, color=INK, linewidth=1, linestyle=":")
        axes.annotate(
            name,
            (time, 0),
            (3, 3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            color=INK,
            fontsize=SMALL,
        )
    axes.set_xlim(noise[0], noise[-1])
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    tidy(axes)
    return figure
