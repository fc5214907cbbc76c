from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import speciation
from jaxwin.plots._style import (
    BLUE,
    INK,
    ORANGE,
    SMALL,
    changing_until,
    digits,
    interval,
    legend,
    new_figure,
    right_note,
    short,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

# With more pairs their curves are drawn as one band.
MOST_PAIRS = 300


def agreement(
    result: speciation.CloneAgreement, class_names: Sequence[str] = ()
) -> "matplotlib.figure.Figure":
    """Clone agreement phi(t) over all classes, the curves of the pairs behind it.

    The band is one standard error; the dot is the crossing of the level with its 95 %
    interval. `class_names` are the labels of the pairs' lines.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    curves = [result.phi]
    if result.pairs is not None:
        curves += list(result.pairs.phi)
        _draw_pairs(axes, result.pairs, class_names)
    noise, phi, error = result.noise, result.phi, result.stderr
    axes.fill_between(
        noise, phi - error, phi + error, color=BLUE, alpha=0.3, linewidth=0
    )
    axes.plot(noise, phi, color=BLUE, linewidth=2, label="all classes, ± 1 s.e.")
    # The curves come down to chance from above.
    for height, dashes, text, side in (
        (result.level, "--", f"level {result.level:g}", "above"),
        (result.chance, ":", f"chance {result.chance:.2g}", "below"),
    ):
        axes.axhline(height, color=INK, linewidth=1, linestyle=dashes)
        right_note(axes, text, height, INK, side)
    end = changing_until(noise, np.stack(curves))
    if bool(result.crossing.found):
        interval(axes, result.crossing, result.level, ORANGE)
        time = float(result.crossing.time)
        # Below a falling curve there is room, unless the axis is near.
        left = time > 0.12 * end
        axes.annotate(
            digits(time),
            (time, result.level),
            (-6, -5) if left else (7, 5),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top" if left else "bottom",
            color=ORANGE,
            fontsize=SMALL,
        )
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("OU time (more noise →)")
    axes.set_ylabel("φ, clones in one class")
    tidy(axes)
    legend(axes, loc="upper right", bbox_to_anchor=(1, 1.03))
    return figure


def _draw_pairs(
    axes: Any, pairs: speciation.PairAgreement, class_names: Sequence[str]
) -> None:
    noise = pairs.noise
    if len(pairs.pair) > MOST_PAIRS:
        low, high = pairs.phi.min(axis=0), pairs.phi.max(axis=0)
        label = f"range of {len(pairs.pair)} pairs of classes"
        axes.fill_between(
            noise, low, high, color=INK, alpha=0.3, linewidth=0, label=label
        )
        return
    for (a, b), curve in zip(pairs.pair, pairs.phi, strict=True):
        # Labels with an underscore stay out of the legend.
        first, second = (class_names[i] if class_names else i for i in (a, b))
        label = f"_{short(str(first))} | {short(str(second))}"
        axes.plot(noise, curve, color=INK, linewidth=0.7, alpha=0.6, label=label)
    axes.plot(
        [], [], color=INK, linewidth=0.7, alpha=0.6, label="each pair, equal weights"
    )
