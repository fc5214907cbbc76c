"""Which groups a model forgets and trades: what U-turns say on the page."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxwin.report._fairness import Fairness, fairness_summary
from jaxwin.report._html import escape, figure, paragraph, section, table
from jaxwin.report._words import reading

if TYPE_CHECKING:
    import matplotlib.figure


def fairness(
    found: Fairness | None, figures: "Mapping[str, matplotlib.figure.Figure]"
) -> str:
    """The section on groups; nothing where none were asked for."""
    if found is None:
        return ""
    told = fairness_summary(found)
    groups = told["groups"]
    verdict = (
        "moves the shares of groups (p = {p}): it is biased between the noises below."
        if told["biased"]
        else "moves no share beyond its error (p = {p})."
    ).format(p=f"{told['p_value']:.2g}")
    rows = [
        (
            escape(name),
            f"{one['weight']:.3g}",
            reading(one["forgotten_null"]),
            reading(one["forgotten"]),
            f"{one['largest_excess']:+.3f} ± {one['largest_excess_stderr']:.3f}",
            reading(one["half_share"]),
        )
        for name, one in groups.items()
    ]
    parts = [
        paragraph(
            f"Groups of {escape(told['column'])}. A sample is noised to T and taken "
            "back: does it stay in its group? Under a perfect model a minority is "
            "forgotten at less noise than a majority, since flips both ways are "
            "equally frequent: that alone is no bias. Exact Bayes on the kernel "
            "density of these data is the null, and its shares stay for every T."
        ),
        paragraph(f"An under-fitted model, {escape(told['model'])}, {verdict}"),
        table(
            "Groups: half forgotten is where survival is half-way to chance",
            (
                "group",
                "weight",
                "half forgotten, null",
                "half forgotten, model",
                "largest excess",
                "half of its share moved",
            ),
            rows,
        ),
    ]
    for name, caption in (
        (
            "group_survival",
            "Survival of each group after a U-turn at T: points through the "
            "under-fitted model, lines by exact Bayes.",
        ),
        (
            "group_share",
            "Share of each group after a U-turn of the data at T: it leaves the line "
            "where the model trades one group for another.",
        ),
    ):
        if name in figures:
            parts.append(figure(figures[name], name, caption, caption))
    return section("fairness", "Which groups are forgotten", *parts)
