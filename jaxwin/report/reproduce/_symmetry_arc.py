"""The potential along arcs between samples: one valley early, one at each end late."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key, Point
from jaxwin.analysis import Crossing, known_crossing
from jaxwin.analysis.symmetry import along_arc
from jaxwin.datasets import digits, normalize
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, in_brackets, plain_table
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

# Steps of 0.025 pi from -0.2 pi to 0.7 pi: both samples and the middle are among them.
ANGLES = np.pi * np.linspace(-0.2, 0.7, 37)
FIRST, MIDDLE, LAST = 8, 18, 28
TIMES = np.array([0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7])
SHOWN = (1, 2, 4, 6, 7)
# The mixture of 8 dimensions: modes mu + (+-2, +-0.5, 0 ...).
CENTRE, HALVES = (0.5, -0.3), (2.0, 0.5)
WEIGHTS, VARIANCE, DIMENSION = (0.4, 0.3, 0.2, 0.1), 0.04, 8
SAMPLES, QUICK = 20, 5
PATTERNS = "two patterns"


class Arcs(eqx.Module):
    """u / g^2 along arcs, zero at both samples, averaged over ordered pairs of samples.

    barrier: the middle of the arc above its ends. stderr: over fresh samples, by the
    jackknife, since pairs share them; zero where the samples are all there are.
    """

    rise: Crossing
    pairs: int = eqx.field(static=True)
    angle: Float[np.ndarray, " a"] = field(("angle",), "radians")
    time: Float[np.ndarray, " t"] = field(("time",), "s")
    value: Float[np.ndarray, "t a"] = field(("time", "angle"), "u / g^2")
    barrier: Float[np.ndarray, " t"] = field(("time",), "u / g^2")
    stderr: Float[np.ndarray, " t"] = field(("time",), "u / g^2")


def laws() -> dict[str, AbstractTarget]:
    """Two patterns, the mixture, and a kernel density of digits at unit variance."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    means = np.zeros((4, DIMENSION))
    means[:, :2] = np.array(CENTRE) + signs * np.array(HALVES)
    points = jnp.asarray(normalize(digits(), "unit").points)
    return {
        PATTERNS: GaussianMixture.isotropic(np.eye(2), 0.0),
        "mixture": GaussianMixture.isotropic(means, VARIANCE, WEIGHTS),
        "digits": Empirical(points, bandwidth=likely_bandwidth(points)),
    }


def arcs(law: AbstractTarget, samples: Sequence[Point], drawn: bool = True) -> Arcs:
    """All ordered pairs of samples."""
    count = len(samples)
    first, second = np.triu_indices(count, 1)
    values = np.stack(
        [
            along_arc(law, CLOCK, samples[i], samples[j], TIMES, ANGLES).value
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
        ]
    )
    # The other order of a pair is the arc read backward.
    ends = 0.5 * (values[..., FIRST] + values[..., LAST])
    values = 0.5 * (values + values[..., ::-1]) - ends[..., None]
    barriers = values[..., MIDDLE]
    stderr = np.zeros(TIMES.size)
    if drawn:
        apart = lambda i: (first != i) & (second != i)
        without = np.stack([barriers[apart(i)].mean(axis=0) for i in range(count)])
        spread = np.sum((without - without.mean(axis=0)) ** 2, axis=0)
        stderr = np.sqrt((count - 1) / count * spread)
    barrier = barriers.mean(axis=0)
    return Arcs(
        rise=known_crossing(TIMES, barrier, 0.0),
        pairs=len(values),
        angle=ANGLES,
        time=TIMES,
        value=values.mean(axis=0),
        barrier=barrier,
        stderr=stderr,
    )


def measure(law: AbstractTarget, count: int, key: Key) -> Arcs:
    """Of so many draws."""
    return arcs(law, [law.sample(one) for one in jr.split(key, count)])


def _study(measuring: Measuring) -> Study:
    """Barriers along arcs, by time.

    Keys of `summary.json`: `laws`, by name: `pairs`, `rise` (s at which the middle
    of the arc rises above its ends, on average) and `points`, each `s`, `barrier`,
    `stderr`.
    """
    count = QUICK if measuring.quick else SAMPLES
    given = laws()
    keys = measuring.keys(len(given))
    found = {
        name: arcs(law, list(jnp.eye(2)), drawn=False)
        if name == PATTERNS
        else measure(law, count, key)
        for key, (name, law) in zip(keys, given.items(), strict=True)
    }
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={name.replace(" ", "_"): one for name, one in found.items()},
        summary={"laws": {name: _told(one) for name, one in found.items()}},
        figures={
            **{
                f"arc_{name.replace(' ', '_')}": _figure(name, one)
                for name, one in found.items()
            },
            "barriers": _barriers(found),
        },
        table=_table(found),
    )


def _told(one: Arcs) -> dict[str, Any]:
    rows = zip(one.time, one.barrier, one.stderr, strict=True)
    return {
        "pairs": one.pairs,
        "rise": one.rise.to_json(),
        "points": [
            {"s": float(s), "barrier": float(value), "stderr": float(error)}
            for s, value, error in rows
        ],
    }


def _figure(name: str, one: Arcs) -> "matplotlib.figure.Figure":
    """Each time over its own largest size: shapes are what is to be seen."""
    scaled = one.value / np.abs(one.value).max(axis=1, keepdims=True)
    return beside(
        [
            Series(f"s = {one.time[i]:g}", predicted=(one.angle / np.pi, scaled[i]))
            for i in SHOWN
        ],
        f"angle / π ({name}, samples at 0 and ½)",
        "u / g², over its largest size",
        marks=[("first sample", 0.0), ("second", 0.5)],
        kinds=False,
    )


def _barriers(found: dict[str, Arcs]) -> "matplotlib.figure.Figure":
    figure = beside(
        [
            Series(name, (one.time, one.barrier, one.stderr))
            for name, one in found.items()
        ],
        TIME,
        "u / g², middle of the arc less ends",
        levels=[("no barrier", 0.0)],
        xlim=(0.05, 0.85),
        kinds=False,
    )
    (axes,) = figure.axes
    axes.set_yscale("symlog", linthresh=1.0)
    return figure


def _table(found: dict[str, Arcs]) -> Any:
    pairs = max(one.pairs for one in found.values())
    table = plain_table(
        f"Potential of the reverse SDE along arcs: middle less ends, {pairs} pairs",
        ["s", *found],
        "u / g², with the error of the last digit over fresh samples. Negative: one "
        "valley between the samples; positive: one at each. Arcs between samples that "
        "are not orthogonal leave the data's radius, which moves the middle at any "
        "noise. Two patterns: orthogonal ones of unit length, the only samples.",
    )
    for i, s in enumerate(TIMES):
        cells = (
            in_brackets(float(one.barrier[i]), float(one.stderr[i]))
            for one in found.values()
        )
        add_row(table, f"{s:g}", *cells)
    table.add_section()
    add_row(table, "rises at", *(str(one.rise) for one in found.values()))
    return table


ENTRY = Entry(
    name="symmetry-arc",
    title="The potential along arcs between patterns, samples of a mixture, and digits",
    source=f"{SOURCE}, section 4 (potential along arcs)",
    published="none available",
    make=_study,
)
