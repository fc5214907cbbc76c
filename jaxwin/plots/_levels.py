from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import Crossing
from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SMALL,
    interval,
    legend,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

# Shares of the axis, left of which names of places stand to the right of them; the
# first of several stands to the left of its place if there is room.
NEAR_END, FAR_LEFT = 0.6, 0.3


def levels(
    places: Float[np.ndarray, " t"],
    same: Float[np.ndarray, "t l"],
    stderr: Float[np.ndarray, "t l"],
    half: Sequence[Crossing],
    xlabel: str,
    *,
    expected: Float[np.ndarray, " t"] | None = None,
    marks: Sequence[tuple[str, float]] = (),
    falling: bool = False,
) -> "matplotlib.figure.Figure":
    """How much of each level of a tree is unchanged by a U-turn, root to leaf.

    Bands are one standard error, dots where half of what can be lost is lost.

    Args:
        places: Of the curves.
        same: Probabilities, root first.
        stderr: Their standard errors.
        half: Of each level, on the axis of `places`.
        xlabel: Of that axis.
        expected: The class curve of the mean field.
        marks: Named places.
        falling: An axis whose small values are much noise, logarithmic, as SNR.
    """
    figure, axes = _axes(places, xlabel, "symbol unchanged, probability", falling)
    depth = same.shape[1] - 1
    for level, color in enumerate(_colors(depth + 1)):
        curve, error = same[:, level], stderr[:, level]
        ends = level in (0, depth)
        axes.fill_between(
            places, curve - error, curve + error, color=color, alpha=0.3, linewidth=0
        )
        axes.plot(
            places,
            curve,
            color=color,
            linewidth=2.2 if ends else 1.1,
            label=level_name(level, depth),
        )
        if bool(half[level].found):
            height = _height(float(half[level].time), places, curve)
            interval(axes, half[level], height, color)
    if expected is not None:
        axes.plot(
            places, expected, "--", color=INK, linewidth=1.4, label="class, mean field"
        )
    axes.set_ylim(0, 1.02)
    _mark(axes, marks)
    legend(axes, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def changing_together(
    places: Float[np.ndarray, " t"],
    curves: Sequence[tuple[str, Float[np.ndarray, " t"], Float[np.ndarray, " t"]]],
    xlabel: str,
    *,
    expected: Float[np.ndarray, " t"] | None = None,
    marks: Sequence[tuple[str, float]] = (),
    falling: bool = False,
) -> "matplotlib.figure.Figure":
    """How many leaves change together, against noise.

    Args:
        places: Of the curves.
        curves: Name, values and standard errors of each.
        xlabel: Of the axis of places.
        expected: The pooled curve of the mean field.
        marks: Named places.
        falling: As in `levels`.
    """
    figure, axes = _axes(places, xlabel, "χ, leaves that change together", falling)
    looks = (BLUE, "-"), (ORANGE, (0, (4, 2))), (GREEN, (0, (1, 1.5)))
    top = 1.0
    for (name, value, error), (color, dash) in zip(curves, looks, strict=False):
        axes.fill_between(
            places, value - error, value + error, color=color, alpha=0.25, linewidth=0
        )
        axes.plot(places, value, color=color, linestyle=dash, linewidth=1.8, label=name)
        top = float(np.nanmax(value, initial=top))
    if expected is not None:
        axes.plot(places, expected, "--", color=INK, linewidth=1.4, label="mean field")
        top = max(top, float(expected.max()))
    # Few changes have large errors, and are not what is looked for.
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.25 * top)
    _mark(axes, marks)
    legend(axes, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def level_name(level: int, depth: int) -> str:
    """What a level is called, root first."""
    return {0: "class", depth: "leaves"}.get(level, f"level {level}")


def _axes(
    places: Float[np.ndarray, " t"], xlabel: str, ylabel: str, falling: bool
) -> tuple["matplotlib.figure.Figure", Any]:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = new_figure(height=3.6)
    axes = figure.add_subplot()
    low, high = float(np.min(places)), float(np.max(places))
    axes.set_xlim(low, high)
    if falling:
        axes.set_xscale("log")
        axes.set_xlim(high, low)
        shown = (1.0, 2.0, 3.0, 5.0, 7.0) if high < 40 * low else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=shown))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    tidy(axes)
    axes.tick_params(which="minor", colors=INK)
    return figure, axes


def _colors(count: int) -> list[str]:
    """From orange, the root, by way of green to blue, the leaves."""
    from matplotlib.colors import to_hex, to_rgb

    stops = np.array([to_rgb(color) for color in (ORANGE, GREEN, BLUE)])
    at = np.linspace(0, 2, count)
    mixed = [np.interp(at, np.arange(3), stops[:, part]) for part in range(3)]
    return [to_hex(color) for color in np.stack(mixed, axis=1)]


def _height(place: float, places: np.ndarray, curve: np.ndarray) -> float:
    order = np.argsort(places)
    return float(np.interp(place, places[order], curve[order]))


def _mark(axes: Any, marks: Sequence[tuple[str, float]]) -> None:
    """Dotted lines with their names beside them: away from each other, or in rows."""
    share = axes.transAxes.inverted()
    seen = lambda place: share.transform(axes.transData.transform((place, 0)))[0]
    ordered = sorted(marks, key=lambda mark: seen(mark[1]))
    for row, (name, place) in enumerate(ordered):
        axes.axvline(place, color=INK, linewidth=1, linestyle=":")
        first = row == 0 and len(marks) > 1
        right = seen(place) <= (FAR_LEFT if first else NEAR_END)
        axes.annotate(
            name,
            (place, 1),
            (3 if right else -3, -2 - 11 * row),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="left" if right else "right",
            va="top",
            color=INK,
            fontsize=SMALL,
        )
