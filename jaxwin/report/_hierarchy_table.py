"""The levels of a hierarchy for the terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.analysis import Crossing, hierarchy, unstack
from jaxwin.plots import level_name
from jaxwin.report._hierarchy_result import HierarchyCurves
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table

if TYPE_CHECKING:
    import rich.console
    import rich.table

CAPTION = (
    f"{BRACKETS} class, leaves: probability that a symbol is unchanged by a U-turn."
)
OVER_TABLES = "Errors are over rule tables; those of sampling are in the summary."
LARGE = "largest, {}: "


def hierarchy_table(
    title: str,
    transition: hierarchy.Transition,
    found: Mapping[str, HierarchyCurves],
) -> "rich.console.Group":
    """Of each channel: where levels are half lost, then the curves."""
    from rich.console import Group
    from rich.text import Text

    words = f"{title}\nmean field of deep trees: {_transition(transition)}\n"
    tables = [
        part for curves in found.values() for part in (_halves(curves), _curves(curves))
    ]
    return Group(Text(words), *tables)


def _transition(transition: hierarchy.Transition) -> str:
    if not bool(transition.found):
        return str(transition)
    return (
        f"{transition.answer} at ε* = {float(transition.noise):.4f} "
        f"(p* = {float(transition.belief):.4f}, ν = {float(transition.exponent):.3g})"
    )


def _halves(curves: HierarchyCurves) -> "rich.table.Table":
    average = curves.average
    depth = len(average.chance) - 1
    half = unstack(average.half)
    name, turns = curves.channel, f"{average.turns:,} U-turns a noise"
    if curves.half_snr is None:
        table = plain_table(f"{name}: {turns}", ["half lost", "noise"], _deep(curves))
        for level, crossing in enumerate(half):
            add_row(table, level_name(level, depth), _crossing(crossing))
        return table
    caption = _deep(curves)
    if curves.naive_snr is not None:
        caption += "\n" * bool(caption) + (
            f"Naive, by matching the mean belief of a leaf to ε*: the class at SNR "
            f"{curves.naive_snr:.4g}; wrong for thresholds, for comparison only."
        )
    columns = ["half lost", "SNR γ", "OU time", "ᾱ"]
    table = plain_table(f"{name}: {turns}", columns, caption)
    for level, (time, snr) in enumerate(
        zip(half, unstack(curves.half_snr), strict=True)
    ):
        abar = f"{np.exp(-2 * float(time.time)):.4f}" if bool(time.found) else ""
        cells = _crossing(snr), _crossing(time) if bool(time.found) else "", abar
        add_row(table, level_name(level, depth), *cells)
    return table


def _deep(curves: HierarchyCurves) -> str:
    """Where infinitely deep trees lose their class."""
    if curves.deep is None:
        return ""
    unit = "noise" if curves.snr is None else "SNR"
    return f"Deep trees, class lost at {unit}: {_crossing(curves.deep.noise)}."


def _curves(curves: HierarchyCurves) -> "rich.table.Table":
    """A row a noise; measured columns with what the mean field says beside them."""
    average = curves.average
    mean_class, mean_chi = curves.mean_field_same, curves.mean_field_chi
    places = ["noise"] if curves.snr is None else ["SNR γ", "OU time", "ᾱ"]
    between = [] if mean_class is None else ["(m.f.)"]
    columns = [*places, "class", *between, "leaves", "χ", *between, "within", "static"]
    peaks = [
        f"{LARGE.format(name)}{_peak(chi, curves)}"
        for name, chi in (("χ", average.chi), ("within", average.chi_within))
    ]
    caption = [CAPTION, *([OVER_TABLES] if average.same_stderr is not None else [])]
    if mean_class is not None:
        caption.append("m.f.: mean field of this tree.")
    table = plain_table("", columns, "\n".join([*peaks, " ".join(caption)]))
    error = average.same_error
    for i, noise in enumerate(curves.noise):
        if curves.snr is None or curves.alpha_bar is None:
            cells = [f"{noise:.4f}"]
        else:
            cells = [f"{curves.snr[i]:.4g}", f"{noise:.4f}"]
            cells.append(f"{curves.alpha_bar[i]:.4f}")
        cells.append(in_brackets(average.same[i, 0], error[i, 0]))
        if mean_class is not None:
            cells.append(f"{mean_class[i, 0]:.3f}")
        cells += [in_brackets(average.same[i, -1], error[i, -1]), _of(average.chi, i)]
        if mean_chi is not None:
            cells.append(f"{mean_chi[i]:.2f}")
        cells += [_of(average.chi_within, i), _of(average.chi_static, i)]
        add_row(table, *cells)
    return table


def _peak(chi: hierarchy.Susceptibility, curves: HierarchyCurves) -> str:
    peak = chi.peak
    if peak is None:
        return "no leaf changes"
    ends = sorted([curves.place(peak.low), curves.place(peak.high)])
    where = "noise" if curves.snr is None else "SNR"
    end = "" if peak.interior else ", at an end of the noises"
    value = in_brackets(peak.value, peak.stderr)
    told = f"{value} at {where} {curves.place(peak.noise):.4g}"
    if ends[0] == ends[1]:
        return f"{told}{end}"
    return f"{told}, not told from [{ends[0]:.4g}, {ends[1]:.4g}]{end}"


def _crossing(crossing: Crossing) -> str:
    if not bool(crossing.found):
        return str(crossing)
    return in_brackets(float(crossing.time), float(crossing.stderr))


def _of(chi: hierarchy.Susceptibility, i: int) -> str:
    return in_brackets(float(chi.value[i]), float(chi.error[i]))
