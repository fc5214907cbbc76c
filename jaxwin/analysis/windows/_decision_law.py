"""The law of decision times over samples, node by node."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Float, Int

from jaxwin.analysis._crossing import Crossing, stack
from jaxwin.analysis.windows._timeline import EARLIER, NEVER, OFF_BRANCH, Timeline
from jaxwin.io import field

# Quantiles of decision times: the bulk of the law and its middle.
QUANTILES = 0.05, 0.25, 0.5, 0.75, 0.95


class DecisionLaw(eqx.Module):
    """When samples whose branch holds a node decide for it.

    earlier, never: shares of them decided before the first noise, and undecided at the
    last; the rest decides in between. A quantile that falls among these is not found.
    Intervals are 95 % ones by order statistics, given the law.
    """

    quantile: Float[np.ndarray, " q"] = field(("quantile",), "share")
    count: Int[np.ndarray, " node"] = field(("node",), "samples", "on the branch")
    earlier: Float[np.ndarray, " node"] = field(("node",), "share", nullable=True)
    never: Float[np.ndarray, " node"] = field(("node",), "share", nullable=True)
    time: Crossing = field(("node", "quantile"), "time of the process")


def decision_law(timeline: Timeline) -> DecisionLaw:
    """Quantiles of the decision times of each node, from the least noise up.

    References:
        Derived; intervals of quantiles by the binomial law of ranks.
    """
    state, time = timeline.state, np.asarray(timeline.decision.time)
    # Decided at more noise than was looked at, or at less.
    value = np.where(state == EARLIER, np.inf, np.where(state == NEVER, -np.inf, time))
    ends = timeline.noise[0], timeline.noise[-1]
    counts, earlier, never, rows = [], [], [], []
    for node in range(timeline.tree.num_nodes):
        on = state[:, node] != OFF_BRANCH
        values = np.sort(value[on, node])
        counts.append(values.size)
        share = lambda what, on=on, node=node: (
            np.mean(state[on, node] == what) if on.any() else np.nan
        )
        earlier.append(share(EARLIER))
        never.append(share(NEVER))
        rows.append(stack([_quantile(values, q, ends) for q in QUANTILES]))
    return DecisionLaw(
        quantile=np.array(QUANTILES),
        count=np.array(counts),
        earlier=np.array(earlier),
        never=np.array(never),
        time=stack(rows),
    )


def _quantile(
    values: Float[np.ndarray, " n"], q: float, ends: tuple[float, float]
) -> Crossing:
    """A quantile of sorted values with its interval; not found outside the noises."""
    number = lambda v: jnp.asarray(float(v))
    place = min(int(np.ceil(q * values.size)) - 1, values.size - 1)
    if values.size == 0 or not np.isfinite(values[max(place, 0)]):
        none = number(np.nan)
        return Crossing(none, none, number(ends[0]), number(ends[1]), jnp.array(False))
    ranks = scipy.stats.binom.ppf([0.025, 0.975], values.size, q).astype(int)
    low, high = np.clip(values[np.clip(ranks, 0, values.size - 1)], *ends)
    stderr = (high - low) / (2 * scipy.stats.norm.ppf(0.975))
    time = values[max(place, 0)]
    found = jnp.array(True)
    return Crossing(number(time), number(stderr), number(low), number(high), found)
