"""Largest eigenvalue and t_S of image classes beside the published table."""

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin.analysis import Crossing, speciation, stack
from jaxwin.datasets import Data, load, normalize, select
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import Empirical

if TYPE_CHECKING:
    import matplotlib.figure


class Published(NamedTuple):
    """A row of the published table: pixels in [0, 1], first channel, two classes.

    classes: the pair under the names that data sets use. sizes: numbers in a point, by
    which a file is known. source: where the data are found by name. The last three are
    empty for what cannot be had.
    """

    name: str
    points: int
    eigenvalue: float
    t_S: float
    classes: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    source: str = ""


# arXiv:2402.18491, section 4; MNIST's classes are those of the released code.
TABLE = (
    Published(
        "MNIST (1, 8)", 10_000, 7.66, 1.02, ("1,8",), (784, 1024), "openml:mnist_784"
    ),
    Published(
        "CIFAR-10 (car, horse)",
        3000,
        16.72,
        1.41,
        ("1,7", "automobile,horse", "car,horse"),
        (3072,),
        "openml:CIFAR_10",
    ),
    Published("ImageNet16 (panda, seashore)", 2000, 3.05, 0.56),
    Published("ImageNet32 (panda, seashore)", 2000, 12.11, 1.25),
    Published("LSUN (church, conference room)", 40_000, 60.52, 2.05),
)


class DataSets(eqx.Module):
    """Lambda and t_S = log(Lambda) / 2 of each data set that was to be had."""

    names: tuple[str, ...] = eqx.field(static=True)
    points: tuple[int, ...] = eqx.field(static=True)
    eigenvalue: Float[np.ndarray, " s"] = field(
        ("set",), "pixels in [0, 1] squared", "Lambda of the first channel"
    )
    t_S: Crossing = field(("set",), "", "log(Lambda) / 2")
    published_eigenvalue: Float[np.ndarray, " s"] = field(
        ("set",), "pixels in [0, 1] squared"
    )
    published_t_S: Float[np.ndarray, " s"] = field(("set",), "OU time")


def times_of(
    data: Data, row: Published, seed: int = 0
) -> tuple[int, speciation.SpeciationTimes]:
    """Number of points and times: two classes, the first channel, in [0, 1]."""
    chosen = _two_classes(data, row)
    if len(chosen.points) > row.points:
        chosen = select(chosen, None, row.points, seed)
    pixels = normalize(chosen, "unit01").points
    # Channels are last in pictures and first in the rows of CIFAR-10.
    pixels = pixels[:, ::3] if chosen.shape[-1] == 3 else pixels
    pixels = pixels[:, :1024] if pixels.shape[1] == 3072 else pixels
    axes = speciation.principal(pixels - pixels.mean(axis=0))
    return len(pixels), speciation.times(Empirical(axes.coordinates), axes.spectrum)


def _two_classes(data: Data, row: Published) -> Data:
    for classes in row.classes:
        try:
            return select(data, classes)
        except BadInput:
            continue
    raise BadInput(
        f"`data` has no classes {row.classes[0]}; the row {row.name} is of these; give "
        f"the whole data set with its labels."
    )


def _sources(files: tuple[str, ...]) -> list[tuple[Data, Published]]:
    """Data sets of the table that are given, or can be fetched by name."""
    offered = [row for row in TABLE if row.source]
    found = []
    for file in files:
        data = load(file)
        rows = [row for row in offered if data.points.shape[1] in row.sizes]
        if not rows:
            raise BadInput(
                f"`data` is {file!r} with {data.points.shape[1]} numbers a point; "
                f"MNIST has 784 (or 1024, padded) and CIFAR-10 3072."
            )
        found.append((data, rows[0]))
    given = [row for _, row in found]
    for row in offered:
        if row in given:
            continue
        with contextlib.suppress(BadInput):
            found.append((load(row.source), row))
    if not found:
        raise BadInput(
            "`data` is missing and openml.org cannot be reached; give a file of MNIST "
            "or CIFAR-10, --data FILE."
        )
    return found


def _study(files: tuple[str, ...], measuring: Measuring) -> Study:
    rows = [
        (row, *times_of(data, row, measuring.seed)) for data, row in _sources(files)
    ]
    found = DataSets(
        names=tuple(row.name for row, _, _ in rows),
        points=tuple(n for _, n, _ in rows),
        eigenvalue=np.array([float(times.top_eigenvalue) for *_, times in rows]),
        t_S=stack([times.spectrum for *_, times in rows]),
        published_eigenvalue=np.array([row.eigenvalue for row, *_ in rows]),
        published_t_S=np.array([row.t_S for row, *_ in rows]),
    )
    table = plain_table(
        "Largest eigenvalue and speciation time, pixels in [0, 1], first channel",
        ["data", "n", "Λ", "t_S = ½ log Λ", "published Λ", "published t_S"],
        "± one standard error over fresh data. –: not offered by name, or not reached "
        "on openml.org now (then --data FILE).",
    )
    entries = {}
    for row in TABLE:
        ours = [(n, found) for own, n, found in rows if own is row]
        cells = ["–", "–", "–"]
        entries[row.name] = {"published": {"Lambda": row.eigenvalue, "t_S": row.t_S}}
        for n, one in ours:
            top = float(one.top_eigenvalue)
            cells = [f"{n:,}", f"{top:.4f}", str(one.spectrum)]
            entries[row.name] |= {"n": n, "Lambda": top, "t_S": one.spectrum.to_json()}
        add_row(table, row.name, *cells, f"{row.eigenvalue}", f"{row.t_S}")
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={"data_sets": entries},
        figures={"datasets": _figure(found)},
        table=table,
    )


def _figure(found: DataSets) -> "matplotlib.figure.Figure":
    """Ours and the published points on the line t_S = log(Lambda) / 2."""
    line = np.geomspace(1.5, 100, 200)
    every = np.array([(row.eigenvalue, row.t_S) for row in TABLE]).T
    ours = found.eigenvalue, np.asarray(found.t_S.time), np.asarray(found.t_S.stderr)
    return beside(
        [
            Series("½ log Λ", predicted=(line, 0.5 * np.log(line))),
            Series("the paper's table", published=(every[0], every[1])),
            Series("our data: " + ", ".join(found.names), ours),
        ],
        "Λ, largest eigenvalue (pixels in [0, 1])",
        "t_S, OU time",
        logarithmic=True,
        kinds=False,
    )


ENTRY = Entry(
    name="dynamical-regimes-datasets",
    title="Λ and t_S of image classes beside the published table",
    source="arXiv:2402.18491, section 4",
    published="points",
    make=_study,
    data=True,
)
