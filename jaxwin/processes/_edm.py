import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes._base import AbstractProcess, Prior
from jaxwin.processes._fields import as_float, parameter


class EDM(AbstractProcess):
    """The clock whose time is the noise itself, t = sigma in [0, sigma_max].

    alpha = 1,    sigma = t,    f = 0,    g^2 = 2t.

    Args:
        sigma_max: Noise at the noisy end, > 0.

    Raises:
        ValueError: `sigma_max` is not a finite positive number.

    References:
        Karras et al. (2022), arXiv:2206.00364, table 1 (last column).
    """

    sigma_max: Float[Array, ""] = eqx.field(
        default=80.0, converter=parameter("sigma_max")
    )

    @property
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """Noise from 0 (clean) to sigma_max."""
        return 0.0, self.sigma_max

    def alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Signal alpha = 1."""
        return jnp.ones_like(as_float(t))

    def sigma(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise sigma = t."""
        return as_float(t)

    def log_snr(self, t: TimesLike) -> Float[Array, "..."]:
        """-2 log t."""
        return -2 * jnp.log(as_float(t))

    def time(self, log_snr: TimesLike) -> Float[Array, "..."]:
        """Time t = exp(-log-SNR/2)."""
        return jnp.exp(-0.5 * as_float(log_snr))

    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = 0."""
        return jnp.zeros_like(as_float(t))

    def diffusion_sq(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise rate g^2 = 2t."""
        return 2 * as_float(t)

    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/dt = 0."""
        return jnp.zeros_like(as_float(t))

    def variance_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d sigma^2/dt = 2t."""
        return 2 * as_float(t)

    def prior(self) -> Prior:
        """N(0, sigma_max^2 I)."""
        return Prior(self.sigma_max)
