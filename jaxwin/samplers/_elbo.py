"""The variational bound on the log-likelihood of a discrete backward chain."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._random import normals
from jaxwin._typing import Index, Key, Point
from jaxwin.samplers._base import check_grid
from jaxwin.samplers._likelihood import (
    Likelihood,
    LogDensity,
    mean_of_draws,
    start_density,
)
from jaxwin.scores import AbstractScore, ExactScore


def elbo(
    score: AbstractScore,
    x: Point,
    times: Float[Array, " t"],
    key: Key,
    replica: Index = 0,
    *,
    draws: int = 16,
    prior: LogDensity | None = None,
) -> Likelihood:
    """Unbiased estimate of a lower bound of log p(x), x at e = times[-1].

    p is the law of what the ancestral chain makes: it starts from the prior at
    T = times[0], and moves from t to s by N(mu(m(x_t)), var(x_s | x_t, x_0)), where
    m(x_t) = E[x_e | x_t] is the prediction of x_e and mu(x_e) = E[x_s | x_t, x_e]; its
    last move, from t', is N(m(x_t'), n(t') I). With n(t) = sigma^2/alpha^2 of the
    channel from e to t, and r the share of x_s's noise that came after e over the same
    share at t,

        bound = - KL(q(x_T | x) || prior) + E log N(x; m(x_t'), n(t') I)
                - sum over t > s > e of
                  r (1/n(s) - 1/n(t)) E |x - m(x_t)|^2 / 2 + d (r - 1 - log r) / 2.

    Where e is clean r = 1 and 1/n is the SNR: the discrete-time loss of variational
    diffusion models. The bound is on the density of the noised point x_e, as in
    `log_likelihood`: that of clean data only where sigma(e) = 0, which is allowed here,
    since no score is asked at e.

    With the exact score the mean of bound - log p_e over p_e is minus the divergence of
    the chain from the true backward process, the prior's part included. It falls as one
    over the number of steps (at sigma(e) = 0 down to what the last move costs). At a
    single x the difference may have either sign.

    Args:
        score: The score, which knows its process. It is evaluated at all times but the
            last; where alpha = 0 (u = 1) only an exact one can be.
        x: The point at times[-1].
        times: Times, strictly decreasing, at least two.
        key: Root key; the noise of time i depends on (key, replica, i) alone.
        replica: Which replica this is.
        draws: Independent estimates that are averaged; two at least for a finite
            standard error. Each takes one score at every time but the last.
        prior: As in `log_likelihood`. That of the process is integrated exactly, one
            that is given by the draws.

    Raises:
        ValueError: Times that do not decrease, leave the clock or are fewer than two,
            fewer than one draw, a point that is not finite, or no `prior` where the
            process's own is not the law of the noise.
        FloatingPointError: The bound is not finite (under a trace `solved` is false).

    References:
        Kingma et al. (2021), arXiv:2107.00630, section 4 (discrete time).
        Ho, Jain, Abbeel (2020), arXiv:2006.11239, equation 5.
    """
    check_grid(score.process, times)
    if is_concrete(x) and not np.all(np.isfinite(x)):
        raise ValueError("`x` is not finite everywhere; drop NaN and infinity.")
    if draws < 1:
        raise ValueError(f"`draws` is {draws}; it must be at least 1.")
    log_prior = start_density(score, times, prior)
    times, process = times.astype(x.dtype), score.process
    log_snr = process.log_snr(times).astype(x.dtype)
    alpha_end, _ = score.levels(x, times[-1])
    weights, constant = _weights(log_snr, alpha_end, x.size)

    def loss(interval):
        i, weight = interval
        # Else XLA makes the random words again for each of their uses, and compiles for
        # minutes on jax 0.12.
        z = jax.lax.optimization_barrier(
            normals(key, replica, i, draws, x.size, x.dtype)
        )
        signal, noise = _channel(score, x, times, i)
        points = signal * x[None] + noise * z
        missed = _predicted(score, points, times, i) - x[None]
        return weight * jnp.sum(missed**2, axis=1), points

    count = times.size - 1
    index = jnp.arange(count, dtype=jnp.int32)
    first, starts = loss((index[0], weights[0]))
    body = lambda total, interval: (total + loss(interval)[0], None)
    losses = jax.lax.scan(body, first, (index[1:], weights[1:]))[0]
    signal, noise = _channel(score, x, times, 0)
    if prior is None:
        std = process.prior().std.astype(x.dtype)
        ratio = (noise / std) ** 2
        closeness = -0.5 * (
            x.size * (ratio - 1 - jnp.log(ratio)) + jnp.sum((signal * x / std) ** 2)
        )
    else:
        entropy = 0.5 * x.size * (1 + jnp.log(2 * jnp.pi * noise**2))
        closeness = jax.vmap(log_prior)(starts) + entropy
    mean, stderr = mean_of_draws(closeness - losses - constant)
    if is_concrete(mean) and not np.isfinite(mean):
        raise FloatingPointError(
            f"the bound is {float(mean)}: the score is not finite, or "
            f"`times` begin at alpha = 0 with a score that is not exact."
        )
    return Likelihood(
        value=mean,
        stderr=stderr,
        evaluations=jnp.asarray(draws * count, jnp.int32),
        solved=jnp.isfinite(mean),
        method=f"variational bound, {count} steps, {draws} draws",
    )


def _weights(
    log_snr: Float[Array, " t"], alpha_end: Float[Array, ""], dimension: int
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Weights of |x - m(x_t)|^2 at all times but the last, and what stands beside.

    In log-SNR l, so that neither close times nor a time without signal lose digits:
    with the fresh share q_t = -expm1(l_t - l_e), n(t) = alpha_e^2 e^-l_t q_t and
    r = q_s/q_t, so r (1/n(s) - 1/n(t)) = -expm1(l_t - l_s) e^l_s/(alpha_e q_t)^2.
    """
    fresh = -jnp.expm1(log_snr[:-1] - log_snr[-1])
    moved = -jnp.expm1(log_snr[:-2] - log_snr[1:-1]) / fresh[:-1] ** 2
    r = fresh[1:] / fresh[:-1]
    last = alpha_end**2 * jnp.exp(-log_snr[-2]) * fresh[-1]
    gaps = jnp.append(moved * jnp.exp(log_snr[1:-1]) / alpha_end**2, 1 / last)
    widths = jnp.sum(r - 1 - jnp.log(r)) + jnp.log(2 * jnp.pi * last)
    return 0.5 * gaps, 0.5 * dimension * widths


def _channel(
    score: AbstractScore, x: Point, times: Float[Array, " t"], i: Index
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Amplitudes of x_t = a x_e + b z, of time i seen from the last."""
    alpha, sigma = score.levels(x, times[i])
    return alpha / score.levels(x, times[-1])[0], sigma * jnp.sqrt(
        _fresh(score, x, times, i)
    )


def _fresh(
    score: AbstractScore, x: Point, times: Float[Array, " t"], i: Index
) -> Float[Array, ""]:
    """Share of the noise variance at time i that came after the last time."""
    log_snr = score.process.log_snr(times[i]) - score.process.log_snr(times[-1])
    return -jnp.expm1(log_snr.astype(x.dtype))


def _predicted(
    score: AbstractScore,
    points: Float[Array, "m d"],
    times: Float[Array, " t"],
    i: Index,
) -> Float[Array, "m d"]:
    """Means E[x_e | x_t] of the last time's point."""
    t, fresh = times[i], _fresh(score, points[0], times, i)
    alpha, sigma = score.levels(points, t)
    alpha_end, sigma_end = score.levels(points, times[-1])
    if not isinstance(score, ExactScore):
        pushed = points + sigma**2 * fresh * score.many(points, t)
        return pushed * (alpha_end / alpha)
    denoised = jax.vmap(lambda y: score.denoised(y, t))(points)
    old = alpha / alpha_end * (sigma_end / sigma) ** 2
    return old * points + alpha_end * fresh * denoised
