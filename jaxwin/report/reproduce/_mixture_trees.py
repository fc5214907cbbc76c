"""Trees of two levels: one that is resolved, and one whose scales are too near."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import Crossing, unstack, windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._comparison import (
    HEADROOM,
    SOURCE,
    Comparison,
    compare,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import GaussianMixture

# Half-distances of the outer and the inner split.
CASES = {"A = 100, B = 3": (100.0, 3.0), "A = 100, B = 5": (100.0, 5.0)}
EPSILON = 0.1
TREE = [[0, 1], [2, 3]]
NODES = {"leaf": 0, "node": 4, "root": 6}
TIMES = np.linspace(0.05, 8, 128)
SHOWN = slice(4, None, 8)
FINE = np.linspace(0.02, 8, 161)
INSIDE, OUTSIDE = "inside the node", "node to rest"


def law(outer: float, inner: float) -> GaussianMixture:
    """Components on a line at +-A +-B."""
    means = [outer + inner, outer - inner, inner - outer, -outer - inner]
    return GaussianMixture.isotropic(np.array(means)[:, None], 1.0)


def known(
    mixture: GaussianMixture, times: Float[np.ndarray, " t"]
) -> Mapping[str, Float[np.ndarray, " t"]]:
    """What must be below eps, and what above 1 - eps^2."""
    return {
        INSIDE: windows.distance(mixture, 0, 1, times).value,
        OUTSIDE: windows.distance(mixture, [0, 1], [2, 3], times).value,
    }


def measure(
    mixture: GaussianMixture, measuring: Measuring, stage: str, key: Any
) -> tuple[windows.MixtureTree, Comparison]:
    """The tree from soft labels of noised points, and its curves."""
    seen, kept = Observed(mixture, Gaussian()), []
    options = measuring.options(stage, key)

    def measure(pairs: Any) -> Any:
        kept.append((pairs, windows.overlaps(seen, TIMES, pairs, **options)))
        return kept[-1][1]

    tree = windows.Tree.nested(TREE, 4)
    found = windows.measured_tree(measure, tree, EPSILON)
    pairs, seen_overlaps = kept[0]
    sampled = {}
    for name, sets in ((INSIDE, ([0], [1])), (OUTSIDE, ([0, 1], [2, 3]))):
        masks = [np.isin(np.arange(4), labels) for labels in sets]
        rows = [i for i, pair in enumerate(pairs) if np.array_equal(pair, masks)]
        i = rows[0]
        sampled[name] = 1 - seen_overlaps.mean[i, SHOWN], seen_overlaps.stderr[i, SHOWN]
    curves = compare(
        TIMES[SHOWN],
        FINE,
        functools.partial(known, mixture),
        sampled,
        measuring.count,
        "overlaps by soft labels of noised points",
    )
    return found, curves


def _study(measuring: Measuring) -> Study:
    table = plain_table(
        f"Mixture trees of ±A ±B at ε = {EPSILON:g}",
        ["case", "node", "T_end", "T_start", "T_end, sampled", "T_start, sampled"],
        "A node is resolved where T_end <= T_start; the ratio of scales that this "
        f"takes is about {float(windows.separation_ratio(EPSILON)):.4f}.",
    )
    results: dict[str, Any] = {}
    cases, figures = {}, {}
    keys = measuring.keys(len(CASES))
    for (name, scales), key in zip(CASES.items(), keys, strict=True):
        mixture = law(*scales)
        tree = windows.mixture_tree(mixture, EPSILON, TREE)
        slug = f"ratio_{scales[0] / scales[1]:.0f}"
        measured, curves = measure(mixture, measuring, slug, key)
        ends = [unstack(each) for each in (tree.end, tree.start)]
        ends += [unstack(each) for each in (measured.end, measured.start)]
        nodes = {}
        for node, index in NODES.items():
            times = [each[index] for each in ends]
            title = f"{name}: {tree.answer}" if node == "leaf" else ""
            add_row(table, title, node, *map(_cell, times))
            keys_of = "T_end", "T_start", "T_end_sampled", "T_start_sampled"
            nodes[node] = {
                key: time.to_json() for key, time in zip(keys_of, times, strict=True)
            } | {"resolved": bool(tree.resolved[index])}
        table.add_section()
        cases[name] = {"answer": tree.answer, "nodes": nodes}
        results |= {slug: tree, f"{slug}_sampled": measured, f"{slug}_curves": curves}
        marks = [("T_end", ends[0][4]), ("T_start", ends[1][4])]
        figures[slug] = drawn(
            curves,
            "OU time",
            f"total variation, {name}",
            marks=[(mark, float(time.time)) for mark, time in marks],
            levels=[("ε", EPSILON), ("1 − ε²", 1 - EPSILON**2)],
            ylim=HEADROOM,
        )
    summary = {
        "epsilon": EPSILON,
        "separation_ratio": float(windows.separation_ratio(EPSILON)),
        "cases": cases,
    }
    return suite_study(ENTRY.name, results, summary, figures, table)


def _cell(time: Crossing) -> str:
    return str(time) if bool(time.found) else "–"


ENTRY = Entry(
    name="critical-windows-tree",
    title="Mixture trees at eps = 0.1: resolved at A / B = 33, rejected at A / B = 20",
    source=f"{SOURCE}, Definition 8",
    published="none available",
    make=_study,
)
