"""The first screen of the page: what was found, and about what data."""

from jaxwin.report._advice_section import advice_sentence
from jaxwin.report._facts import COLLAPSE, CONVENTIONS, Facts
from jaxwin.report._html import bullets, escape, paragraph
from jaxwin.report._words import FIXED, Time, listed, reading, symbol


def answer(known: Facts) -> str:
    """The answer in a few plain sentences."""
    name = escape(known.diagnosis.name)
    if known.has_classes:
        title = f"{name}: when classes separate and when samples become copies"
    else:
        title = f"{name}: when structure appears and when samples become copies"
    points = [
        _pair_sentence(known),
        _spectrum_sentence(known),
        _collapse_sentence(known),
        _features_sentence(known),
        advice_sentence(known),
    ]
    return "\n".join(
        [
            f"<header><h1>{title}</h1>",
            '<div class="answer">',
            paragraph(_subject(known), verdict(known), kind="lead"),
            bullets(filter(None, points)),
            paragraph(
                "Times are on the Ornstein–Uhlenbeck clock: t = 0 is clean data, "
                "larger t is more noise, and generation runs from large t to 0. "
                '<a href="#clocks">Other clocks</a> are below.',
                kind="soft",
            ),
            "</div>",
            overlap_warning(known),
            _repeated(known.diagnosis.repeated),
            *(
                paragraph(escape(caveat), kind="soft")
                for caveat in known.diagnosis.caveats
            ),
            "</header>",
        ]
    )


def _subject(known: Facts) -> str:
    """What the data are."""
    d = known.diagnosis
    sides = f" ({' × '.join(map(str, d.shape))})" if len(d.shape) > 1 else ""
    classes = f", {len(d.classes)} classes" if known.has_classes else ""
    return f"{d.n:,} points in {d.d:,} dimensions{sides}{classes}."


def _repeated(count: int) -> str:
    """Copies in the data share the own weight, and it is said."""
    if not count:
        return ""
    return paragraph(
        f"<strong>{count:,} of the points repeat another one.</strong> Copies share "
        f"the own weight, which then need not reach one half: believe the collapse "
        f"times of the data without them.",
        kind="warning",
    )


def verdict(known: Facts) -> str:
    """Which comes first, in one sentence, and what it leaves out."""
    left_out = known.left_out
    if not left_out:
        return _order(known)
    pairs = "One pair" if left_out == 1 else f"{left_out} pairs"
    return (
        f"{_order(known)} {pairs} of rare classes could not be measured and "
        f"{'is' if left_out == 1 else 'are'} left out."
    )


def _order(known: Facts) -> str:
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
        f"(often brightness or size, or noise along which class means differ by "
        f"chance): for these believe the measured t<sub>φ</sub>.",
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


def _features_sentence(known: Facts) -> str:
    """That there are more label columns, of which this is not the answer."""
    if not known.diagnosis.features[1:]:
        return ""
    first, *others = known.diagnosis.features
    said = []
    for feature in others:
        phi = feature.agreement
        when = "one class" if phi is None else reading(phi.crossing.to_json())
        said.append(f"{escape(feature.name)} ({when} over all its classes)")
    return (
        f"All of this speaks of the label column <em>{escape(first.name)}</em>; others "
        f"have sections below: {listed(said)}."
    )


def _equals(name: str, time: Time) -> str:
    return f"{name}{FIXED}={FIXED}{reading(time)}"
