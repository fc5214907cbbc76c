"""The potential of two points in one dimension, under three drifts: when it splits."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin.analysis import Crossing, stack, unstack
from jaxwin.analysis.symmetry import (
    Profile,
    along_line,
    predicted_time,
    two_point_branches,
)
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.processes import VariancePreserving
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import GaussianMixture

if TYPE_CHECKING:
    import matplotlib.figure

SOURCE = "arXiv:2305.19693"
CLOCK = VariancePreserving(0.1, 20.0)
NAMES = {"reverse_sde": "reverse SDE", "flow": "flow", "density": "density"}
TIMES = np.array([0.19, 0.24, 0.2926416543281432, 0.4, 0.7])
PLACES = np.linspace(-1.75, 1.75, 141)
CENTRE = PLACES.size // 2
# Where the authors' notebook finds the split: index 707 of 1000 in generation.
PRINTED = 0.293
FINE = np.linspace(0.05, 0.5, 181)
TIME = "s, time of the process (more noise →)"


class Potentials(eqx.Module):
    """u / g^2 at times, zero at the centre; the valleys along time, and their split."""

    names: tuple[str, ...] = eqx.field(static=True)
    critical: Crossing = field(("drift",), "")
    place: Float[np.ndarray, " p"] = field(("place",), "data units")
    time: Float[np.ndarray, " t"] = field(("time",), "s")
    value: Float[np.ndarray, "d t p"] = field(("drift", "time", "place"), "u / g^2")
    fine: Float[np.ndarray, " f"] = field(("fine",), "s")
    valley: Float[np.ndarray, "d f"] = field(("drift", "fine"), "data units")
    curvature: Float[np.ndarray, "d t"] = field(
        ("drift", "time"), "1 / data units squared", "at the centre"
    )


@eqx.filter_jit
def _valleys(drift: str, times: Float[Array, " f"]) -> Float[Array, " f"]:
    at = lambda t: two_point_branches(CLOCK, t, drift).position[0]
    return jax.vmap(at)(times)


def measure() -> Potentials:
    """All of it, exact."""
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    profiles: list[Profile] = [
        along_line(law, CLOCK, jnp.zeros(1), jnp.ones(1), TIMES, PLACES, name)
        for name in NAMES
    ]
    values = np.stack([one.value - one.value[:, CENTRE, None] for one in profiles])
    step = PLACES[1] - PLACES[0]
    # Even in x: second and fourth differences about the centre.
    near, far = values[..., CENTRE + 1], values[..., CENTRE + 2]
    return Potentials(
        names=tuple(NAMES.values()),
        critical=stack([predicted_time(1.0, CLOCK, name) for name in NAMES]),
        place=PLACES,
        time=TIMES,
        value=values,
        fine=FINE,
        valley=np.stack([np.asarray(_valleys(n, jnp.asarray(FINE))) for n in NAMES]),
        curvature=(16 * near - far) / (6 * step**2),
    )


def _study(measuring: Measuring) -> Study:
    """When the potential of each drift splits.

    Keys of `summary.json`: `drifts`, by name: `critical` (s; null where it has split at
    every noise), `curvature` of the centre and `valley`, the deepest place, both by
    time; `printed`: what the source has, `alpha` and `s` of the reverse SDE.
    """
    del measuring  # exact
    found = measure()
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={
            "drifts": {
                name: {
                    "critical": critical.to_json(),
                    "curvature": _by_time(found.curvature[i]),
                    "valley": _by_time(_deepest(found.value[i])),
                }
                for i, (name, critical) in enumerate(
                    zip(NAMES, unstack(found.critical), strict=True)
                )
            },
            "printed": {"alpha": float(np.sqrt(np.sqrt(2) - 1)), "s": PRINTED},
        },
        figures={
            **{f"potential_{name}": _figure(found, i) for i, name in enumerate(NAMES)},
            "valleys": _branches(found),
        },
        table=_table(found),
    )


def _by_time(values: Float[np.ndarray, " t"]) -> dict[str, float]:
    return {f"{t:.4g}": float(v) for t, v in zip(TIMES, values, strict=True)}


def _deepest(value: Float[np.ndarray, "t p"]) -> Float[np.ndarray, " t"]:
    """Place >= 0 of the lowest value."""
    return PLACES[CENTRE + np.argmin(value[:, CENTRE:], axis=1)]


def _figure(found: Potentials, drift: int) -> "matplotlib.figure.Figure":
    return beside(
        [
            Series(f"s = {t:.3g}", predicted=(found.place, found.value[drift, i]))
            for i, t in enumerate(found.time)
        ],
        "x",
        f"(u(x) − u(0)) / g², {found.names[drift]}",
        ylim=(-0.9, 1.1),
        kinds=False,
    )


def _branches(found: Potentials) -> "matplotlib.figure.Figure":
    printed = np.array([PRINTED]), np.array([0.0])
    return beside(
        [
            Series(
                name,
                predicted=(found.fine, found.valley[i]),
                published=printed if i == 0 else None,
            )
            for i, name in enumerate(found.names)
        ],
        TIME,
        "x ≥ 0 of the valley",
        kinds={"predicted": "exact", "published": "printed split"},
    )


def _table(found: Potentials) -> Any:
    times = [f"{t:.3g}" for t in found.time]
    table = plain_table(
        "Two points at ±1: curvature of u / g² at the centre, by s",
        ["", "splits at s", *times],
        "Three drifts of one law, three critical times; the flow's centre is never "
        f"stable. Printed for the reverse SDE: α = √(√2 − 1) = 0.6436, s = {PRINTED}.",
    )
    rows = zip(found.names, unstack(found.critical), found.curvature, strict=True)
    for name, critical, curvature in rows:
        split = f"{float(critical.time):.7f}" if critical.found else "never stable"
        add_row(table, name, split, *(f"{c:.4g}" for c in curvature))
    return table


ENTRY = Entry(
    name="symmetry-potential",
    title="The potential of two points at several times, under three drifts",
    source=f"{SOURCE}, section 3 and the authors' notebook (the split)",
    published="points",
    make=_study,
)
