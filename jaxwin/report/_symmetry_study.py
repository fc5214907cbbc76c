"""What a symmetry breaking says: numbers for the summary, and everything together."""

from typing import Any

import numpy as np

from jaxwin.analysis import Crossing, unstack
from jaxwin.processes import AbstractProcess
from jaxwin.report._study import Study
from jaxwin.report._symmetry_classes import ClassOverlap
from jaxwin.report._symmetry_clock import read_on, same_dynamics
from jaxwin.report._symmetry_figures import symmetry_figures
from jaxwin.report._symmetry_result import Cascade, Starts
from jaxwin.report._symmetry_starts import NO_LABELS, NO_LAW
from jaxwin.report._symmetry_table import answer, symmetry_table


def symmetry_study(found: Cascade, draws: int) -> Study:
    """All that a command saves and prints."""
    starts = found.result.starts
    worst = 0.0
    if starts is not None and starts.vanilla.classes is not None:
        worst = float(starts.vanilla.classes.error_stderr.max())
    return Study(
        command="symmetry",
        title=found.subject.name,
        results=found.result,
        summary=_summary(found),
        figures=symmetry_figures(found),
        table=symmetry_table(found),
        largest_error=worst,
        count=0 if starts is None or not worst else draws,
    )


def _summary(found: Cascade) -> dict[str, Any]:
    """Documented keys of `summary.json`.

    d, directions: of the data, and in how many of them minima were looked for, with
    the share `kept` of the variance. drift, `eta`, clock, starts, times (searched).
    answer: a sentence; none: nothing breaks; symmetric: one minimum is left at the
    noisy end; complete: all that was seen was followed; escape: below it no minimum
    was found.

    transitions: the noisiest first. `time` on the clock, `clocks` the same on every
    clock on which this drift has the same critical log-SNR (null: not on it); order
    "first" or "second"; `multiplicity` of the marginal eigenvalue; `zero_modes` of a
    continuum; `copies` new minima `of_parents`; `variance` of x0 given x along the
    marginal direction; `coexistence` and `instability` of a first-order one;
    `class_overlap` of the direction from the parent to a new minimum: `group` of
    classes on its side, the `rest`, |cos| with the difference of their means
    (`overlap`), with that of the best `pair` (`pair_overlap`), and the length of its
    part `between` classes; null without classes.

    minima: how many at each time. late_start: null for what is no law; `automatic`
    start and the time that is taken with its `bound` on the weight error (a bound on
    total variation without labels, says `late_start_answer`), the rule, the `elbow` of
    the vanilla error, and the curves.
    """
    subject, critical = found.subject, found.result.critical
    starts = found.result.starts
    return {
        "name": subject.name,
        "n": subject.num_points,
        "d": subject.dimension,
        "directions": subject.directions,
        "kept": subject.kept,
        "classes": list(subject.classes),
        "bandwidth": subject.bandwidth,
        "bandwidth_factor": subject.bandwidth_factor,
        "drift": subject.drift.name,
        "eta": subject.eta,
        "clock": subject.clock,
        "starts": critical.starts,
        "times": [float(critical.time[0]), float(critical.time[-1])],
        "answer": answer(found),
        "none": critical.none,
        "symmetric": critical.symmetric,
        "complete": critical.complete,
        "escape": critical.escape.to_json(),
        "transitions": _transitions(found),
        "minima": {
            "time": [float(t) for t in critical.time],
            "count": [int(count) for count in critical.minima],
        },
        "late_start": None if starts is None else _late_start(starts),
        "late_start_answer": _said(starts),
    }


def _transitions(found: Cascade) -> list[dict[str, Any]]:
    subject, listed = found.subject, found.result.critical.transitions
    clocks = same_dynamics(subject.process, subject.drift.name)
    lists = {
        name: unstack(getattr(listed, name))
        for name in ("time", "coexistence", "instability")
    }
    entries = []
    for i, overlap in enumerate(found.overlaps):
        time = lists["time"][i]
        entries.append(
            {
                "time": time.to_json(),
                "clocks": {
                    name: _elsewhere(time, subject.process, clock)
                    for name, clock in clocks.items()
                },
                "order": "second" if bool(listed.second_order[i]) else "first",
                "multiplicity": int(listed.multiplicity[i]),
                "zero_modes": int(listed.zero_modes[i]),
                "copies": int(listed.copies[i]),
                "of_parents": int(listed.of_parents[i]),
                "variance": float(listed.variance[i]),
                "coexistence": lists["coexistence"][i].to_json(),
                "instability": lists["instability"][i].to_json(),
                "class_overlap": _overlap(overlap, subject.classes),
            }
        )
    return entries


def _elsewhere(
    time: Crossing, process: AbstractProcess, clock: AbstractProcess
) -> dict[str, Any] | None:
    there = read_on(time, process, clock)
    return None if there is None else there.to_json()


def _overlap(
    overlap: ClassOverlap | None, classes: tuple[str, ...]
) -> dict[str, Any] | None:
    if overlap is None:
        return None
    return {
        "group": [classes[c] for c in overlap.group],
        "rest": [classes[c] for c in overlap.rest],
        "overlap": overlap.overlap,
        "pair": [classes[c] for c in overlap.pair],
        "pair_overlap": overlap.pair_overlap,
        "between": overlap.between,
    }


def _late_start(starts: Starts) -> dict[str, Any]:
    automatic, vanilla = starts.automatic, starts.vanilla
    numbers = lambda array: None if array is None else np.asarray(array).tolist()
    # The one class of a law without labels is never misplaced.
    classes = vanilla.classes if automatic.rule != "variation" else None
    bound = automatic.weight_bound if classes is not None else None
    return {
        "automatic": automatic.start.to_json(),
        "always": automatic.always,
        "time": automatic.time,
        "bound": automatic.bound,
        "level": automatic.level,
        "variation": automatic.variation,
        "rule": automatic.rule,
        "said": automatic.said,
        "elbow": automatic.elbow.to_json(),
        "method": vanilla.method,
        "times": numbers(automatic.noise),
        "weight_bound": numbers(bound),
        "variation_bound": numbers(automatic.variation_bound),
        "vanilla_weight_error": None if classes is None else numbers(classes.error),
        "vanilla_variation": numbers(vanilla.variation),
    }


def _said(starts: Starts | None) -> str:
    if starts is None:
        return NO_LAW
    return NO_LABELS if starts.automatic.rule == "variation" else "weight error"
