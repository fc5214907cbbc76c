"""At which noise a network is trained, and what an error there counts."""

import abc
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin.processes import AbstractProcess

Weighting = Literal["network", "noise", "denoised"]


class AbstractLevels(eqx.Module):
    """A law of noise levels, by its quantiles: stratified ones make an even batch."""

    @abc.abstractmethod
    def log_snr(
        self, u: Float[Array, " b"], std: Float[Array, ""]
    ) -> Float[Array, " b"]:
        """Log-SNRs log(alpha^2 / sigma^2) at quantiles u; `std` is that of the data."""


class LogNormal(AbstractLevels):
    """log(sigma / (alpha s)) ~ N(centre, width^2), s^2 the variance of the data.

    References:
        Karras et al. (2022), arXiv:2206.00364, table 1: P_mean = -1.2 at s = 1/2 is
        `centre` = -0.5 in units of s, and P_std = 1.2.
    """

    centre: float = -0.5
    width: float = 1.2

    def log_snr(
        self, u: Float[Array, " b"], std: Float[Array, ""]
    ) -> Float[Array, " b"]:
        """Log-SNRs at quantiles u."""
        return -2 * (jnp.log(std) + self.centre + self.width * ndtri(u))


class EvenLogSNR(AbstractLevels):
    """Log-SNRs evenly between `low` and `high`."""

    low: float = -8.0
    high: float = 8.0

    def __check_init__(self):
        if not self.low < self.high:
            raise BadInput(
                f"`low` is {self.low:g} and `high` {self.high:g}; it must be below."
            )

    def log_snr(
        self, u: Float[Array, " b"], std: Float[Array, ""]
    ) -> Float[Array, " b"]:
        """Log-SNRs at quantiles u."""
        return self.high + u * (self.low - self.high)


class EvenTime(AbstractLevels):
    """Times evenly over the clock of a process, as in the training of DDPM.

    Attributes:
        process: The clock.
        start: Noisy end; that of the clock if left out, which must then be finite.
        limit: Log-SNRs are kept in +-limit, which clocks leave at their ends.
    """

    process: AbstractProcess
    start: float | None = None
    limit: float = 16.0

    def __check_init__(self):
        if not jnp.isfinite(self._end()):
            raise BadInput(
                "`start` is left out and the clock has no noisy end; give the time at "
                "which noising ends."
            )

    def log_snr(
        self, u: Float[Array, " b"], std: Float[Array, ""]
    ) -> Float[Array, " b"]:
        """Log-SNRs at quantiles u."""
        low = jnp.asarray(self.process.domain[0], u.dtype)
        times = low + u * (jnp.asarray(self._end(), u.dtype) - low)
        return jnp.clip(self.process.log_snr(times), -self.limit, self.limit)

    def _end(self):
        return self.process.domain[1] if self.start is None else self.start


def relative_weight(
    weighting: Weighting, log_snr: Float[Array, " b"], std: Float[Array, ""]
) -> Float[Array, " b"]:
    """What |F - F*|^2 counts, the squared error of the network itself.

    Squared errors of the denoised point are s^2 / (1 + s^2 snr) times those of F, and
    those of the predicted noise snr times these. "network" counts all levels alike (the
    weighting of EDM); "noise" is the loss of DDPM, and over even log-SNRs, up to a
    constant, the path-space divergence int (1/2) |x0 - D|^2 d snr; "denoised" counts
    |x0 - D|^2 / s^2.
    """
    size = std**2 * jnp.exp(log_snr)
    if weighting == "noise":
        return size / (1 + size)
    if weighting == "denoised":
        return 1 / (1 + size)
    return jnp.ones_like(log_snr)
