"""A Gaussian cut to an interval."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._typing import ScalarLike
from jaxwin.targets.factors._arguments import number, positive_number
from jaxwin.targets.factors._base import DROP
from jaxwin.targets.factors._concave import AbstractConcaveFactor
from jaxwin.targets.factors._quadrature import log_integral


class TruncatedGaussian(AbstractConcaveFactor):
    """Density ~ exp(-(u - mean)^2 / 2 variance) between `low` and `high`."""

    low: Float[Array, ""]
    high: Float[Array, ""]
    mean: Float[Array, ""]
    variance: Float[Array, ""]

    @property
    def num_nodes(self) -> int:
        """Nodes of a panel."""
        return 48

    def edges(self) -> Float[Array, " p_plus_one"]:
        """The ends of the interval."""
        return jnp.stack([self.low, self.high])

    def centre(self) -> Float[Array, ""]:
        """The mode."""
        return jnp.clip(self.mean, self.low, self.high)

    def width(self) -> Float[Array, ""]:
        """Of the Gaussian, of the interval or of the layer at its end."""
        away = jnp.abs(self.centre() - self.mean)
        layer = self.variance / jnp.where(away > 0, away, 1)
        layer = jnp.where(away > 0, layer, jnp.inf)
        within = jnp.minimum(jnp.sqrt(self.variance), self.high - self.low)
        return jnp.minimum(layer, within)

    def log_normaliser(self) -> Float[Array, ""]:
        """Log of the integral."""
        top = self.centre()
        away = jnp.abs(top - self.mean)
        # Where the exponent is DROP below the top.
        drop = 2 * DROP * self.variance
        reach = jax.lax.stop_gradient(drop / (jnp.sqrt(away**2 + drop) + away))
        low = jnp.where(self.low < top - reach, top - reach, self.low)
        high = jnp.where(self.high > top + reach, top + reach, self.high)
        density = lambda u: -0.5 * (u - self.mean) ** 2 / self.variance
        return log_integral(density, jnp.stack([low, top]), jnp.stack([top, high]))

    def log_density(
        self, u: Float[Array, "*s"], piece: Int[Array, "*s"]
    ) -> Float[Array, "*s"]:
        """Minus (u - mean)^2 / 2 variance."""
        return -0.5 * (u - self.mean) ** 2 / self.variance

    def log_ratio(
        self,
        u: Float[Array, ""],
        shift: Float[Array, "p n"],
        home: Int[Array, ""],
        piece: Int[Array, "p 1"],
    ) -> Float[Array, "p n"]:
        """Of two values."""
        return -0.5 * shift * (2 * (u - self.mean) + shift) / self.variance


def truncated_gaussian(
    low: ScalarLike, high: ScalarLike, mean: ScalarLike, variance: ScalarLike
) -> TruncatedGaussian:
    """N(mean, variance) given that it lies in [low, high]; either may be infinite.

    Raises:
        ValueError: `low` not below `high`, a variance that is not finite and positive.
    """
    low, high = number(low, "low", False), number(high, "high", False)
    if is_concrete(low, high) and not low < high:
        raise ValueError(
            f"`low` is {low:g} and `high` {high:g}; an interval needs low < high."
        )
    variance = positive_number(variance, "variance")
    return TruncatedGaussian(low, high, number(mean, "mean"), variance)
