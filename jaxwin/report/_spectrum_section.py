"""What the spectrum of the covariance says, and whether it speaks of the classes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxwin.report._facts import CONVENTIONS, Facts
from jaxwin.report._html import escape, figure, paragraph, table
from jaxwin.report._words import reading, with_error

if TYPE_CHECKING:
    import matplotlib.figure

Figures = Mapping[str, "matplotlib.figure.Figure"]


def spectrum(known: Facts, figures: Figures) -> str:
    """The speciation time by every convention, and the eigenvalues behind it."""
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
