from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import speciation
from jaxwin.plots._style import INK, NORMAL, SMALL, WIDTH, new_figure, short, tidy

if TYPE_CHECKING:
    import matplotlib.figure

# Up to so many classes every cell carries its number, and every class its name.
MOST_NUMBERS, MOST_NAMES = 12, 30


def pair_times(
    result: speciation.PairAgreement, class_names: Sequence[str] = ()
) -> "matplotlib.figure.Figure":
    """When each pair of classes separates: a triangle of OU times at phi = 0.775.

    A dash stands where the level is not reached; pairs not measured are blank.
    """
    pairs = np.asarray(result.pair)
    count = max(len(class_names), int(pairs.max()) + 1)
    found = np.asarray(result.crossing.found, bool)
    times = np.full((count, count), np.nan)
    times[pairs[:, 1], pairs[:, 0]] = np.where(
        found, np.asarray(result.crossing.time), np.nan
    )
    figure = new_figure(WIDTH, 4.3)
    axes = figure.add_subplot()
    # The first class heads no row and the last no column.
    shown = np.ma.masked_invalid(times[1:, :-1])
    low, high = (shown.min(), shown.max()) if found.any() else (0.0, 1.0)
    if not high > low:
        low, high = 0.9 * low, 1.1 * low
    rows, columns = np.arange(1, count), np.arange(count - 1)
    # A picture, not a shape a cell: 256 classes have 32,640 pairs.
    mesh = axes.imshow(
        shown,
        cmap="cividis",
        vmin=low,
        vmax=high,
        interpolation="none",
        extent=(-0.5, count - 1.5, count - 0.5, 0.5),
    )
    if count <= MOST_NUMBERS:
        _write_numbers(axes, pairs, times, mesh)
    names = [short(name) for name in class_names] or [str(i) for i in range(count)]
    every = -(-count // MOST_NAMES)
    upright = max(len(name) for name in names) > 3
    # `parse_math` off: a class may be called "$x".
    axes.set_xticks(columns[::every], labels=names[:-1:every], parse_math=False)
    axes.set_yticks(rows[::every], labels=names[1::every], parse_math=False)
    if upright:
        axes.tick_params(axis="x", rotation=90)
    axes.set_xlabel("class")
    axes.set_ylabel("class")
    tidy(axes)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if found.any():
        bar = figure.colorbar(mesh, ax=axes, shrink=0.8)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=INK, labelsize=SMALL)
        text = "separation time (φ = 0.775), OU time"
        bar.set_label(text, color=INK, fontsize=NORMAL)
    return figure


def _write_numbers(axes: Any, pairs: np.ndarray, times: np.ndarray, mesh: Any) -> None:
    size = SMALL if len(times) <= 8 else 7
    for a, b in pairs:
        time = times[b, a]
        if np.isnan(time):
            axes.text(a, b, "–", ha="center", va="center", color=INK, fontsize=size)
            continue
        red, green, blue, _ = mesh.to_rgba(time)
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        text = f"{time:.2f}" if time >= 0.1 else f"{time:.2g}"
        color = "black" if light else "white"
        axes.text(a, b, text, ha="center", va="center", color=color, fontsize=size)
