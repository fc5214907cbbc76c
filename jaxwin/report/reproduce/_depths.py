"""How the class transition of a hierarchy sharpens and grows with its depth."""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from jaxwin.analysis import hierarchy
from jaxwin.io import to_json
from jaxwin.plots import Series, beside
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report.reproduce._depths_measured import (
    SCALED,
    STARTS,
    Depths,
    line,
    measure,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._rhm import (
    SOURCE_CHANGES,
    SOURCE_TRANSITION,
    logarithmic,
    named,
    starts_of,
    transition,
    tree,
    whole_places,
)

if TYPE_CHECKING:
    import matplotlib.figure

# By whether it is quick.
TREES = {
    False: [tree(32, 8, 2, depth, tables=8) for depth in range(3, 9)],
    True: [tree(16, 4, 2, depth, tables=8) for depth in range(3, 7)],
}
FINE = np.linspace(SCALED[0], SCALED[-1], 131)
# Depths of the mean field: of its growth, and of a curve that changes no more.
GROWTH, DEEP = 16, 24
# Curves that can be told apart.
SHOWN = 4
KINDS = {"measured": "belief propagation", "predicted": "mean field"}


def _study(measuring: Measuring) -> Study:
    """Widths, chi at eps* and class curves of trees of several depths.

    Keys of `summary.json`: `name`, `tables`; `transition` with its `slope` F'(p*) and
    `exponent` nu; `depths`: of each `depth`, `width` and `chi` {value, stderr,
    mean_field}; `width_slope`, of ln width by level: `measured` {value, stderr,
    misfit}, `mean_field` (the same line through the mean field of these depths) and
    `predicted`, -ln F'(p*) of deep trees; `chi_exponent`, of chi in s^L: the same,
    `predicted` 2 / nu - 1, and whether chi `diverges`; `collapse`: by how much the
    excess of the class differs at one scaled noise at most, between `all` depths and
    between the `deepest` two.
    """
    trees = TREES[measuring.quick]
    sizes, at, (key,) = trees[0], transition(trees[0]), measuring.keys(1)
    found = measure(trees, measuring, key)
    apart = lambda rows: float(np.max(np.ptp(rows, axis=0)))
    summary = {
        "name": named(sizes),
        "tables": sizes.tables,
        "transition": at.to_json(),
        "depths": [
            {"depth": int(depth), "width": of("width", i), "chi": of("chi", i)}
            for of in [_reader(found)]
            for i, depth in enumerate(found.depth)
        ],
        "width_slope": {
            **_slopes(found, "width", 1.0),
            "predicted": -float(np.log(at.slope)),
        },
        "chi_exponent": {
            **_slopes(found, "chi", float(np.log(sizes.branching))),
            "predicted": float(2 / at.exponent - 1),
            "diverges": bool(at.exponent < 2),
        },
        "collapse": {"all": apart(found.excess), "deepest": apart(found.excess[-2:])},
    }
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary=summary,
        figures={
            "widths": _widths(found, at),
            "chi": _growth(found, sizes),
            "collapse": _collapse(found, sizes, at),
        },
        table=_table(found, summary),
        largest_error=float(found.excess_stderr.max()),
        count=sizes.tables * starts_of(measuring, STARTS),
    )


def _reader(found: Depths) -> Any:
    return lambda name, i: {
        "value": float(getattr(found, name)[i]),
        "stderr": float(getattr(found, f"{name}_stderr")[i]),
        "mean_field": float(getattr(found, f"{name}_mean_field")[i]),
    }


def _slopes(found: Depths, name: str, unit: float) -> dict[str, Any]:
    """Lines through the logarithms, measured and of the mean field, weighted alike."""
    values, depth = getattr(found, name), found.depth
    stderr = getattr(found, f"{name}_stderr") / values / unit
    of = lambda values: line(depth, np.log(values) / unit, stderr)
    mean_field = of(getattr(found, f"{name}_mean_field")).value
    return {"measured": to_json(of(values)), "mean_field": mean_field}


def _widths(found: Depths, at: hierarchy.Transition) -> "matplotlib.figure.Figure":
    depth = found.depth.astype(float)
    deep = found.width_mean_field[-1] * float(at.slope) ** (depth[-1] - depth)
    figure = beside(
        [
            Series(
                "width of the class",
                (depth, found.width, found.width_stderr),
                (depth, found.width_mean_field),
            ),
            Series("∝ F′(p*)^−L", predicted=(depth, deep)),
        ],
        "depth L",
        "ε between excess ¾ and ¼",
        kinds=KINDS,
    )
    return whole_places(logarithmic(figure))


def _growth(found: Depths, sizes: Sizes) -> "matplotlib.figure.Figure":
    v, m, s = sizes.symbols, float(sizes.rules), sizes.branching
    growth = hierarchy.critical_susceptibility(v, m, s, GROWTH)
    expected = np.asarray(growth.depth, float), np.asarray(growth.susceptibility)
    measured = found.depth.astype(float), found.chi, found.chi_stderr
    figure = beside(
        [Series("χ at ε*", measured, expected)],
        "depth L",
        "χ, leaves that change together",
        kinds=KINDS,
    )
    return whole_places(figure)


def _collapse(
    found: Depths, sizes: Sizes, at: hierarchy.Transition
) -> "matplotlib.figure.Figure":
    """The deepest trees; of all of them the mean field, which has corrections too."""
    v, m, s = sizes.symbols, float(sizes.rules), sizes.branching

    def expected(depth: int) -> tuple[np.ndarray, np.ndarray]:
        noise = jnp.asarray(float(at.noise) + FINE * float(at.slope) ** -depth)
        kept = hierarchy.mean_field_curves(noise, v, m, s, depth).kept[:, -1]
        return FINE, (np.asarray(kept, float) - 1 / v) * v / (v - 1)

    rows = zip(found.depth, found.excess, found.excess_stderr, strict=True)
    series = [
        Series(f"L = {depth}", (found.scaled, excess, error), expected(int(depth)))
        for depth, excess, error in list(rows)[-SHOWN:]
    ]
    return beside(
        [*series, Series("deep trees", predicted=expected(DEEP))],
        "(ε − ε*) F′(p*)^L",
        "class, excess over chance",
        marks=[("ε*", 0.0)],
        kinds=KINDS,
    )


def _table(found: Depths, summary: dict[str, Any]) -> Any:
    width, chi = summary["width_slope"], summary["chi_exponent"]
    told = lambda one: in_brackets(one["measured"]["value"], one["measured"]["stderr"])
    limit = "diverges" if chi["diverges"] else "saturates"
    table = plain_table(
        f"{summary['name']}: class width and χ at ε* by depth, eps_belief",
        ["L", "width", "m.f.", "χ(ε*)", "m.f."],
        f"Slope of ln width by level: {told(width)}, mean field of these depths "
        f"{width['mean_field']:.4f}, deep {width['predicted']:.4f} = −ln F′(p*). "
        f"Exponent of χ in s^L: {told(chi)}, mean field {chi['mean_field']:.3f}, deep "
        f"{chi['predicted']:.4f} = 2/ν − 1: χ {limit} with depth. Errors over "
        f"{summary['tables']} rule tables. {BRACKETS}",
    )
    for i, depth in enumerate(found.depth):
        cells: list[str] = []
        for name in ("width", "chi"):
            one = _reader(found)(name, i)
            cells += [in_brackets(one["value"], one["stderr"])]
            cells += [f"{one['mean_field']:.4f}"]
        add_row(table, str(depth), *cells)
    return table


ENTRY = Entry(
    name="hierarchy-scaling",
    title="How the class transition sharpens with depth, and whether chi diverges",
    source=f"{SOURCE_TRANSITION}; {SOURCE_CHANGES}, exponent nu",
    published="none available",
    make=_study,
)
