"""Means over rule tables, with two errors: over all rules, and of sampling alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin.io import field

# Points whose chi cannot be told from the largest, in combined standard errors.
APART = 2.0


class Mean(NamedTuple):
    """A mean over tables, its error over rules (None for one table), and of sampling.

    spread: the standard deviation between tables, sampling taken out; None for one.
    """

    value: Float[np.ndarray, "..."]
    stderr: Float[np.ndarray, "..."] | None
    sampling: Float[np.ndarray, "..."]
    spread: Float[np.ndarray, "..."] | None

    @property
    def error(self) -> Float[np.ndarray, "..."]:
        """The larger one: the scatter of few tables may be too small by chance."""
        over = self.sampling if self.stderr is None else self.stderr
        return np.maximum(self.sampling, over)


class Peak(eqx.Module):
    """The noise at which a curve is largest, less two standard errors.

    Errors are those of sampling, or over tables where these are larger. low, high: from
    the first to the last noise whose value cannot be told from it at two combined
    standard errors. interior: whether both lie inside of the grid.
    """

    interior: bool = eqx.field(static=True)
    noise: float = field((), "noise of the channel")
    low: float = field((), "noise of the channel")
    high: float = field((), "noise of the channel")
    value: float = field((), "leaves")
    stderr: float = field((), "leaves")


class Susceptibility(eqx.Module):
    """How many leaves change together: the average over rule tables, and its peak.

    stderr: over rules, from the scatter of tables, sampling included; None for one
    table. sampling_stderr: what more turns would remove. NaN where no leaf changes.
    """

    peak: Peak | None
    value: Float[np.ndarray, " t"] = field(("noise",), "leaves", nullable=True)
    stderr: Float[np.ndarray, " t"] | None = field(("noise",), "leaves", nullable=True)
    sampling_stderr: Float[np.ndarray, " t"] = field(
        ("noise",), "leaves", nullable=True
    )

    @property
    def error(self) -> Float[np.ndarray, " t"]:
        """The error to show: over rules if that is known."""
        return self.sampling_stderr if self.stderr is None else self.stderr


def mean_over(tables: Sequence[Any], name: str) -> Mean:
    """The mean of a field of several results, and of its `_stderr`."""
    count = len(tables)
    each = np.stack([np.asarray(getattr(one, name), float) for one in tables])
    errors = np.stack([np.asarray(getattr(one, f"{name}_stderr")) for one in tables])
    variance = np.mean(errors**2, axis=0)
    value, sampling = each.mean(axis=0), np.sqrt(variance / count)
    if count == 1:
        return Mean(value, None, sampling, None)
    scatter = each.var(axis=0, ddof=1)
    spread = np.sqrt(np.maximum(scatter - variance, 0))
    return Mean(value, np.sqrt(scatter / count), sampling, spread)


def susceptibility_over(tables: Sequence[Any], name: str) -> Susceptibility:
    """One kind of chi of several level curves, and where it is largest."""
    mean = mean_over(tables, name)
    return Susceptibility(
        peak=_peak(tables[0].noise, mean.value, mean.error),
        value=mean.value,
        stderr=mean.stderr,
        sampling_stderr=mean.sampling,
    )


def _peak(
    noise: Float[np.ndarray, " t"],
    value: Float[np.ndarray, " t"],
    stderr: Float[np.ndarray, " t"],
) -> Peak | None:
    known = np.isfinite(value) & np.isfinite(stderr)
    if not known.any():
        return None
    # A few changes at little noise have large values of large errors.
    sure = np.where(known, value - APART * stderr, -np.inf)
    best = int(np.argmax(sure))
    apart = np.hypot(stderr, stderr[best])
    near = np.flatnonzero(known & (value[best] - value <= APART * apart))
    return Peak(
        noise=float(noise[best]),
        low=float(noise[near[0]]),
        high=float(noise[near[-1]]),
        value=float(value[best]),
        stderr=float(stderr[best]),
        interior=bool(near[0] > 0 and near[-1] < noise.size - 1),
    )
