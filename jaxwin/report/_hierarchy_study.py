"""What the levels of a hierarchy say: numbers and figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import Crossing, hierarchy, unstack
from jaxwin.io import to_json
from jaxwin.plots import changing_together, level_name, levels
from jaxwin.report._hierarchy_result import HierarchyCurves
from jaxwin.report._hierarchy_sizes import HOST_COPIES, Sizes, block_size
from jaxwin.report._hierarchy_table import hierarchy_table
from jaxwin.report._study import Study

if TYPE_CHECKING:
    import matplotlib.figure

CHIS = {"chi": "pooled", "chi_within": "within a start", "chi_static": "static"}
UNITS = {
    "gaussian": "OU time",
    "masking": "masked fraction",
    "uniform": "replaced fraction",
    "eps_belief": "eps",
}
AXES = {
    "gaussian": "SNR γ = ᾱ / (1 − ᾱ)  (more noise →)",
    "masking": "masked fraction",
    "uniform": "replaced fraction",
    "eps_belief": "ε of the leaf beliefs",
}


def hierarchy_study(
    sizes: Sizes,
    transition: hierarchy.Transition,
    found: Mapping[str, HierarchyCurves],
    seed: int,
) -> Study:
    """All that a command saves and prints.

    Keys of `summary.json`: `symbols`, `rules`, `branching`, `depth`, `classes`,
    `leaves`, `tables`, `seed`; `transition` of the mean field of deep trees with its
    `answer`; `channels`, by name: `unit` of `noise`, `snr` and `alpha_bar` (of the
    Gaussian channel, else null), `turns` of all tables, `method`; `levels`, root
    first: `level`, `name`, `chance`, `same` with `same_stderr` (of sampling) and
    `same_tables_stderr` (over tables; null for one), `early`, `half`, `late` (where
    3/4, 1/2 and 1/4 of what is over chance are left), `half_snr`;
    `chi`, `chi_within`, `chi_static`: `value`, `stderr`, `tables_stderr`, and `peak`
    {noise, low, high, value, stderr, interior, snr}; `mean_field` {same_class, chi} of
    eps_belief, else null; `naive_half_snr` (by mean matching, known to be wrong);
    `deep`, where infinitely deep trees lose their class, an SNR for the Gaussian
    channel, null if not looked for or too costly.
    """
    summary: dict[str, Any] = {
        "name": _name(sizes),
        "symbols": sizes.symbols,
        "rules": sizes.rules,
        "branching": sizes.branching,
        "depth": sizes.depth,
        "classes": sizes.classes,
        "leaves": sizes.leaves,
        "tables": sizes.tables,
        "seed": seed,
        "transition": transition.to_json(),
        "channels": {name: _channel(curves) for name, curves in found.items()},
    }
    figures = {}
    for curves in found.values():
        figures |= _figures(curves, transition)
    some = next(iter(found.values()))
    size = block_size(some.tables.starts)
    per_start = 8 * HOST_COPIES * some.noise.size * sizes.leaves // size
    return Study(
        command="hierarchy",
        title=_name(sizes),
        results={"transition": transition, **found},
        summary=summary,
        figures=figures,
        table=hierarchy_table(_name(sizes), transition, found),
        largest_error=max(
            float(c.average.same_sampling_stderr.max()) for c in found.values()
        ),
        count=max(curves.average.turns for curves in found.values()),
        kept=per_start * len(found) * sizes.tables,
    )


def _name(sizes: Sizes) -> str:
    classes = f", n = {sizes.classes}" if sizes.classes != sizes.symbols else ""
    tables = f", {sizes.tables} rule tables" if sizes.tables > 1 else ""
    return (
        f"random hierarchy: v = {sizes.symbols}, m = {sizes.rules}, "
        f"s = {sizes.branching}, L = {sizes.depth}{classes}{tables}"
    )


def _channel(curves: HierarchyCurves) -> dict[str, Any]:
    average = curves.average
    depth = len(average.chance) - 1
    places: dict[str, list[Any]] = {
        name: [one.to_json() for one in unstack(getattr(average, name))]
        for name in ("early", "half", "late")
    }
    places["half_snr"] = [None] * (depth + 1)
    if curves.half_snr is not None:
        places["half_snr"] = [one.to_json() for one in unstack(curves.half_snr)]
    of_level = lambda values, level: (
        None if values is None else values[:, level].tolist()
    )
    expected = None
    if curves.mean_field_same is not None and curves.mean_field_chi is not None:
        expected = {
            "same_class": of_level(curves.mean_field_same, 0),
            "chi": curves.mean_field_chi.tolist(),
        }
    return {
        "unit": UNITS[curves.channel],
        "noise": curves.noise.tolist(),
        "snr": None if curves.snr is None else curves.snr.tolist(),
        "alpha_bar": None if curves.alpha_bar is None else curves.alpha_bar.tolist(),
        "turns": average.turns,
        "method": average.method,
        "levels": [
            {
                "level": level,
                "name": level_name(level, depth),
                "chance": float(average.chance[level]),
                "same": of_level(average.same, level),
                "same_stderr": of_level(average.same_sampling_stderr, level),
                "same_tables_stderr": of_level(average.same_stderr, level),
                **{name: each[level] for name, each in places.items()},
            }
            for level in range(depth + 1)
        ],
        **{key: _together(getattr(average, key), curves) for key in CHIS},
        "mean_field": expected,
        "naive_half_snr": curves.naive_snr,
        "deep": None if curves.deep is None else curves.deep.to_json(),
    }


def _together(chi: hierarchy.Susceptibility, curves: HierarchyCurves) -> dict[str, Any]:
    numbers = lambda values: (
        None
        if values is None
        else [float(v) if np.isfinite(v) else None for v in values]
    )
    return {
        "value": numbers(chi.value),
        "stderr": numbers(chi.sampling_stderr),
        "tables_stderr": numbers(chi.stderr),
        "peak": None if chi.peak is None else _peak(chi.peak, curves),
    }


def _peak(peak: hierarchy.Peak, curves: HierarchyCurves) -> dict[str, Any]:
    snr = None if curves.snr is None else curves.place(peak.noise)
    return {**to_json(peak), "interior": peak.interior, "snr": snr}


def _figures(
    curves: HierarchyCurves, transition: hierarchy.Transition
) -> "dict[str, matplotlib.figure.Figure]":
    snr, average = curves.snr, curves.average
    places = curves.noise if snr is None else snr
    halves = unstack(average.half if curves.half_snr is None else curves.half_snr)
    marks = []
    if curves.channel == "eps_belief" and bool(transition.found):
        marks.append(("ε*, mean field", float(transition.noise)))
    elif curves.deep is not None and bool(curves.deep.noise.found):
        marks.append(("deep trees", float(curves.deep.noise.time)))
    if curves.naive_snr is not None:
        marks.append(("naive", curves.naive_snr))
    inside = lambda place: float(places.min()) <= place <= float(places.max())
    marks = [(name, place) for name, place in marks if inside(place)]
    expected = curves.mean_field_same
    shared: dict[str, Any] = {"falling": snr is not None}
    xlabel = AXES[curves.channel]
    chis = [(name, getattr(average, key)) for key, name in CHIS.items()]
    of_class: Crossing = halves[0]
    shown = marks
    if bool(of_class.found):
        shown = [("class half lost", float(of_class.time)), *marks]
    return {
        f"levels_{curves.channel}": levels(
            places,
            average.same,
            average.same_error,
            halves,
            xlabel,
            expected=None if expected is None else expected[:, 0],
            marks=marks,
            **shared,
        ),
        f"chi_{curves.channel}": changing_together(
            places,
            [(name, chi.value, chi.error) for name, chi in chis],
            xlabel,
            expected=curves.mean_field_chi,
            marks=shown,
            **shared,
        ),
    }
