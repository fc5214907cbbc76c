"""What the data are, in which units, and how they look under noise."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxwin.report._diagnose import Diagnosis
from jaxwin.report._facts import CONVENTIONS, Facts
from jaxwin.report._html import escape, figure, folded, paragraph, section
from jaxwin.report._words import FIXED, listed, subscripts

if TYPE_CHECKING:
    import matplotlib.figure

# More classes than this are listed on demand.
MOST_CLASSES = 20

UNITS = {
    "pm1": "“pm1”: the range of the values is brought to [−1, 1], then centred",
    "unit01": "“unit01”: the range of the values is brought to [0, 1], then centred",
    "unit": "“unit”: centred, one factor for mean variance 1 per dimension",
    "none": "“none”: as given",
}


def data(known: Facts) -> str:
    """What the data are, and in what units."""
    d = known.diagnosis
    shape = " × ".join(str(size) for size in d.shape)
    facts = {
        "Name": escape(d.name),
        "Points": f"n = {d.n:,}",
        "Dimension": f"d = {d.d:,} (shape {shape})",
        "Classes": _classes(known),
        "Units": f"{escape(UNITS.get(d.normalization, d.normalization))}; raw values "
        f"×{FIXED}{d.scale:.6g}",
    }
    rows = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items())
    return section(
        "data",
        "The data",
        f"<dl>{rows}</dl>",
        paragraph(_space(d), kind="soft") if d.space != "data" else "",
        paragraph(
            "The units are part of the answer. Data c times larger move t<sub>φ</sub>, "
            f"the collapse times and {CONVENTIONS['spectrum_plus_one']} from t to t′ "
            f"with e<sup>2t′</sup> − 1 = c²(e<sup>2t</sup> − 1), and "
            f"{CONVENTIONS['spectrum']} by log c.",
            kind="soft",
        ),
    )


def _space(d: Diagnosis) -> str:
    """The subspace in which it was computed."""
    if d.space == "pca":
        return (
            f"Computed in the leading {d.rank:,} principal directions, which hold "
            f"{d.kept:.2%} of the variance: the times are those of the data projected "
            f"to them."
        )
    return (
        f"The points vary in {d.rank:,} of the {d.d:,} dimensions. It was computed in "
        f"these, which changes no time: noise across them says nothing about the data."
    )


def _classes(known: Facts) -> str:
    d = known.diagnosis
    if not d.classes:
        return "none given: only what needs no labels is told"
    pairs = zip(d.classes, d.class_counts, strict=True)
    each = [f"{escape(name)}{FIXED}({count:,})" for name, count in pairs]
    if len(each) > MOST_CLASSES:
        return folded(f"{len(each)}, with their counts", ", ".join(each))
    return f"{len(each)}: {', '.join(each)}"


def examples(known: Facts, figures: Mapping[str, "matplotlib.figure.Figure"]) -> str:
    """Some of the images, clean and noised to the times of this page."""
    if "noised_images" not in figures:
        return ""
    times = [f"{name} ({time:.3g})" for name, time in known.key_times.items()]
    rows = "one row for each class shown" if known.has_classes else "one row each"
    return section(
        "examples",
        "What the times look like",
        figure(
            figures["noised_images"],
            "noised-images",
            f"Example images, {rows}: clean, and with the noise of {listed(times)} in "
            f"OU time. They are less and less recognisable from left to right.",
            f"Example images, {rows}: clean, then with the noise at "
            f"{subscripts(listed(times))}. "
            f"Each picture e<sup>−t</sup>x<sub>0</sub> + √(1 − e<sup>−2t</sup>)"
            f"{FIXED}z is drawn with its own contrast; z is one draw along a row.",
        ),
    )
