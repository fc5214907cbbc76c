"""Figures of late starts: exact errors, quality against the start, and where it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.plots import Series, beside
from jaxwin.report.reproduce._late_start_laws import INDEX
from jaxwin.report.reproduce._symmetry_late_start_measured import STEPS, Late, root

if TYPE_CHECKING:
    import matplotlib.figure

ROOT = "sqrt(energy distance)"
# Below it bounds are of rounding.
LEAST = 1e-5


def exact_figure(one: Late) -> "matplotlib.figure.Figure":
    """What both starts misplace, and how far they are from p_t, without any sampler."""
    series = []
    for kind, found in one.exact.items():
        assert found.classes is not None, "a law without labels"
        series.append(
            Series(
                f"{kind}, class weight", predicted=(found.noise, found.classes.error)
            )
        )
        series.append(Series(f"{kind}, TV", predicted=(found.noise, found.variation)))
    frechet = one.exact["vanilla"]
    series.append(
        Series("vanilla, Fréchet", predicted=(frechet.noise, frechet.frechet))
    )
    marks = [] if one.critical is None else [("critical", float(one.critical.time))]
    figure = beside(series, INDEX, "error of the start", marks=marks + marked(one))
    (axes,) = figure.axes
    axes.set_yscale("log")
    axes.set_ylim(LEAST, 20)
    return figure


def quality_figure(one: Late) -> "matplotlib.figure.Figure":
    """Ten steps from both starts."""
    start, best = one.agreed.sweep.start, one.agreed.best
    quality, vanilla = one.agreed.quality, root(one.vanilla.measured("energy"))
    return beside(
        [
            Series("vanilla", (start, *vanilla)),
            Series("Gaussian", (start, quality.value, quality.stderr)),
        ],
        INDEX,
        f"{ROOT}, {STEPS} steps",
        # Room for the names of marks.
        ylim=(0.0, 1.25 * float(vanilla[0].max())),
        marks=sorted([("best", best), *marked(one)], key=lambda mark: mark[1]),
        kinds=False,
    )


def steps_figure(one: Late) -> "matplotlib.figure.Figure":
    """More and fewer steps from a Gaussian: the left arm is the start's own error."""
    quality, start = one.agreed.quality, one.agreed.sweep.start
    curves = {STEPS: (quality.value, quality.stderr)}
    curves |= {n: root(found.measured("energy")) for n, found in one.steps.items()}
    return beside(
        [Series(f"{n} steps", (start, *curves[n])) for n in sorted(curves)],
        INDEX,
        f"{ROOT}, Gaussian start",
        marks=[("automatic", one.agreed.automatic.time)],
        xlim=(75.0, 525.0),
        kinds=False,
    )


def marked(one: Late) -> list[tuple[str, float]]:
    """The automatic start, and the elbow of the exact error."""
    marks = [("automatic", one.agreed.automatic.time)]
    elbow = one.agreed.automatic.elbow
    return [*marks, ("elbow", float(elbow.time))] if bool(elbow.found) else marks


def starts_figure(
    found: Mapping[str, Late], published: Mapping[str, float]
) -> "matplotlib.figure.Figure":
    """Where each rule starts, a row a law; published elbows in rows of their own."""
    rows = np.arange(len(found), dtype=float)
    nothing = np.zeros(len(found))
    rules = {
        "automatic": [one.agreed.automatic.time for one in found.values()],
        f"best of {STEPS} steps": [one.agreed.best for one in found.values()],
        "elbow, exact weights": [
            float(one.agreed.automatic.elbow.time) for one in found.values()
        ],
    }
    series = []
    for label, places in rules.items():
        series.append(Series(label, (np.array(places), rows, nothing)))
    below = len(found) + np.arange(len(published), dtype=float)
    places = np.array(list(published.values()))
    series.append(Series("elbow of FID, published", published=(places, below)))
    figure = beside(series, INDEX, "", xlim=(100.0, 700.0), kinds=False)
    (axes,) = figure.axes
    axes.set_yticks(range(len(found) + len(published)), [*found, *published])
    axes.invert_yaxis()
    return figure
