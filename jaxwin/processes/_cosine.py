import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes._base import AbstractVariancePreserving
from jaxwin.processes._fields import as_float, like, parameter


class Cosine(AbstractVariancePreserving):
    """Cosine schedule in continuous time, t in [0, 1]; alpha is exactly 0 at t = 1.

        alpha = cos(theta)/cos(theta_0),
        theta = (pi/2) (t + offset)/(1 + offset),    theta_0 = theta(t = 0).

    f and g^2 diverge as t -> 1, while d alpha/dt and d sigma^2/dt stay finite. The
    clipped table of the paper is `DiscreteDDPM(schedule="cosine")`.

    Args:
        offset: The paper's s, >= 0; 0 is the plain cosine.

    Raises:
        ValueError: The offset is not a finite number >= 0.

    References:
        Nichol, Dhariwal (2021), arXiv:2102.09672, equation 17.
    """

    offset: Float[Array, ""] = eqx.field(
        default=0.008, converter=parameter("offset", zero=True)
    )

    @property
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """Time from 0 (clean) to 1 (no signal at all)."""
        return 0.0, 1.0

    def log_alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """log(cos(theta)/cos(theta_0)), in a form exact at each end of time."""
        t = as_float(t)
        speed, first = self._angles(t)
        early = t <= 0.5
        # Near clean: 1 - alpha is a sum of positive terms. Near noise: cos(theta) is
        # the sine of the angle left. A masked branch must stay finite for gradients.
        angle = speed * jnp.where(early, t, 0.5)
        lost = 2 * jnp.sin(angle / 2) ** 2 + jnp.tan(first) * jnp.sin(angle)
        left = jnp.sin(speed * (1 - jnp.where(early, 0.5, t)))
        return jnp.where(early, jnp.log1p(-lost), jnp.log(left) - jnp.log(self._end(t)))

    def time_of_log_alpha(self, log_alpha: TimesLike) -> Float[Array, "..."]:
        """Angle theta - theta_0 from its sine and cosine, free of cancellation.

        With c, s = cos, sin of theta_0 and root = sqrt(s^2 + c^2 sigma^2) = sin(theta):
        sin = c sigma^2/(root + alpha s), cos = alpha c^2 + s root.
        """
        log_alpha = as_float(log_alpha)
        speed, first = self._angles(log_alpha)
        c, s = self._end(log_alpha), jnp.sin(first)
        alpha, variance = jnp.exp(log_alpha), -jnp.expm1(2 * log_alpha)
        root = jnp.sqrt(s**2 + c**2 * variance)
        below = root + alpha * s
        # Without an offset the clean end is 0/0, with limit 0.
        sine = c * variance / jnp.where(below > 0, below, 1.0)
        return jnp.atan2(sine, alpha * c**2 + s * root) / speed

    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = -(pi/2) tan(theta)/(1 + offset); minus infinity at t = 1."""
        t = as_float(t)
        speed, first = self._angles(t)
        # The angle left keeps infinity at the end; rounded, it may pass a right angle
        # at the clean end without an offset and turn the sign of g^2.
        late = -speed / jnp.tan(speed * (1 - t))
        return jnp.where(t <= 0.5, -speed * jnp.tan(first + speed * t), late)

    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/dt = -(pi/2) sin(theta)/((1 + offset) cos(theta_0))."""
        t = as_float(t)
        speed, first = self._angles(t)
        return -speed * jnp.sin(first + speed * t) / self._end(t)

    def _angles(
        self, t: Float[Array, "..."]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Angle per unit of time, and theta_0."""
        offset = like(self.offset, t)
        speed = 0.5 * jnp.pi / (1 + offset)
        return speed, speed * offset

    def _end(self, t: Float[Array, "..."]) -> Float[Array, ""]:
        """cos(theta_0), written as `log_alpha` writes cos(theta)."""
        return jnp.sin(self._angles(t)[0])
