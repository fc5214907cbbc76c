"""Figures of correlated changes: C(r), how far it reaches, and chi."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxwin.analysis import hierarchy
from jaxwin.plots import INK, Series, beside, changing_together
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.report._hierarchy_study import AXES
from jaxwin.report.reproduce._changes_measured import (
    Changes,
    along_the_line,
    half_length,
)

if TYPE_CHECKING:
    import matplotlib.figure

# Noises of the mean-field lines; curves C(r) in one figure; their smallest height.
FINE, CURVES, LOWEST = 181, 5, 2e-4
CHIS = {"pooled": "chi", "within a start": "chi_within", "static": "chi_static"}


def most(found: Changes) -> int:
    """The noise at which most leaves change together."""
    return int(np.nanargmax(found.average.chi.value))


def error_of(chi: hierarchy.Susceptibility) -> np.ndarray:
    """Over rules; the scatter of few tables may by chance be less than sampling's."""
    return np.maximum(chi.error, chi.sampling_stderr)


def correlations(sizes: Sizes, found: Changes) -> "matplotlib.figure.Figure":
    """C(r) / C(0) at a few noises around the one where most changes together.

    Points are left out that lie within two errors of none: the axis is logarithmic.
    """
    near, last = most(found), found.noise.size - 1
    chosen = {0, near, last, near // 2, (near + last + 1) // 2}
    series = []
    for i in sorted(chosen)[:CURVES]:
        value, error = found.correlation[i], found.correlation_stderr[i]
        seen = value > 2 * error
        line = None
        if found.expected is not None:
            r = np.arange(1.0, sizes.leaves)
            expected = np.asarray(found.expected.covariance[i], float)
            line = r, along_the_line(expected, r, sizes.branching)
        points = found.distance[seen], value[seen], error[seen]
        series.append(Series(f"{found.noise[i]:g}", points, line))
    figure = beside(
        series,
        "distance r of leaves on the line",
        "C(r) / C(0) of what changes",
        logarithmic=True,
        kinds={"predicted": "mean field"},
    )
    axes = figure.axes[0]
    axes.set_yscale("log")
    axes.set_ylim(LOWEST, 1)
    title = "ε" if found.channel == "eps_belief" else AXES[found.channel]
    legend = axes.get_legend()
    assert legend is not None
    legend.set_title(title)
    legend.get_title().set(color=INK, fontsize=8.5)
    return figure


def chi_curves(found: Changes, transition: float) -> "matplotlib.figure.Figure":
    """Leaves that change together, pooled and apart; `transition` of the mean field."""
    average = found.average
    kinds = [
        (name, getattr(average, key).value, error_of(getattr(average, key)))
        for name, key in CHIS.items()
    ]
    expected, marks = None, []
    if found.expected is not None:
        expected = np.asarray(found.expected.susceptibility, float)
        marks = [("ε*", transition)]
    half = average.half.time[0]
    if bool(average.half.found[0]):
        marks.insert(0, ("class half lost", float(half)))
    return changing_together(
        found.noise, kinds, AXES[found.channel], expected=expected, marks=marks
    )


def lengths(sizes: Sizes, found: Mapping[str, Changes]) -> "matplotlib.figure.Figure":
    """The reach of correlations, against noise over that of the class's half life."""
    series = []
    for name, one in found.items():
        half = float(one.average.half.time[0])
        line = None
        if one.expected is not None:
            fine = np.linspace(one.noise[0], one.noise[-1], FINE)
            shape = sizes.symbols, float(sizes.rules), sizes.branching, sizes.depth
            curves = hierarchy.mean_field_curves(jnp.asarray(fine), *shape)
            covariance = np.asarray(curves.covariance, float)
            line = fine / half, half_length(covariance, sizes.branching)
        known = np.isfinite(one.length_stderr)
        points = one.noise[known] / half, one.length[known], one.length_stderr[known]
        series.append(Series(name.replace("_", " "), points, line))
    figure = beside(
        series,
        "noise / noise where the class is half lost",
        "ξ, leaves: half of what changes together",
        marks=[("class half lost", 1.0)],
        kinds={"predicted": "mean field"},
    )
    figure.axes[0].set_yscale("log")
    return figure
