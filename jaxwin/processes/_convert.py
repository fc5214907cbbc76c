import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._typing import TimesLike
from jaxwin.processes._base import AbstractProcess
from jaxwin.processes._fields import as_float, like


def convert(
    time: TimesLike, source: AbstractProcess, target: AbstractProcess
) -> tuple[Float[Array, "..."], Bool[Array, "..."]]:
    """Read times of one clock on another, at equal log-SNR.

        target.log_snr(result) = source.log_snr(time)

    What depends on the SNR alone (speciation, collapse, windows) happens at the same
    log-SNR on every clock, so its times, intervals and curves are carried over by this.

    Args:
        time: A time of `source`, or an array of them.
        source: The clock on which `time` is read.
        target: The clock on which the result is read.

    Returns:
        The times on `target`, and whether they are the answer: false where `target`
        does not reach that log-SNR (the time is then the nearest end of its domain) and
        where `time` lies outside the domain of `source` (taken at its nearest end). The
        ends have the slack of rounding, so that an end converted there and back is
        inside. A clean end goes to a clean end, infinite noise to infinite noise. The
        derivative at an end is set to zero. Never NaN, unless `time` is.

    References:
        Kingma et al. (2021), arXiv:2107.00630, section 5.1.
    """
    time = as_float(time)
    low, high = (like(end, time) for end in source.domain)
    first, last = (like(end, time) for end in target.domain)
    within = jnp.clip(time, low, high)
    # Masks and bounds carry no gradient: their slopes are infinite at the clean ends.
    fixed_source, fixed_target = jax.lax.stop_gradient((source, target))
    level = fixed_source.log_snr(jax.lax.stop_gradient(within))
    top, bottom = fixed_target.log_snr(first), fixed_target.log_snr(last)

    # The ends are settled by hand, with a safe time in the masked branch.
    clean, noisy = level >= top, level <= bottom
    safe = jnp.clip(fixed_source.time(jnp.zeros_like(level)), low, high)
    log_snr = source.log_snr(jnp.where(clean | noisy, safe, within))
    inner = jnp.clip(target.time(jnp.clip(log_snr, bottom, top)), first, last)
    result = jnp.where(clean, first, jnp.where(noisy, last, inner))

    slack = 16 * jnp.finfo(time.dtype).eps
    reached = level <= top + slack * (1 + jnp.abs(top))
    reached &= level >= bottom - slack * (1 + jnp.abs(bottom))
    return result, reached & (time >= low) & (time <= high)
