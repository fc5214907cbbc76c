import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes._base import AbstractVariancePreserving
from jaxwin.processes._fields import as_float


class OrnsteinUhlenbeck(AbstractVariancePreserving):
    """The reference clock: dx = -x dt + sqrt(2) dW, t in [0, inf).

    alpha = e^{-t},    sigma^2 = 1 - e^{-2t},    f = -1,    g^2 = 2.

    References:
        Biroli, Bonnaire, de Bortoli, Mezard (2024), arXiv:2402.18491, section 2.
    """

    @property
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """OU time from 0 (clean) to infinity."""
        return 0.0, float("inf")

    def log_alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Return -t."""
        return -as_float(t)

    def time_of_log_alpha(self, log_alpha: TimesLike) -> Float[Array, "..."]:
        """Return -log alpha."""
        return -as_float(log_alpha)

    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = -1."""
        return -jnp.ones_like(as_float(t))

    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/dt = -e^{-t}."""
        return -self.alpha(t)
