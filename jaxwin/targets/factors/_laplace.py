"""The two-sided exponential."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._typing import ScalarLike
from jaxwin.targets.factors._arguments import number, positive_number
from jaxwin.targets.factors._concave import AbstractConcaveFactor


class Laplace(AbstractConcaveFactor):
    """Density exp(-|u - mean| / scale) / (2 scale): two pieces that meet in a kink."""

    mean: Float[Array, ""]
    scale: Float[Array, ""]

    @property
    def num_nodes(self) -> int:
        """Nodes of a panel."""
        return 48

    def edges(self) -> Float[Array, " p_plus_one"]:
        """The kink, and infinity on both sides."""
        infinity = jnp.full_like(self.mean, jnp.inf)
        return jnp.stack([-infinity, self.mean, infinity])

    def centre(self) -> Float[Array, ""]:
        """The kink."""
        return self.mean

    def width(self) -> Float[Array, ""]:
        """The scale."""
        return self.scale

    def log_normaliser(self) -> Float[Array, ""]:
        """Log of the integral."""
        return jnp.log(2 * self.scale)

    def log_density(
        self, u: Float[Array, "*s"], piece: Int[Array, "*s"]
    ) -> Float[Array, "*s"]:
        """Rising on piece 0, falling on piece 1."""
        return self._fall(u - self.mean, piece)

    def log_ratio(
        self,
        u: Float[Array, ""],
        shift: Float[Array, "p n"],
        home: Int[Array, ""],
        piece: Int[Array, "p 1"],
    ) -> Float[Array, "p n"]:
        """Of two values."""
        # From the kink, for what lies beyond it.
        across = self._fall(u - self.mean, piece) - self._fall(u - self.mean, home)
        return self._fall(shift, piece) + jnp.where(piece == home, 0, across)

    def _fall(self, away: Array, piece: Array) -> Array:
        return jnp.where(piece == 0, away, -away) / self.scale


def laplace(mean: ScalarLike, scale: ScalarLike) -> Laplace:
    """Density exp(-|u - mean| / scale) / (2 scale); its variance is 2 scale^2.

    Raises:
        ValueError: A scale that is not finite and positive, a mean that is not finite.
    """
    return Laplace(number(mean, "mean"), positive_number(scale, "scale"))
