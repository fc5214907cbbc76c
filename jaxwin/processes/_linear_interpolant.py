import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes._base import AbstractProcess, Prior
from jaxwin.processes._fields import as_float


class LinearInterpolant(AbstractProcess):
    """The straight path of flow matching, x = (1 - u) x0 + u z, u in [0, 1].

    alpha = 1 - u,    sigma = u,    f = -1/(1 - u),    g^2 = 2u/(1 - u).

    u = 0 is clean and u = 1 is noise (many papers count the other way). f and g^2
    diverge as u -> 1, while d alpha/du = -1 and d sigma^2/du = 2u stay finite.

    References:
        Liu, Gong, Liu (2022), arXiv:2209.03003, section 2.1.
        Lipman et al. (2022), arXiv:2210.02747, equation 20 (sigma_min = 0).
    """

    @property
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """Time u from 0 (clean) to 1 (no signal at all)."""
        return 0.0, 1.0

    def alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Signal alpha = 1 - u."""
        return 1 - as_float(t)

    def sigma(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise sigma = u."""
        return as_float(t)

    def log_snr(self, t: TimesLike) -> Float[Array, "..."]:
        """2 (log(1 - u) - log u)."""
        t = as_float(t)
        return 2 * (jnp.log1p(-t) - jnp.log(t))

    def time(self, log_snr: TimesLike) -> Float[Array, "..."]:
        """Time u = 1/(1 + exp(log-SNR/2))."""
        return jax.nn.sigmoid(-0.5 * as_float(log_snr))

    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = -1/(1 - u); minus infinity at u = 1."""
        return -1 / (1 - as_float(t))

    def diffusion_sq(self, t: TimesLike) -> Float[Array, "..."]:
        """Noise rate g^2 = 2u/(1 - u); infinite at u = 1."""
        t = as_float(t)
        return 2 * t / (1 - t)

    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/du = -1."""
        return -jnp.ones_like(as_float(t))

    def variance_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d sigma^2/du = 2u."""
        return 2 * as_float(t)

    def prior(self) -> Prior:
        """N(0, I)."""
        return Prior(1.0)
