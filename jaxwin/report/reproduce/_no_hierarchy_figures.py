"""Figures of controls without a hierarchy: chi against what is seen, and its peaks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.plots import Series, beside
from jaxwin.report.reproduce._no_hierarchy_measured import Control

if TYPE_CHECKING:
    import matplotlib.figure

# Curves all of whose noises but full noise are below it need no logarithms.
MANY = 0.85
FIELD, SHARE = "Gaussian field", "share of symbols seen (more noise →)"


def chi_of(
    laws: Sequence[Control],
    name: str,
    exact: tuple[np.ndarray, np.ndarray] | None = None,
    sizes: bool = False,
) -> "matplotlib.figure.Figure":
    """Chi of some laws against the share of symbols seen, from most to none."""
    series = [
        Series(
            f"d = {one.sites}" if sizes else f"{one.family}, d = {one.sites}",
            (1 - one.noise, getattr(one, name), getattr(one, f"{name}_stderr")),
            (1 - one.noise, getattr(one, name)),
        )
        for one in laws
    ]
    if exact is not None:
        series.append(Series(f"{FIELD} (ᾱ)", predicted=exact))
    within = "χ within a start" if name == "chi_within" else "χ, pooled"
    title = f", {laws[0].family}" if sizes else ""
    figure = beside(series, SHARE, f"{within}{title}", kinds=False)
    axes = figure.axes[0]
    if not (sizes and laws[0].noise[-2] < MANY):
        # None seen, the end of all that is of interest, has a place on this axis too.
        axes.set_xscale("symlog", linthresh=1e-3, linscale=0.5)
    axes.set_xlim(1, -1e-4)
    axes.set_ylim(bottom=0)
    return figure


def peak_places(laws: Mapping[str, Sequence[Control]]) -> "matplotlib.figure.Figure":
    """Where chi within starts is largest, against the number of symbols."""
    series = []
    for family, found in laws.items():
        tops = [one.within_top for one in found]
        sites = np.array([float(one.sites) for one in found])
        seen, least, most = (
            np.array([1 - getattr(top, name) for top in tops])
            for name in ("noise", "high", "low")
        )
        arms = np.stack([seen - least, most - seen])
        series.append(Series(family, (sites, seen, arms), (sites, seen)))
    figure = beside(
        series,
        "symbols d",
        "share seen at the peak of χ within a start",
        logarithmic=True,
        kinds=False,
    )
    axes = figure.axes[0]
    axes.set_yscale("symlog", linthresh=1e-3, linscale=0.5)
    axes.set_ylim(-1e-4, 1)
    ticks = sorted({one.sites for found in laws.values() for one in found})
    axes.set_xticks(ticks, labels=map(str, ticks))
    axes.set_xticks([], minor=True)
    return figure
