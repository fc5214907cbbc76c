"""Decreasing grids of times, from the noisy side to the clean side of a process."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_decreasing, check_positive, is_concrete
from jaxwin._typing import ScalarLike
from jaxwin.processes._base import AbstractProcess
from jaxwin.processes._discrete_ddpm import DiscreteDDPM
from jaxwin.processes._fields import as_float, like


def uniform(
    process: AbstractProcess, start: ScalarLike, end: ScalarLike, steps: int
) -> Float[Array, " t"]:
    """Equal steps in the time of the process.

        t_i = start + (i/steps) (end - start),    i = 0 ... steps.

    Args:
        process: Whose domain holds the grid.
        start: Noisy end, finite.
        end: Clean end, < start; the clean end of the domain is allowed.
        steps: Number of steps, >= 1.

    Returns:
        steps + 1 strictly decreasing times; the first and last are `start` and `end`.

    Raises:
        ValueError: Not low <= end < start <= high, infinite ends, or `steps` < 1.
    """
    first, last = _ends(process, start, end, steps)
    return _between(first + _shares(steps, first) * (last - first), first, last)


def log_snr_uniform(
    process: AbstractProcess, start: ScalarLike, end: ScalarLike, steps: int
) -> Float[Array, " t"]:
    """Equal steps in log-SNR, read on the clock of the process.

    Args:
        process: Whose log-SNR is divided.
        start: Noisy end, where the log-SNR is finite.
        end: Clean side, < start, where the log-SNR is finite (not the clean end).
        steps: Number of steps, >= 1.

    Returns:
        steps + 1 strictly decreasing times; the first and last are `start` and `end`.

    Raises:
        ValueError: Not low <= end < start <= high, infinite log-SNR, or `steps` < 1.

    References:
        Lu et al. (2022), arXiv:2206.00927, section 4 (uniform in lambda = log-SNR/2).
    """
    first, last = _ends(process, start, end, steps)
    noisy, clean = process.log_snr(first), process.log_snr(last)
    _check_finite(noisy, "start", start, "below the noisy end of the domain")
    _check_finite(clean, "end", end, "above the clean end of the domain")
    levels = noisy + _shares(steps, first) * (clean - noisy)
    return _between(process.time(levels), first, last)


def edm_rho(
    process: AbstractProcess,
    start: ScalarLike,
    end: ScalarLike,
    steps: int,
    rho: float = 7.0,
) -> Float[Array, " t"]:
    """The grid of EDM, equal steps in (sigma/alpha)^(1/rho), read on any clock.

        s_i = (s_0^(1/rho) + (i/steps) (s_end^(1/rho) - s_0^(1/rho)))^rho,

    s = sigma/alpha. The grid of the paper ends at sigma_min and then jumps to zero:
    append the clean time for that. A clean `end` is allowed here (s_end = 0).

    Args:
        process: On whose clock the grid is read.
        start: Noisy end, where alpha > 0.
        end: Clean side, < start.
        steps: Number of steps, >= 1.
        rho: Crowding towards the clean side, > 0; 1 is uniform in sigma/alpha.

    Returns:
        steps + 1 strictly decreasing times; the first and last are `start` and `end`.

    Raises:
        ValueError: Not low <= end < start <= high, alpha = 0 at `start`, `steps` < 1
            or `rho` not positive.

    References:
        Karras et al. (2022), arXiv:2206.00364, equation 5.
    """
    check_positive(rho, "rho")
    first, last = _ends(process, start, end, steps)
    noisy = process.log_snr(first)
    _check_finite(noisy, "start", start, "below the noisy end of the domain")
    most = jnp.exp(-noisy / (2 * rho))
    least = jnp.exp(-process.log_snr(last) / (2 * rho))
    roots = most + _shares(steps, first) * (least - most)
    return _between(process.time(-2 * rho * jnp.log(roots)), first, last)


def dilated(
    process: AbstractProcess,
    start: ScalarLike,
    end: ScalarLike,
    steps: int,
    until: ScalarLike,
    share: float = 0.5,
) -> Float[Array, " t"]:
    """A share of the steps from `start` to `until`, equal ones; the rest to `end`.

    Classes of N(+-m, v I), |m| = mu sqrt(d), separate on the interpolant within about
    1 / sqrt(d) of its noisy end. With `until` = 1 - kappa / sqrt(d) (8 is a good kappa)
    that stretch gets a number of steps that does not fall with d, and errors do not
    grow with d; equal steps would need about sqrt(d) of them.

    Args:
        process: Whose domain holds the grid.
        start: Noisy end, finite.
        end: Clean end, < start; the clean end of the domain is allowed.
        steps: Number of steps, >= 2.
        until: Where the stretch with steps of its own ends, between `end` and `start`.
        share: Of the steps that go there, in (0, 1); rounded, at least one step on
            either side.

    Returns:
        steps + 1 strictly decreasing times, among them `start`, `until` and `end`.

    Raises:
        ValueError: As `uniform`; `until` not strictly between, `steps` < 2 or `share`
            out of range.

    References:
        Aranguri, Biroli, Mezard & Vanden-Eijnden (2025), arXiv:2501.00988 (dilated
        time; they count from u = 0 at noise).
    """
    first, last = _ends(process, start, end, steps)
    if steps < 2:
        raise ValueError(f"`steps` is {steps}; two stretches need at least 2.")
    if not 0 < share < 1:
        raise ValueError(f"`share` is {share}; it must lie strictly between 0 and 1.")
    if is_concrete(until, first, last) and not last < until < first:
        raise ValueError(
            f"`until` is {until:g}; it must lie strictly between `end` = {last:g} and "
            f"`start` = {first:g}."
        )
    taken = min(max(round(share * steps), 1), steps - 1)
    middle = like(until, first)
    before = first + _shares(taken, first) * (middle - first)
    after = middle + _shares(steps - taken, first) * (last - middle)
    return _between(jnp.concatenate([before[:-1], after]), first, last)


def discrete(
    process: DiscreteDDPM, steps: int, start: int | None = None
) -> Float[Array, " t"]:
    """Whole indices of a table, as evenly as they come, ending at the clean -1.

        t_i = start - round(i (start + 1)/steps),    i = 0 ... steps, halves up.

    For the indices that diffusers would visit, use `process.respaced` and all indices
    of the respaced table.

    Args:
        process: The table.
        steps: Number of steps, between 1 and start + 1.
        start: First index; the noisy end of the table unless given.

    Returns:
        steps + 1 whole, distinct, strictly decreasing indices, the last of them -1.

    Raises:
        ValueError: `start` is not an index of the table, or `steps` does not fit.
    """
    first = process.num_steps - 1 if start is None else start
    if not 0 <= first < process.num_steps:
        raise ValueError(
            f"`start` is {first}; it must be an index of the table, from 0 to "
            f"{process.num_steps - 1}."
        )
    if not 1 <= steps <= first + 1:
        raise ValueError(
            f"`steps` is {steps}; from index {first} to the clean -1 there are between "
            f"1 and {first + 1} steps."
        )
    # In whole numbers, so that no two nodes round to the same one.
    taken = (np.arange(steps + 1) * (first + 1) + steps // 2) // steps
    return jnp.asarray((first - taken).astype(float))


def _ends(
    process: AbstractProcess, start: ScalarLike, end: ScalarLike, steps: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    if steps < 1:
        raise ValueError(f"`steps` is {steps}; it must be at least 1.")
    low, high = process.domain
    if is_concrete(start, end, low, high):
        if not (low <= end < start <= high and np.isfinite(start)):
            raise ValueError(
                f"`start` is {start:g} and `end` is {end:g}; they must be finite with "
                f"{low:g} <= end < start <= {high:g} on this clock (start is the noisy "
                f"side)."
            )
    first = as_float(start)
    return first, like(end, first)


def _check_finite(
    log_snr: Float[Array, ""], name: str, time: ScalarLike, remedy: str
) -> None:
    if is_concrete(log_snr) and not np.isfinite(log_snr):
        raise ValueError(
            f"`{name}` is {time:g}, where the log-SNR is infinite; take it {remedy}."
        )


def _shares(steps: int, like_this: Float[Array, ""]) -> Float[Array, " t"]:
    """0, 1/steps, ..., 1."""
    return jnp.arange(steps + 1, dtype=like_this.dtype) / steps


def _between(
    times: Float[Array, " t"], first: Float[Array, ""], last: Float[Array, ""]
) -> Float[Array, " t"]:
    """The times with exact ends; too fine a grid for the precision is refused."""
    times = times.at[0].set(first).at[-1].set(last)
    if is_concrete(times):
        check_decreasing(np.asarray(times), "times")
    return times
