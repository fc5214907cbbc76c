import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes._base import AbstractVariancePreserving
from jaxwin.processes._fields import as_float, like, parameter


class VariancePreserving(AbstractVariancePreserving):
    """Variance-preserving SDE with a linear rate, t in [0, 1].

        dx = -beta(t)/2 x dt + sqrt(beta(t)) dW,
        beta(t) = beta_min + t (beta_max - beta_min),
        log alpha = -B/2,    B(t) = beta_min t + (beta_max - beta_min) t^2/2.

    This is the continuous schedule; the table of a discrete sampler is `DiscreteDDPM`,
    and the two are not the same process.

    Args:
        beta_min: Rate at the clean end, > 0.
        beta_max: Rate at the noisy end, > 0; equal to `beta_min` is a constant rate.

    Raises:
        ValueError: A rate is not a finite positive number.

    References:
        Song et al. (2021), arXiv:2011.13456, appendix C.
    """

    beta_min: Float[Array, ""] = eqx.field(default=0.1, converter=parameter("beta_min"))
    beta_max: Float[Array, ""] = eqx.field(
        default=20.0, converter=parameter("beta_max")
    )

    @property
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """Time from 0 (clean) to 1."""
        return 0.0, 1.0

    def log_alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Value log alpha = -t (2 beta_min + (beta_max - beta_min) t)/4."""
        t = as_float(t)
        first, last = like(self.beta_min, t), like(self.beta_max, t)
        return -0.25 * t * (2 * first + (last - first) * t)

    def time_of_log_alpha(self, log_alpha: TimesLike) -> Float[Array, "..."]:
        """Time t = 2B/(beta_min + sqrt(beta_min^2 + 2 (beta_max - beta_min) B))."""
        log_alpha = as_float(log_alpha)
        first, last = like(self.beta_min, log_alpha), like(self.beta_max, log_alpha)
        integral = -2 * log_alpha
        # A falling rate never brings B past the domain's end; the root stops there.
        square = jnp.maximum(first**2 + 2 * (last - first) * integral, 0.0)
        return 2 * integral / (first + jnp.sqrt(square))

    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = -beta(t)/2."""
        t = as_float(t)
        first, last = like(self.beta_min, t), like(self.beta_max, t)
        return -0.5 * (first + (last - first) * t)

    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/dt = f alpha."""
        return self.drift_coefficient(t) * self.alpha(t)
