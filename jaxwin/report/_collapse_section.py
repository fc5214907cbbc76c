"""When samples become copies, and whether classes are decided before."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.analysis import unstack
from jaxwin.report._facts import COLLAPSE, Facts
from jaxwin.report._html import figure, paragraph, section, table
from jaxwin.report._words import interval, listed, reading, symbol

if TYPE_CHECKING:
    import matplotlib.figure

Figures = Mapping[str, "matplotlib.figure.Figure"]


def collapse(known: Facts, figures: Figures) -> str:
    """The four criteria and the curves behind them."""
    curve, numbers = known.diagnosis.collapse, known.numbers
    rows = [
        [symbol(key), meaning, reading(numbers[key]), interval(numbers[key])]
        for key, meaning in COLLAPSE.items()
    ]
    head = ["Criterion", "Where", "OU time", "95 % interval"]
    if curve.fresh is not None:
        head.append("over fresh data")
        for row, key in zip(rows, COLLAPSE, strict=True):
            again = getattr(curve.fresh, key, None)
            row.append("" if again is None else reading(again.to_json()))
    found = known.collapse
    spread = "They are four readings of one change; a single number hides this spread."
    if len(found) > 1:
        first = max(found, key=lambda key: found[key]["value"])
        last = min(found, key=lambda key: found[key]["value"])
        width = found[first]["value"] - found[last]["value"]
        spread = (
            f"They differ by up to {width:.2g}, from {symbol(first)} (earliest on the "
            f"way from noise) to {symbol(last)}: whoever quotes a collapse time must "
            f"say which."
        )
    parts = [
        paragraph(
            f"The exact score of {curve.num_points:,} points leads every sample back "
            f"to one of them. The own weight w<sub>own</sub> of a noised point is the "
            f"probability that this is its own source. Four criteria are in use.",
            spread,
        ),
        table(
            "Collapse onto the data points",
            head,
            rows,
            "criteria",
        ),
    ]
    if "collapse" in figures:
        own = curve.own_weight
        excess = curve.excess / np.log(curve.num_points)
        parts.append(
            figure(
                figures["collapse"],
                "collapse",
                f"Own weight and excess entropy against OU time. The own weight falls "
                f"from {own[0]:.2g} at little noise to {own[-1]:.2g} at full noise; "
                f"the excess entropy rises from {excess[0]:.2g} to {excess[-1]:.2g} of "
                f"log n. Marks: "
                + "; ".join(f"{key} {reading(numbers[key])}" for key in COLLAPSE)
                + ".",
                "Own weight (blue) and excess entropy in units of log n (orange), with "
                "bands of one standard error; above, the four criteria with their 95 % "
                "intervals.",
            )
        )
    parts.append(_movement(known, figures))
    return section("collapse", "When samples become copies", *parts)


def _movement(known: Facts, figures: Figures) -> str:
    """How the collapse times move with the number of points."""
    movement = known.diagnosis.collapse.movement
    if movement is None or "movement" not in figures:
        return ""
    sizes = [f"{size:,}" for size in movement.n]
    found = [row.to_json() for row in unstack(movement.t_half)]
    times = [
        f"{reading(time)} with {size}" for time, size in zip(found, sizes, strict=True)
    ]
    return "<h3>How it moves with the number of points</h3>\n" + figure(
        figures["movement"],
        "movement",
        f"Collapse time against the number of points n: t_half is {listed(times)} "
        f"points.",
        f"Collapse among {listed(sizes)} of the points: {symbol('t_half')} measured, "
        f"{symbol('t_gauss')} from the spectrum; the green band is where classes "
        f"separate. More points move collapse to less noise.",
    )
