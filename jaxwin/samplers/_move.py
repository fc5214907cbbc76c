"""A move from t to s < t in the terms of exponential integrators.

With rho = sigma / alpha and h = log(rho_t / rho_s), half the gain of log-SNR, the
probability flow is dx/alpha = eps drho and every first-order transfer is closed form on
every clock. h is infinite where s is clean; all factors here have their limits there.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AnyScore, Points


class Move(eqx.Module):
    """Levels of the channel at t and at s, and h = (log-SNR(s) - log-SNR(t)) / 2."""

    alpha_t: Float[Array, ""]
    sigma_t: Float[Array, ""]
    alpha_s: Float[Array, ""]
    sigma_s: Float[Array, ""]
    h: Float[Array, ""]

    def transfer(self, x: Points, data: Points) -> Points:
        """The flow at a frozen denoiser: sigma_s/sigma_t x + alpha_s (1 - e^-h) D."""
        gain = -jnp.expm1(-self.h)
        return (self.sigma_s / self.sigma_t) * x + self.alpha_s * gain * data

    def bridge(self, x: Points, data: Points, z: Points) -> Points:
        """x_s given x_t and clean data, exactly: the Gaussian bridge.

        sigma_s/sigma_t e^-h x + alpha_s (1 - e^-2h) D + sigma_s sqrt(1 - e^-2h) z
        """
        gain = -jnp.expm1(-2 * self.h)
        kept = (self.sigma_s / self.sigma_t) * jnp.exp(-self.h)
        spread = self.sigma_s * jnp.sqrt(gain)
        return kept * x + self.alpha_s * gain * data + spread * z

    def grown(self) -> Float[Array, ""]:
        """alpha_s / alpha_t: what the linear drift alone does to a point."""
        return self.alpha_s / self.alpha_t

    def linear_noise(self) -> Float[Array, ""]:
        """Standard deviation alpha_s sqrt(rho_t^2 - rho_s^2) of that drift's noise."""
        return self.grown() * self.sigma_t * jnp.sqrt(-jnp.expm1(-2 * self.h))


def move(score: AnyScore, x: Points, t: ScalarLike, s: ScalarLike) -> Move:
    """The move from t to s, in the type of x."""
    process = score.process
    h = (process.log_snr(s) - process.log_snr(t)) / 2
    levels = process.alpha(t), process.sigma(t), process.alpha(s), process.sigma(s), h
    return Move(*(jnp.asarray(level, x.dtype) for level in levels))


def halfway(score: AnyScore, t: ScalarLike, s: ScalarLike) -> Float[Array, ""]:
    """The time halfway between t and s in log-SNR."""
    process = score.process
    return process.time((process.log_snr(t) + process.log_snr(s)) / 2)


def denoised(score: AnyScore, x: Points, t: ScalarLike) -> Points:
    """Posterior mean (x + sigma^2 score) / alpha, one evaluation."""
    alpha, sigma = score.process.levels(t, x.dtype)
    return (x + sigma**2 * score(x, t)) / alpha


def noise(score: AnyScore, x: Points, t: ScalarLike) -> Points:
    """Noise prediction -sigma score, one evaluation."""
    return -score.process.levels(t, x.dtype)[1] * score(x, t)


def unless_clean(
    sigma: Float[Array, ""], better: Callable[[], Points], first: Points
) -> Points:
    """`better()`, which needs a score at sigma, or `first` where sigma = 0."""
    return jax.lax.cond(sigma > 0, better, lambda: first)
