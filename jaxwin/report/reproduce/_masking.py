"""Two words under masking: a window of width 1 / h at the end of the clock."""

import functools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key
from jaxwin.analysis import windows
from jaxwin.execution import run
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._comparison import (
    HEADROOM,
    SOURCE,
    Comparison,
    compare,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry

# Hamming distance of the words, and the tolerance.
CASES = ((100, 0.1), (1000, 0.01))
# Where all sites that tell the words apart are masked with these probabilities.
MASKED = np.array([0.01, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 0.99])
TV, FLIP = "TV", "flip"


def known(
    distance: int, fractions: Float[np.ndarray, " t"]
) -> Mapping[str, Float[np.ndarray, " t"]]:
    """TV = 1 - t^h, of which a U-turn's flip is what half is left out."""
    variation = np.array(
        [windows.masking_total_variation(distance, t) for t in fractions]
    )
    return {TV: variation, FLIP: (1 - variation) / 2}


def measure(distance: int, measuring: Measuring, key: Key) -> Comparison:
    """Sites masked one by one; a word that cannot be told is drawn anew."""
    fractions = MASKED ** (1 / distance)
    replica = eqx.Partial(_turn, jnp.asarray(fractions), jnp.zeros(distance))
    found = run(replica, **measuring.options(f"h = {distance}", key))
    sampled = {name: (found.mean[name], found.stderr[name]) for name in (TV, FLIP)}
    fine = np.linspace(1e-3, 1, 101) ** (1 / distance)
    exact = functools.partial(known, distance)
    method = "simulated U-turns, site by site"
    return compare(fractions, fine, exact, sampled, measuring.count, method)


def _turn(
    fractions: Float[Array, " t"], like: Float[Array, " h"], key: Key, replica: Array
) -> dict[str, Array]:
    """Whether the words are told apart, and whether the other one is returned."""
    sites, coin = jr.split(jr.fold_in(key, replica))
    last = jnp.max(jr.uniform(sites, like.shape, like.dtype))
    hidden = (last < fractions).astype(like.dtype)
    other = (jr.uniform(coin, (), like.dtype) < 0.5).astype(like.dtype)
    return {TV: 1 - hidden, FLIP: hidden * other}


def _study(measuring: Measuring) -> Study:
    table = plain_table(
        f"Two words that differ on h sites; {measuring.count:,} U-turns",
        ["h", "ε", "T_after", "half flip", "T_before", "pair", "h × width", "|z|"],
        "In masked fractions; T_before by Definition 4, and of the pair as printed.",
    )
    results: dict[str, Any] = {}
    rows, figures = [], {}
    keys = measuring.keys(len(CASES))
    for (distance, epsilon), key in zip(CASES, keys, strict=True):
        window = windows.masking_window(distance, epsilon)
        curves = measure(distance, measuring, key)
        results |= {f"h_{distance}": curves, f"window_{distance}": window}
        times = {
            "T_after": window.after,
            "half_flip": window.half,
            "T_before": window.before,
            "T_before_pair": window.before_pair,
        }
        width = distance * float(window.before_pair.time - window.after.time)
        limit = float(np.log1p(-epsilon) - 2 * np.log(epsilon))
        rows.append(
            {
                "h": distance,
                "epsilon": epsilon,
                **{name: time.to_json() for name, time in times.items()},
                "scaled_width": width,
                "limit": limit,
            }
        )
        values = (f"{float(time.time):.7f}" for time in times.values())
        scaled = f"{width:.4f} → {limit:.4f}"
        add_row(
            table,
            str(distance),
            f"{epsilon:g}",
            *values,
            scaled,
            f"{curves.largest_z:.1f}",
        )
        figures[f"h_{distance}"] = drawn(
            curves,
            f"masked fraction (more noise →), h = {distance}",
            "probability",
            marks=[
                ("T_after", float(window.after.time)),
                ("T_before", float(window.before.time)),
            ],
            ylim=HEADROOM,
        )
    return suite_study(ENTRY.name, results, {"words": rows}, figures, table)


ENTRY = Entry(
    name="critical-windows-masking",
    title="Two words under masking at Hamming distance 100 and 1000",
    source=f"{SOURCE}, Example 3",
    published="none available",
    make=_study,
)
