"""Level curves of one channel, averaged over rule tables, with what was predicted."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Float

from jaxwin.analysis import Crossing, hierarchy, unstack
from jaxwin.io import field

# Points whose chi cannot be told from the largest, in combined standard errors.
APART = 2.0


class Peak(eqx.Module):
    """The noise at which a curve is largest, less two standard errors.

    Errors are those of sampling, or over tables where these are larger.
    low, high: from the first to the last noise whose value cannot be told from it at
    two combined standard errors. interior: whether both lie inside of the grid.
    """

    interior: bool = eqx.field(static=True)
    noise: float = field((), "noise of the channel", "of the largest value")
    low: float = field((), "noise of the channel")
    high: float = field((), "noise of the channel")
    value: float = field((), "leaves")
    stderr: float = field((), "leaves")


class Susceptibility(eqx.Module):
    """How many leaves change together: the average over rule tables, and its peak.

    stderr: of sampling, given these tables. spread: of the mean over tables, from their
    scatter; None for one. NaN where no leaf changes.
    """

    peak: Peak | None
    value: Float[np.ndarray, " t"] = field(("noise",), "leaves", nullable=True)
    stderr: Float[np.ndarray, " t"] = field(("noise",), "leaves", nullable=True)
    spread: Float[np.ndarray, " t"] | None = field(("noise",), "leaves", nullable=True)


class HierarchyCurves(eqx.Module):
    """What one channel does to every level, root first.

    same: P(symbol of a node unchanged); its standard error of sampling given the
    tables, and from their scatter (None for one). half: where it is half way from one
    to chance, the mean over tables. snr, alpha_bar, half_snr, naive_snr: of the
    Gaussian channel; the last is where a leaf's mean belief is that of eps*, a naive
    prediction of where the class is lost. mean_field_same, mean_field_chi: of
    `eps_belief`. tables: all that was measured, by table.
    """

    channel: str = eqx.field(static=True)
    turns: int = eqx.field(static=True)
    chi: Susceptibility
    chi_within: Susceptibility
    chi_static: Susceptibility
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    snr: Float[np.ndarray, " t"] | None = field(("noise",), "SNR")
    alpha_bar: Float[np.ndarray, " t"] | None = field(("noise",), "")
    same: Float[np.ndarray, "t l"] = field(("noise", "level"), "probability")
    same_stderr: Float[np.ndarray, "t l"] = field(("noise", "level"), "probability")
    same_spread: Float[np.ndarray, "t l"] | None = field(
        ("noise", "level"), "probability", "standard error over tables"
    )
    chance: Float[np.ndarray, " l"] = field(("level",), "probability")
    half: Crossing = field(("level",), "noise of the channel")
    half_snr: Crossing | None = field(("level",), "SNR")
    naive_snr: float | None = field((), "SNR", "naive: by the mean belief")
    mean_field_same: Float[np.ndarray, "t l"] | None = field(
        ("noise", "level"), "probability", "root first"
    )
    mean_field_chi: Float[np.ndarray, " t"] | None = field(("noise",), "leaves")
    tables: hierarchy.LevelCurves = field(("table",), "")


def averaged(
    channel: str,
    tables: Sequence[hierarchy.LevelCurves],
    naive_snr: float | None,
    expected: hierarchy.MeanFieldCurves | None,
) -> HierarchyCurves:
    """One channel's curves, the mean over rule tables."""
    first = tables[0]
    gaussian = channel == "gaussian"
    snr = 1 / np.expm1(2 * first.noise) if gaussian else None
    half = _mean_crossings([one.half for one in tables])
    same, same_stderr, same_spread = _averages(tables, "same")
    kept = None if expected is None else np.asarray(expected.kept, float)[:, ::-1]
    # Tables that stopped at different errors differ in what is no array.
    structure = jax.tree.structure(first)
    stacked = zip(*map(jax.tree.leaves, tables), strict=True)
    return HierarchyCurves(
        noise=first.noise,
        snr=snr,
        alpha_bar=np.exp(-2 * first.noise) if gaussian else None,
        same=same,
        same_stderr=same_stderr,
        same_spread=same_spread,
        chance=first.chance,
        half=half,
        half_snr=to_snr(half) if gaussian else None,
        naive_snr=naive_snr,
        chi=_susceptibility(tables, "chi"),
        chi_within=_susceptibility(tables, "chi_within"),
        chi_static=_susceptibility(tables, "chi_static"),
        mean_field_same=kept,
        mean_field_chi=(
            None if expected is None else np.asarray(expected.susceptibility, float)
        ),
        tables=jax.tree.unflatten(structure, [np.stack(leaf) for leaf in stacked]),
        channel=channel,
        turns=sum(one.turns for one in tables),
    )


def to_snr(times: Crossing) -> Crossing:
    """OU times as SNRs 1 / (e^{2t} - 1), which fall with time."""
    clock = lambda time: 1 / jnp.expm1(2 * time)
    times = jax.tree.map(jnp.asarray, times)
    turned = times.read_on(clock)
    return Crossing(
        turned.time, turned.stderr, turned.high, turned.low, jnp.asarray(times.found)
    )


def _averages(
    tables: Sequence[hierarchy.LevelCurves], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Mean over tables, its error of sampling, and its error from their scatter."""
    count = len(tables)
    each = np.stack([np.asarray(getattr(one, name), float) for one in tables])
    errors = np.stack([np.asarray(getattr(one, f"{name}_stderr")) for one in tables])
    spread = each.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else None
    return each.mean(axis=0), np.sqrt(np.sum(errors**2, axis=0)) / count, spread


def _susceptibility(
    tables: Sequence[hierarchy.LevelCurves], name: str
) -> Susceptibility:
    value, stderr, spread = _averages(tables, name)
    error = stderr if spread is None else np.maximum(stderr, spread)
    peak = _peak(tables[0].noise, value, error)
    return Susceptibility(peak=peak, value=value, stderr=stderr, spread=spread)


def _peak(noise: np.ndarray, value: np.ndarray, stderr: np.ndarray) -> Peak | None:
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


def _mean_crossings(tables: Sequence[Crossing]) -> Crossing:
    """The mean over tables level by level, with Student's interval over them."""
    if len(tables) == 1:
        return tables[0]
    levels = zip(*map(unstack, tables), strict=True)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(_mean_crossing, levels))


def _mean_crossing(tables: Sequence[Crossing]) -> Crossing:
    times = np.array([float(one.time) for one in tables])
    number = lambda value: jnp.asarray(value, float)
    missing = [one for one in tables if not bool(one.found)]
    if missing:
        # All were searched in one range.
        return jax.tree.map(jnp.asarray, missing[0])
    mean, error = times.mean(), times.std(ddof=1) / np.sqrt(times.size)
    reach = float(scipy.stats.t.ppf(0.975, times.size - 1)) * error
    ends = number(mean - reach), number(mean + reach)
    return Crossing(number(mean), number(error), *ends, jnp.asarray(True))
