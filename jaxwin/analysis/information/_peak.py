"""The peak of a rate along noise: where it is, how high, how wide."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin.analysis._crossing import RESAMPLES, Crossing, exact, read_off
from jaxwin.analysis._root import bracketed_root
from jaxwin.io import field

HALF = 0.5
# From (time, args) to the rate.
Rate = Callable[[Float[Array, ""], Any], Float[Array, ""]]


class Peak(eqx.Module):
    """The largest value of a rate, and where it is down to half on both sides.

    `time` is not found where the rate is largest at the first or the last noise; `low`
    (`high`) is not where it stays above half down to the first (up to the last) noise.
    """

    time: Crossing
    low: Crossing
    high: Crossing
    rate: Float[np.ndarray, ""] = field((), "nats per unit of OU time")
    stderr: Float[np.ndarray, ""] = field((), "nats per unit of OU time")

    @property
    def width(self) -> float:
        """Full width at half maximum in OU time; NaN where it is not found."""
        return float(self.high.time) - float(self.low.time)


def known_peak(
    rate: Rate, slope: Rate, args: Any, noises: Float[np.ndarray, " t"], curve
) -> Peak:
    """The peak of a curve known without error at any time, by bisection to the end.

    Args:
        rate: The curve, a function with a name.
        slope: Minus its derivative.
        args: Of both.
        noises: Times, increasing.
        curve: The rate there.
    """
    curve = np.asarray(curve)
    best, last = int(np.argmax(curve)), noises.size - 1
    at = lambda index: jnp.asarray(noises[index])
    inside = 0 < best < last
    top = at(best)
    if inside:
        top = bracketed_root(slope, at(best - 1), at(best + 1), args)
    height = rate(top, args)
    below = np.flatnonzero(curve < HALF * float(height))
    before, after = below[below < best], below[below > best]
    missing = _not_found(noises)
    low = high = missing
    if before.size:
        i = before[-1]
        low = bracketed_root(_above_half, at(i), at(i + 1), (rate, args, height))
    if after.size:
        i = after[0]
        high = bracketed_root(_below_half, at(i - 1), at(i), (rate, args, height))
    found = lambda root: root if root is missing else exact(root)
    zero = np.zeros(())
    time = exact(top) if inside else missing
    return Peak(time, found(low), found(high), np.asarray(height), zero)


def measured_peak(
    coordinate: Float[np.ndarray, " t"],
    curve: Float[np.ndarray, " t"],
    stderr: Float[np.ndarray, " t"],
    block_means: Float[np.ndarray, "b t"],
    block_counts: np.ndarray,
    clock: Callable[[Array], Array],
    seed: int = 0,
) -> Peak:
    """The peak of a measured curve, by parabolas and a bootstrap of whole curves.

    Args:
        coordinate: An increasing map of time, see `read_off`.
        curve: The rate.
        stderr: Its standard error.
        block_means: Of independent blocks.
        block_counts: Replicas in each.
        clock: From the coordinate to time.
        seed: Of the bootstrap.
    """
    read = lambda places: np.asarray(clock(jnp.asarray(places)), np.float64)
    best, ends = int(np.argmax(curve)), read(coordinate[[0, -1]])
    side = lambda after: read_off(
        coordinate,
        curve,
        block_means,
        block_counts,
        HALF,
        clock,
        seed,
        statistic=lambda curves: _one_side(curves, after),
    )
    time = _not_found(ends)
    if 0 < best < curve.size - 1:
        generator, blocks = np.random.default_rng(seed), block_counts.size
        draws = generator.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
        shares = draws * block_counts
        shares = shares / shares.sum(axis=1, keepdims=True)
        tops = _tops(coordinate, np.concatenate([curve[None], shares @ block_means]))
        times = read(tops)
        number = lambda value: jnp.asarray(value, float)
        low, high = (number(v) for v in np.quantile(times[1:], [0.025, 0.975]))
        spread = number(times[1:].std(ddof=1))
        time = Crossing(number(times[0]), spread, low, high, jnp.asarray(True))
    height, error = np.asarray(curve[best]), np.asarray(stderr[best])
    return Peak(time, side(False), side(True), height, error)


def _tops(x: Float[np.ndarray, " t"], curves: Float[np.ndarray, "b t"]) -> np.ndarray:
    """Where the parabola through the largest value and its neighbours is largest."""
    best = np.clip(np.argmax(curves, axis=1), 1, x.size - 2)
    rows = np.arange(len(curves))
    y = [curves[rows, best + i] for i in (-1, 0, 1)]
    left, right = x[best] - x[best - 1], x[best + 1] - x[best]
    first, second = (y[1] - y[0]) / left, (y[2] - y[1]) / right
    bend = (second - first) / (left + right)
    slope = (first * right + second * left) / (left + right)
    shift = np.where(bend < 0, -slope / np.where(bend < 0, 2 * bend, 1), 0)
    return x[best] + np.clip(shift, -left, right)


def _one_side(curves: Float[np.ndarray, "*b t"], after: bool) -> np.ndarray:
    """Curves over their largest values, one up to it or from it on."""
    top = np.argmax(curves, axis=-1)[..., None]
    index = np.arange(curves.shape[-1])
    beyond = index < top if after else index > top
    return np.where(beyond, 1.0, curves / curves.max(axis=-1, keepdims=True))


def _above_half(time: Array, args: Any) -> Array:
    rate, rest, height = args
    return rate(time, rest) - HALF * height


def _below_half(time: Array, args: Any) -> Array:
    return -_above_half(time, args)


def _not_found(noises: np.ndarray) -> Crossing:
    low, high = (jnp.asarray(v, float) for v in (noises[0], noises[-1]))
    nan = jnp.asarray(jnp.nan, float)
    return Crossing(nan, nan, low, high, jnp.asarray(False))
