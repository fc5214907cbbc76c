"""Collapse path by path: when the nearest data point changes for the last time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxwin._checks import check_curve
from jaxwin._random import normals
from jaxwin._typing import Key, Point
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import Empirical

METHOD = "forward noised paths, whose law is that of exact reverse paths"
# Resamples of the blocks of paths, for the errors of all that is read off.
RESAMPLES = 1000


class LastNeighbour(eqx.Module):
    """Time of the last change of the nearest data point, over exact reverse paths.

    It depends on the grid, whose times are `noise`: a finer one sees more changes. A
    change is known to lie between two neighbouring times and counts half way. share:
    of paths whose last change lies below each time and above the one before; below the
    first time nothing is resolved (half of it is counted). `never`: share of paths
    without a change up to the last time, which is what they count as. Errors are given
    the data.
    """

    num_points: int = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    share: Float[np.ndarray, " t"] = field(("noise",), "probability")
    never: Float[np.ndarray, ""] = field((), "probability")
    mean: Float[np.ndarray, ""] = field((), "time of the process")
    mean_stderr: Float[np.ndarray, ""] = field((), "time of the process")
    deviation: Float[np.ndarray, ""] = field((), "time of the process")
    deviation_stderr: Float[np.ndarray, ""] = field((), "time of the process")
    median: Float[np.ndarray, ""] = field((), "time of the process")
    median_stderr: Float[np.ndarray, ""] = field((), "time of the process")


def last_neighbour(
    law: Empirical,
    times: ArrayLike,
    *,
    process: AbstractProcess | None = None,
    num_paths: int = 4096,
    key: Key | None = None,
    seed: int = 0,
    block_size: int = 32,
    **options: Any,
) -> LastNeighbour:
    """Measure when reverse paths of the empirical law choose their data point.

    Exact reverse paths have the law of forward ones, which cost no posterior: from a
    data point x_0,

        x_t = k x_s + sqrt(sigma_t^2 - k^2 sigma_s^2) z,    k = alpha_t / alpha_s,

    along increasing times. The nearest data point at t is that with the smallest
    |x - alpha_t a|; equal points are one. The last change of a reverse path is the
    first one of the forward path away from the point nearest at no noise. Work is
    O(n d) a path and time, memory one block of data points.

    Args:
        law: The data set, at least 2 points; a kernel's centres count as its points.
        times: At least 4 times of `process`, increasing, where sigma > 0.
        process: The clock; OU if left out.
        num_paths: How many.
        key: Random key; `jax.random.key(0)` if left out.
        seed: Of the bootstrap.
        block_size: Paths at once; the defaults give 128 blocks.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Fewer than 2 points; fewer than 4 times, not increasing, or with
            sigma = 0 or alpha = 0.

    References:
        Biroli et al., arXiv:2402.18491, section 4 (collapse time of a trajectory).
        Anderson (1982); Haussmann and Pardoux, Ann. Probab. 14 (1986) 1188 (time
        reversal).
    """
    if law.num_points < 2:
        raise ValueError(
            f"`law` has {law.num_points} point; a nearest one of several needs 2."
        )
    process = OrnsteinUhlenbeck() if process is None else process
    noise = np.asarray(times, np.float64)
    check_curve(noise, "times")
    alphas, sigmas = process.levels(jnp.asarray(times), law.centre.dtype)
    if not (np.all(np.asarray(sigmas) > 0) and np.all(np.asarray(alphas) > 0)):
        raise ValueError(
            f"`times` run from {noise[0]:g} to {noise[-1]:g}; alpha and sigma must be "
            f"positive there: begin above the clean end and stay below pure noise."
        )
    key = jr.key(0) if key is None else key
    path = eqx.Partial(_last_change, law, alphas, sigmas)
    estimate = run(path, num_paths, key, block_size=block_size, **options)
    # Places where a change counts: half way, and the last time for none.
    value = np.append((noise + np.append(0.0, noise[:-1])) / 2, noise[-1])
    edges = np.append(noise, noise[-1])
    generator, counts = np.random.default_rng(seed), estimate.block_counts
    draws = generator.multinomial(
        counts.size, np.full(counts.size, 1 / counts.size), RESAMPLES
    )
    weights = draws * counts
    resampled = (weights / weights.sum(1, keepdims=True)) @ estimate.block_means
    mean, deviation, median = _summary(estimate.mean, value, edges)
    short = np.sqrt(counts.size / (counts.size - 1))
    errors = short * np.std([_summary(p, value, edges) for p in resampled], axis=0)
    number = lambda found: np.asarray(found, np.float64)
    return LastNeighbour(
        noise=noise,
        share=estimate.mean[:-1],
        never=number(estimate.mean[-1]),
        mean=number(mean),
        mean_stderr=number(errors[0]),
        deviation=number(deviation),
        deviation_stderr=number(errors[1]),
        median=number(median),
        median_stderr=number(errors[2]),
        num_points=law.num_points,
        dimension=law.dimension,
        count=estimate.count,
        method=METHOD,
    )


def _last_change(
    law: Empirical,
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
    key: Key,
    replica: Array,
) -> Float[Array, " s"]:
    """One-hot: in which interval of the grid the change is, the last for none."""
    start_key, path_key = jr.split(key)
    x0 = law.sample(jr.fold_in(start_key, replica))
    # The limit of no noise: the data point nearest to x0, its own one without a kernel.
    own = law.nearest(x0, 1.0, 0.0)

    def move(carry: tuple[Point, Array, Array], now: tuple[Array, ...]):
        x, alpha_s, sigma_s = carry
        i, alpha, sigma = now
        z = normals(path_key, replica, i, 1, x.size, x.dtype)[0]
        kept = alpha / alpha_s
        x = kept * x + jnp.sqrt(jnp.maximum(sigma**2 - (kept * sigma_s) ** 2, 0)) * z
        changed = jnp.any(law.nearest(x, alpha, sigma) != own)
        return (x, alpha, sigma), changed

    number = jnp.arange(alphas.size, dtype=jnp.int32)
    clean = x0, jnp.ones_like(alphas[0]), jnp.zeros_like(sigmas[0])
    changed = jax.lax.scan(move, clean, (number, alphas, sigmas))[1]
    place = jnp.where(changed.any(), jnp.argmax(changed), alphas.size)
    return jax.nn.one_hot(place, alphas.size + 1, dtype=x0.dtype)


def _summary(
    share: Float[np.ndarray, " s"],
    value: Float[np.ndarray, " s"],
    edges: Float[np.ndarray, " s"],
) -> tuple[float, float, float]:
    """Mean, standard deviation and median of a histogram."""
    mean = share @ value
    deviation = np.sqrt(np.maximum(share @ (value - mean) ** 2, 0))
    cumulative = np.cumsum(share)
    k = min(np.searchsorted(cumulative, 0.5), share.size - 1)
    below, low = (cumulative[k - 1], edges[k - 1]) if k else (0.0, 0.0)
    part = (0.5 - below) / (cumulative[k] - below)
    return float(mean), float(deviation), float(low + part * (edges[k] - low))
