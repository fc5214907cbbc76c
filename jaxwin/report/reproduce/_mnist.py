"""Clones and collapse of MNIST's 1 and 8, by the data themselves and by a kernel."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin.analysis import Crossing, collapse, speciation, sweep
from jaxwin.datasets import Data, load, select
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._prepare import near_distances, prepare
from jaxwin.report._study import Study
from jaxwin.report._table import times_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import Empirical

# As published: both classes, pixels in [0, 1], n = 10,000.
CLASSES, POINTS = "1,8", 10_000
# Released with the paper for its trained network: phi at t_S, and where it is 0.775.
PUBLISHED = (np.array([0.947, 1.018]), np.array([0.775, 0.748]))
# Kernel widths in units of the mean distance to the nearest neighbour.
WIDTHS = (0.2, 0.4)
# Points whose neighbours are looked for.
NEIGHBOURS = 1024


class Law(eqx.Module):
    """What the points, or a Gaussian kernel about every point, say."""

    agreement: speciation.CloneAgreement
    collapse: collapse.CollapseCurve
    name: str = eqx.field(static=True)
    bandwidth: Float[np.ndarray, ""] = field(
        (), "pixels in [0, 1]", "kernel standard deviation"
    )


class ImageClasses(eqx.Module):
    """Clone agreement and collapse of two classes of images, each law exactly."""

    t_S: speciation.SpeciationTimes
    points: int = eqx.field(static=True)
    laws: tuple[Law, ...]


def measure(data: Data, measuring: Measuring) -> ImageClasses:
    """Two classes in [0, 1]: the points themselves, then two kernel widths."""
    data = select(data, CLASSES)
    count = min(POINTS, len(data.points))
    count = count // 4 if measuring.quick else count
    selection = None, count, "unit01", None, None
    prepared = prepare(data, *selection, measuring.seed, measuring.least)
    measuring.begin()
    law = prepared.law
    near = near_distances(np.asarray(law.points), NEIGHBOURS, measuring.seed).mean()
    keys = measuring.keys(1 + len(WIDTHS))
    laws = []
    for width, key in zip((0.0, *WIDTHS), keys, strict=True):
        kernel = Empirical(law.points, law.labels, width * near)
        name = f"kernel of {width:g}" if width else "the data"
        options = measuring.options(name, key)
        found = sweep(kernel, prepared.times, features=prepared.features, **options)
        eigenvalues, _ = kernel.moments().leading(kernel.dimension)
        laws.append(
            Law(
                name=name,
                bandwidth=np.asarray(width * near),
                agreement=speciation.class_agreement(found),
                collapse=collapse.read(found, np.asarray(eigenvalues)),
            )
        )
    return ImageClasses(
        t_S=speciation.times(law, prepared.axes.spectrum),
        points=law.num_points,
        laws=tuple(laws),
    )


def _study(files: tuple[str, ...], measuring: Measuring) -> Study:
    if len(files) > 1:
        raise BadInput(f"`data` names {len(files)} files; give one, of MNIST.")
    found = measure(load(files[0] if files else "openml:mnist_784"), measuring)
    data = found.laws[0]
    times: list[list[tuple[str, Crossing]]] = [
        [
            ("t_S  ½ log Λ", found.t_S.spectrum),
            ("t_S  ½ log(1 + Λ)", found.t_S.spectrum_plus_one),
        ]
    ]
    summary: dict[str, Any] = {"n": found.points, "t_S": found.t_S.spectrum.to_json()}
    for law in found.laws:
        rows = [("t_φ", law.agreement.crossing)]
        rows += [(key, getattr(law.collapse, key)) for key in ("t_half", "t_log2")]
        times.append([(f"{key}  {law.name}", time) for key, time in rows])
        summary[law.name] = {key: time.to_json() for key, time in rows}
    clones = beside(
        [
            Series(
                law.name,
                (law.agreement.noise, law.agreement.phi, law.agreement.stderr),
                published=PUBLISHED if law is data else None,
            )
            for law in found.laws
        ],
        "OU time",
        "φ, clones in one class",
        levels=[("0.775", data.agreement.level)],
        marks=[("t_S", float(found.t_S.spectrum.time))],
        xlim=(0.0, 3.0),
    )
    unit = np.log(found.points)
    collapsed = beside(
        [
            Series(
                law.name,
                (
                    law.collapse.noise,
                    law.collapse.excess / unit,
                    law.collapse.excess_stderr / unit,
                ),
            )
            for law in found.laws
        ],
        "OU time",
        "excess entropy / log n",
        xlim=(0.0, 3.0),
    )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary=summary,
        figures={"clones": clones, "collapse": collapsed},
        table=times_table(
            f"MNIST {CLASSES}, n = {found.points:,}, pixels in [0, 1]",
            times,
            "Published: φ of a trained network, which this law is not.",
        ),
        largest_error=max(float(law.agreement.stderr.max()) for law in found.laws),
        count=data.agreement.count,
    )


ENTRY = Entry(
    name="dynamical-regimes-mnist",
    title="Clones and collapse of MNIST's 1 and 8, by the data and by a kernel",
    source="arXiv:2402.18491, section 4",
    published="points",
    make=_study,
    data=True,
)
