"""The label columns after the first: one short section each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxwin.report._criteria_section import short_table
from jaxwin.report._facts import Facts, agreement_name
from jaxwin.report._feature_times import FeatureTimes
from jaxwin.report._html import escape, paragraph, section
from jaxwin.report._pairs import pairs_in
from jaxwin.report._separation_section import agreement_figure
from jaxwin.report._words import listed, reading

if TYPE_CHECKING:
    import matplotlib.figure

Figures = Mapping[str, "matplotlib.figure.Figure"]


def features(known: Facts, figures: Figures) -> str:
    """Each further feature: when its classes separate."""
    found = enumerate(known.diagnosis.features[1:], start=2)
    return "\n".join(_feature(each, i, figures) for i, each in found)


def _feature(feature: FeatureTimes, number: int, figures: Figures) -> str:
    classes = zip(feature.classes, feature.class_counts, strict=True)
    counts = listed([f"{escape(name)} ({count:,})" for name, count in classes])
    pairs = pairs_in(feature)
    if feature.agreement is None or not pairs:
        body = paragraph("It has no pair of classes to tell apart.")
    else:
        reached = [pair for pair in pairs if pair.time["found"]]
        body = paragraph("No pair reaches φ = 0.775 in the range of noise searched.")
        if reached:
            ends = {str(pair): pair for pair in (reached[0], reached[-1])}
            said = [
                f"{escape(name)} separate at t<sub>φ</sub> = {reading(pair.time)}"
                for name, pair in ends.items()
            ]
            body = paragraph(f"From noise to data: {listed(said)}.")
        body += agreement_figure(feature, figures, agreement_name(number))
        body += short_table(pairs)
    return section(
        f"feature-{number}",
        f"{escape(feature.name)}: when its classes separate",
        paragraph(f"Classes: {counts}."),
        body,
    )
