from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import windows
from jaxwin.plots._style import INK, NORMAL, SMALL, WIDTH, digits, new_figure, short

if TYPE_CHECKING:
    import matplotlib.figure

# Up to so many classes every cell carries its number, and every class its name.
MOST_NUMBERS, MOST_NAMES = 4, 12


def confusion(
    result: windows.Confusion, class_names: Sequence[str], times: Mapping[str, float]
) -> "matplotlib.figure.Figure":
    """Where a sample of class i ends when noised to t and taken back: A_ij(t).

    One matrix for each named time, at the nearest noise that was measured; rows of
    classes that were not drawn are blank.

    Args:
        result: A_ij along OU time.
        class_names: Names of the classes.
        times: Name and OU time of the matrices to show, from left to right.
    """
    noise, matrix = result.noise, result.matrix
    figure = new_figure(WIDTH, 2.2)
    panels = figure.subplots(1, len(times), squeeze=False)[0]
    picture = None
    for axes, (name, time) in zip(panels, times.items(), strict=True):
        nearest = int(np.argmin(np.abs(noise - time)))
        picture = axes.imshow(
            matrix[nearest], vmin=0, vmax=1, cmap="cividis", interpolation="none"
        )
        axes.set_title(
            f"{name}\nt = {digits(float(noise[nearest]))}", color=INK, fontsize=SMALL
        )
        if len(class_names) <= MOST_NUMBERS:
            _write_numbers(axes, matrix[nearest])
        _name_classes(axes, class_names, rows=axes is panels[0])
        axes.set_xlabel("ends in", color=INK, fontsize=NORMAL)
    panels[0].set_ylabel("noised from", color=INK, fontsize=NORMAL)
    if picture is not None:
        bar = figure.colorbar(picture, ax=list(panels), shrink=0.8, aspect=14)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=INK, labelsize=SMALL)
        bar.set_label("probability", color=INK, fontsize=NORMAL)
    return figure


def _write_numbers(axes: Any, cells: Float[np.ndarray, "c c"]) -> None:
    for (i, j), value in np.ndenumerate(cells):
        if np.isnan(value):
            continue
        # Cividis is dark below one half.
        color = "black" if value > 0.5 else "white"
        axes.text(
            j, i, f"{value:.2f}", ha="center", va="center", color=color, fontsize=SMALL
        )


def _name_classes(axes: Any, class_names: Sequence[str], rows: bool) -> None:
    """Ticks with names, so many as can be read."""
    every = -(-len(class_names) // MOST_NAMES)
    ticks = list(range(0, len(class_names), every))
    names = [short(class_names[i], 8) for i in ticks]
    size = SMALL if len(names) <= 10 else 7
    # `parse_math` off: a class may be called "$x".
    axes.set_xticks(ticks, labels=names, parse_math=False)
    left = names if rows else [""] * len(names)
    axes.set_yticks(ticks, labels=left, parse_math=False)
    if max(len(name) for name in names) > 2:
        axes.tick_params(axis="x", rotation=90)
    axes.tick_params(colors=INK, labelsize=size, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
