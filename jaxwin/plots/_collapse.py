from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import Crossing, collapse as collapse_results
from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SMALL,
    changing_until,
    digits,
    interval,
    legend,
    new_figure,
    right_note,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

CRITERIA = {"t_half": BLUE, "t_rest": GREEN, "t_log2": ORANGE, "t_gauss": INK}


def collapse(result: collapse_results.CollapseCurve) -> "matplotlib.figure.Figure":
    """Collapse onto the data: own weight, excess entropy, and the four criteria.

    Below, the probability that a clone comes back to its own point and the excess
    entropy in units of log n, with bands of one standard error. Above, each criterion
    with its 95 % interval (`t_gauss` is computed, not sampled).
    """
    figure = new_figure(height=4.0)
    strip, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.6))
    unit = float(np.log(result.num_points))
    excess, excess_error = result.excess / unit, result.excess_stderr / unit
    own, own_error = result.own_weight, result.own_weight_stderr
    for label, curve, error, color in (
        ("own weight", own, own_error, BLUE),
        ("excess entropy / log n", excess, excess_error, ORANGE),
    ):
        ends = curve - error, curve + error
        axes.fill_between(result.noise, *ends, color=color, alpha=0.3, linewidth=0)
        axes.plot(result.noise, curve, color=color, linewidth=2, label=label)
    for name, height, color in (
        ("t_half: ½", 0.5, BLUE),
        ("t_log2: log 2", np.log(2) / unit, ORANGE),
    ):
        axes.axhline(height, color=color, linewidth=1, linestyle=":")
        right_note(axes, name, height, color)
    end = changing_until(result.noise, np.stack([own, excess]), rest=0.2)
    found = [getattr(result, name) for name in CRITERIA]
    latest = [1.5 * float(each.time) for each in found if bool(each.found)]
    end = min(max([end, *latest]), float(result.noise[-1]))
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("OU time (more noise →)")
    axes.set_ylabel("own weight; excess / log n")
    tidy(axes)
    legend(axes, loc="upper center", bbox_to_anchor=(0.5, 1.05))

    for row, (name, color) in enumerate(CRITERIA.items()):
        _draw_criterion(strip, getattr(result, name), float(row), color, end)
    strip.set_yticks(range(len(CRITERIA)), labels=list(CRITERIA))
    strip.set_ylim(len(CRITERIA) - 0.4, -0.6)
    tidy(strip)
    strip.spines["left"].set_visible(False)
    strip.spines["bottom"].set_visible(False)
    strip.tick_params(length=0)
    strip.tick_params(axis="x", labelbottom=False)
    return figure


def _draw_criterion(
    strip: Any, crossing: Crossing, row: float, color: str, end: float
) -> None:
    found = bool(crossing.found)
    place, text = 0.0, "not reached"
    if found:
        interval(strip, crossing, row, color)
        place, text = float(crossing.high), digits(float(crossing.time))
    late = place > 0.8 * end
    strip.annotate(
        text,
        (float(crossing.low) if found and late else place, row),
        (-8 if late else 8, 0),
        textcoords="offset points",
        ha="right" if late else "left",
        va="center",
        color=INK,
        fontsize=SMALL,
    )
