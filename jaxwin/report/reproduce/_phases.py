"""The phase diagram of collapse in the plane of time and log(n) / d."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin.analysis import Crossing, collapse
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry

RATES = np.geomspace(0.005, 3, 121)
WIDTHS = (0.5, 1.0, 2.0)
# The exact law of so many dimensions beside the leading order.
DIMENSION, SOME_RATES = 64, np.geomspace(0.02, 2, 33)
# Free energies of these rates, over multiples of their collapse time.
FREE_RATES, MULTIPLES = (0.1, 0.5), np.linspace(0.2, 2.5, 47)


class Phases(eqx.Module):
    """Where collapse and traps begin, by log(n) / d, and psi_+ across collapse."""

    rate: Float[np.ndarray, " r"] = field(("rate",), "log(n) / d")
    width: Float[np.ndarray, " w"] = field(("width",), "cluster deviation sigma")
    t_collapse: Float[np.ndarray, "w r"] = field(("width", "rate"), "OU time")
    t_onset: Float[np.ndarray, "w r"] = field(
        ("width", "rate"), "OU time", "data points become traps"
    )
    finite_rate: Float[np.ndarray, " f"] = field(("finite_rate",), "log(n) / d")
    t_finite: Crossing = field(("finite_rate",), "", "log n = I, d = 64, sigma = 1")
    free_rate: Float[np.ndarray, " e"] = field(("free_rate",), "log(n) / d")
    multiple: Float[np.ndarray, " m"] = field(("multiple",), "t / t_C")
    free_energy: Float[np.ndarray, "e m"] = field(
        ("free_rate", "multiple"), "nats per dimension", "psi_+ at sigma = 1"
    )


def measure() -> Phases:
    """All in closed form, or by root finding; nothing is sampled."""
    widths, rates = jnp.asarray(WIDTHS), jnp.asarray(RATES)
    over = lambda f: jax.vmap(lambda w: jax.vmap(lambda r: f(r, w))(rates))(widths)

    def free_energy(rate: Array, multiple: Array) -> Array:
        time = multiple * collapse.leading_time(rate, 1.0)
        return collapse.RandomEnergy.same_cluster(time, 1.0).free_energy(rate)

    grid = jax.vmap(jax.vmap(free_energy, (None, 0)), (0, None))
    finite = lambda rate: collapse.two_cluster_time(
        float(DIMENSION), 1.0, DIMENSION, jnp.exp(rate * DIMENSION)
    )
    return Phases(
        rate=RATES,
        width=np.asarray(WIDTHS),
        t_collapse=np.asarray(over(collapse.leading_time)),
        t_onset=np.asarray(over(lambda r, w: collapse.onset_time(r, w**2).time)),
        finite_rate=SOME_RATES,
        t_finite=jax.vmap(finite)(jnp.asarray(SOME_RATES)),
        free_rate=np.asarray(FREE_RATES),
        multiple=MULTIPLES,
        free_energy=np.asarray(grid(jnp.asarray(FREE_RATES), jnp.asarray(MULTIPLES))),
    )


def _study(measuring: Measuring) -> Study:
    del measuring  # nothing is sampled
    found = measure()
    exact = np.asarray(found.t_finite.time)
    series = [
        Series(f"t_C, σ = {w:g}", predicted=(found.t_collapse[i], RATES))
        for i, w in enumerate(WIDTHS)
    ]
    series += [
        Series("t_o (traps), σ = 1", predicted=(found.t_onset[1], RATES)),
        Series(
            f"log n = I, d = {DIMENSION}, σ = 1",
            predicted=(exact, SOME_RATES),
        ),
    ]
    diagram = beside(
        series,
        "OU time",
        "α = log(n) / d",
        words=[("copies", 0.22, 0.06), ("new samples (σ = 1)", 1.7, 0.9)],
        xlim=(0.0, 3.0),
        ylim=(0.0, 1.5),
    )
    energies = beside(
        [
            Series(f"α = {rate:g}", predicted=(MULTIPLES, found.free_energy[i]))
            for i, rate in enumerate(FREE_RATES)
        ],
        "t / t_C",
        "ψ₊, free energy of the other points",
        marks=[("t_C", 1.0)],
        levels=[("own point, −½", -0.5)],
    )
    table = plain_table(
        "Collapse t_C and trap onset t_o of isotropic clusters, leading order in d",
        ["log(n)/d", *(f"t_C, σ = {w:g}" for w in WIDTHS), "t_o, σ = 1"],
    )
    rows = []
    for i in range(0, RATES.size, 15):
        times = found.t_collapse[:, i], found.t_onset[1, i]
        cells = [f"{t:.4f}" for t in np.append(*times)]
        add_row(table, f"{RATES[i]:.4f}", *cells)
        rows.append(
            {
                "rate": float(RATES[i]),
                "t_C": dict(zip(map(str, WIDTHS), times[0].tolist(), strict=True)),
                "t_onset": float(times[1]),
            }
        )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={"rates": rows},
        figures={"phases": diagram, "free_energy": energies},
        table=table,
    )


ENTRY = Entry(
    name="dynamical-regimes-phases",
    title="The phase diagram of collapse in the plane of time and log(n) / d",
    source="arXiv:2402.18491, section 3",
    published="none available",
    make=_study,
)
