"""Noise against scale: hierarchies lose the largest first, Gaussian fields last."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import unstack
from jaxwin.io import to_json
from jaxwin.plots import Series, beside, level_name
from jaxwin.report._hierarchy_sizes import CHANNELS, Sizes
from jaxwin.report._hierarchy_study import AXES
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._rhm import (
    SOURCE_CHANGES,
    SOURCE_TRANSITION,
    logarithmic,
    named,
    starts_of,
    transition,
)
from jaxwin.report.reproduce._time_scale_measured import (
    FULL,
    QUICK,
    STARTS,
    Control,
    Scales,
    control,
    measure,
)

if TYPE_CHECKING:
    import matplotlib.figure

SCALE = "leaves of a node, s^(L − l)"
# Right of the points, for the name of the level that they tend to.
ROOM = 8


def _study(measuring: Measuring) -> Study:
    """At which noise features of each scale are half lost: a hierarchy beside a field.

    In a hierarchy the noise saturates with scale, at that of deep trees; in a Gaussian
    field it is a power of the scale without a limit.

    Keys of `summary.json`: `name`, `tables`, `transition`; `channels`, by name:
    `levels`, root first, each `name`, `scale` (leaves of a node) and `half` (noise, or
    SNR), `deep` and `exponent` d ln noise / d ln scale over the upper half of the
    levels; `control`: `wavelength`, `snr` of each octave of the ring, and `exponent`.
    """
    sizes = QUICK if measuring.quick else FULL
    keys = measuring.keys(len(CHANNELS))
    found = {
        name: measure(name, sizes, measuring, key)
        for name, key in zip(CHANNELS, keys, strict=True)
    }
    ring = control()
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={**found, "control": ring},
        summary={
            "name": f"{named(sizes)}, L = {sizes.depth}",
            "tables": sizes.tables,
            "transition": transition(sizes).to_json(),
            "channels": {name: _told(one) for name, one in found.items()},
            "control": to_json(ring),
        },
        figures={
            **{f"scale_{name}": _figure(name, one) for name, one in found.items()},
            "control": _control(ring, found["gaussian"]),
        },
        table=_table(sizes, found, ring),
        largest_error=max(float(np.max(one.half.stderr)) for one in found.values()),
        count=sizes.tables * starts_of(measuring, STARTS),
    )


def _told(one: Scales) -> dict[str, Any]:
    depth = one.scale.size - 1
    rows = zip(one.scale.tolist(), unstack(one.half), strict=True)
    levels = [
        {"name": level_name(level, depth), "scale": scale, "half": half.to_json()}
        for level, (scale, half) in enumerate(rows)
    ]
    return {"levels": levels, "deep": one.deep.to_json(), "exponent": one.exponent}


def _figure(name: str, one: Scales) -> "matplotlib.figure.Figure":
    measured = one.scale, np.asarray(one.half.time), np.asarray(one.half.stderr)
    return beside(
        [Series("level half lost", measured)],
        SCALE,
        AXES[name].removesuffix("  (more noise →)"),
        levels=[("deep trees", float(one.deep.time))],
        xlim=(0.7, ROOM * float(one.scale[0])),
        # From zero on: how little it depends on scale is what is to be seen.
        ylim=(0.0, 1.15 * float(np.max(measured[1]))),
        logarithmic=True,
    )


def _control(ring: Control, tree: Scales) -> "matplotlib.figure.Figure":
    """Both on SNR: the field's octaves are a line without end, the tree's are not."""
    measured = tree.scale, np.asarray(tree.half.time), np.asarray(tree.half.stderr)
    figure = beside(
        [
            Series("Gaussian field, octaves", predicted=(ring.wavelength, ring.snr)),
            Series("hierarchy, levels", measured),
        ],
        "scale: wavelength, or leaves of a node",
        "SNR of half",
        levels=[("deep trees", float(tree.deep.time))],
        ylim=(float(ring.snr.min()) / 2, 20 * float(ring.snr.max())),
        logarithmic=True,
        kinds=False,
    )
    return logarithmic(figure)


def _table(sizes: Sizes, found: dict[str, Scales], ring: Control) -> Any:
    table = plain_table(
        f"{named(sizes)}, L = {sizes.depth}: noise at which half of a level is lost",
        ["", "scale", *found, "field, SNR"],
        "gaussian: SNR γ. deep: trees without end. exponent: d ln noise / d ln scale "
        "over the upper half of the levels, and of the Gaussian field. Trees lose "
        "the largest scale first, at a noise that saturates; fields lose it last, at "
        f"one without limit. {BRACKETS}",
    )
    cell = lambda one: in_brackets(float(one.time), float(one.stderr))
    halves = [unstack(one.half) for one in found.values()]
    scales = next(iter(found.values())).scale
    wavelengths = ring.wavelength.tolist()
    for level, scale in enumerate(scales):
        name = level_name(level, sizes.depth)
        snr = ""
        if scale in wavelengths:
            snr = f"{ring.snr[wavelengths.index(scale)]:.4g}"
        add_row(table, name, f"{scale:g}", *(cell(one[level]) for one in halves), snr)
    table.add_section()
    deep = (cell(one.deep) for one in found.values())
    add_row(table, "deep", "∞", *deep, "0")
    exponents = [f"{one.exponent:.3f}" for one in found.values()]
    add_row(table, "exponent", "", *exponents, f"{ring.exponent:.3f}")
    return table


ENTRY = Entry(
    name="hierarchy-time-scale",
    title="The noise that loses a level against its scale, beside a Gaussian field",
    source=f"{SOURCE_TRANSITION}; {SOURCE_CHANGES}, the Gaussian control",
    published="none available",
    make=_study,
)
