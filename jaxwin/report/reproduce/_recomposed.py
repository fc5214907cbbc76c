"""New class, old parts: what U-turns keep of each level where they change the class."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.plots import Series, beside, kept_tree, level_name
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.report._hierarchy_study import AXES
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report.reproduce._comparison import Comparison, compare, suite_study
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._one_turn import (
    CHANNEL,
    DRAWS,
    NOISE,
    SHOWN,
    Recomposed,
    one_turn,
    recomposed,
    turned,
)
from jaxwin.report.reproduce._rhm import SOURCE_TRANSITION, named, stages_of, tree
from jaxwin.report.reproduce._tiny import (
    listed_recomposition,
    masked_site,
    replaced_site,
    tiny,
)

if TYPE_CHECKING:
    import matplotlib.figure

FULL, QUICK = tree(32, 8, 2, 8, tables=4), tree(16, 4, 2, 6, tables=3)
# U-turns of a table in a full run.
TURNS = 2048
NOISES = {
    FULL: {
        "masking": (0.16, 0.2, 0.23, 0.26, 0.29, 0.32, 0.36, 0.45, 0.6, 0.8, 1.0),
        "uniform": (0.08, 0.11, 0.13, 0.15, 0.17, 0.19, 0.22, 0.3, 0.45, 0.7, 1.0),
    },
    QUICK: {
        "masking": (0.2, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0),
        "uniform": (0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0),
    },
}
SITES = {"masking": masked_site, "uniform": replaced_site}
TINY_NOISES, FINE = np.array([0.1, 0.25, 0.5, 0.75, 1.0]), np.linspace(0.02, 1, 99)
LEVELS = ("level 1 kept", "leaves kept")


def known(
    channel: str, noises: Float[np.ndarray, " t"]
) -> Mapping[str, Float[np.ndarray, " t"]]:
    """The 24 words by enumeration."""
    kept = [listed_recomposition(SITES[channel](noise))[1] for noise in noises]
    return dict(zip(LEVELS, np.transpose(kept), strict=True))


def of_tiny(channel: str, measuring: Measuring, key: Key) -> Comparison:
    """The 24 words by belief propagation, beside enumeration."""
    stage = f"24 words, {channel}", tiny(), key
    found = turned(stage, channel, TINY_NOISES, measuring)
    pairs = zip(found.kept.T, found.kept_stderr.T, strict=True)
    sampled: dict[str, Any] = dict(zip(LEVELS, pairs, strict=True))
    exact = functools.partial(known, channel)
    method = "exact joint posteriors of simulated observations"
    return compare(TINY_NOISES, FINE, exact, sampled, measuring.count, method)


def _study(measuring: Measuring) -> Study:
    """Measure trees of several rule tables and the 24 words; draw one U-turn.

    Keys of `summary.json`: `law`, `depth`, `tables`, `turns` of all tables and a
    channel; `channels`, by name: `noise`, `class_changed` and `kept` (noise by level
    1 ... L) with `_stderr` (over tables, or of sampling where that is larger) and
    `_sampling_stderr`, `independent` by level with `_stderr`; `shown`: `channel`,
    `noise`, `draw`, and by level `nodes` and `changed`; `tiny_masking`,
    `tiny_uniform`: see `Comparison`.
    """
    sizes = QUICK if measuring.quick else FULL
    rules, *keys = measuring.keys(5)
    of_table = dataclasses.replace(measuring, full=TURNS)
    results: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    for i, (name, noises) in enumerate(NOISES[sizes].items()):
        stages = stages_of(sizes, name, rules, keys[2 * i])
        results[name] = recomposed(stages, name, np.array(noises), of_table)
        results[f"tiny_{name}"] = of_tiny(name, measuring, keys[2 * i + 1])
        figures[f"kept_{name}"] = _drawn(name, results[name])
    number, before, after = one_turn(measuring.seed)
    caption = (
        f"{named(SHOWN)}, L = {SHOWN.depth}; masked fraction {NOISE:g}; "
        f"the first of {DRAWS} U-turns that changed its class: number {number}"
    )
    figures["tree"] = kept_tree(before, after, caption)
    shown = {
        "channel": CHANNEL,
        "noise": NOISE,
        "draw": number,
        "nodes": [level.size for level in before],
        "changed": [int(np.sum(a != b)) for a, b in zip(before, after, strict=True)],
    }
    return suite_study(
        ENTRY.name,
        results,
        {
            "law": named(sizes),
            "depth": sizes.depth,
            "tables": sizes.tables,
            "turns": sizes.tables * of_table.count,
            "channels": {name: results[name].to_json() for name in NOISES[sizes]},
            "shown": shown,
        },
        figures,
        _table(sizes, results),
    )


def some_levels(depth: int) -> list[int]:
    """At most five levels below the root, the first and the last among them."""
    return sorted({int(round(x)) for x in np.linspace(1, depth, min(depth, 5))})


def _drawn(channel: str, found: Recomposed) -> "matplotlib.figure.Figure":
    """Levels measured, joined by dots, above the lines of independent data."""
    depth = found.kept.shape[1]
    ends = np.array([found.noise[0], found.noise[-1]])
    series = []
    for level in some_levels(depth):
        points = found.noise, found.kept[:, level - 1], found.kept_stderr[:, level - 1]
        line = ends, np.full(2, found.independent[level - 1])
        series.append(Series(level_name(level, depth), points, line))
    figure = beside(
        series,
        f"{AXES[channel]} (more noise →)",
        "P(symbol unchanged | class changed)",
        ylim=(0.0, 1.0),
        kinds={"predicted": "independent data"},
    )
    axes = figure.axes[0]
    colors = {str(line.get_label()): line.get_color() for line in axes.get_lines()}
    for one in series:
        assert one.measured is not None
        look = {"color": colors[one.label], "linestyle": ":", "linewidth": 1}
        axes.plot(*one.measured[:2], **look)
    return figure


def _table(sizes: Sizes, results: Mapping[str, Any]) -> Any:
    from rich.console import Group

    tables, levels = [], sorted({1, (sizes.depth + 1) // 2, sizes.depth})
    names = [level_name(level, sizes.depth) for level in levels]
    cells = lambda values, errors: [
        in_brackets(values[level - 1], errors[level - 1]) for level in levels
    ]
    for name in NOISES[sizes]:
        found = results[name]
        table = plain_table(
            f"{name}, {named(sizes)}, L = {sizes.depth}: symbol unchanged where the "
            f"class changed",
            ["noise", "class changed", *names],
            f"{BRACKETS} Over {sizes.tables} rule tables, sampling included.",
        )
        for i, noise in enumerate(found.noise):
            kept = cells(found.kept[i], found.kept_stderr[i])
            changed = in_brackets(found.class_changed[i], found.class_changed_stderr[i])
            add_row(table, f"{noise:g}", changed, *kept)
        independent = cells(found.independent, found.independent_stderr)
        add_row(table, "independent", "", *independent)
        tables.append(table)
    columns = ["noise", *(f"{name}: {level}" for name in SITES for level in LEVELS)]
    caption = "Exact, by enumeration; |z| of belief propagation on sampled observations"
    z = max(results[f"tiny_{name}"].largest_z for name in SITES)
    table = plain_table("A law of 24 words", columns, f"{caption}: at most {z:.1f}.")
    for i, noise in enumerate(TINY_NOISES):
        exact = [
            results[f"tiny_{name}"].predicted[q, i] for name in SITES for q in (0, 1)
        ]
        add_row(table, f"{noise:g}", *(f"{value:.6f}" for value in exact))
    return Group(*tables, table)


ENTRY = Entry(
    name="hierarchy-recomposition",
    title="New class, old parts: what is kept where the class has changed",
    source=f"{SOURCE_TRANSITION}; by exact joint posteriors",
    published="none available",
    make=_study,
)
