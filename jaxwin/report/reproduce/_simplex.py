"""Many components at equal distances: a window that moves as sqrt(2 log K)."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key
from jaxwin.analysis import speciation
from jaxwin.analysis._root import bracketed_root
from jaxwin.execution import run
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row
from jaxwin.report.reproduce._comparison import (
    SOURCE,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry

COUNTS = (3, 10, 1000)
# c = R e^-t: norm of the means R e_k in noised widths.
PLACES = np.array([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5])
FINE = np.linspace(0.2, 6, 88)


def known(places: Float[np.ndarray, " t"]) -> Mapping[str, Float[np.ndarray, " t"]]:
    """A_ii by nested quadratures in one dimension, any K."""
    at = lambda k: jax.vmap(lambda c: speciation.modes_agreement(c, k))
    return {_name(k): np.asarray(at(k)(jnp.asarray(places))) for k in COUNTS}


def measure(measuring: Measuring) -> Comparison:
    """Soft labels of points noised from one component."""
    sampled = {}
    for count, key in zip(COUNTS, measuring.keys(len(COUNTS)), strict=True):
        replica = eqx.Partial(_kept, jnp.asarray(PLACES), jnp.zeros(count))
        found = run(replica, **measuring.options(_name(count), key))
        sampled[_name(count)] = found.mean, found.stderr
    method = "soft labels of noised points"
    return compare(PLACES, FINE, known, sampled, measuring.count, method)


def midpoint(count: int) -> float:
    """The c at which A_ii = (1 + 1/K) / 2, half-way from chance to certainty."""
    level = (1 + 1 / count) / 2
    short = lambda c, _: speciation.modes_agreement(c, count) - level
    return float(bracketed_root(short, jnp.asarray(0.1), jnp.asarray(20.0), None))


def _kept(
    places: Float[Array, " t"], like: Float[Array, " k"], key: Key, replica: Array
) -> Float[Array, " t"]:
    """Posterior of the component that a point was noised from."""
    z = jr.normal(jr.fold_in(key, replica), like.shape, like.dtype)
    logits = places[:, None] * z[None]
    logits = logits.at[:, 0].add(places**2)
    return jax.nn.softmax(logits, axis=1)[:, 0]


def _name(count: int) -> str:
    return f"K = {count}"


def _study(measuring: Measuring) -> Study:
    found = measure(measuring)
    rows = [
        {"K": k, "midpoint": midpoint(k), "asymptote": float(np.sqrt(2 * np.log(k)))}
        for k in COUNTS
    ]
    table = comparison_table(
        f"Means R e_k, c = R e^-t: survival of one of K; {found.count:,} draws",
        "c",
        found,
    )
    table.add_section()
    for key in ("midpoint", "asymptote"):
        add_row(table, key, *(f"{row[key]:.9f}" for row in rows), "")
    return suite_study(
        ENTRY.name,
        {"comparison": found},
        {"components": rows},
        {
            "survival": drawn(
                found,
                "c = R e⁻ᵗ (less noise →)",
                "survival",
                marks=[("", row["midpoint"]) for row in rows],
            )
        },
        table,
    )


ENTRY = Entry(
    name="critical-windows-simplex",
    title="K = 3, 10, 1000 components at equal distances: survival and midpoints",
    source=f"{SOURCE}, Example 2, and arXiv:2402.18491 for condensation",
    published="none available",
    make=_study,
)
