import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    NORMAL,
    ORANGE,
    SMALL,
    legend,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

# Colours in turn, and a shape for each, for eyes that tell no colours apart.
COLORS = (BLUE, ORANGE, GREEN, "#8a5fbf", INK)
SHAPES = "osD^v"
# From this share of the axis on, names of marks stand left of them.
NEAR_END = 0.7

# Places and heights; the three kinds of one series have lengths of their own.
Curve = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Series:
    """One curve, measured (x, y, standard error), predicted (x, y) and published.

    Any of the three may be missing; published points are (x, y) with an error or none.
    style: number of its colour and marker, the same in other figures; its place in the
    list if left out.
    """

    label: str
    measured: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    predicted: Curve | None = None
    published: Curve | None = None
    style: int | None = None


def beside(
    series: Sequence[Series],
    xlabel: str,
    ylabel: str,
    *,
    marks: Sequence[tuple[str, float]] = (),
    levels: Sequence[tuple[str, float]] = (),
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    words: Sequence[tuple[str, float, float]] = (),
    logarithmic: bool = False,
    kinds: bool | Mapping[str, str] = True,
) -> "matplotlib.figure.Figure":
    """Measured points with error bars on the predicted lines; published ones hollow.

    Args:
        series: One colour each.
        xlabel: Of the horizontal axis.
        ylabel: Of the vertical axis.
        marks: Named places on the horizontal axis, drawn as lines.
        levels: Named heights.
        xlim: Ends of the horizontal axis.
        ylim: Ends of the vertical axis.
        words: Names of regions and their places.
        logarithmic: Whether the horizontal axis is.
        kinds: Whether the legend says what points, lines and hollow points are, or in
            which words: {"measured": ..., "predicted": ..., "published": ...}.
    """
    figure = new_figure(height=3.8)
    axes = figure.add_subplot()
    for i, one in enumerate(series):
        style = i if one.style is None else one.style
        _draw(axes, one, COLORS[style % len(COLORS)], SHAPES[style % len(SHAPES)])
    for _, place in marks:
        axes.axvline(place, color=INK, linewidth=1, linestyle=":")
    for name, height in levels:
        axes.axhline(height, color=INK, linewidth=1, linestyle=":")
        axes.annotate(
            name,
            (1, height),
            (0, 2),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=INK,
            fontsize=SMALL,
        )
    for name, x, y in words:
        axes.text(x, y, name, color=INK, fontsize=NORMAL, ha="center", va="center")
    if logarithmic:
        axes.set_xscale("log")
    if xlim is not None:
        axes.set_xlim(*xlim)
    if ylim is not None:
        axes.set_ylim(*ylim)
    for i, (name, place) in enumerate(marks):
        _mark(axes, name, place, i)
    axes.set_xlabel(xlabel, fontsize=NORMAL)
    axes.set_ylabel(ylabel, fontsize=NORMAL)
    tidy(axes)
    names = [one.label for one in series]
    words_of = kinds if isinstance(kinds, Mapping) else {}
    names += _kinds(axes, series, words_of) if kinds else []
    # Points with error bars would come last, whatever was drawn first.
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    shown = {name: found[name] for name in names}
    legend(
        axes,
        handles=list(shown.values()),
        labels=list(shown),
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
    return figure


def _mark(axes: Any, name: str, place: float, row: int) -> None:
    """The name of a place, on the side that is inside the axes; neighbours in rows."""
    seen = axes.transData.transform((place, 0))
    left = axes.transAxes.inverted().transform(seen)[0] <= NEAR_END
    axes.annotate(
        name,
        (place, 1),
        (3 if left else -3, -2 - 11 * row),  # neighbours do not cover each other
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="left" if left else "right",
        va="top",
        color=INK,
        fontsize=SMALL,
    )


def _draw(axes: Any, one: Series, color: str, shape: str) -> None:
    drawn = False
    label = lambda: None if drawn else one.label
    if one.predicted is not None:
        axes.plot(*one.predicted, color=color, linewidth=1.5, label=label())
        drawn = True
    if one.measured is not None:
        x, y, error = one.measured
        axes.errorbar(
            x,
            y,
            yerr=error,
            fmt=shape,
            markersize=3.5,
            color=color,
            elinewidth=1,
            label=label(),
        )
        drawn = True
    if one.published is not None:
        axes.plot(
            *one.published,
            linestyle="none",
            marker=shape,
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=color,
            label=label(),
        )


def _kinds(axes: Any, series: Sequence[Series], words: Mapping[str, str]) -> list[str]:
    """Explain points, lines and hollow points, where there are two kinds or more."""
    looks: dict[str, dict[str, Any]] = {
        "measured": {"linestyle": "none", "marker": "o", "markersize": 3.5},
        "predicted": {"linewidth": 1.5},
        "published": {
            "linestyle": "none",
            "marker": "o",
            "markersize": 8,
            "markerfacecolor": "none",
        },
    }
    kinds = [k for k in looks if any(getattr(one, k) is not None for one in series)]
    if len(kinds) < 2:
        return []
    said = [words.get(kind, kind) for kind in kinds]
    for kind, label in zip(kinds, said, strict=True):
        axes.plot([], [], color=INK, label=label, **looks[kind])
    return said
