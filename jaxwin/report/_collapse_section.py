"""When samples become copies, and whether classes are decided before."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.report._facts import (
    COLLAPSE,
    CONVENTIONS,
    Facts,
    Time,
    compare,
    interval,
    reading,
    symbol,
)
from jaxwin.report._html import figure, paragraph, section, table

if TYPE_CHECKING:
    import matplotlib.figure

WORDS = {
    "speciation": "before collapse",
    "collapse": "after it",
    "mixed": "within errors",
}

Figures = Mapping[str, "matplotlib.figure.Figure"]


def collapse(known: Facts, figures: Figures) -> str:
    """The four criteria and the curves behind them."""
    curve, numbers = known.diagnosis.collapse, known.numbers
    rows = [
        [symbol(key), meaning, reading(numbers[key]), interval(numbers[key])]
        for key, meaning in COLLAPSE.items()
    ]
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
            _repeated(known.diagnosis.repeated),
        ),
        table(
            "Collapse onto the data points",
            ["Criterion", "Where", "OU time", "95 % interval"],
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
    return section("collapse", "When samples become copies", *parts)


def _repeated(count: int) -> str:
    """Copies in the data share the own weight, and it is said."""
    if not count:
        return ""
    return (
        f"{count:,} of the points repeat another one: copies share the own weight, "
        f"which then need not reach one half."
    )


def order(known: Facts) -> str:
    """Which comes first, by each criterion of collapse."""
    marks, many = known.collapse, len(known.pairs) > 1
    times = [pair.time for pair in known.reached]
    if not known.has_classes:
        times = [known.numbers["t_S"]["spectrum_plus_one"]]
    if not times or not marks:
        return section(
            "order",
            "Which comes first",
            paragraph(
                "This cannot be said: "
                + ("collapse" if times else "separation of the classes")
                + " was not measured, or not reached in the range of noise searched."
            ),
        )
    rows = [[symbol(key), *_verdict(times, mark, many)] for key, mark in marks.items()]
    missing = len(known.pairs) - len(times) if many else 0
    head, caption = ["Collapse by", *WORDS.values()], "How many pairs separate"
    if not many:
        name = CONVENTIONS["spectrum_plus_one"]
        head = ["Collapse by", "t<sub>φ</sub>" if known.has_classes else name]
        caption = "The order by each criterion"
    return section(
        "order",
        "Which comes first",
        paragraph(_sentence(known)),
        table(f"{caption}, on the way from noise to data", head, rows),
        paragraph(
            "Before and after: the 95 % intervals lie apart.",
            f"Pairs left out, not reached: {missing}." if missing else "",
            kind="soft",
        ),
    )


def _verdict(times: list[Time], mark: Time, many: bool) -> list[str]:
    verdicts = [compare(time, mark) for time in times]
    if many:
        return [str(verdicts.count(word)) for word in WORDS]
    return [WORDS[verdicts[0]]]


def _sentence(known: Facts) -> str:
    verdict = known.order()
    subject = "the classes" if known.has_classes else "the widest direction"
    if verdict == "speciation":
        return (
            f"Speciation. From noise to data there are three regimes: noise (I), then "
            f"{subject} decided and the sample still new (II), then collapse onto a "
            f"data point (III)."
        )
    after_collapse = (
        "φ here is that of the data themselves, each point its own source included: "
        "once a sample belongs to one point it has that point’s class."
    )
    if verdict == "collapse":
        return (
            f"Collapse. Regime II, in which {subject} would be decided and the sample "
            f"still new, is absent. {after_collapse}"
        )
    if verdict == "unknown":
        return "Not every time is reached; where both are, the order is this."
    return (
        f"It depends on what is compared. {after_collapse if known.has_classes else ''}"
    )
