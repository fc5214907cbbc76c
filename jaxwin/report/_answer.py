"""The first screen of the page: what was found, and about what data."""

from jaxwin.report._facts import (
    COLLAPSE,
    CONVENTIONS,
    FIXED,
    Facts,
    Time,
    listed,
    reading,
    symbol,
)
from jaxwin.report._html import bullets, escape, folded, paragraph, section

# More classes than this are listed on demand.
MOST_CLASSES = 20

UNITS = {
    "pm1": "“pm1”: the range of the values is brought to [−1, 1], then centred",
    "unit01": "“unit01”: the range of the values is brought to [0, 1], then centred",
    "unit": "“unit”: centred, one factor for mean variance 1 per dimension",
    "none": "“none”: as given",
}


def answer(known: Facts) -> str:
    """The answer in a few plain sentences."""
    name = escape(known.diagnosis.name)
    if known.has_classes:
        title = f"{name}: when classes separate and when samples become copies"
    else:
        title = f"{name}: when structure appears and when samples become copies"
    points = [
        _spectrum_sentence(known),
        _pair_sentence(known),
        _collapse_sentence(known),
    ]
    return "\n".join(
        [
            f"<header><h1>{title}</h1>",
            '<div class="answer">',
            paragraph(verdict(known), kind="lead"),
            bullets(filter(None, points)),
            paragraph(
                "Times are on the Ornstein–Uhlenbeck clock: t = 0 is clean data, "
                "larger t is more noise, and generation runs from large t to 0. "
                '<a href="#clocks">Other clocks</a> are below.',
                kind="soft",
            ),
            "</div>",
            overlap_warning(known),
            "</header>",
        ]
    )


def verdict(known: Facts) -> str:
    """Which comes first, in one sentence."""
    order, name = known.order(), f"<em>{escape(known.diagnosis.name)}</em>"
    what = "The classes" if known.has_classes else "The widest direction"
    many = known.has_classes
    if order == "speciation":
        verb = "are" if many else "is"
        return (
            f"{what} of {name} {verb} decided before samples become copies of data "
            f"points: speciation comes before collapse, by every criterion."
        )
    if order == "collapse":
        verb = "their classes are" if many else "their widest direction is"
        return (
            f"Samples of {name} become copies of data points before {verb} decided: "
            f"collapse comes first, by every criterion."
        )
    if order == "mixed" and many:
        return (
            f"For {name}, separation of the classes and collapse onto data points "
            f"overlap: which comes first depends on the pair of classes and on the "
            f"criterion."
        )
    if order == "mixed":
        return (
            f"For {name}, the widest direction and the collapse onto data points are "
            f"decided at about the same noise: the order depends on the criterion."
        )
    return (
        f"For {name} no order of separation and collapse can be stated: not every time "
        f"was measured, or reached in the range of noise searched."
    )


def overlap_warning(known: Facts) -> str:
    """Where the spectrum does not date the classes; nothing where it does."""
    pairs, lost = known.pairs, known.not_dated
    if not lost:
        return ""
    overlaps = [pair.overlap for pair in lost]
    if len(lost) == 1:
        what = f"{escape(lost[0])}: only {overlaps[0]:.2g} of their difference (cos²)"
    else:
        what = (
            f"{len(lost)} of {len(pairs)} pairs of classes: there only "
            f"{min(overlaps):.2g} to {max(overlaps):.2g} of the difference (cos²)"
        )
    return paragraph(
        f"<strong>The spectrum does not date the separation of {what} lies along the "
        f"first principal direction.</strong> t<sub>S</sub> then dates something else "
        f"(often brightness or size): for these believe the measured t<sub>φ</sub>.",
        kind="warning",
    )


def _spectrum_sentence(known: Facts) -> str:
    times = known.numbers["t_S"]
    return (
        f"The widest direction of the data rises out of the noise at "
        f"<strong>{_equals('t<sub>S</sub>', times['spectrum_plus_one'])}</strong> by "
        f"{CONVENTIONS['spectrum_plus_one']}; by {CONVENTIONS['spectrum']}: "
        f"{reading(times['spectrum'])}."
    )


def _pair_sentence(known: Facts) -> str:
    reached, pairs = known.reached, known.pairs
    if not known.has_classes:
        return ""
    if not pairs:
        agreement = known.numbers["t_phi_all"]
        return (
            f"No pair of classes was measured, for want of draws. Over all classes the "
            f"agreement of clones, φ = 0.775: <strong>{reading(agreement)}</strong>."
        )
    if not reached:
        spans = {reading(pair.time) for pair in pairs}
        return (
            f"No pair of classes separates: agreement of clones, φ = 0.775, is "
            f"<strong>{listed(sorted(spans))}</strong>."
        )
    first, last = reached[0], reached[-1]
    said = lambda pair: _equals("t<sub>φ</sub>", pair.time)
    rest = len(pairs) - len(reached)
    unreached = f" For {rest} of {len(pairs)} pairs it is not reached." if rest else ""
    if len(reached) == 1:
        return (
            f"Classes {escape(first)} separate at <strong>{said(first)}</strong>: "
            f"there two clones of one noised sample agree on the class with "
            f"probability 0.775.{unreached}"
        )
    return (
        f"Pairs of classes separate between <strong>{said(first)}</strong> "
        f"({escape(first)}, the first on the way from noise) and "
        f"<strong>{said(last)}</strong> ({escape(last)}, the last): there two clones "
        f"of one noised sample agree on the class with probability 0.775.{unreached}"
    )


def _collapse_sentence(known: Facts) -> str:
    half = known.numbers["t_half"]
    others = [
        f"{symbol(key)}{FIXED}{reading(known.numbers[key])}"
        for key in COLLAPSE
        if key != "t_half"
    ]
    where = "half of the clones come back to their own data point"
    said = (
        f"Samples become copies around <strong>{_equals(symbol('t_half'), half)}"
        f"</strong>, where {where}."
    )
    if not half["found"]:
        said = (
            f"Collapse by {symbol('t_half')}, where {where}, is "
            f"<strong>{reading(half)}</strong>."
        )
    return f"{said} Other criteria differ: {listed(others)}."


def _equals(name: str, time: Time) -> str:
    return f"{name}{FIXED}={FIXED}{reading(time)}"


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
        paragraph(
            "The units are part of the answer. Data c times larger move t<sub>φ</sub>, "
            f"the collapse times and {CONVENTIONS['spectrum_plus_one']} from t to t′ "
            f"with e<sup>2t′</sup> − 1 = c²(e<sup>2t</sup> − 1), and "
            f"{CONVENTIONS['spectrum']} by log c.",
            kind="soft",
        ),
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
