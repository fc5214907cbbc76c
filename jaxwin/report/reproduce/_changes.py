"""Correlated changes: leaves of a hierarchy change together, most at its transition."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report.reproduce._changes_figures import (
    CHIS,
    chi_curves,
    correlations,
    error_of,
    lengths,
    most,
)
from jaxwin.report.reproduce._changes_measured import (
    Changes,
    changes,
    half_length,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._rhm import (
    SOURCE_CHANGES,
    named,
    transition,
    tree,
)

if TYPE_CHECKING:
    pass

FULL, QUICK = tree(32, 8, 2, 10, tables=8), tree(16, 4, 2, 6, tables=4)
NOISES = {
    FULL: {
        "eps_belief": (0.5, 0.6, 0.65, 0.7, 0.72, 0.73, 0.74, 0.76, 0.8, 0.9),
        "masking": (0.1, 0.16, 0.22, 0.25, 0.27, 0.29, 0.31, 0.34, 0.4, 0.6),
    },
    QUICK: {
        "eps_belief": (0.4, 0.55, 0.65, 0.7, 0.75, 0.8, 0.85, 0.92),
        "masking": (0.2, 0.35, 0.42, 0.48, 0.54, 0.6, 0.7, 0.85),
    },
}
CAPTION = (
    f"{BRACKETS} Errors over rule tables; ± that of sampling alone. m.f.: mean field. "
    f"C_h: covariance of leaves whose common ancestor has height h."
)


def _study(measuring: Measuring) -> Study:
    """Measure both channels.

    Keys of `summary.json`: `law`, `depth`, `tables`, `turns` of a channel; `eps_star`
    of the mean field and `nu`; `channels`, by name: `noise`, `class_kept`; `chi`,
    `chi_within`, `chi_static`: `value`, `stderr` (over tables, sampling included),
    `sampling_stderr`, `peak`; `height` and `covariance` C_h / C_0 at the noise `at`
    where most changes together, with `_stderr` and `_sampling_stderr`; `length`
    (leaves) with `length_stderr`; `mean_field` {chi, covariance, length} of
    eps_belief, else null.
    """
    sizes = QUICK if measuring.quick else FULL
    cases = NOISES[sizes].items()
    found = {
        name: changes(sizes, name, noises, measuring, key)
        for (name, noises), key in zip(cases, measuring.keys(2), strict=True)
    }
    at = transition(sizes)
    figures = {"length": lengths(sizes, found)}
    for name, one in found.items():
        figures |= {
            f"correlations_{name}": correlations(sizes, one),
            f"chi_{name}": chi_curves(one, float(at.noise)),
        }
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={
            "law": named(sizes),
            "depth": sizes.depth,
            "tables": sizes.tables,
            "turns": min(one.average.turns for one in found.values()),
            "eps_star": float(at.noise),
            "nu": float(at.exponent),
            "channels": {name: _told(sizes, one) for name, one in found.items()},
        },
        figures=figures,
        table=_table(sizes, found),
        largest_error=max(float(c.average.same_error.max()) for c in found.values()),
        count=max(one.average.turns for one in found.values()),
    )


def _told(sizes: Sizes, found: Changes) -> dict[str, Any]:
    i, average = most(found), found.average
    scale = found.covariance[i, 0]
    numbers = lambda values: [float(v) if np.isfinite(v) else None for v in values]
    expected = None
    if found.expected is not None:
        covariance = np.asarray(found.expected.covariance, float)
        expected = {
            "chi": np.asarray(found.expected.susceptibility, float).tolist(),
            "covariance": (covariance[i] / covariance[i, 0]).tolist(),
            "length": numbers(half_length(covariance, sizes.branching)),
        }
    chis = {}
    for key in CHIS.values():
        chi = getattr(average, key)
        assert chi.stderr is not None  # several tables
        chis[key] = {
            "value": numbers(chi.value),
            "stderr": numbers(chi.stderr),
            "sampling_stderr": numbers(chi.sampling_stderr),
            "peak": None if chi.peak is None else chi.peak.noise,
        }
    return {
        "noise": found.noise.tolist(),
        "class_kept": average.same[:, 0].tolist(),
        **chis,
        "at": float(found.noise[i]),
        "height": list(range(found.covariance.shape[1])),
        "covariance": (found.covariance[i] / scale).tolist(),
        "covariance_stderr": (found.stderr[i] / scale).tolist(),
        "covariance_sampling_stderr": (found.sampling_stderr[i] / scale).tolist(),
        "length": numbers(found.length),
        "length_stderr": numbers(found.length_stderr),
        "mean_field": expected,
    }


def _table(sizes: Sizes, found: Mapping[str, Changes]) -> Any:
    from rich.console import Group

    tables = []
    for name, one in found.items():
        average = one.average
        columns = [
            "noise",
            "class",
            "χ pooled",
            "sampling",
            "m.f.",
            "within",
            "static",
            "ξ",
        ]
        title = f"{name}, {named(sizes)}, L = {sizes.depth}: {average.turns:,} turns"
        table = plain_table(title, columns)
        kept = average.same[:, 0]
        for i, noise in enumerate(one.noise):
            chi = [getattr(average, key) for key in CHIS.values()]
            shown = [in_brackets(c.value[i], error_of(c)[i]) for c in chi]
            expected = one.expected
            chi_there = "" if expected is None else f"{expected.susceptibility[i]:.2f}"
            sampling = f"± {chi[0].sampling_stderr[i]:.2g}"
            length = in_brackets(one.length[i], one.length_stderr[i])
            cells = f"{noise:g}", f"{kept[i]:.3f}", shown[0], sampling, chi_there
            add_row(table, *cells, *shown[1:], length)
        tables.append(table)
    names = [f"{name} at {one.noise[most(one)]:g}" for name, one in found.items()]
    table = plain_table("C_h / C_0", ["h", *names, "m.f. eps_belief"], CAPTION)
    for h in range(1, sizes.depth + 1):
        cells, expected = [], ""
        for one in found.values():
            i = most(one)
            scale = one.covariance[i, 0]
            value, error = (part[i, h] / scale for part in (one.covariance, one.stderr))
            cells.append(in_brackets(value, error))
            if one.expected is not None:
                mean = one.expected.covariance[i]
                expected = f"{float(mean[h] / mean[0]):.4f}"
        add_row(table, str(h), *cells, expected)
    return Group(*tables, table)


ENTRY = Entry(
    name="hierarchy-changes",
    title="What changes together in a random hierarchy: C(r), its reach, and chi",
    source=SOURCE_CHANGES,
    published="none available",
    make=_study,
)
