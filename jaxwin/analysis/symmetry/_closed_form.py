"""When a symmetric centre becomes unstable, in closed form, for every named drift.

In units of the pushing force the curvature of the potential at the centre of two equal
clusters, along the line between them, is

    u'' / (push g^2) = 1 / V - lambda alpha^2 / V^2 + (pull / push) f / g^2,

V = sigma^2 + w alpha^2 the noised width within a cluster, lambda the variance between
clusters. For points (w = 0) lambda is the eigenvalue of Cov[x0 | x] at the centre of
any law.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import check, not_negative, positive
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis.symmetry._drift import DriftLike, drift_ratio, named_drift
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    AbstractVariancePreserving,
    DiscreteDDPM,
    VarianceExploding,
)


def critical_log_snr(
    eigenvalue: TimesLike,
    drift: DriftLike = "reverse_sde",
    *,
    within: TimesLike = 0.0,
    preserving: bool = True,
) -> Float[Array, "..."]:
    r"""The log-SNR at which the centre becomes unstable along a direction.

    With q = alpha^2, a = 1 - w and eps = pull / (2 push), on variance-preserving clocks

        eps a^2 q^2 + (lambda + a (1 - 2 eps)) q = 1 - eps,

        reverse SDE (eps 1/2)   q = 1 / (lambda + sqrt(lambda^2 + (1 - w)^2))
        density     (eps 0)     q = 1 / (lambda + 1 - w)
        flow        (eps 1)     q = max(0, (1 - w - lambda) / (1 - w)^2)

    and eps = 1 / (1 + eta^2) for the eta family. Where f = 0 (variance exploding) all
    drifts are the score, up to a factor, and SNR = 1 / (lambda - w).

    Args:
        eigenvalue: lambda >= 0, of Cov[x0 | x] at the centre, less w.
        drift: Which drift, see `named_drift`.
        within: w >= 0, variance within a cluster along the direction.
        preserving: Of variance-preserving clocks; else of those with f = 0.

    Returns:
        log(alpha^2 / sigma^2), increasing from noise to data. -inf where the centre is
        unstable at any noise (the flow with lambda + w >= 1); +inf where it is stable
        at any. Differentiable where it is finite.

    Raises:
        ValueError: `eigenvalue` or `within` is negative.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 3 (two points, reverse SDE:
        q = sqrt(2) - 1); the other drifts and widths are derived.
    """
    check(eigenvalue, not_negative, "eigenvalue", "finite and >= 0")
    check(within, not_negative, "within", "a variance, finite and >= 0")
    value = as_float(eigenvalue)
    width = as_float(within).astype(value.dtype)
    if not preserving:
        apart = value - width
        found = apart > 0
        return jnp.where(found, -jnp.log(jnp.where(found, apart, 1)), jnp.inf)
    kind = named_drift(drift)
    eps = (0.5 * kind.pull / kind.push).astype(value.dtype)
    a = 1 - width
    square, linear = eps * a**2, value + a * (1 - 2 * eps)
    # The variance sigma^2 solves a quadratic of its own: its digits are not those of q.
    other, least = linear + 2 * square, value + width * (eps * width - 1)
    spread = jnp.maximum(linear**2 + 4 * square * (1 - eps), 0)
    some = spread > 0
    root = jnp.where(some, jnp.sqrt(jnp.where(some, spread, 1)), 0)
    signal = _stable_root(linear, root, square, 1 - eps)
    noise = _stable_root(other, root, -square, least)
    noisy, clean = signal <= 0, (noise <= 0) | (signal == jnp.inf)
    inside = ~(noisy | clean)
    ratio = jnp.where(inside, signal, 1) / jnp.where(inside, noise, 1)
    return jnp.where(clean, jnp.inf, jnp.where(noisy, -jnp.inf, jnp.log(ratio)))


def _stable_root(
    linear: Array, root: Array, square: Array, constant: Array
) -> Float[Array, "..."]:
    """The x = (root - linear) / (2 square) with square x^2 + linear x = constant.

    In the form that adds numbers of one sign; infinite where there is none.
    """
    total, doubled = linear + root, 2 * square
    first = 2 * constant / jnp.where(total == 0, 1, total)
    second = (root - linear) / jnp.where(doubled == 0, 1, doubled)
    nowhere = jnp.where(constant == 0, 0, jnp.sign(constant) * jnp.inf)
    first = jnp.where(total == 0, nowhere, first)
    second = jnp.where(doubled == 0, jnp.inf, second)
    return jnp.where(linear >= 0, first, second)


def predicted_time(
    eigenvalue: TimesLike,
    process: AbstractProcess,
    drift: DriftLike = "reverse_sde",
    *,
    within: TimesLike = 0.0,
    preserving: bool | None = None,
) -> Crossing:
    """The time at which the centre becomes unstable, on any clock by equal log-SNR.

    Args:
        eigenvalue: As in `critical_log_snr`.
        process: The clock on which the time is read.
        drift: Which drift.
        within: As in `critical_log_snr`.
        preserving: Whether the drift is that of a variance-preserving clock (else of
            one with f = 0); that of `process` if left out.

    Returns:
        The time; "not reached" over the whole clock where the centre is stable, or
        unstable, at all of its times.

    Raises:
        ValueError: As `critical_log_snr`; a clock that neither preserves the variance
            nor has f = 0, and `preserving` is left out.
    """
    if preserving is None:
        preserving = _preserves(process)
    level = critical_log_snr(eigenvalue, drift, within=within, preserving=preserving)
    return time_at(level, process)


def time_at(log_snr: Float[Array, "..."], process: AbstractProcess) -> Crossing:
    """The time of a log-SNR, or that it is not reached on the clock."""
    found = jnp.isfinite(log_snr)
    low, high = (as_float(end).astype(log_snr.dtype) for end in process.domain)
    # A safe log-SNR: that of equal signal and noise.
    time = process.time(jnp.where(found, log_snr, 0))
    found = found & (time >= low) & (time <= high)
    nothing = jnp.full_like(time, jnp.nan)
    at = jnp.where(found, time, nothing)
    zero = jnp.where(found, jnp.zeros_like(time), nothing)
    return Crossing(
        at, zero, jnp.where(found, time, low), jnp.where(found, time, high), found
    )


def _preserves(process: AbstractProcess) -> bool:
    if isinstance(process, AbstractVariancePreserving):
        return True
    if isinstance(process, VarianceExploding | EDM):
        return False
    raise ValueError(
        f"`process` is a {type(process).__name__}, whose drift has no closed form: say "
        f"by `preserving` which drift is meant, to be read here at equal log-SNR, or "
        f"find the time of this one by `critical_times`."
    )


def sphere_alpha(
    radius: TimesLike, dimension: int, drift: DriftLike = "reverse_sde"
) -> Float[Array, "..."]:
    """Critical alpha of the uniform law on a sphere, variance-preserving clocks.

    Every direction has eigenvalue radius^2 / d at the centre:
    alpha^2 = (sqrt(d^2 + r^4) - r^2) / d for the reverse SDE. Zero where the centre is
    unstable at any noise.

    Args:
        radius: r > 0.
        dimension: d >= 1 of the space.
        drift: Which drift.

    Raises:
        ValueError: `radius` is not positive, `dimension` < 1.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 3 (hypersphere).
    """
    check(radius, positive, "radius", "finite and positive")
    check(dimension, lambda d: d >= 1, "dimension", "at least 1")
    level = critical_log_snr(as_float(radius) ** 2 / dimension, drift)
    # log alpha = -softplus(-log-SNR) / 2
    return jnp.exp(-0.5 * jax.nn.softplus(-level))


def coupling(
    process: AbstractProcess,
    t: TimesLike,
    drift: DriftLike = "reverse_sde",
    *,
    square: TimesLike = 1.0,
) -> Float[Array, "..."]:
    """Coupling K of the magnet that the fixed points of a drift are.

        K = kappa alpha^2 square / sigma^2,

    kappa the drift's gain. Two points at +-r (square r^2) have m = tanh(K m), points at
    r times orthonormal vectors w_j ~ exp(K w_j). On variance-preserving clocks, with
    B = -2 log alpha, K = 2 q / (1 - q^2) = 1 / sinh(B) for the reverse SDE; it falls
    with noise.

    Args:
        process: The clock.
        t: Time of `process`, sigma > 0 (and alpha > 0 for the flow).
        drift: Which drift.
        square: r^2.

    References:
        Ambrogioni (2023), arXiv:2310.17467 (Curie-Weiss magnet of two points).
    """
    t = as_float(t)
    alpha, sigma = process.levels(t)
    gain = named_drift(drift).gain(sigma, drift_ratio(process, t))
    return gain * (alpha / sigma) ** 2 * as_float(square).astype(gain.dtype)


def instability_integral(
    process: AbstractProcess,
    t: TimesLike,
    eigenvalue: TimesLike,
    drift: DriftLike = "reverse_sde",
    *,
    within: TimesLike = 0.0,
) -> Float[Array, "..."]:
    r"""Lambda(t), whose differences are integrals of u'' at the centre over time.

        Lambda = push (B + log V + lambda (1 + q / V)) - pull B / 2,

    B = -2 log alpha and V = sigma^2 + w q; for points under the reverse SDE that is
    B / 2 + log(1 - q) + lambda / (1 - q). Where f = 0, push (log V + lambda (1 +
    q / V)). A small distance from the centre changes by

        exp(-(Lambda(t) - Lambda(s)))

    on the way from t to s < t: it shrinks as long as the centre is stable, and grows
    after `predicted_time`, where Lambda is smallest.

    Args:
        process: A variance-preserving clock, or one with f = 0.
        t: Time of `process`, sigma > 0 (or w > 0) and alpha > 0.
        eigenvalue: As in `critical_log_snr`.
        drift: Which drift.
        within: As in `critical_log_snr`.

    Raises:
        ValueError: Another clock; as `critical_log_snr`.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693 (linear response); derived.
    """
    check(eigenvalue, not_negative, "eigenvalue", "finite and >= 0")
    check(within, not_negative, "within", "a variance, finite and >= 0")
    alpha, sigma = process.levels(as_float(t))
    preserves = _preserves(process)
    rate = -2 * jnp.log(alpha) if preserves else jnp.zeros_like(alpha)
    kind, dtype = named_drift(drift), alpha.dtype
    value, width = (as_float(v).astype(dtype) for v in (eigenvalue, within))
    pull, push = kind.pull.astype(dtype), kind.push.astype(dtype)
    noised = sigma**2 + width * alpha**2
    pushed = rate + jnp.log(noised) + value * (1 + alpha**2 / noised)
    return push * pushed - 0.5 * pull * rate


def last_unstable_index(
    eigenvalue: ScalarLike, table: DiscreteDDPM, *, within: ScalarLike = 0.0
) -> Int[Array, ""]:
    r"""The last index of a discrete sampler at which its step repels from the centre.

    The mean of a step from k multiplies a small distance by

        (1 + beta_k s') / sqrt(1 - beta_k),    s' = -1 / V + lambda q / V^2,

    q = abar_k and V = 1 - q + w q. The last index with a factor above 1; -1, the clean
    index, where there is none.

    Args:
        eigenvalue: lambda >= 0, as in `critical_log_snr`.
        table: The sampler's table; indices are those of this table.
        within: w >= 0.

    Raises:
        ValueError: As `critical_log_snr`.

    References:
        Ho, Jain, Abbeel (2020), arXiv:2006.11239, algorithm 2 (the step); derived.
    """
    check(eigenvalue, not_negative, "eigenvalue", "finite and >= 0")
    check(within, not_negative, "within", "a variance, finite and >= 0")
    log_signal, log_steps = table.log_alpha_bars[1:], table.log_steps
    value, width = (as_float(v).astype(log_steps.dtype) for v in (eigenvalue, within))
    signal = jnp.exp(log_signal)
    noised = -jnp.expm1(log_signal) + width * signal
    slope = (value * signal / noised - 1) / noised
    # In logs: a factor may differ from one by less than a square root rounds.
    factor = jnp.log1p(-jnp.expm1(log_steps) * slope) - 0.5 * log_steps
    index = jnp.arange(table.num_steps, dtype=jnp.int32)
    return jnp.max(jnp.where(factor > 0, index, np.int32(-1)))
