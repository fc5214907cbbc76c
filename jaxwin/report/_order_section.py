"""Whether classes are decided before samples are copies: the three regimes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxwin.report._facts import CONVENTIONS, Facts
from jaxwin.report._html import figure, paragraph, section, table
from jaxwin.report._words import subscripts, symbol

if TYPE_CHECKING:
    import matplotlib.figure

Figures = Mapping[str, "matplotlib.figure.Figure"]

WORDS = {
    "speciation": "before collapse",
    "collapse": "after it",
    "mixed": "within errors",
}


def order(known: Facts, figures: Figures) -> str:
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
    rows = [
        [symbol(key), *_verdict(known.verdicts(mark), many)]
        for key, mark in marks.items()
    ]
    missing = len(known.pairs) - len(times) if many else 0
    head, caption = ["Collapse by", *WORDS.values()], "How many pairs separate"
    if not many:
        name = CONVENTIONS["spectrum_plus_one"]
        head = ["Collapse by", "t<sub>φ</sub>" if known.has_classes else name]
        caption = "The order by each criterion"
    return section(
        "order",
        "Which comes first",
        paragraph(_sentence(known), change_of_order(known)),
        _regimes(known, figures),
        table(f"{caption}, on the way from noise to data", head, rows),
        paragraph(
            "Before and after: the 95 % intervals lie apart; before also asks that the "
            "own point weighs at most a tenth at the separation, or that Gaussian "
            "classes separate before collapse too.",
            f"Pairs left out, not reached: {missing}." if missing else "",
            kind="soft",
        ),
    )


def _verdict(verdicts: list[str], many: bool) -> list[str]:
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


def change_of_order(known: Facts) -> str:
    """The number of points at which the order would be the other one."""
    number, now = known.diagnosis.order_n, known.diagnosis.n
    if number is None:
        return ""
    # Read off a curve against log n: two digits are as many as it has.
    about = f"{float(f'{number:.2g}'):,.0f}"
    if number < now:
        return f"With fewer than about {about} points collapse would come first."
    return f"From about {about} points on collapse would come last."


def _regimes(known: Facts, figures: Figures) -> str:
    """The regimes as a picture, of phi and own weight on one axis."""
    if "regimes" not in figures:
        return ""
    half = known.numbers["t_half"]
    times = [pair.time["value"] for pair in known.reached]
    what = "the first pair of classes separates"
    if not known.has_classes:
        times = [known.numbers["t_S"]["spectrum_plus_one"]["value"]]
        what = "the widest direction emerges"
    start = max(times, default=None)
    parts = []
    if start is not None:
        parts.append(f"I ends where {what} ({start:.3g})")
    if half["found"]:
        parts.append(f"III begins at t_half ({half['value']:.3g})")
    if start is None or (half["found"] and half["value"] >= start):
        parts.append("regime II is absent")
    words = "; ".join(parts)
    return figure(
        figures["regimes"],
        "regimes",
        f"Regimes of generation against OU time: I noise, II decided and still new, "
        f"III copies of data points. {words}.",
        f"The three regimes: I noise, II decided and still new, III copies. "
        f"{subscripts(words)}. "
        f"Ticks above: each separation.",
    )
