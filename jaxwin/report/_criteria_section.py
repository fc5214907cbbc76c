"""Tables of the pairs of classes: every criterion side by side, every clock."""

from collections.abc import Callable, Sequence

from jaxwin.analysis import Crossing
from jaxwin.report._facts import CLOCKS, CONVENTIONS, Facts
from jaxwin.report._html import escape, folded, paragraph, table
from jaxwin.report._pairs import Pair
from jaxwin.report._words import interval, reading

# More pairs than this are listed on demand, but for so many from each end.
MOST_PAIRS, ENDS = 12, 3
# Still more would make the page heavy.
MOST_LISTED = 1000


def criteria(known: Facts) -> str:
    """Every pair by every criterion, and which to believe; then on every clock."""
    pairs = known.pairs
    if not pairs:
        return ""
    spectrum = reading(known.numbers["t_S"]["spectrum_plus_one"])

    def listing(shown: Sequence[Pair], caption: str) -> str:
        judged = {
            CONVENTIONS["spectrum_plus_one"]: [spectrum for _ in shown],
            "cos²": [_overlap(pair) for pair in shown],
            "Believe": [known.believe(pair) for pair in shown],
        }
        return _criteria_table(shown, caption, judged, "wide pairs judged")

    notes = _notes(known) + _left_out(known)
    return _ends_first(pairs, listing, notes, lambda: _clock_table(known))


def short_table(pairs: Sequence[Pair]) -> str:
    """Every pair of a label column by every criterion that was measured."""

    def listing(shown: Sequence[Pair], caption: str) -> str:
        overlap = {"cos²": [f"{pair.overlap:.3f}" for pair in shown]}
        return _criteria_table(shown, caption, overlap)

    return _ends_first(pairs, listing)


def _ends_first(
    pairs: Sequence[Pair],
    listing: Callable[[Sequence[Pair], str], str],
    notes: str = "",
    more: Callable[[], str] | None = None,
) -> str:
    """A listing of the pairs; with many of them all but the ends is on demand."""
    if len(pairs) <= MOST_PAIRS:
        whole = listing(pairs, "Separation of every pair, first from noise at the top")
        return whole + notes + (more() if more else "")
    ends = [*pairs[:ENDS], *pairs[-ENDS:]]
    caption = f"Separation of the first and the last {ENDS} of {len(pairs)} pairs"
    short = listing(ends, caption)
    if len(pairs) > MOST_LISTED:
        all_of_them = "All pairs, on every clock: <code>summary.json</code>."
        return short + notes + paragraph(all_of_them, kind="soft")
    whole = listing(pairs, "Separation of every pair")
    title = f"All {len(pairs)} pairs{', on every clock' if more else ''}"
    return short + notes + folded(title, whole + (more() if more else ""))


def _criteria_table(
    pairs: Sequence[Pair],
    caption: str,
    more: dict[str, list[str]],
    kind: str = "wide pairs",
) -> str:
    """Criteria side by side, those that were measured."""
    columns = {
        "t<sub>φ</sub>, given these data": [_given(pair) for pair in pairs],
        "t<sub>φ</sub>, over fresh data": [_cell(pair.fresh) for pair in pairs],
        "Gaussian per class": [_cell(pair.gaussian) for pair in pairs],
        "General-class time, from each": [_both(pair) for pair in pairs],
    }
    present = {head: cells for head, cells in columns.items() if any(cells)} | more
    names = [escape(pair.name) for pair in pairs]
    rows = zip(names, *present.values(), strict=True)
    return table(caption, ["Pair", *present], rows, kind)


def _given(pair: Pair) -> str:
    return f'{reading(pair.time)}<br><span class="soft">{interval(pair.time)}</span>'


def _cell(crossing: Crossing | None) -> str:
    return "" if crossing is None else reading(crossing.to_json())


def _both(pair: Pair) -> str:
    return "" if pair.general is None else "<br>".join(map(_cell, pair.general))


def _overlap(pair: Pair) -> str:
    return f"{pair.overlap:.3f}{'' if pair.is_dated_by_spectrum else ' *'}"


def _notes(known: Facts) -> str:
    """What the columns mean, and when each is the one to believe."""
    pairs = known.pairs
    notes = [
        "t<sub>φ</sub> is measured with the exact score of these very points; its "
        "interval (below it, 95 %) holds them fixed."
    ]
    if any(pair.fresh is not None for pair in pairs):
        notes.append(
            "Over fresh data: how far it would move with another data set of this size."
        )
    if any(pair.gaussian is not None for pair in pairs):
        notes.append(
            "Gaussian per class: the same for one Gaussian a class, a law that cannot "
            "collapse; where it is far from t<sub>φ</sub> the classes are no "
            "Gaussians, or collapse decides."
        )
    if any(pair.general is not None for pair in pairs):
        notes.append(
            "General-class time: where the mean of the log-likelihood difference "
            "equals its standard deviation, on samples of the first and of the second "
            "class."
        )
    notes.append(
        "cos²: the part of the squared class difference along the first principal "
        "direction. * Under one half: the spectrum does not date this split."
    )
    return paragraph(*notes, kind="soft")


def _left_out(known: Facts) -> str:
    """Pairs of rare classes are missing, and it is said."""
    if not known.left_out:
        return ""
    return paragraph(
        f"Pairs not measured, for want of draws of the rarer class: {known.left_out}. "
        f"More replicas bring them in.",
        kind="soft",
    )


def _clock_table(known: Facts) -> str:
    """t_phi of every pair on the other clocks."""
    clocks, times = list(CLOCKS)[1:], known.numbers["clocks"]
    rows = [
        [
            escape(pair.name),
            *(reading(times[clock][pair.key], clock) for clock in clocks),
        ]
        for pair in known.pairs
    ]
    head = ["Pair", *(CLOCKS[clock] for clock in clocks)]
    return table("Separation times on other clocks", head, rows, "wide pairs")
