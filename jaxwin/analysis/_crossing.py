"""A time read off a curve, with its interval, or the answer that there is none."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, ArrayLike, Bool, Float

from jaxwin.io import field

# Resamples of whole curves; the 95 % interval is read from their quantiles.
RESAMPLES = 1000


class Crossing(eqx.Module):
    """A time with its standard error and 95 % interval, or none in [low, high].

    Where `found` is false, `time` and `stderr` are NaN in memory and null in JSON, and
    low and high are the range searched.
    """

    time: Float[Array, "..."] = field((), "OU time", "the crossing", nullable=True)
    stderr: Float[Array, "..."] = field((), "OU time", "standard error", nullable=True)
    low: Float[Array, "..."] = field((), "OU time", "end of the 95 % interval")
    high: Float[Array, "..."] = field(
        (), "OU time", "end of the 95 % interval", nullable=True
    )
    found: Bool[Array, "..."] = field((), "", "whether the curve crosses")

    def __str__(self) -> str:
        if np.ndim(self.found):
            return f"[{', '.join(map(str, unstack(self)))}]"
        time, low, high = float(self.time), float(self.low), float(self.high)
        if not bool(self.found):
            return f"not reached in [{low:.4g}, {high:.4g}]"
        if not float(self.stderr) > 0:
            return f"{time:.4f}" if abs(time) >= 0.01 else f"{time:.4g}"
        return f"{float(self.time):.4f} ± {float(self.stderr):.4f}"

    def to_json(self) -> Any:
        """The time as `{value, stderr, low, high, found}`; infinite ends are null.

        A list of these where there are several.
        """
        if np.ndim(self.found):
            return [one.to_json() for one in unstack(self)]
        number = lambda leaf: float(leaf) if np.isfinite(leaf) else None
        found = bool(self.found)
        return {
            "value": number(self.time) if found else None,
            "stderr": number(self.stderr) if found else None,
            "low": number(self.low),
            "high": number(self.high),
            "found": found,
        }

    def read_on(self, clock: Callable[[Array], Array]) -> "Crossing":
        """The same crossing on another clock, an increasing map of OU time."""
        low, high = clock(self.low), clock(self.high)
        time, slope = jax.jvp(clock, (self.time,), (jnp.ones_like(self.time),))
        return Crossing(time, self.stderr * jnp.abs(slope), low, high, self.found)


def exact(
    time: ArrayLike, found: ArrayLike = True, stderr: ArrayLike = 0.0
) -> Crossing:
    """A time known in closed form; `stderr` where what goes into it was estimated.

    Where it is not `found` the whole clock [0, inf) is what was searched.
    """
    found = jnp.asarray(found)
    time = jnp.where(found, jnp.asarray(time), jnp.nan)
    stderr = jnp.where(found, jnp.asarray(stderr, time.dtype), jnp.nan)
    # 1.96 standard errors: a 95 % interval of a Gaussian estimate.
    low = jnp.where(found, jnp.maximum(time - 1.96 * stderr, 0), 0.0)
    high = jnp.where(found, time + 1.96 * stderr, jnp.inf)
    return Crossing(time, stderr, low, high, found)


def read_off(
    coordinate: Float[np.ndarray, " t"],
    mean: Float[np.ndarray, "*k t"],
    block_means: Float[np.ndarray, "blocks *k t"],
    block_counts: np.ndarray,
    level: float,
    clock: Callable[[Array], ArrayLike],
    seed: int = 0,
    *,
    statistic: Callable[[np.ndarray], np.ndarray] = lambda mean: mean,
) -> Crossing:
    """Where a measured curve crosses a level, by a bootstrap of whole curves.

    Blocks are resampled with replacement, the curve of each resample is read off by
    local cubic interpolation, and the interval is the central 95 % of these times,
    widened from infinitely many blocks to so many.
    Errors along a curve are correlated; whole curves are resampled for that reason. The
    interval holds fixed what all blocks share: given these data.

    Args:
        coordinate: Where the curve's points lie, increasing with noise: minus the
            log-SNR on a Gaussian channel, in which a change of the data's scale is a
            shift, so that crossings move exactly as they must. Points where it is
            infinite (the very ends of a clock) are left out of the search.
        mean: The curve, or the curves of which it is the `statistic`.
        block_means: Its independent block means, at least 2 (128 for good intervals).
        block_counts: Replicas in each block.
        level: What is crossed.
        clock: Increasing map from the coordinate to time.
        seed: Of the bootstrap.
        statistic: From curves (..., k, t) to the one that is read, (..., t).

    Raises:
        ValueError: Fewer than 4 points between the ends of the clock.
    """
    inside = np.isfinite(coordinate)
    if inside.sum() < 4:
        raise ValueError(
            f"{inside.sum()} noises lie between the ends of the clock; a crossing "
            f"needs at least 4: add some."
        )
    coordinate, mean = coordinate[inside], statistic(mean[..., inside])
    block_means = block_means[..., inside]
    generator = np.random.default_rng(seed)
    blocks = block_counts.size
    draws = generator.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
    weights = draws * block_counts
    shares = weights / weights.sum(1, keepdims=True)
    curves = statistic(np.tensordot(shares, block_means, axes=1))
    place = _cross(coordinate, mean[None], level)[0]
    read = lambda places: np.asarray(clock(jnp.asarray(places)), np.float64)
    if np.isnan(place):
        low, high = read(coordinate[[0, -1]])
        return _crossing(np.nan, np.nan, low, high, False)
    places = _cross(coordinate, curves, level)
    # Resamples scatter by too little, as a variance that divides by the number of
    # blocks, and quantiles are those of Gaussians, not Student's for so many blocks.
    short = np.sqrt(blocks / (blocks - 1))
    wider = short * scipy.stats.t.ppf(0.975, blocks - 1) / scipy.stats.norm.ppf(0.975)
    # Quantiles of places: on every clock the interval is then the same one.
    low, high = place + wider * (np.nanquantile(places, [0.025, 0.975]) - place)
    # One reading, of a fixed shape: the clock is compiled once.
    time, low, high, *times = read(np.append([place, low, high], places))
    return _crossing(time, short * float(np.nanstd(times)), low, high, True)


def over_fresh_data(
    coordinate: Float[np.ndarray, " t"],
    mean: Float[np.ndarray, " t"],
    left_out: Float[np.ndarray, "groups s"],
    level: float,
    clock: Callable[[Array], ArrayLike],
    stride: int = 1,
) -> Crossing:
    """Where a curve crosses, with the interval over fresh data of the same size.

    The jackknife over groups: with f_g the curve of the data without group g,

        stderr^2 = (G - 1) / G sum_g (f_g - mean f)^2

    at every place, and 95 % are Student's t with G - 1 degrees of freedom. The interval
    holds the places at which the level lies within that band of the curve: slopes and
    errors may change along it. The error of the time is that of the curve over its
    slope. Where a curve depends on few neighbours, as E[L] does, the jackknife errs on
    the large side (Efron and Stein). A group takes its noised points along, so that
    their noise is in it.

    Args:
        coordinate: As in `read_off`.
        mean: The curve of all data.
        left_out: The curves without a group each, at every `stride`-th place: what they
            differ by is smooth.
        level: What is crossed.
        clock: Increasing map from the coordinate to time.
        stride: See `left_out`.

    References:
        Efron and Stein, The jackknife estimate of variance, Ann. Stat. 9 (1981) 586.
    """
    apart, inside = left_out - mean[None, ::stride], np.isfinite(coordinate)
    apart, coarse = apart[:, inside[::stride]], coordinate[::stride][inside[::stride]]
    coordinate, mean = coordinate[inside], mean[inside]
    read = lambda places: np.asarray(clock(jnp.asarray(places)), np.float64)
    place = _cross(coordinate, mean[None], level)[0]
    if np.isnan(place):
        low, high = read(coordinate[[0, -1]])
        return _crossing(np.nan, np.nan, low, high, False)
    groups = len(left_out)
    square = np.sum((apart - apart.mean(axis=0)) ** 2, axis=0)
    error = np.interp(coordinate, coarse, np.sqrt((groups - 1) / groups * square))
    step = 0.5 * np.min(np.diff(coordinate))
    ahead, behind = np.interp([place + step, place - step], coordinate, mean)
    moved = np.interp(place, coordinate, error) * 2 * step / abs(ahead - behind)
    band = scipy.stats.t.ppf(0.975, groups - 1) * error
    lower, upper = _cross(coordinate, np.stack([mean - band, mean + band]), level)
    low, high = (upper, lower) if mean[-1] > level else (lower, upper)
    # Where an edge stays on one side, all that was searched on that side is possible.
    low = low if low <= place else coordinate[0]
    high = high if high >= place else coordinate[-1]
    if not np.isfinite(moved):
        low = high = np.nan
    time, low, high, up, down = read(
        np.array([place, low, high, place + moved / 2, place - moved / 2])
    )
    return _crossing(time, float(up - down), low, high, True)


def crossing_place(
    coordinate: Float[np.ndarray, " t"], curve: Float[np.ndarray, " t"], level: float
) -> float:
    """Where a curve crosses last, on its coordinate; NaN where it does not."""
    return float(_cross(coordinate, curve[None], level)[0])


def known_crossing(
    times: Float[np.ndarray, " t"], curve: Float[np.ndarray, " t"], level: float
) -> Crossing:
    """Where a curve that is known without error crosses last, by cubic interpolation.

    Not found where it does not cross between the first and the last of its times.
    """
    place = crossing_place(times, curve, level)
    if np.isnan(place):
        return not_reached(times)
    return exact(place)


def not_reached(noises: Float[np.ndarray, " t"]) -> Crossing:
    """No crossing between the first and the last of these noises."""
    return _crossing(np.nan, np.nan, noises[0], noises[-1], False)


def independent_mean(
    places: Float[np.ndarray, " n"],
    searched: tuple[float, float],
    resolution: float = 0.0,
) -> Crossing:
    """The mean of a place that was found n >= 2 times, with Student's interval.

    Not found, in the range searched, unless it was found each time. `resolution`: the
    width of what all of them share and hide up to its size.
    """
    if not np.all(np.isfinite(places)):
        return _crossing(np.nan, np.nan, *searched, False)
    scatter = places.std(ddof=1) / np.sqrt(places.size)
    error = np.hypot(scatter, resolution / np.sqrt(12))
    reach = scipy.stats.t.ppf(0.975, places.size - 1) * error
    mean = places.mean()
    return _crossing(mean, error, mean - reach, mean + reach, True)


def unstack(crossings: Crossing) -> list[Crossing]:
    """The crossings of a leading axis one by one, on the host.

    Thousands of pairs are read, and JAX takes its time over every index.
    """
    leaves = jax.tree.map(np.asarray, crossings)
    pick = lambda i: jax.tree.map(lambda leaf: leaf[i], leaves)
    return [pick(i) for i in range(len(leaves.found))]


def stack(crossings: Sequence[Crossing]) -> Crossing:
    """Crossings as one, with a leading axis."""
    if not crossings:
        none = jnp.zeros(0)
        return Crossing(none, none, none, none, jnp.zeros(0, bool))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *crossings)


def _crossing(
    time: float, stderr: float, low: float, high: float, found: bool
) -> Crossing:
    number = lambda value: jnp.asarray(value, float)
    return Crossing(
        number(time), number(stderr), number(low), number(high), jnp.asarray(found)
    )


def _cross(
    axis: Float[np.ndarray, " t"], curves: Float[np.ndarray, "b t"], level: float
) -> Float[np.ndarray, " b"]:
    """Last place (furthest along the axis) where each curve crosses; NaN for none."""
    above = curves >= level
    changes = above[:, 1:] != above[:, :-1]
    some = changes.any(axis=1)
    last = changes.shape[1] - 1 - np.argmax(changes[:, ::-1], axis=1)
    start = np.clip(last - 1, 0, axis.size - 4)
    nodes = start[:, None] + np.arange(4)
    x, y = axis[nodes], np.take_along_axis(curves, nodes, 1) - level
    rows = np.arange(len(curves))
    left, right = axis[last], axis[last + 1]
    sign = np.sign(curves[rows, last] - level)
    for _ in range(60):
        middle = (left + right) / 2
        same = np.sign(_lagrange(x, y, middle)) == sign
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    return np.where(some, (left + right) / 2, np.nan)


def _lagrange(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The cubic through four points of each row."""
    total = np.zeros_like(at)
    for i in range(4):
        others = [j for j in range(4) if j != i]
        weight = np.prod([(at - x[:, j]) / (x[:, i] - x[:, j]) for j in others], axis=0)
        total += weight * y[:, i]
    return total
