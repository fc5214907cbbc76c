"""Two biased coins: how many flips tell them apart, and how many leave them alike."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key
from jaxwin.analysis import windows
from jaxwin.execution import run
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report.reproduce._comparison import (
    HEADROOM,
    SOURCE,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry

BIAS, EPSILON = 0.05, 0.1
FLIPS = np.array([2, 6, 10, 30, 100, 200, 398, 400, 661, 1000])
FINE = np.unique(np.geomspace(2, 1200, 49).astype(int))
# A bias so small that the source's count of flips is large.
SMALL_BIAS = 0.005
# Nonzero entries, entries, variance of the noise.
REGRESSION = (10, 10_000, 0.1)
TV, FLIP = "TV", "flip"


def known(flips: Float[np.ndarray, " t"]) -> Mapping[str, Float[np.ndarray, " t"]]:
    """Exact sums over the binomial laws."""
    counts = [int(n) for n in flips]
    return {
        TV: np.array([windows.coins_total_variation(n, BIAS) for n in counts]),
        FLIP: np.array([windows.coins_flip(n, BIAS) for n in counts]),
    }


def measure(measuring: Measuring) -> Comparison:
    """Walks, flip by flip; the posterior of the other coin at each length."""
    replica = eqx.Partial(_walk, jnp.asarray(FLIPS - 1), jnp.zeros(int(FLIPS.max())))
    found = run(replica, **measuring.options("walks", measuring.keys(1)[0]))
    sampled = {name: (found.mean[name], found.stderr[name]) for name in (TV, FLIP)}
    return compare(
        FLIPS.astype(float),
        FINE.astype(float),
        known,
        sampled,
        measuring.count,
        "soft labels of walks of one coin",
    )


def _walk(
    last: Array, like: Float[Array, " n"], key: Key, replica: Array
) -> dict[str, Array]:
    heads = jr.uniform(jr.fold_in(key, replica), like.shape, like.dtype) < 0.5 + BIAS
    steps = jnp.cumsum(jnp.where(heads, 1.0, -1.0).astype(like.dtype))[last]
    ratio = np.log((0.5 + BIAS) / (0.5 - BIAS))
    other = jax.nn.sigmoid(-ratio * steps)
    return {TV: 1 - 2 * jnp.minimum(other, 1 - other), FLIP: other}


def _study(measuring: Measuring) -> Study:
    found = measure(measuring)
    window = windows.coins_window(BIAS, EPSILON)
    pair = 2 * EPSILON
    alike = max(
        n for n in range(1, 64) if windows.coins_total_variation(n, BIAS) <= pair
    )
    printed = windows.coins_window(SMALL_BIAS, EPSILON)
    count = int(printed.before)
    at_printed = windows.coins_total_variation(count, SMALL_BIAS)
    told, enough = int(window.told), float(window.after)
    summary = {
        "bias": BIAS,
        "epsilon": EPSILON,
        "after_printed": enough,
        "before_printed": float(window.before),
        "told": told,
        "alike": int(window.alike),
        "pair_alike": alike,
        "holds": bool(window.holds),
        "small_bias": {
            "bias": SMALL_BIAS,
            "before_printed": float(printed.before),
            "total_variation": at_printed,
            "limit": 1.6 * EPSILON,
        },
        "sparse_regression": {
            "N_star": windows.all_or_nothing_count(*REGRESSION),
        },
    }
    return suite_study(
        ENTRY.name,
        {"comparison": found, "window": window},
        summary,
        {
            "flips": drawn(
                found,
                "flips kept (dotted: needed, and the source's count)",
                "probability",
                marks=[
                    (f"TV ≥ 1 − ε² from {told}", float(told)),
                    ("", enough),
                ],
                logarithmic=True,
                ylim=HEADROOM,
            )
        },
        comparison_table(
            f"Coins of bias ½ ± {BIAS:g} after n flips; {found.count:,} walks",
            "n",
            found,
            f"TV ≥ 0.99 from n = {told}; {enough:.2f} suffice by "
            f"the source; TV ≤ 0.2 up to n = {alike}.",
        ),
    )


ENTRY = Entry(
    name="critical-windows-coins",
    title="Two biased coins: exact TV and flips against the source's counts",
    source=f"{SOURCE}, Example 5; Theorem 6 for sparse regression",
    published="none available",
    make=_study,
)
