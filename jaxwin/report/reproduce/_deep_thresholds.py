"""Deep thresholds of hierarchies: what is known, what is naive, what is measured."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin.analysis import Crossing, hierarchy, unstack
from jaxwin.plots import Series, beside
from jaxwin.report._hierarchy_sizes import CHANNELS
from jaxwin.report._hierarchy_study import AXES
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report.reproduce._deep_thresholds_measured import (
    STARTS,
    SYMBOLS,
    Diagram,
    HalfLost,
    Thresholds,
    clocks,
    diagram,
    half_lost,
    thresholds,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._rhm import (
    SOURCE_TRANSITION,
    named,
    starts_of,
    transition,
    tree,
    whole_places,
)

if TYPE_CHECKING:
    import matplotlib.figure

# By whether it is quick: trees whose class is measured, and in which channels.
TREES = {
    False: [tree(32, 8, 2, depth, tables=4) for depth in (4, 6, 8)],
    True: [tree(16, 4, 2, depth, tables=6) for depth in (3, 4, 5)],
}
MEASURED = {False: tuple(CHANNELS), True: ("gaussian",)}
# Room right of the curves for the names of their thresholds.
SIDES = 0.5


def _study(measuring: Measuring) -> Study:
    """Thresholds of trees without end: closed form, populations, and finite trees.

    Keys of `summary.json`: `name`; `transition`; `diagram`, by v: the
    rules `first` and `last` between which there is a transition, and `noise`, eps* by
    whole m; `thresholds`, by channel: `deep` {value, stderr, low, high, found}, `naive`
    and `factor`; `clocks` of the Gaussian one: `value`, `stderr`, `naive`, `factor` on
    each of snr, alpha_bar, ou_time and ddpm_linear (0-based index); `half_lost`, by
    channel: of each `depth` the noise of half of the class (an SNR if Gaussian).
    """
    trees = TREES[measuring.quick]
    sizes = trees[-1]
    deep_key, half_key = measuring.keys(2)
    phases, found = diagram(), thresholds(sizes, measuring.quick, deep_key)
    half = {
        name: half_lost(name, trees, measuring, jr.fold_in(half_key, i))
        for i, name in enumerate(MEASURED[measuring.quick])
    }
    deep = dict(zip(found.channels, unstack(found.deep), strict=True))
    naive = dict(zip(found.channels, found.naive.tolist(), strict=True))
    factor = dict(zip(found.channels, found.factor.tolist(), strict=True))
    on_clocks = clocks(jax.tree.map(jnp.asarray, deep["gaussian"]), naive["gaussian"])
    by_depth = {
        name: [
            {"depth": int(depth), **crossing.to_json()}
            for depth, crossing in zip(one.depth, unstack(one.half), strict=True)
        ]
        for name, one in half.items()
    }
    summary = {
        "name": named(sizes),
        "transition": transition(sizes).to_json(),
        "diagram": {str(v): _line(v, phases) for v in SYMBOLS},
        "thresholds": {
            name: {"deep": one.to_json(), "naive": naive[name], "factor": factor[name]}
            for name, one in deep.items()
        },
        "clocks": on_clocks,
        "half_lost": by_depth,
    }
    finite = {
        f"half_{name}": _half(name, one, deep[name], naive[name])
        for name, one in half.items()
    }
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={"diagram": phases, "thresholds": found, **half},
        summary=summary,
        figures={"phases": _phases(phases), **finite},
        table=_table(summary, found, half),
        largest_error=max(float(np.max(one.half.stderr)) for one in half.values()),
        count=sizes.tables * starts_of(measuring, STARTS),
    )


def _line(v: int, phases: Diagram) -> dict[str, Any]:
    row = SYMBOLS.index(v)
    first, last = float(phases.first[row]), float(phases.last[row])
    whole = range(int(np.floor(first)) + 1, int(np.ceil(last)))
    noise = {str(m): float(hierarchy.transition(v, float(m), 2).noise) for m in whole}
    return {"first": first, "last": last, "noise": noise}


def _phases(phases: Diagram) -> "matplotlib.figure.Figure":
    series = []
    for row, v in enumerate(SYMBOLS):
        noise = _line(v, phases)["noise"]
        points = np.array([float(m) for m in noise]), np.array(list(noise.values()))
        measured = *points, np.zeros(len(noise))
        line = phases.rules[row], phases.noise[row]
        series.append(Series(f"v = {v}", measured, line))
    return beside(
        series,
        "rules m of a symbol, s = 2; none beyond (v + 1) / 2",
        "ε*",
        marks=[
            (f"v = {v}: {last:g}", float(last))
            for v, last in zip(SYMBOLS, phases.last, strict=True)
        ],
        words=[("class lost", 13.0, 0.8), ("kept, v = 32", 11.6, 0.15)],
        xlim=(0.0, 17.5),
        ylim=(0.0, 1.18),
        kinds={"measured": "whole m", "predicted": "closed form"},
    )


def _half(
    name: str, found: HalfLost, deep: Crossing, naive: float
) -> "matplotlib.figure.Figure":
    levels = [("deep trees", float(deep.time))]
    if name != "eps_belief":
        levels.append(("naive", naive))
    half, depths = found.half, found.depth
    measured = depths.astype(float), np.asarray(half.time), np.asarray(half.stderr)
    figure = beside(
        [Series("class half lost", measured)],
        "depth L",
        AXES[name].removesuffix("  (more noise →)"),
        levels=levels,
        xlim=(depths[0] - SIDES, depths[-1] + 3 * SIDES),
    )
    return whole_places(figure)


def _table(
    summary: dict[str, Any], found: Thresholds, half: dict[str, HalfLost]
) -> Any:
    depths = next(iter(half.values())).depth
    table = plain_table(
        f"{summary['name']}: where the class is lost",
        ["channel", "deep trees", "naive", "factor", *(f"L = {d}" for d in depths)],
        f"gaussian: SNR γ. ε* = {summary['transition']['noise']:.4f}. naive: where the "
        f"mean belief of a leaf is that of ε*; factor: by which it is wrong. L: class "
        f"half lost, measured. {BRACKETS}",
    )
    cell = lambda one: in_brackets(float(one.time), float(one.stderr))
    for name, deep in zip(found.channels, unstack(found.deep), strict=True):
        told = summary["thresholds"][name]
        cells = [cell(deep), f"{told['naive']:.4f}", f"{told['factor']:.2f}"]
        measured = (
            map(cell, unstack(half[name].half)) if name in half else [""] * len(depths)
        )
        add_row(table, name, *cells, *measured)
    table.add_section()
    for name, told in summary["clocks"].items():
        cells = in_brackets(told["value"], told["stderr"]), f"{told['naive']:.4g}"
        add_row(table, f"  {name}", *cells, f"{told['factor']:.2f}")
    return table


ENTRY = Entry(
    name="hierarchy-thresholds",
    title="Where deep hierarchies lose their class, by channel and on every clock",
    source=f"{SOURCE_TRANSITION}, phase diagram and class transition",
    published="none available",
    make=_study,
)
