"""Runs from different starts on one noise: early fluctuations are undone."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxwin.analysis import speciation
from jaxwin.analysis.symmetry import Reversion, predicted_time, reversion
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, in_brackets, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._symmetry_potential import CLOCK, SOURCE, TIME
from jaxwin.targets import GaussianMixture

if TYPE_CHECKING:
    import matplotlib.figure

CRITICAL = 0.2926416543281432
STARTS = np.array([0.1, 0.15, 0.2, 0.25, CRITICAL, 0.4, 0.5, 0.6, 0.8, 1.0])
END, STEPS, QUICK_STEPS = 0.02, 1000, 250
FINE = np.linspace(0.05, 1.0, 191)


def measure(measuring: Measuring) -> Reversion:
    """Two points at +-1."""
    return reversion(
        GaussianMixture.isotropic([[1.0], [-1.0]], 0.0),
        CLOCK,
        STARTS,
        end=END,
        steps=QUICK_STEPS if measuring.quick else STEPS,
        **_options(measuring),
    )


def _options(measuring: Measuring) -> dict[str, Any]:
    watch = lambda result: result[0]
    return measuring.options("pairs", measuring.keys(1)[0]) | {"watch": watch}


def clones(times: np.ndarray) -> np.ndarray:
    """Their agreement phi(gamma), exact."""
    r = jnp.exp(CLOCK.log_snr(jnp.asarray(times)) / 2)
    return np.asarray(jax.vmap(speciation.agreement)(r))


def _study(measuring: Measuring) -> Study:
    """Agreement of final labels, by start.

    Keys of `summary.json`: `critical` (s), `pairs`, `steps`, `end`; `points`, by
    start: `s`, `same_noise`, `flow` and `clones`, each {value, stderr}, and
    `clones_exact`.
    """
    found, critical = measure(measuring), predicted_time(1.0, CLOCK)
    exact = clones(found.start)
    pair = lambda value, error: {"value": float(value), "stderr": float(error)}
    points = [
        {
            "s": float(s),
            "same_noise": pair(found.same_noise[i], found.same_noise_stderr[i]),
            "flow": pair(found.flow[i], found.flow_stderr[i]),
            "clones": pair(found.clones[i], found.clones_stderr[i]),
            "clones_exact": float(exact[i]),
        }
        for i, s in enumerate(found.start)
    ]
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={
            "critical": critical.to_json(),
            "pairs": found.count,
            "steps": found.steps,
            "end": END,
            "points": points,
        },
        figures={"reversion": _figure(found, float(critical.time))},
        table=_table(found, exact),
        largest_error=float(found.same_noise_stderr.max()),
        count=found.count,
    )


def _figure(found: Reversion, critical: float) -> "matplotlib.figure.Figure":
    start = found.start
    chance = np.full(FINE.size, found.chance)
    return beside(
        [
            Series(
                "one noise, starts apart",
                (start, found.same_noise, found.same_noise_stderr),
            ),
            Series(
                "clones: one start",
                (start, found.clones, found.clones_stderr),
                (FINE, clones(FINE)),
            ),
            Series(
                "flow, starts apart",
                (start, found.flow, found.flow_stderr),
                (FINE, chance),
            ),
        ],
        f"{TIME.replace('s, time', 's, start')}",
        "P(one final label)",
        marks=[("s_c", critical)],
        ylim=(0.45, 1.04),
        kinds={"measured": "measured", "predicted": "exact"},
    )


def _table(found: Reversion, exact: np.ndarray) -> Any:
    table = plain_table(
        f"Two points at ±1: probability of one final label, {found.count:,} pairs",
        ["s", "one noise", "flow", "clones", "clones, exact"],
        f"Runs from independent starts at s on one noise, to s = {END:g} in "
        f"{found.steps} steps; clones: one start, two noises. Reversion is a property "
        "of the reverse SDE: under the flow the start fixes the label.",
    )
    for i, s in enumerate(found.start):
        cells = [
            in_brackets(float(value[i]), float(error[i]))
            for value, error in (
                (found.same_noise, found.same_noise_stderr),
                (found.flow, found.flow_stderr),
                (found.clones, found.clones_stderr),
            )
        ]
        add_row(table, f"{s:.4g}", *cells, f"{exact[i]:.4f}")
    return table


ENTRY = Entry(
    name="symmetry-reversion",
    title="Runs from different starts on one noise: early fluctuations are undone",
    source=f"{SOURCE}, section 3",
    published="none available",
    make=_study,
)
