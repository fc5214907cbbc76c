import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from jaxwin.plots._style import (
    BLUE,
    INK,
    NORMAL,
    ORANGE,
    SMALL,
    WIDTH,
    legend,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

# Inches of a panel's height, of one panel alone and of several.
ALONE, EACH = 3.6, 2.3


@dataclasses.dataclass(frozen=True)
class BranchCurve:
    """One branch: times and a coordinate in the order it is followed, where stable."""

    time: Float[np.ndarray, " p"]
    place: Float[np.ndarray, " p"]
    stable: Bool[np.ndarray, " p"]
    of_parent: bool


@dataclasses.dataclass(frozen=True)
class BranchPanel:
    """The branches that meet at one transition, and its named times."""

    title: str
    curves: Sequence[BranchCurve]
    marks: Sequence[tuple[str, float]]


def branches(
    panels: Sequence[BranchPanel], xlabel: str, ylabel: str
) -> "matplotlib.figure.Figure":
    """Coordinates of fixed points against time; minima solid, the others dashed.

    Args:
        panels: One under the other, a transition each.
        xlabel: Of the time axis.
        ylabel: Of the coordinates.
    """
    several = len(panels) > 1
    height = EACH * len(panels) + 0.5 if several else ALONE
    figure = new_figure(width=WIDTH + 1.2, height=height)
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(rows, panels, strict=True):
        for curve in panel.curves:
            _draw(axes, curve)
        _marks(axes, panel.marks)
        axes.set_title(panel.title, fontsize=NORMAL, color=INK, loc="left")
        axes.margins(x=0)
        tidy(axes)
    rows[-1].set_xlabel(xlabel)
    figure.supylabel(ylabel, fontsize=NORMAL, color=INK)
    _explain(rows[0], [curve for panel in panels for curve in panel.curves])
    return figure


def _draw(axes: Any, curve: BranchCurve) -> None:
    """Stretches of one stability; each begins where the last one ends."""
    color = BLUE if curve.of_parent else ORANGE
    ends = np.flatnonzero(np.diff(curve.stable)) + 1
    firsts, lasts = [0, *ends], [*ends, len(curve.time)]
    for first, last in zip(firsts, lasts, strict=True):
        begin = max(first - 1, 0)
        stable = bool(curve.stable[first])
        axes.plot(
            curve.time[begin:last],
            curve.place[begin:last],
            color=color,
            linewidth=1.6 if stable else 1.1,
            linestyle="-" if stable else (0, (4, 2)),
        )


def _marks(axes: Any, marks: Sequence[tuple[str, float]]) -> None:
    """Times as lines, and their names, each in a row of its own."""
    for row, (name, place) in enumerate(marks):
        axes.axvline(place, color=INK, linewidth=1, linestyle=":")
        axes.annotate(
            name,
            (place, 1),
            (3, -2 - 11 * row),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="left",
            va="top",
            color=INK,
            fontsize=SMALL,
        )


def _explain(axes: Any, curves: Sequence[BranchCurve]) -> None:
    """What colours and lines say, of those that are there."""
    dashed = INK, (0, (4, 2))
    looks = (
        ("parent", (BLUE, "-"), any(curve.of_parent for curve in curves)),
        ("new minima", (ORANGE, "-"), not all(curve.of_parent for curve in curves)),
        ("a minimum", (INK, "-"), any(np.any(curve.stable) for curve in curves)),
        ("unstable", dashed, not all(np.all(curve.stable) for curve in curves)),
    )
    for name, (color, line), there in looks:
        if there:
            axes.plot([], [], label=name, color=color, linestyle=line)
    legend(axes, loc="upper left", bbox_to_anchor=(1, 1))
