"""The logistic density."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._typing import ScalarLike
from jaxwin.targets.factors._arguments import number, positive_number
from jaxwin.targets.factors._concave import AbstractConcaveFactor


class Logistic(AbstractConcaveFactor):
    """Density sech^2((u - mean) / 2 scale) / (4 scale)."""

    mean: Float[Array, ""]
    scale: Float[Array, ""]

    @property
    def num_nodes(self) -> int:
        """Nodes of a panel: its poles lie pi scales off the line."""
        return 48

    def edges(self) -> Float[Array, " p_plus_one"]:
        """The whole line."""
        infinity = jnp.full_like(self.mean, jnp.inf)
        return jnp.stack([-infinity, infinity])

    def centre(self) -> Float[Array, ""]:
        """The mean."""
        return self.mean

    def width(self) -> Float[Array, ""]:
        """The scale."""
        return self.scale

    def log_normaliser(self) -> Float[Array, ""]:
        """Log of the integral."""
        return jnp.log(self.scale)

    def log_density(
        self, u: Float[Array, "*s"], piece: Int[Array, "*s"]
    ) -> Float[Array, "*s"]:
        """Minus 2 log cosh((u - mean) / 2 scale), up to a constant."""
        y = (u - self.mean) / self.scale
        return -y - 2 * jax.nn.softplus(-y)

    def log_ratio(
        self,
        u: Float[Array, ""],
        shift: Float[Array, "p n"],
        home: Int[Array, ""],
        piece: Int[Array, "p 1"],
    ) -> Float[Array, "p n"]:
        """Of two values."""
        y, shift = (u - self.mean) / self.scale, shift / self.scale
        return -shift - 2 * (jax.nn.softplus(-y - shift) - jax.nn.softplus(-y))


def logistic(mean: ScalarLike, scale: ScalarLike) -> Logistic:
    """Density sech^2((u - mean) / 2 scale) / (4 scale); variance (pi scale)^2 / 3.

    Raises:
        ValueError: A scale that is not finite and positive, a mean that is not finite.
    """
    return Logistic(number(mean, "mean"), positive_number(scale, "scale"))
