"""Figures of a symmetry breaking."""

from typing import TYPE_CHECKING

import numpy as np

from jaxwin.analysis import unstack
from jaxwin.plots import (
    BranchCurve,
    BranchPanel,
    Series,
    beside,
    branches as branches_figure,
)
from jaxwin.report._symmetry_branches import direction_of
from jaxwin.report._symmetry_clock import WORDS
from jaxwin.report._symmetry_result import Branches, Cascade
from jaxwin.report._symmetry_table import separates

if TYPE_CHECKING:
    import matplotlib.figure

# Slopes and marks that a reader can tell apart.
SLOPES, MARKS = 5, 4
# The axis of slopes ends here: at little noise they grow without bound.
STEEP = 3.0


def symmetry_figures(found: Cascade) -> "dict[str, matplotlib.figure.Figure]":
    """Those that there is something to draw in, by name."""
    drawn = {"cascade": _cascade(found)}
    branches = found.result.branches
    if branches is not None:
        drawn["branches"] = _branches(found, branches)
        slopes = _eigenvalues(found, branches)
        drawn |= {} if slopes is None else {"eigenvalues": slopes}
    if found.result.profile is not None:
        drawn["potential"] = _potential(found)
    if found.result.starts is not None:
        drawn["late_start"] = _late_start(found)
    return drawn


def _axis(found: Cascade) -> str:
    return WORDS[found.subject.clock]


def _branches(found: Cascade, branches: Branches) -> "matplotlib.figure.Figure":
    listed = found.result.critical.transitions
    numbers = sorted({int(number) for number in branches.transition})
    panels = []
    for number in numbers:
        if number < 0:
            rows = branches.rows(number, True)
            count = branches.length(rows[0])
            way = np.ptp(branches.clean[rows[0], :count], axis=0)
            way = way / max(np.linalg.norm(way), 1e-300)
            begin = branches.clean[rows[0], 0]
        else:
            way, begin = direction_of(listed, number), listed.parent[number]
        curves = []
        for row in range(len(branches.transition)):
            if branches.transition[row] != number:
                continue
            kept = slice(branches.length(row))
            curves.append(
                BranchCurve(
                    branches.time[row, kept],
                    (branches.clean[row, kept] - begin) @ way,
                    branches.stable[row, kept],
                    bool(branches.of_parent[row]),
                )
            )
        panels.append(BranchPanel(_title(found, number), curves, _marks(found, number)))
    return branches_figure(panels, _axis(found), "E[x₀ | x], along the break")


def _title(found: Cascade, number: int) -> str:
    if number < 0:
        return "no transition"
    name = separates(found.overlaps[number], found.subject.classes)
    return f"{number + 1}. {name}" if name else f"transition {number + 1}"


def _marks(found: Cascade, number: int) -> list[tuple[str, float]]:
    """The times of one transition."""
    if number < 0:
        return []
    listed = found.result.critical.transitions
    if bool(listed.second_order[number]):
        return [("pitchfork", float(listed.time.time[number]))]
    named = (
        ("spinodal", listed.time),
        ("equally deep", listed.coexistence),
        ("unstable", listed.instability),
    )
    return [
        (name, float(times.time[number]))
        for name, times in named
        if bool(times.found[number])
    ]


def _eigenvalues(
    found: Cascade, branches: Branches
) -> "matplotlib.figure.Figure | None":
    """Slopes along the branch that breaks first."""
    number = min(0, int(branches.transition.max()))
    rows = branches.rows(number, True)
    if not rows:
        return None
    time, slopes = (
        np.concatenate([array[row, : branches.length(row)] for row in rows])
        for array in (branches.time, branches.slopes)
    )
    order = np.argsort(time)
    time, slopes = time[order], slopes[order]
    steep = np.flatnonzero(slopes[:, 0] > STEEP)
    first = time[steep[-1]] if steep.size and steep[-1] + 1 < len(time) else time[0]
    series = [
        Series(f"{_ordinal(k)} slope", predicted=(time, slopes[:, k]))
        for k in range(min(SLOPES, slopes.shape[1]))
    ]
    return beside(
        series,
        _axis(found),
        "slopes κ (α² / σ²) Cov[x₀ | x]",
        marks=_marks(found, number),
        levels=[("1: marginal", 1.0)],
        xlim=(float(first), float(time[-1])),
        ylim=(0.0, min(STEEP, 1.1 * max(1.0, float(slopes[time >= first].max())))),
    )


def _ordinal(k: int) -> str:
    return ("largest", "second", "third", "fourth", "fifth")[k]


def _cascade(found: Cascade) -> "matplotlib.figure.Figure":
    critical = found.result.critical
    middle = (critical.time[1:] + critical.time[:-1]) / 2
    time = np.concatenate([critical.time[:1], np.repeat(middle, 2), critical.time[-1:]])
    listed = unstack(critical.transitions.time) if found.overlaps else []
    names = [_title(found, i) if i < MARKS else "" for i in range(len(listed))]
    marks = [(name, float(t.time)) for name, t in zip(names, listed, strict=True)]
    return beside(
        [Series("minima found", predicted=(time, np.repeat(critical.minima, 2) + 0.0))],
        _axis(found),
        "minima that starts lead to",
        marks=marks,
        ylim=(0.0, 1.15 * max(int(critical.minima.max()), 1)),
        xlim=(float(time[0]), float(time[-1])),
    )


def _potential(found: Cascade) -> "matplotlib.figure.Figure":
    profile = found.result.profile
    assert profile is not None
    named = {round(time, 12): name for name, time in _marks(found, 0)}
    series = []
    for time, value in zip(profile.time[::-1], profile.value[::-1], strict=True):
        name = named.get(round(float(time), 12))
        label = f"{time:.3g}" if name is None else f"{time:.3g}, {name}"
        series.append(Series(label, predicted=(profile.place, value)))
    return beside(
        series,
        "E[x₀ | x] from the parent to a new minimum",
        "potential u / g², 0 at the parent",
        kinds=False,
    )


def _late_start(found: Cascade) -> "matplotlib.figure.Figure":
    starts = found.result.starts
    assert starts is not None
    automatic, vanilla = starts.automatic, starts.vanilla
    time = automatic.noise
    classes = vanilla.classes
    series = []
    ylabel = "total variation from p_t"
    if automatic.rule != "variation" and classes is not None:
        ylabel = "class weight misplaced; TV"
        assert automatic.weight_bound is not None
        series = [
            Series("Gaussian start (≤)", predicted=(time, automatic.weight_bound)),
            Series("vanilla start", predicted=(time, classes.error)),
        ]
    bound = automatic.variation_bound
    series.append(Series("Gaussian TV (≤)", predicted=(time, bound)))
    if automatic.rule == "variation":
        series.append(Series("vanilla TV", predicted=(time, vanilla.variation)))
    highest = max(float(one.predicted[1].max()) for one in series if one.predicted)
    marks = [
        (name, float(t.time))
        for name, t in (("automatic", automatic.start), ("elbow", automatic.elbow))
        if bool(t.found)
    ]
    listed = unstack(found.result.critical.transitions.time) if found.overlaps else []
    marks += [("transition 1", float(listed[0].time))] if listed else []
    return beside(
        series,
        f"start, {_axis(found)}",
        ylabel,
        marks=sorted(marks, key=lambda mark: mark[1]),
        xlim=(0.0 if time[0] < 0.1 * time[-1] else float(time[0]), float(time[-1])),
        ylim=(0.0, 1.05 * highest),
    )
