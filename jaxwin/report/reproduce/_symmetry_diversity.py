"""How evenly samples fall into classes: few steps, late starts, and a long run."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import late_start
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, in_brackets, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._late_start_laws import DIGITS
from jaxwin.report.reproduce._symmetry_diversity_measured import (
    PERCENT,
    Composition,
    laws,
    measure,
)
from jaxwin.report.reproduce._symmetry_potential import SOURCE

if TYPE_CHECKING:
    import matplotlib.figure

# CelebA64 under a face classifier, 50,000 samples: percent, five steps where few.
PUBLISHED = {
    "data": PERCENT,
    "long": (72.3, 8.0, 5.6, 8.0, 4.8, 1.3),
    "published": (78.5, 6.4, 3.9, 7.0, 3.5, 0.6),
    "vanilla": (88.3, 3.7, 2.6, 2.8, 2.4, 0.2),
}
# Plotted there, in bits, by steps.
ENTROPIES = {
    "vanilla": {3: 0.51, 5: 0.76, 10: 1.12},
    "published": {3: 1.17, 5: 1.19, 10: 1.30},
}
NAMES = {
    "data": "data",
    "long": "long run",
    "vanilla": "vanilla",
    "gaussian": "Gaussian, automatic",
    "published": "Gaussian, published start",
}
FIVE = 5


def published_entropy(kind: str) -> float:
    """In bits, recomputed from the percentages."""
    return float(late_start.diversity(PUBLISHED[kind]).entropy)


def _study(measuring: Measuring) -> Study:
    """Class compositions and their entropy, beside the published ones.

    Keys of `summary.json`: `laws`, by name: `samples` and `runs`, each `kind` (data,
    long, vanilla, gaussian, published), `steps`, `start` (DDPM index), `entropy`
    (bits, corrected for the number of samples), `stderr`, `frequency`,
    `frequency_stderr`; `published`, by kind: `percent` and `entropy` recomputed from
    it; `published_entropies` (bits, plotted, by kind and steps).
    """
    given = laws(measuring.quick)
    keys = measuring.keys(len(given))
    found = {
        name: measure(name, law, measuring, key)
        for key, (name, law) in zip(keys, given.items(), strict=True)
    }
    figures = {}
    for name, one in found.items():
        key = name.replace(" ", "_")
        figures[f"entropy_{key}"] = entropy_figure(name, one)
        if name != DIGITS:
            figures[f"composition_{key}"] = composition_figure(name, one)
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={name.replace(" ", "_"): one for name, one in found.items()},
        summary={
            "laws": {name: _told(one) for name, one in found.items()},
            "published": {
                kind: {"percent": list(percent), "entropy": published_entropy(kind)}
                for kind, percent in PUBLISHED.items()
            },
            "published_entropies": {
                kind: {str(n): bits for n, bits in row.items()}
                for kind, row in ENTROPIES.items()
            },
        },
        figures=figures,
        table=_table(found),
        largest_error=max(float(one.stderr.max()) for one in found.values()),
        count=min(one.count for one in found.values()),
    )


def _told(one: Composition) -> dict[str, Any]:
    return {
        "samples": one.count,
        "runs": [
            {
                "kind": kind,
                "steps": int(one.steps[i]),
                "start": None if np.isnan(one.start[i]) else float(one.start[i]),
                "entropy": float(one.entropy[i]),
                "stderr": float(one.entropy_stderr[i]),
                "frequency": one.frequency[i].tolist(),
                "frequency_stderr": one.stderr[i].tolist(),
            }
            for i, kind in enumerate(one.kinds)
        ],
    }


def entropy_figure(name: str, one: Composition) -> "matplotlib.figure.Figure":
    """By steps; published ones where the classes have the published weights."""
    series = []
    for shift, kind in ((0.97, "vanilla"), (1.0, "gaussian"), (1.03, "published")):
        own = one.of(kind)
        at = one.steps[own] * shift
        points = None
        if kind in ENTROPIES and name != DIGITS:
            row = ENTROPIES[kind]
            points = np.array(list(row), float) * shift, np.array(list(row.values()))
        measured = at, one.entropy[own], one.entropy_stderr[own]
        series.append(Series(NAMES[kind], measured, published=points))
    heights = [(NAMES[k], float(one.entropy[one.of(k)][0])) for k in ("data", "long")]
    # One name on two lines that are one.
    if abs(heights[0][1] - heights[1][1]) < 0.05:
        heights = [("data and long run", heights[0][1])]
    figure = beside(
        series,
        "evaluations of the score",
        f"entropy of the classes, bits ({name})",
        levels=heights,
        logarithmic=True,
        kinds={"measured": "ours", "published": "CelebA64, published"},
    )
    (axes,) = figure.axes
    axes.set_xticks([3, 5, 10], ["3", "5", "10"])
    axes.set_xticks([], minor=True)
    return figure


def composition_figure(name: str, one: Composition) -> "matplotlib.figure.Figure":
    """Percent of each class, after five steps where there are few."""
    classes = np.arange(1, one.frequency.shape[1] + 1)
    shifts = np.linspace(-0.27, 0.27, len(NAMES))
    series = []
    for shift, (kind, label) in zip(shifts, NAMES.items(), strict=True):
        steps = None if kind in ("data", "long") else FIVE
        row = np.flatnonzero(one.of(kind, steps))[0]
        percent, error = 100 * one.frequency[row], 100 * one.stderr[row]
        at = classes + shift
        points = None
        if kind in PUBLISHED and kind != "data":
            points = at, np.array(PUBLISHED[kind])
        series.append(Series(label, (at, percent, error), published=points))
    figure = beside(
        series,
        f"class ({name}; vanilla, Gaussian: {FIVE} steps)",
        "percent of the samples",
        kinds={"measured": "ours", "published": "CelebA64, published"},
    )
    (axes,) = figure.axes
    axes.set_yscale("log")
    axes.set_ylim(0.1, 150)
    axes.set_xticks(classes, [str(k) for k in classes])
    ticks = [0.1, 1, 10, 100]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    return figure


def _table(found: dict[str, Composition]) -> Any:
    table = plain_table(
        "Entropy of the classes in bits",
        ["law", "run", "steps", "start", "largest", "smallest", "entropy", "published"],
        "largest, smallest: percent of the samples in the data's largest and smallest "
        "class. Entropies are corrected for the number of samples. published: "
        "CelebA64, where the classes of the data have these weights; data and long run "
        "(1000 steps of DDPM) from the percentages, others as plotted.",
    )
    for i, (name, one) in enumerate(found.items()):
        if i:
            table.add_section()
        prior = one.frequency[0]
        ends = int(np.argmax(prior)), int(np.argmin(prior))
        for r, kind in enumerate(one.kinds):
            steps, start = int(one.steps[r]), float(one.start[r])
            bits = ENTROPIES.get(kind, {}).get(steps)
            if kind in ("data", "long"):
                bits = round(published_entropy(kind), 3)
            cells = [
                in_brackets(100 * one.frequency[r, c], 100 * one.stderr[r, c])
                for c in ends
            ]
            add_row(
                table,
                name if r == 0 else "",
                NAMES[kind],
                f"{steps}" if steps else "–",
                "–" if np.isnan(start) else f"{start:.0f}",
                *cells,
                in_brackets(float(one.entropy[r]), float(one.entropy_stderr[r])),
                "–" if bits is None or name == DIGITS else f"{bits:g}",
            )
    return table


ENTRY = Entry(
    name="symmetry-diversity",
    title="Class diversity: data, a long run, and few steps from early and late starts",
    source=f"{SOURCE}, section 6 (diversity)",
    published="points",
    make=_study,
)
