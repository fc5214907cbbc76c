"""How long the score of a law stays affine, beside its critical times."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from jaxwin.analysis import Crossing
from jaxwin.analysis.symmetry import LinearPhase, linear_phase, predicted_time
from jaxwin.datasets import digits, normalize
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._symmetry_potential import CLOCK, SOURCE, TIME
from jaxwin.targets import (
    AbstractTarget,
    Empirical,
    GaussianMixture,
    likely_bandwidth,
)

if TYPE_CHECKING:
    import matplotlib.figure

TIMES = np.linspace(0.08, 0.8, 37)
CORNERS = np.array([[2.0, 0.5], [2.0, -0.5], [-2.0, 0.5], [-2.0, -0.5]])
FLOOR = 1e-7


def laws() -> dict[str, tuple[AbstractTarget, Crossing | None]]:
    """By name, with the first critical time of the reverse SDE where it is known."""
    data = normalize(digits(), "unit")
    points = jnp.asarray(data.points)
    first = lambda eigenvalue, **width: predicted_time(eigenvalue, CLOCK, **width)
    return {
        "two points": (GaussianMixture.isotropic([[1.0], [-1.0]], 0.0), first(1.0)),
        "rectangle": (GaussianMixture.isotropic(CORNERS, 0.0), first(4.0)),
        "wide rectangle": (
            GaussianMixture.isotropic(CORNERS, 0.25),
            first(4.0, within=0.25),
        ),
        "digits": (Empirical(points, bandwidth=likely_bandwidth(points)), None),
    }


def measure(measuring: Measuring) -> dict[str, tuple[LinearPhase, Crossing | None]]:
    """By name of the law."""
    given = laws()
    found = {}
    keys = measuring.keys(len(given))
    for key, (name, (law, critical)) in zip(keys, given.items(), strict=True):
        options = measuring.options(name, key)
        if name == "digits":
            # A draw of a data set costs as much as the set is large.
            options["num_replicas"] = max(options["num_replicas"] // 4, 256)
        found[name] = linear_phase(law, CLOCK, TIMES, **options), critical
    return found


def _study(measuring: Measuring) -> Study:
    """The share of the score that is not affine, by law.

    Keys of `summary.json`: `level`; `laws`, by name: `end` of the linear phase (s),
    `critical` (s, null where it is not in closed form), `method`, `count` and `points`,
    each `s`, `share`, `stderr`.
    """
    found = measure(measuring)
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={name.replace(" ", "_"): one for name, (one, _) in found.items()},
        summary={
            "level": next(iter(found.values()))[0].level,
            "laws": {name: _told(*one) for name, one in found.items()},
        },
        figures={"linear_phase": _figure(found)},
        table=_table(found),
        largest_error=max(float(one.stderr.max()) for one, _ in found.values()),
        count=max(one.count for one, _ in found.values()),
    )


def _told(one: LinearPhase, critical: Crossing | None) -> dict[str, Any]:
    rows = zip(one.time, one.share, one.stderr, strict=True)
    return {
        "end": one.end.to_json(),
        "critical": None if critical is None else critical.to_json(),
        "method": one.method,
        "count": one.count,
        "points": [
            {"s": float(s), "share": float(share), "stderr": float(error)}
            for s, share, error in rows
        ],
    }


def _figure(
    found: Mapping[str, tuple[LinearPhase, Crossing | None]],
) -> "matplotlib.figure.Figure":
    series = []
    for name, (one, _) in found.items():
        shown = one.share > FLOOR
        curve = one.time[shown], one.share[shown]
        if one.count:
            series.append(Series(name, measured=(*curve, one.stderr[shown])))
        else:
            series.append(Series(name, predicted=curve))
    figure = beside(
        series,
        TIME,
        "share of the score that is not affine",
        levels=[("1 %", 0.01)],
        xlim=(0.05, 0.82),
        kinds={"measured": "exact draws", "predicted": "quadrature"},
    )
    (axes,) = figure.axes
    axes.set_yscale("log")
    axes.set_ylim(FLOOR, 2)
    return figure


def _table(found: Mapping[str, tuple[LinearPhase, Crossing | None]]) -> Any:
    table = plain_table(
        "Where the score first differs from an affine one by 1 % of its square",
        ["", "s, 1 %", "s, critical", "share at critical", "by"],
        "The Gaussian with the exact moments gives the affine score. critical: of the "
        "centre under the reverse SDE. Digits: a kernel density of the data set.",
    )
    for name, (one, critical) in found.items():
        at, share = "–", "–"
        if critical is not None:
            at = f"{float(critical.time):.4f}"
            share = f"{np.interp(float(critical.time), one.time, one.share):.3f}"
        add_row(table, name, str(one.end), at, share, one.method)
    return table


ENTRY = Entry(
    name="symmetry-linear-phase",
    title="How long the score stays affine, beside the critical time",
    source=f"{SOURCE}, section 3 (the linear early phase)",
    published="none available",
    make=_study,
)
