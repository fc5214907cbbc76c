"""What every process is: a clock t -> (alpha, sigma) of the Gaussian channel."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, DTypeLike, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import Key, Point, ScalarLike, TimesLike
from jaxwin.processes._fields import as_float, like


class Prior(eqx.Module):
    """Law of x at the noisy end of a process: N(0, std^2 I)."""

    std: Float[Array, ""] = eqx.field(converter=as_float)

    def __check_init__(self):
        # Under a trace the std is that of a process, which has been checked.
        if is_concrete(self.std) and not bool((self.std > 0) & jnp.isfinite(self.std)):
            raise ValueError(f"`std` is {self.std:g}; it must be finite and positive.")

    def sample(self, key: Key, size: int) -> Point:
        """Draw one point of dimension `size`."""
        return self.std * jr.normal(key, (size,), self.std.dtype)

    def log_density(self, x: Point) -> Float[Array, ""]:
        """Value log N(x; 0, std^2 I) = -|x/std|^2 / 2 - d log(std sqrt(2 pi))."""
        std = like(self.std, x)
        log_norm = jnp.log(std) + 0.5 * jnp.log(2 * jnp.pi)
        return -0.5 * jnp.sum((x / std) ** 2) - x.size * log_norm


class AbstractProcess(eqx.Module):
    """A clock: noise time t -> (alpha, sigma) of the channel x = alpha x0 + sigma z.

    The same process as an SDE reads dx = f x dt + g dW, with

        f = d log(alpha)/dt,    g^2 = d sigma^2/dt - 2 f sigma^2.

    Every method works elementwise on times of any shape, keeps their float dtype and
    takes Python numbers too. Times are in the units of this clock, small is clean.
    Outside `domain` the formulas are continued as they stand and may give NaN.

    References:
        Song et al. (2021), arXiv:2011.13456, section 3 and appendix B.
        Kingma et al. (2021), arXiv:2107.00630, section 3 (the log-SNR).
    """

    @property
    @abc.abstractmethod
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """Clean end and noisy end of time (low, high); high may be infinite."""

    @abc.abstractmethod
    def alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Signal amplitude of the channel x = alpha x0 + sigma z."""

    @abc.abstractmethod
    def sigma(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise standard deviation of the channel x = alpha x0 + sigma z."""

    def levels(
        self, t: TimesLike, dtype: DTypeLike | None = None
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """Amplitudes (alpha, sigma) of the channel, in the type of what is noised."""
        return jnp.asarray(self.alpha(t), dtype), jnp.asarray(self.sigma(t), dtype)

    @abc.abstractmethod
    def log_snr(self, t: TimesLike) -> Float[Array, "..."]:
        """log-SNR 2 log(alpha/sigma), decreasing in t; infinite at a clean end."""

    @abc.abstractmethod
    def time(self, log_snr: TimesLike) -> Float[Array, "..."]:
        """Inverse of `log_snr`; where the clock does not reach, it is continued.

        `convert` stays within the domain and says where it had to.
        """

    @abc.abstractmethod
    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = d log(alpha)/dt of dx = f x dt + g dW, per unit of this clock."""

    @abc.abstractmethod
    def diffusion_sq(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise rate g^2 = d sigma^2/dt - 2 f sigma^2, per unit of this clock."""

    @abc.abstractmethod
    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/dt; finite at both ends also where f is not."""

    @abc.abstractmethod
    def variance_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d sigma^2/dt; finite at both ends also where g^2 is not."""

    @abc.abstractmethod
    def prior(self) -> Prior:
        """Law of x at the noisy end of the domain (data of unit scale or less)."""


class AbstractVariancePreserving(AbstractProcess):
    """Processes with alpha^2 + sigma^2 = 1, given by log(alpha) as a function of time.

        sigma^2 = -expm1(2 log alpha),    log-SNR = 2 log alpha - log sigma^2,
        log alpha = -softplus(-log-SNR)/2,    g^2 = -2 f.

    Everything follows from log(alpha), never from 1 - alpha^2, so no digits are lost
    at the clean end. The prior is N(0, I).
    """

    @abc.abstractmethod
    def log_alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """log(alpha), zero at the clean end and accurate relative to itself there."""

    @abc.abstractmethod
    def time_of_log_alpha(self, log_alpha: TimesLike) -> Float[Array, "..."]:
        """Inverse of `log_alpha`, for values <= 0."""

    def alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Signal amplitude exp(log alpha)."""
        return jnp.exp(self.log_alpha(t))

    def sigma(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise standard deviation sqrt(-expm1(2 log alpha))."""
        return jnp.sqrt(_variance(2 * self.log_alpha(t)))

    def log_snr(self, t: TimesLike) -> Float[Array, "..."]:
        """log-SNR 2 log alpha - log(-expm1(2 log alpha))."""
        twice = 2 * self.log_alpha(t)
        return twice - jnp.log(_variance(twice))

    def time(self, log_snr: TimesLike) -> Float[Array, "..."]:
        """Time at which log alpha = -softplus(-log-SNR)/2."""
        return self.time_of_log_alpha(-0.5 * jax.nn.softplus(-as_float(log_snr)))

    def diffusion_sq(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise rate g^2 = -2 f, since d sigma^2/dt = -2 f alpha^2."""
        return -2 * self.drift_coefficient(t)

    def variance_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d sigma^2/dt = -2 alpha d alpha/dt."""
        return -2 * self.alpha(t) * self.alpha_rate(t)

    def prior(self) -> Prior:
        """N(0, I)."""
        return Prior(1.0)


def _variance(twice_log_alpha: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 - alpha^2; the difference keeps zero from turning into -0 at the clean end."""
    return 0.0 - jnp.expm1(twice_log_alpha)
