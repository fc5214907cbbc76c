"""What noised data tell of a hierarchy: of the word, of each level, in what window."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxwin._typing import Key
from jaxwin.analysis import hierarchy
from jaxwin.channels import Gaussian
from jaxwin.report._hierarchy_grid import ou_times
from jaxwin.report._hierarchy_sizes import Sizes, block_size
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._rhm import (
    SOURCE_TRANSITION,
    named,
    stages_of,
    tables_of,
    tree,
)
from jaxwin.report.reproduce._tiny import tiny
from jaxwin.report.reproduce._told_figures import (
    information_told,
    two_forms,
    window_bars,
)
from jaxwin.report.reproduce._told_measured import Told, Windows, told, windows

FULL, QUICK = (tree(16, 4, 2, 6, tables=tables) for tables in (4, 3))
# Draws of a table in a full run; and starts, two U-turns each.
DRAWS, STARTS = 2048, 1024
# SNRs, those of the 24 words in the theory among them.
PRINTED = (0.25, 0.5, 1.0, 2.0, 8.0)
SNRS, COARSE = (
    np.unique(np.r_[np.geomspace(0.0625, 32, count).round(6), PRINTED, 1.5, 3, 4, 5, 6])
    for count in (19, 10)
)


def _study(measuring: Measuring) -> Study:
    """Measure trees of several rule tables and the 24 words on the Gaussian channel.

    Keys of `summary.json`: `law`, `depth`, `tables`, `draws` of all tables; `tree` and
    `tiny`: `entropy` of the word, `snr`, `word` (nats), `squared_error`, `integral`
    (half of that of the squared error; nats), `nodes` (nats) and `share` of their
    entropy by level, root first, each with `_stderr` (over tables, or of sampling where
    that is larger) and `_sampling_stderr`, `largest_z` of the two forms; `windows` and
    `tiny_windows`: by level `name`, `early`, `half`, `late` (SNR), `before` and
    `gained` (shares told).
    """
    sizes, snrs = (QUICK, COARSE) if measuring.quick else (FULL, SNRS)
    rules, of_tree, of_tiny, turns = measuring.keys(4)
    stages = stages_of(sizes, "tree", rules, of_tree)
    found = {
        "tree": told(stages, snrs, dataclasses.replace(measuring, full=DRAWS)),
        "tiny": told([("24 words", tiny(), of_tiny)], snrs, measuring),
    }
    name = "U-turns, tree"
    curves = tables_of(sizes, "gaussian", snrs, measuring, rules, STARTS, name)
    lost = windows(curves, found["tree"])
    lost_tiny = windows([_tiny_curves(snrs, measuring, turns)], found["tiny"])
    results = {**found, "windows": lost, "tiny_windows": lost_tiny}
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=results,
        summary={
            "law": named(sizes),
            "depth": sizes.depth,
            "tables": sizes.tables,
            "draws": found["tree"].count,
            **{name: one.to_json() for name, one in results.items()},
        },
        figures={
            "information": information_told(found["tree"]),
            "immse": two_forms({"tree": found["tree"], "24 words": found["tiny"]}),
            "windows": window_bars(lost),
        },
        table=_table(sizes, found, lost, lost_tiny),
        largest_error=float(lost.curves.same_sampling_stderr.max()),
        count=max(found["tree"].count, lost.curves.turns),
    )


def _tiny_curves(
    snrs: np.ndarray, measuring: Measuring, key: Key
) -> hierarchy.LevelCurves:
    options = measuring.options("U-turns, 24 words", key)
    starts = max(2, options.pop("num_replicas") // 2)
    return hierarchy.level_curves(
        tiny(),
        Gaussian(),
        ou_times(-np.log(snrs[::-1])),
        num_turns=2 * starts,
        block_size=block_size(starts),
        **options,
    )


def _table(
    sizes: Sizes, found: Mapping[str, Told], lost: Windows, lost_tiny: Windows
) -> Any:
    from rich.console import Group

    tables = []
    names = {
        "24 words": (found["tiny"], lost_tiny),
        f"{named(sizes)}, L = {sizes.depth}": (found["tree"], lost),
    }
    for name, (one, window) in names.items():
        columns = ["SNR γ", "I(x₀; x)", "½ ∫ MMSE", "MMSE", "class told", "class kept"]
        z = f"the two forms of I differ by {one.largest_z:.1f} standard errors at most"
        over = f" Over {one.tables} rule tables, sampling included."
        table = plain_table(
            f"{name}, nats; {one.count:,} draws",
            columns,
            f"{z}. {BRACKETS}{over if one.tables > 1 else ''}",
        )
        curves = window.curves
        same = curves.same[::-1, 0]
        error = np.maximum(curves.same_error, curves.same_sampling_stderr)[::-1, 0]
        for snr in PRINTED:
            i = int(np.argmin(np.abs(one.snr - snr)))
            pairs = (
                (one.word[i], one.word_stderr[i]),
                (one.integral[i], one.integral_stderr[i]),
                (one.squared_error[i], one.squared_error_stderr[i]),
                (one.nodes[i, 0], one.nodes_stderr[i, 0]),
                (same[i], error[i]),
            )
            add_row(table, f"{snr:g}", *(in_brackets(*pair) for pair in pairs))
        tables.append(table)
    table = plain_table(
        "Windows: SNRs at which 3/4, 1/2, 1/4 of what can be lost is left",
        ["level", "3/4", "1/2", "1/4", "told before", "told there"],
        f"Told: shares of a level's entropy, before its window and in it. {BRACKETS}",
    )
    for row in lost.to_json():
        times = [
            in_brackets(row[end]["value"], row[end]["stderr"])
            for end in ("early", "half", "late")
        ]
        shares = [f"{row[name]:.3f}" for name in ("before", "gained")]
        add_row(table, row["name"], *times, *shares)
    return Group(*tables, table)


ENTRY = Entry(
    name="hierarchy-information",
    title="What noised data tell of each level of a hierarchy, and in what window",
    source=f"{SOURCE_TRANSITION}; I-MMSE: arXiv:cs/0412108",
    published="none available",
    make=_study,
)
