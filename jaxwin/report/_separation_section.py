"""When classes separate: measured, and predicted from the spectrum."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxwin.report._facts import (
    CLOCKS,
    CONVENTIONS,
    Facts,
    Pair,
    interval,
    reading,
    with_error,
)
from jaxwin.report._html import escape, figure, folded, paragraph, section, table

if TYPE_CHECKING:
    import matplotlib.figure

Figures = Mapping[str, "matplotlib.figure.Figure"]

# More pairs than this are listed on demand.
MOST_PAIRS = 12


def separation(known: Facts, figures: Figures) -> str:
    """The section on the classes, or on the spectrum alone."""
    if not known.has_classes:
        none = paragraph(
            "The data carry no classes to tell apart, so only the spectrum speaks: "
            "when the directions in which the data vary rise out of the noise."
        )
        title = "When structure appears"
        return section("separation", title, none, _spectrum(known, figures))
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
        _agreement_figure(known, figures),
        _pair_figure(known, figures),
        _pair_table(known),
        "<h3>What the spectrum says</h3>",
        _spectrum(known, figures),
    )


def _measured(known: Facts) -> str:
    reached = known.reached
    if not known.pairs:
        return _left_out(known)
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


def _agreement_figure(known: Facts, figures: Figures) -> str:
    agreement = known.diagnosis.agreement
    if agreement is None or "agreement" not in figures:
        return ""
    crossing = agreement.crossing.to_json()
    count, start = len(known.diagnosis.classes), float(agreement.phi[0])
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
        figures["agreement"],
        "agreement",
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
        f"table of pairs holds every number.",
        "Separation time t<sub>φ</sub> of each pair; a dash where it is not reached. "
        "Light: told apart while there is much noise. Dark: late.",
    )


def _left_out(known: Facts) -> str:
    """Pairs of rare classes are missing, and it is said."""
    if not known.left_out:
        return ""
    return paragraph(
        f"Pairs not measured, for want of draws of the rarer class: {known.left_out}. "
        f"More replicas bring them in.",
        kind="soft",
    )


def _pair_table(known: Facts) -> str:
    if not known.pairs:
        return ""
    clocks, times = list(CLOCKS)[1:], known.numbers["clocks"]
    others = [CLOCKS[clock] for clock in clocks]
    head = ["Pair", "t<sub>φ</sub>, OU time<br>(95 % interval)", "cos²", *others]

    def row(pair: Pair) -> list[str]:
        converted = [reading(times[clock][pair.key], clock) for clock in clocks]
        mark = "" if pair.is_dated_by_spectrum else " *"
        cos2 = f"{pair.overlap:.3f}{mark}"
        return [
            escape(pair.name),
            f'{reading(pair.time)}<br><span class="soft">{interval(pair.time)}</span>',
            cos2,
            *converted,
        ]

    caption = "Separation of every pair, first from noise at the top"
    body = table(caption, head, map(row, known.pairs), "wide pairs")
    body += paragraph(
        "cos²: the part of the squared class difference along the first principal "
        "direction. * Under one half: the spectrum does not date this split.",
        kind="soft",
    )
    body += _left_out(known)
    if len(known.pairs) <= MOST_PAIRS:
        return body
    return folded(f"All {len(known.pairs)} pairs, on every clock", body)


def _spectrum(known: Facts, figures: Figures) -> str:
    d, numbers = known.diagnosis, known.numbers
    top = with_error(float(d.t_S.top_eigenvalue), float(d.spectrum.stderr))
    between = numbers["between_class_eigenvalue"]
    labelled = len(d.classes) > 1
    note = (
        f"Λ = {top} is the largest eigenvalue of the covariance. "
        f"{CONVENTIONS['spectrum_plus_one']}, where signal equals noise along that "
        f"direction, exists for all data; {CONVENTIONS['spectrum']} needs Λ &gt; 1."
    )
    if labelled:
        note += (
            f" B = {between:.4g} is the largest eigenvalue between classes, W the "
            f"covariance within them, u the direction of B; these three need B (2B, "
            f"B + 1 − uᵀWu) above 1."
        )
    rows = []
    for key, formula in CONVENTIONS.items():
        needs_classes = key in ("mean", "curvature", "potential")
        if needs_classes and not labelled:
            rows.append([f"{formula} ({key})", "needs classes"])
            continue
        rows.append([f"{formula} ({key})", reading(numbers["t_S"][key])])
    head = ["Convention", "t<sub>S</sub>, OU time"]
    unit01 = numbers["t_S_unit01"]
    if unit01 is not None:
        head.append("with pixels in [0, 1]")
        for row, key in zip(rows, CONVENTIONS, strict=True):
            row.append(reading(unit01[key]) if row[1] != "needs classes" else "")
    parts = [
        paragraph(note),
        table("Speciation time by every convention in use", head, rows),
        _dated(known),
    ]
    if "spectrum" in figures:
        values = ", ".join(f"{value:.3g}" for value in numbers["eigenvalues"])
        parts.append(
            figure(
                figures["spectrum"],
                "spectrum",
                f"Leading eigenvalues of the covariance, largest first: {values}.",
                "Leading eigenvalues (left axis) and the OU time at which each "
                "direction rises out of the noise (right axis).",
            )
        )
    return "\n".join(filter(None, parts))


def _dated(known: Facts) -> str:
    """Which number to believe, pair by pair."""
    pairs, lost = known.pairs, known.not_dated
    if not pairs:
        return ""
    if not lost:
        return paragraph(
            "The first principal direction is mostly the difference of the classes "
            f"(cos² = {min(pair.overlap for pair in pairs):.2f} or more), so that "
            "t<sub>S</sub> and t<sub>φ</sub> speak of the same split."
        )
    if len(pairs) == 1:
        return paragraph(
            f"The first principal direction has cos² = {pairs[0].overlap:.2g} with the "
            "difference of the two classes: t<sub>S</sub> dates another feature of the "
            "data, and t<sub>φ</sub> is the time to believe."
        )
    least = min(lost, key=lambda pair: pair.overlap)
    most = max(pairs, key=lambda pair: pair.overlap)
    return paragraph(
        f"The first principal direction overlaps least with {escape(least)} (cos² = "
        f"{least.overlap:.2g}) and most with {escape(most)} ({most.overlap:.2g}). "
        f"Where cos² is under one half, t<sub>S</sub> dates another feature of the "
        f"data, and t<sub>φ</sub> is the time to believe."
    )
