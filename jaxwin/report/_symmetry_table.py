"""The cascade and the late start for the terminal."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import Crossing, unstack
from jaxwin.plots import short
from jaxwin.processes import AbstractProcess
from jaxwin.report._symmetry_classes import ClassOverlap
from jaxwin.report._symmetry_clock import WORDS, on_ou, same_dynamics
from jaxwin.report._symmetry_result import Cascade, Starts
from jaxwin.report._symmetry_starts import NO_LABELS, NO_LAW, ROUNDING
from jaxwin.report._table import add_row, plain_table, times_table

if TYPE_CHECKING:
    import rich.console
    import rich.table

COLUMNS = ("", "order", "equally deep", "unstable", "marginal", "new", "separates")
CAPTION = (
    "Times at which new minima appear, the noisiest first: where these lie as deep as "
    "the parent, where that becomes unstable; marginal directions, new minima (of how "
    "many parents); classes that the way to a new minimum tells apart, with |cos| "
    "between it and the difference of their means."
)
# Characters of two classes, classes of a group that is named, transitions whose late
# start is told.
LONGEST, NAMED, FEW = 18, 3, 3
NAMES = {
    "reverse_sde": "reverse SDE",
    "flow": "probability flow",
    "density": "modes of the density",
}


def symmetry_table(found: Cascade) -> "rich.console.Group":
    """The cascade line by line, its times on other clocks, and the late start."""
    from rich.console import Group
    from rich.text import Text

    parts: list[rich.console.RenderableType] = [
        Text(_title(found)),
        Text(answer(found)),
    ]
    if found.overlaps:
        parts.append(_cascade(found))
        if "ou" in same_dynamics(found.subject.process, found.subject.drift.name):
            parts.append(_clocks(found))
    starts = found.result.starts
    parts.append(Text(f"Late start: {NO_LAW}.") if starts is None else _starts(found))
    return Group(*parts)


def answer(found: Cascade) -> str:
    """What was found, and what was not, in plain sentences."""
    critical, clock = found.result.critical, WORDS[found.subject.clock]
    searched = f"[{critical.time[0]:.4g}, {critical.time[-1]:.4g}]"
    count = len(found.overlaps)
    if not critical.minima.any():
        return f"No minimum was found in the region at any {clock} in {searched}."
    said = f"No transition in {clock} {searched}."
    if count:
        times = "1 transition" if count == 1 else f"{count} transitions"
        said = f"{times} in {clock} {searched}."
    if not critical.complete:
        said += " Only the noisiest are followed; give a larger `most` for more."
    if not critical.minima[-1]:
        said += " At the noisy end no minimum was found in the region."
    elif not critical.symmetric:
        said += (
            f" The symmetric phase is not reached: {critical.minima[-1]} minima are "
            f"left at the noisy end, and what breaks beyond it is not listed."
        )
    if bool(critical.escape.found):
        said += (
            f" Below {float(critical.escape.low):.3g} to "
            f"{float(critical.escape.high):.3g} no minimum was found in the region: "
            f"curvature without a decision."
        )
    return said


def separates(overlap: ClassOverlap | None, classes: tuple[str, ...]) -> str:
    """The smaller group that a direction tells apart, and its overlap.

    Where that is of many classes, the pair of classes it lies along best.
    """
    if overlap is None:
        return ""
    group, rest = overlap.group, overlap.rest
    few, many = (group, rest) if len(group) <= len(rest) else (rest, group)
    joined = lambda some: " + ".join(short(classes[c], LONGEST // 2) for c in some)
    if len(few) > NAMED:
        first, second = ((c,) for c in overlap.pair)
        return f"{joined(first)} | {joined(second)} ({overlap.pair_overlap:.2f})"
    other = joined(many) if len(many) == 1 else "rest"
    return f"{joined(few)} | {other} ({overlap.overlap:.2f})"


def drift_name(found: Cascade) -> str:
    """The drift in words."""
    name = found.subject.drift.name
    return NAMES.get(name, f"η = {found.subject.eta:g}" if name == "eta" else name)


def _title(found: Cascade) -> str:
    subject = found.subject
    points = "" if subject.num_points is None else f"n = {subject.num_points:,}, "
    size = f"d = {subject.dimension:,}"
    if subject.directions < subject.dimension:
        size = f"{subject.directions} of {size}"
        if subject.kept < 1:
            size += f" ({100 * subject.kept:.0f} % of the variance)"
    kernel = "" if subject.bandwidth is None else f", kernel {subject.bandwidth:.3g}"
    return (
        f"{subject.name}: {points}{size}{kernel}, {drift_name(found)}, "
        f"{WORDS[subject.clock]}"
    )


def _cascade(found: Cascade) -> "rich.table.Table":
    subject, listed = found.subject, found.result.critical.transitions
    table = plain_table("", (WORDS[subject.clock], *COLUMNS[1:]), CAPTION)
    times, equal, lost = map(
        unstack, (listed.time, listed.coexistence, listed.instability)
    )
    for i, overlap in enumerate(found.overlaps):
        second = bool(listed.second_order[i])
        parents = int(listed.of_parents[i])
        new = f"{int(listed.copies[i])}"
        marginal = f"{int(listed.multiplicity[i])}"
        if listed.zero_modes[i]:
            marginal += f" + {int(listed.zero_modes[i])} flat"
        add_row(
            table,
            f"{float(times[i].time):.5g}",
            "second" if second else "first",
            "" if second else _short(equal[i]),
            "" if second else _short(lost[i]),
            marginal,
            new if parents == 1 else f"{new} of {parents}",
            separates(overlap, subject.classes),
        )
    return table


def _clocks(found: Cascade) -> "rich.table.Table":
    """Times on four clocks, by log-SNR; on some of them the drift is another one."""
    subject = found.subject
    times = unstack(found.result.critical.transitions.time)
    on_others = same_dynamics(subject.process, subject.drift.name)
    note = ""
    if "edm_sigma" not in on_others:
        note = (
            "By log-SNR: on EDM and flow clocks these noises, but this drift breaks "
            "at others."
        )
    names = [separates(overlap, subject.classes) for overlap in found.overlaps]
    rows = [
        (f"{i + 1}. {name}", on_ou(time, subject.process))
        for i, (time, name) in enumerate(zip(times, names, strict=True))
    ]
    return times_table("", [rows], note)


def _starts(found: Cascade) -> "rich.table.Table":
    """Weight error, or the distance of laws, of a few starts."""
    starts, clock = found.result.starts, WORDS[found.subject.clock]
    assert isinstance(starts, Starts)
    automatic = starts.automatic
    labelled = automatic.rule != "variation"
    note = automatic.said if labelled else f"{automatic.said} There are {NO_LABELS}."
    unit = "weight error" if labelled else "TV"
    columns = [f"start at {clock}", "", "weight error ≤", "TV ≤", f"vanilla {unit}"]
    table = plain_table("Late start", columns, note)
    rows = [("automatic", automatic.start), ("elbow of the vanilla", automatic.elbow)]
    listed = unstack(found.result.critical.transitions.time) if found.overlaps else []
    rows += [(f"transition {i + 1}", time) for i, time in enumerate(listed[:FEW])]
    if automatic.always:
        time = automatic.time
        add_row(
            table,
            f"{time:.4g}",
            "any start will do",
            *_at(starts, time, found.subject.process),
        )
    for name, crossing in rows:
        time = float(crossing.time)
        if not bool(crossing.found):
            if not (name == "automatic" and automatic.always):
                add_row(table, "–", f"{name}: not reached", "", "", "")
        elif automatic.noise[0] <= time <= automatic.noise[-1]:
            add_row(
                table, f"{time:.4g}", name, *_at(starts, time, found.subject.process)
            )
    return table


def _at(starts: Starts, time: float, process: AbstractProcess) -> list[str]:
    automatic, classes = starts.automatic, starts.vanilla.classes
    noise = lambda t: -np.asarray(process.log_snr(jnp.asarray(t)))
    labelled = automatic.rule != "variation"

    def read(curve: Float[np.ndarray, " t"]) -> str:
        # As `automatic` reads it: the logarithm is what is smooth in the log-SNR.
        logs = np.log(np.maximum(curve, np.finfo(float).tiny))
        return _rounded(
            float(np.exp(np.interp(noise(time), noise(automatic.noise), logs)))
        )

    bound, vanilla = "no labels", starts.vanilla.variation
    if labelled and automatic.weight_bound is not None and classes is not None:
        bound, vanilla = read(automatic.weight_bound), classes.error
    return [bound, read(automatic.variation_bound), read(vanilla)]


def _rounded(value: float) -> str:
    """Two digits; what is left by rounding is nothing."""
    return f"{value:.2g}" if value > ROUNDING else "0"


def _short(time: Crossing) -> str:
    return f"{float(time.time):.4g}" if bool(time.found) else "never"
