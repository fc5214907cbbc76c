import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes._base import AbstractProcess, Prior
from jaxwin.processes._fields import as_float, like, parameter


class VarianceExploding(AbstractProcess):
    """Variance-exploding SDE with geometric noise, t in [0, 1]; never quite clean.

        alpha = 1,    sigma = sigma_min (sigma_max/sigma_min)^t,
        f = 0,    g^2 = d sigma^2/dt = 2 sigma^2 log(sigma_max/sigma_min).

    Its cleanest time t = 0 still has noise sigma_min, so that cleaner times of other
    clocks are out of its reach (`convert` says so).

    Args:
        sigma_min: Noise at t = 0, > 0.
        sigma_max: Noise at t = 1, > sigma_min.

    Raises:
        ValueError: Not 0 < sigma_min < sigma_max < infinity.

    References:
        Song et al. (2021), arXiv:2011.13456, appendix C.
    """

    sigma_min: Float[Array, ""] = eqx.field(converter=parameter("sigma_min"))
    sigma_max: Float[Array, ""] = eqx.field(converter=parameter("sigma_max"))

    def __check_init__(self):
        ends = (self.sigma_min, self.sigma_max)
        if is_concrete(ends) and not float(self.sigma_min) < float(self.sigma_max):
            raise ValueError(
                f"`sigma_max` is {self.sigma_max:g}; it must be larger than "
                f"`sigma_min`, which is {self.sigma_min:g}. Are the two exchanged?"
            )

    @property
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """Time from 0 (noise sigma_min) to 1 (noise sigma_max)."""
        return 0.0, 1.0

    def alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Signal alpha = 1."""
        return jnp.ones_like(as_float(t))

    def sigma(self, t: TimesLike) -> Float[Array, "..."]:
        """sigma_min (sigma_max/sigma_min)^t."""
        return jnp.exp(self._log_sigma(t))

    def log_snr(self, t: TimesLike) -> Float[Array, "..."]:
        """-2 log sigma."""
        return -2 * self._log_sigma(t)

    def time(self, log_snr: TimesLike) -> Float[Array, "..."]:
        """Time t = log(sigma/sigma_min)/log(sigma_max/sigma_min)."""
        log_snr = as_float(log_snr)
        first, last = self._ends(log_snr)
        return (-0.5 * log_snr - first) / (last - first)

    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = 0."""
        return jnp.zeros_like(as_float(t))

    def diffusion_sq(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise rate g^2 = 2 sigma^2 log(sigma_max/sigma_min)."""
        first, last = self._ends(as_float(t))
        return 2 * self.sigma(t) ** 2 * (last - first)

    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/dt = 0."""
        return jnp.zeros_like(as_float(t))

    def variance_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d sigma^2/dt = g^2."""
        return self.diffusion_sq(t)

    def prior(self) -> Prior:
        """N(0, sigma_max^2 I)."""
        return Prior(self.sigma_max)

    def _log_sigma(self, t: TimesLike) -> Float[Array, "..."]:
        t = as_float(t)
        first, last = self._ends(t)
        return (1 - t) * first + t * last

    def _ends(
        self, t: Float[Array, "..."]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return jnp.log(like(self.sigma_min, t)), jnp.log(like(self.sigma_max, t))
