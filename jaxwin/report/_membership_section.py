"""How well members are told from others by U-turns, on the page."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxwin.report._html import figure, paragraph, section, table
from jaxwin.report._membership import Membership, membership_summary
from jaxwin.report._words import reading

if TYPE_CHECKING:
    import matplotlib.figure


def membership(
    found: Membership | None, figures: "Mapping[str, matplotlib.figure.Figure]"
) -> str:
    """The section on membership; nothing where it was not asked for."""
    if found is None:
        return ""
    told = membership_summary(found)
    auc, window = told["auc"], told["window"]
    where = {
        "window": f"between {reading(window['start'])} and {reading(window['end'])}",
        "from the first noise": f"up to {reading(window['end'])}",
        "to the last noise": f"from {reading(window['start'])} on",
        "everywhere": "at every noise measured",
        "no window": "nowhere",
    }[window["answer"]]
    rows = [
        (rate, f"{one['value']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}")
        for rate, one in told["true_positive"].items()
    ]
    parts = [
        paragraph(
            f"A {told['model']} (bandwidth {told['bandwidth']:.3g}) takes points back "
            f"from noise T; training points come back closer. Of "
            f"{told['members']:,} members and {told['candidates']:,} others it tells "
            f"best at T = {told['best']:.3g}: a member lies below a non-member with "
            f"probability {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f}). "
            f"The attack works (above 3/4) {where}."
        ),
        table(
            "True positives at the best T",
            ("false positives", "true positives", "95 % interval"),
            rows,
        ),
    ]
    for name, caption in (
        (
            "membership_auc",
            "Probability that a member lies below a non-member, against the noise of "
            "the U-turn; half is chance.",
        ),
        ("membership_rates", "True against false positives at the best T."),
    ):
        if name in figures:
            parts.append(figure(figures[name], name, caption, caption))
    return section("membership", "Who was in the training data", *parts)
