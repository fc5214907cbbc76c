"""What a Gaussian late start gains: four samplers at their honest costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxwin._typing import Key
from jaxwin.analysis import late_start
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, in_brackets, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._late_start_laws import (
    DIGITS,
    PROBLEM,
    TABLE,
    digits_law,
    problem,
)
from jaxwin.report.reproduce._symmetry_potential import SOURCE
from jaxwin.samplers import DPMSolverPP
from jaxwin.targets import AbstractTarget

if TYPE_CHECKING:
    import matplotlib.figure

METRICS = ("frechet", "energy")
# The published grid of starts; after it comes the `last_start` of the sampler.
STARTS = (50, *range(100, 1000, 100))


SAMPLERS = {
    **late_start.SAMPLERS,
    "2M": late_start.Sampler(DPMSolverPP(2), "denoise", 999),
}
# Points of equal cost stand beside each other in the figures.
SHIFT = {"DDPM": 0.95, "2M": 1.05}
STEPS = (3, 5, 10)
# What PNDM costs at these, for samplers that cost n: rows of one price.
SAME_COST = (12, 14, 19)
# FID, (late start from a Gaussian, vanilla), of DDPM, DDIM and PNDM; tables 1 and 2.
FID = {
    "MNIST": {
        10: ((4.21, 6.75), (2.44, 4.46), (5.02, 14.36)),
        5: ((6.95, 13.25), (6.95, 13.25), (5.11, 21.22)),
        3: ((11.92, 42.63), (11.92, 42.63), (38.23, 154.89)),
    },
    "CIFAR-10": {
        10: ((28.77, 43.35), (15.98, 19.79), (5.90, 8.35)),
        5: ((42.46, 84.82), (26.36, 44.61), (9.55, 13.77)),
        3: ((57.03, 146.95), (42.31, 109.37), (34.20, 103.11)),
    },
    "CelebA32": {
        10: ((11.05, 26.79), (7.27, 11.37), (2.88, 4.92)),
        5: ((14.79, 40.92), (10.83, 23.45), (4.2, 6.61)),
        3: ((18.93, 59.75), (16.24, 45.34), (28.60, 235.87)),
    },
    "ImageNet64": {
        10: ((57.31, 65.68), (36.25, 38.21), (27.9, 28.27)),
        5: ((75.11, 99.99), (52.11, 68.21), (33.35, 34.86)),
        3: ((91.69, 145.71), (76.92, 126.3), (50.92, 70.58)),
    },
    "CelebA64": {
        10: ((23.79, 36.66), (15.82, 19.37), (6.80, 8.03)),
        5: ((31.24, 48.38), (22.06, 28.51), (9.26, 10.26)),
        3: ((37.05, 62.18), (29.96, 50.304), (51.72, 171.75)),
    },
}
PAPERS = ("DDPM", "DDIM", "PNDM")
# Rows whose columns of DDPM and DDIM are the same numbers: a slip of transcription.
SLIPS = (("MNIST", 5), ("MNIST", 3))


class Gains(eqx.Module):
    """Best vanilla over best Gaussian start, by case and metric, and the curves.

    resolved: whether both are above twice their error.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    metrics: tuple[str, ...] = eqx.field(static=True)
    evaluations: Int[np.ndarray, " c"] = field(("case",), "scores a sample")
    start: Float[np.ndarray, "c s"] = field(("case", "start"), "DDPM index")
    value: Float[np.ndarray, "c k m s"] = field(
        ("case", "kind", "metric", "start"), "", "vanilla, Gaussian"
    )
    stderr: Float[np.ndarray, "c k m s"] = field(
        ("case", "kind", "metric", "start"), ""
    )
    gain: Float[np.ndarray, "c m"] = field(("case", "metric"), "", "ratio of the best")
    gain_stderr: Float[np.ndarray, "c m"] = field(("case", "metric"), "")
    resolved: Bool[np.ndarray, "c m"] = field(("case", "metric"), "")


class Case(NamedTuple):
    """One row: a problem, a sampler, its steps, and what was found of them."""

    problem: str
    sampler: str
    steps: int
    sweeps: tuple[late_start.StartSweep, late_start.StartSweep]

    @property
    def evaluations(self) -> int:
        """Scores a sample."""
        return self.sweeps[0].evaluations

    def gain(self, metric: str) -> late_start.Gain:
        """By one metric."""
        return late_start.gain(*self.sweeps, metric=metric)


def published_ratios() -> dict[str, dict[int, dict[str, float]]]:
    """Vanilla over Gaussian FID by sampler, steps and data set; slips left out."""
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in PAPERS}
    for data, rows in FID.items():
        for steps, pairs in rows.items():
            if (data, steps) in SLIPS:
                continue
            for name, (ours, vanilla) in zip(PAPERS, pairs, strict=True):
                found[name].setdefault(steps, {})[data] = vanilla / ours
    return found


def wanted(quick: bool) -> list[tuple[str, str, int]]:
    """Problem, sampler, steps; the quick form compiles six programs alone."""
    if quick:
        return [(PROBLEM, "DDIM", 5), (PROBLEM, "PNDM", 5), (DIGITS, "DDIM", 5)]
    some = [
        (which, name, steps)
        for which in (PROBLEM, DIGITS)
        for steps in STEPS
        for name in SAMPLERS
    ]
    return some + [(PROBLEM, name, n) for n in SAME_COST for name in ("DDIM", "2M")]


def measure(
    law: AbstractTarget,
    which: str,
    name: str,
    steps: int,
    key: Key,
    measuring: Measuring,
) -> Case:
    """Both starts on the same random numbers."""
    sampler = SAMPLERS[name]
    options: dict[str, Any] = {"metrics": METRICS, "last": sampler.last, "key": key}
    # Digits cost twenty times as much a score.
    options["num_samples"] = measuring.count // (8 if which == DIGITS else 2)
    if measuring.stage is not None:
        options["progress"] = measuring.stage(f"{which}, {name}, {steps} steps")
    starts = [float(start) for start in (*STARTS, sampler.last_start)]
    vanilla, gaussian = (
        late_start.sweep(law, TABLE, sampler.step, steps, starts, kind=kind, **options)
        for kind in ("vanilla", "gaussian")
    )
    return Case(which, name, steps, (vanilla, gaussian))


def _study(measuring: Measuring) -> Study:
    """Gains of the Gaussian late start, and the published ratios of FID.

    Keys of `summary.json`: `cases`, each `problem`, `sampler`, `steps`, `evaluations`
    and by metric (`frechet`, squared; `energy`) `gain`, `stderr`, `resolved`, and of
    `vanilla` and `gaussian` the best `start`, `value`, `stderr`, `at_end`;
    `published`, by data set and steps: FID `gaussian`, `vanilla`, `ratio` of each
    sampler, and `slip` where columns are the same numbers, which is not used.
    """
    laws = {PROBLEM: problem(), DIGITS: digits_law()}
    keys = dict(zip(laws, measuring.keys(len(laws)), strict=True))
    cases = [
        measure(laws[which], which, name, steps, keys[which], measuring)
        for which, name, steps in wanted(measuring.quick)
    ]
    figures = {
        f"gain_{which.split()[0].replace('-', '_').lower()}_{metric}": gain_figure(
            [case for case in cases if case.problem == which], metric
        )
        for which in laws
        for metric in METRICS
    }
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=_gains(cases),
        summary={"cases": [_told(case) for case in cases], "published": _published()},
        figures=figures,
        table=_table(cases),
    )


def _gains(cases: list[Case]) -> Gains:
    gains = [[case.gain(metric) for metric in METRICS] for case in cases]
    curves = lambda leaf: np.array(
        [
            [[getattr(one.measured(m), leaf) for m in METRICS] for one in case.sweeps]
            for case in cases
        ]
    )
    return Gains(
        names=tuple(f"{c.problem}, {c.sampler}, {c.steps} steps" for c in cases),
        metrics=METRICS,
        evaluations=np.array([case.evaluations for case in cases]),
        start=np.array([case.sweeps[0].start for case in cases]),
        value=curves("value"),
        stderr=curves("stderr"),
        gain=np.array([[gain.value for gain in row] for row in gains]),
        gain_stderr=np.array([[gain.stderr for gain in row] for row in gains]),
        resolved=np.array([[gain.resolved for gain in row] for row in gains]),
    )


def _told(case: Case) -> dict[str, Any]:
    told: dict[str, Any] = {
        "problem": case.problem,
        "sampler": case.sampler,
        "steps": case.steps,
        "evaluations": case.evaluations,
    }
    for metric in METRICS:
        gain = case.gain(metric)
        ends = {"vanilla": gain.vanilla, "gaussian": gain.gaussian}
        told[metric] = {
            "gain": gain.value if gain.resolved else None,
            "stderr": gain.stderr if gain.resolved else None,
            "resolved": gain.resolved,
        } | {
            kind: {
                "start": best.start,
                "value": best.value,
                "stderr": best.stderr,
                "at_end": best.at_end,
            }
            for kind, best in ends.items()
        }
    return told


def _published() -> dict[str, Any]:
    return {
        data: {
            str(steps): {
                "slip": (data, steps) in SLIPS,
                **{
                    name: {"gaussian": a, "vanilla": b, "ratio": b / a}
                    for name, (a, b) in zip(PAPERS, pairs, strict=True)
                },
            }
            for steps, pairs in rows.items()
        }
        for data, rows in FID.items()
    }


def gain_figure(cases: list[Case], metric: str) -> "matplotlib.figure.Figure":
    """Gains at their costs; of DDPM, DDIM and PNDM the published ratios of FID."""
    ratios = published_ratios()
    series = []
    for style, name in enumerate(SAMPLERS):
        shift = SHIFT.get(name, 1.0)
        own = [c for c in cases if c.sampler == name and c.gain(metric).resolved]
        gains = [case.gain(metric) for case in own]
        at = np.array([case.evaluations for case in own], float) * shift
        measured = (
            at,
            np.array([gain.value for gain in gains]),
            np.array([gain.stderr for gain in gains]),
        )
        published = None
        if name in ratios and metric == "frechet":
            points = [
                (_cost(name, steps) * shift, ratio)
                for steps, row in ratios[name].items()
                for ratio in row.values()
            ]
            published = tuple(np.array(points).T)
        if own or published is not None:
            shown = measured if own else None
            hollow = _two(published)
            series.append(Series(name, shown, published=hollow, style=style))
    noun = "squared Fréchet distance" if metric == "frechet" else "energy distance"
    figure = beside(
        series,
        "evaluations of the score",
        f"best vanilla / best Gaussian,\n{noun}",
        levels=[("no gain", 1.0)],
        logarithmic=True,
        kinds={"measured": f"{cases[0].problem}", "published": "FID, published"},
    )
    (axes,) = figure.axes
    axes.set_yscale("log")
    ticks = [3, 5, 10, 14, 19]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    low, high = axes.get_ylim()
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if low <= tick <= high]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.set_yticks([], minor=True)
    return figure


def _two(pair: Any) -> tuple[np.ndarray, np.ndarray] | None:
    return None if pair is None else (pair[0], pair[1])


def _cost(name: str, steps: int) -> int:
    sampler = SAMPLERS[name]
    moves = steps if sampler.last == "step" else steps - 1
    return sampler.step.evaluations(moves) + int(sampler.last == "denoise")


def _table(cases: list[Case]) -> Any:
    ratios: Mapping[str, Mapping[int, Mapping[str, float]]] = published_ratios()
    table = plain_table(
        "Gain of the Gaussian start: best vanilla over best Gaussian",
        ["problem", "sampler", "n", "cost", "Fréchet", "starts", "energy", "starts"]
        + ["FID, published"],
        "cost: scores a sample; columns of the published tables are not of equal cost. "
        "starts: the best vanilla and the best Gaussian one, DDPM index. Squared "
        "Fréchet distance, energy distance; –: not resolved, both are to be above "
        "twice their error. Published: lowest and highest ratio of five data sets "
        "(MNIST at n = 5 and 3 left out: its DDPM and DDIM are the same numbers).",
    )
    last = cases[0].problem
    for case in cases:
        if case.problem != last:
            table.add_section()
        last = case.problem
        cells = []
        for metric in METRICS:
            gain = case.gain(metric)
            cells += [
                in_brackets(gain.value, gain.stderr) if gain.resolved else "–",
                f"{gain.vanilla.start:.0f}, {gain.gaussian.start:.0f}",
            ]
        row = ratios.get(case.sampler, {}).get(case.steps, {})
        span = f"{min(row.values()):.2f} to {max(row.values()):.2f}" if row else "–"
        add_row(
            table, case.problem, case.sampler, f"{case.steps}", f"{case.evaluations}",
            *cells, span,
        )  # fmt: skip
    return table


ENTRY = Entry(
    name="symmetry-samplers",
    title="What a Gaussian late start gains in DDPM, DDIM, PNDM and DPM-Solver++ 2M",
    source=f"{SOURCE}, tables 1 and 2",
    published="points",
    make=_study,
)
