"""Collapse onto a data set, measured: when a noised point belongs to its own source."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxwin._checks import check_curve
from jaxwin._typing import Key
from jaxwin.analysis._crossing import Crossing, read_off
from jaxwin.analysis.collapse._predicted import gaussian_time
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck, convert
from jaxwin.targets import Empirical

# Fewer blocks make no interval of a crossing.
MIN_BLOCKS = 32
METHOD = "own-point form of the empirical law at the noise level (no backward run)"


class CollapseCurve(eqx.Module):
    """Collapse onto n data points, along a clock, by four criteria.

    own_weight = E[w_own], the probability that a clone comes back to its own point.
    log_rest = E[L], L = log(weight of the others / own weight). excess = E log(1 + e^L)
    = d f, the excess entropy: log n at full noise, zero where collapse is complete.

        t_half   E[w_own] = 1/2
        t_rest   E[L] = 0
        t_log2   d f = log 2
        t_gauss  sum_i log(1 + s^2 lambda_i) / 2 = log n, no sampling

    Intervals are given these data; `t_gauss` has none.
    """

    t_half: Crossing
    t_rest: Crossing
    t_log2: Crossing
    t_gauss: Crossing
    num_points: int = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " noise"] = field(("noise",), "time of the process")
    own_weight: Float[np.ndarray, " noise"] = field(("noise",), "probability")
    own_weight_stderr: Float[np.ndarray, " noise"] = field(("noise",), "probability")
    log_rest: Float[np.ndarray, " noise"] = field(("noise",), "nats")
    log_rest_stderr: Float[np.ndarray, " noise"] = field(("noise",), "nats")
    excess: Float[np.ndarray, " noise"] = field(("noise",), "nats")
    excess_stderr: Float[np.ndarray, " noise"] = field(("noise",), "nats")


def curve(
    law: Empirical,
    times: ArrayLike,
    *,
    process: AbstractProcess | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> CollapseCurve:
    """Measure the collapse of a data set along a clock.

    One replica is one data point and one Gaussian, whose distances to all n points are
    taken once and serve every time: O(n d) work a replica for the whole curve, memory
    one block of points. Errors are correlated along the curve.

    Args:
        law: The data set, at least 2 points; a kernel's own centre counts as its point.
        times: Times of `process`, increasing, sigma > 0.
        process: The clock; OU if left out.
        num_replicas: Noised points.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give the 128 blocks that the
            bootstrap of the times wants.
        options: Handed on to `execution.run`; `until_stderr` looks at E[w_own], after
            32 blocks.

    Raises:
        ValueError: A single point; fewer than 4 times, or times not increasing.

    References:
        Biroli et al., arXiv:2402.18491, section 3; the own-point form of the excess
        entropy is non-negative sample by sample.
    """
    # A restricted law keeps the others at weight zero.
    num_points = int(jnp.sum(law.blocks.log_weights > -jnp.inf))
    if num_points < 2:
        raise ValueError(
            f"`law` has {num_points} point; collapse onto one of several needs 2."
        )
    process = OrnsteinUhlenbeck() if process is None else process
    key = jr.key(0) if key is None else key
    times = np.asarray(times)
    check_curve(times, "times")
    alphas, sigmas = (
        process.alpha(jnp.asarray(times)),
        process.sigma(jnp.asarray(times)),
    )
    replica = eqx.Partial(_observables, law, alphas, sigmas)
    fixed = {"watch": lambda result: result[0], "min_blocks": MIN_BLOCKS}
    estimate = run(replica, num_replicas, key, block_size=block_size, **fixed | options)
    coordinate = -np.asarray(process.log_snr(jnp.asarray(times)))
    clock = lambda places: process.time(-places)

    def crossing(row: int, level: float) -> Crossing:
        blocks = estimate.block_means[:, row]
        counts = estimate.block_counts
        return read_off(coordinate, estimate.mean[row], blocks, counts, level, clock)

    own, rest, excess = estimate.mean
    own_error, rest_error, excess_error = estimate.stderr
    eigenvalues, _ = law.moments().leading(law.dimension)
    return CollapseCurve(
        noise=times,
        own_weight=own,
        own_weight_stderr=own_error,
        log_rest=rest,
        log_rest_stderr=rest_error,
        excess=excess,
        excess_stderr=excess_error,
        t_half=crossing(0, 0.5),
        t_rest=crossing(1, 0.0),
        t_log2=crossing(2, float(np.log(2))),
        t_gauss=_on_clock(gaussian_time(eigenvalues, num_points), process),
        num_points=num_points,
        dimension=law.dimension,
        count=estimate.count,
        method=METHOD,
    )


def _on_clock(crossing: Crossing, process: AbstractProcess) -> Crossing:
    """A crossing in OU time on another clock, not found where that does not reach."""
    ou = OrnsteinUhlenbeck()
    read = lambda time: convert(time, ou, process)[0]
    found = crossing.found & convert(crossing.time, ou, process)[1]
    if bool(found):
        return crossing.read_on(read)
    low, high = read(jnp.asarray([0, jnp.inf], crossing.time.dtype))
    none = jnp.full_like(crossing.time, jnp.nan)
    return Crossing(none, none, low, high, found)


def _observables(
    law: Empirical, alphas: Array, sigmas: Array, key: Key, replica: Array
) -> Float[Array, "3 t"]:
    """w_own, L and log(1 + e^L) of one noised data point at every level."""
    choice_key, normal_key = jr.split(jr.fold_in(key, replica))
    index = law.draw_index(choice_key)
    z = jr.normal(normal_key, (law.dimension,), law.centre.dtype)
    at_levels = jax.vmap(law.own_log_ratio, in_axes=(None, None, 0, 0))
    log_rest = at_levels(index, z, alphas, sigmas)
    return jnp.stack([jax.nn.sigmoid(-log_rest), log_rest, jax.nn.softplus(log_rest)])
