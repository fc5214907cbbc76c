"""When classes separate: measured on the data, pair by pair and group by group."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.report._criteria_section import criteria
from jaxwin.report._facts import Facts
from jaxwin.report._feature_times import FeatureTimes
from jaxwin.report._html import escape, figure, paragraph, section
from jaxwin.report._spectrum_section import spectrum
from jaxwin.report._tree import tree_words
from jaxwin.report._words import reading, subscripts

if TYPE_CHECKING:
    import matplotlib.figure

Figures = Mapping[str, "matplotlib.figure.Figure"]


def separation(known: Facts, figures: Figures) -> str:
    """The section on the classes, or on the spectrum alone."""
    if not known.has_classes:
        none = paragraph(
            "The data carry no classes to tell apart, so only the spectrum speaks: "
            "when the directions in which the data vary rise out of the noise."
        )
        title = "When structure appears"
        return section("separation", title, none, spectrum(known, figures))
    first = known.diagnosis.features[0]
    return section(
        "separation",
        "When classes separate",
        paragraph(
            "Take a noised sample and run it backward twice, independently. φ(t) is "
            "the probability that the two clones end in one class. A pair of classes, "
            "counted at equal weights, separates where φ falls to 0.775, the value at "
            "which two equal Gaussian clouds merge; with less noise the class is "
            "decided, with more it is open."
        ),
        _measured(known),
        agreement_figure(first, figures, "agreement"),
        _tree_figure(first, figures),
        "<h3>Which number to believe</h3>" if known.pairs else "",
        criteria(known),
        _pair_figure(known, figures),
        _confusion_figure(known, figures),
        "<h3>What the spectrum says</h3>",
        spectrum(known, figures),
    )


def _measured(known: Facts) -> str:
    reached = known.reached
    if not known.pairs:
        return ""
    if not reached:
        return paragraph("No pair reaches this level in the range of noise searched.")
    said = lambda pairs: ", ".join(
        f"{escape(pair.name)} ({reading(pair.time)})" for pair in pairs
    )
    if len(reached) <= 6:
        return paragraph(f"From noise to data: {said(reached)}.")
    return paragraph(
        f"First on the way from noise: {said(reached[:3])}. Last: {said(reached[-3:])}."
    )


def agreement_figure(feature: FeatureTimes, figures: Figures, name: str) -> str:
    """Clone agreement of one label column; nothing where it is not drawn."""
    agreement = feature.agreement
    if agreement is None or name not in figures:
        return ""
    crossing = agreement.crossing.to_json()
    count, start = len(feature.classes), float(agreement.phi[0])
    where = f"it crosses {agreement.level:g} at {reading(crossing)}"
    dot = f"with a dot and its 95 % interval where {where}"
    if not crossing["found"]:
        where = dot = f"{agreement.level:g} is {reading(crossing)}"
    chance = (
        f"Chance is {agreement.chance:.2g} over all classes and 0.5 in a pair: the "
        f"blue crossing is not the separation of any pair."
    )
    if count == 2:
        chance = f"Chance is {agreement.chance:.2g} in blue and 0.5 in grey."
    return figure(
        figures[name],
        name,
        f"Clone agreement phi against OU time: {start:.2g} at the least noise, going "
        f"to chance ({agreement.chance:.2g}) at full noise. Over all {count} classes: "
        f"{where}; thin curves show each pair of classes.",
        f"φ(t) over all {count} classes (blue, {dot}) and for each pair at equal "
        f"weights (grey). {chance}",
    )


def _pair_figure(known: Facts, figures: Figures) -> str:
    # One pair needs no matrix.
    if "pair_times" not in figures or len(known.pairs) < 2:
        return ""
    reached, pairs = known.reached, known.pairs
    ends = "not reached for any pair"
    if reached:
        ends = (
            f"from {reading(reached[0].time)} ({reached[0]}) down to "
            f"{reading(reached[-1].time)} ({reached[-1]})"
        )
    return figure(
        figures["pair_times"],
        "pair-times",
        f"Matrix of separation times of {len(pairs)} pairs of classes: {ends}. The "
        f"tables of pairs hold every number.",
        "Separation time t<sub>φ</sub> of each pair; a dash where it is not reached. "
        "Light: told apart while there is much noise. Dark: late.",
    )


def _tree_figure(feature: FeatureTimes, figures: Figures) -> str:
    if feature.tree is None or "merge_tree" not in figures:
        return ""
    words = tree_words(feature.tree, feature.classes)
    return figure(
        figures["merge_tree"],
        "merge-tree",
        f"Tree of {len(feature.classes)} classes against OU time. {words}",
        "Which classes are one at which noise: read leftwards, generation decides "
        "between the branches. Groups merge where their φ at equal weights falls to "
        "0.775, the own point left out; bars are 95 % intervals.",
    )


def _confusion_figure(known: Facts, figures: Figures) -> str:
    """Where samples end that are noised and taken back, at the key times."""
    first = known.diagnosis.features[0]
    if first.confusion is None or "confusion" not in figures:
        return ""
    noise, matrix, names = first.confusion.noise, first.confusion.matrix, first.classes
    said = []
    for title, time in known.key_times.items():
        nearest = int(np.argmin(np.abs(noise - time)))
        cells = matrix[nearest]
        # A class of which nothing was drawn has no row.
        kept = np.diagonal(cells)[~np.isnan(np.diagonal(cells))]
        others = np.nan_to_num(np.where(np.eye(len(cells)), 0, cells))
        i, j = np.unravel_index(np.argmax(others), others.shape)
        said.append(
            f"at {title} (t = {noise[nearest]:.3g}) {kept.min():.0%} to "
            f"{kept.max():.0%} keep their class, and the likeliest change is "
            f"{names[i]} to {names[j]} ({others[i, j]:.0%})"
        )
    words = subscripts(escape("; ".join(said)))
    return figure(
        figures["confusion"],
        "confusion",
        f"Matrices of the class in which a sample ends, by the class it was noised "
        f"from: {'; '.join(said)}.",
        f"A<sub>ij</sub>(t): a sample of class i (row) noised to t and taken back ends "
        f"in class j (column): {words}.",
    )
