"""Collapse onto a data set, measured: when a noised point belongs to its own source."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Int

from jaxwin.analysis._crossing import Crossing, over_fresh_data, read_off, stack
from jaxwin.analysis._sweep import COARSE, Sweep, sweep
from jaxwin.analysis.collapse._predicted import gaussian_time
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck, convert
from jaxwin.targets import Empirical

METHOD = "own-point form of the empirical law at the noise level (no backward run)"
LOG_2 = float(np.log(2))


class FreshCollapse(eqx.Module):
    """The measured times again, their intervals over fresh data of the same size."""

    t_half: Crossing
    t_rest: Crossing
    t_log2: Crossing


class CollapseMovement(eqx.Module):
    """How collapse moves with n: random parts of the data, and the prediction."""

    n: Int[np.ndarray, " size"] = field(("size",), "points")
    t_half: Crossing = field(("size",), "")
    t_gauss: Crossing = field(("size",), "")


class CollapseCurve(eqx.Module):
    """Collapse onto n data points, along a clock, by four criteria.

    own_weight = E[w_own], the probability that a clone comes back to its own point.
    log_rest = E[L], L = log(weight of the others / own weight). excess = E log(1 + e^L)
    = d f, the excess entropy: log n at full noise, zero where collapse is complete.

        t_half   E[w_own] = 1/2
        t_rest   E[L] = 0
        t_log2   d f = log 2
        t_gauss  sum_i log(1 + s^2 lambda_i) / 2 = log n, no sampling

    E[w_own] is also phi_C = E sum_i p_i(x)^2, the probability that two clones end in
    one data point. Intervals are given these data; `t_gauss` has none. `fresh` and
    `movement` are None where there are too few points for them.
    """

    t_half: Crossing
    t_rest: Crossing
    t_log2: Crossing
    t_gauss: Crossing
    num_points: int = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    fresh: FreshCollapse | None
    movement: CollapseMovement | None
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
        options: Handed on to `sweep`: `num_replicas`, `key` and options of
            `execution.run`.

    Raises:
        ValueError: A single point; fewer than 4 times, or times not increasing.

    References:
        Biroli et al., arXiv:2402.18491, section 3; the own-point form of the excess
        entropy is non-negative sample by sample.
    """
    found = sweep(law, times, process=process, **options)
    eigenvalues, _ = law.moments().leading(law.dimension)
    return read(found, np.asarray(eigenvalues))


def read(found: Sweep, eigenvalues: Float[np.ndarray, " d"]) -> CollapseCurve:
    """Collapse from a pass over the data and the spectrum of their covariance."""
    log_rest = found.log_rest()
    curves = np.stack(
        [
            1 / (1 + np.exp(np.minimum(log_rest, 700))),
            log_rest,
            np.logaddexp(0, log_rest),
        ],
        axis=2,
    )
    blocks = curves.mean(axis=1)
    mean = blocks.mean(axis=0)
    flat = curves.reshape(-1, *mean.shape)
    stderr = flat.std(axis=0, ddof=1) / np.sqrt(len(flat))
    levels = {"t_half": (0, 0.5), "t_rest": (1, 0.0), "t_log2": (2, LOG_2)}
    at, counts = found.coordinate, found.batches
    crossings = {
        name: read_off(at, mean[row], blocks[:, row], counts, level, found.clock)
        for name, (row, level) in levels.items()
    }
    fresh = None
    if found.left_out is not None:
        own = found.left_out.own
        fresh = FreshCollapse(
            **{
                name: over_fresh_data(
                    at, mean[row], own[row], level, found.clock, COARSE
                )
                for name, (row, level) in levels.items()
            }
        )
    process, n = found.process, found.num_points
    predicted = lambda n: _on_clock(gaussian_time(jnp.asarray(eigenvalues), n), process)
    own_weight, log_rest, excess = mean
    return CollapseCurve(
        noise=found.noise,
        own_weight=own_weight,
        own_weight_stderr=stderr[0],
        log_rest=log_rest,
        log_rest_stderr=stderr[1],
        excess=excess,
        excess_stderr=stderr[2],
        **crossings,
        t_gauss=predicted(n),
        fresh=fresh,
        movement=_movement(found, crossings["t_half"], predicted),
        num_points=n,
        dimension=eigenvalues.size,
        count=found.count,
        method=METHOD,
    )


def _movement(
    found: Sweep, whole: Crossing, predicted: Callable[[int], Crossing]
) -> CollapseMovement | None:
    if not found.smaller:
        return None
    half = [
        read_off(
            found.coordinate,
            own.mean(axis=0),
            own,
            found.batches,
            0.5,
            found.clock,
        )
        for own in found.smaller.values()
    ]
    sizes = [*found.smaller, found.num_points]
    return CollapseMovement(
        n=np.asarray(sizes),
        t_half=stack([*half, whole]),
        t_gauss=stack([predicted(size) for size in sizes]),
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
