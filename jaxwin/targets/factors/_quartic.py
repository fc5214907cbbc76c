"""The exponential of a quadratic and a quartic well."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._typing import ScalarLike
from jaxwin.targets.factors._arguments import number, positive_number
from jaxwin.targets.factors._base import DROP
from jaxwin.targets.factors._concave import AbstractConcaveFactor
from jaxwin.targets.factors._quadrature import log_integral


class Quartic(AbstractConcaveFactor):
    """Density ~ exp(-y^2 / 2 variance - y^4 / 4 quartic), y = u - mean."""

    mean: Float[Array, ""]
    variance: Float[Array, ""]
    quartic: Float[Array, ""]

    @property
    def num_nodes(self) -> int:
        """Nodes of a panel."""
        return 48

    def edges(self) -> Float[Array, " p_plus_one"]:
        """The whole line."""
        infinity = jnp.full_like(self.mean, jnp.inf)
        return jnp.stack([-infinity, infinity])

    def centre(self) -> Float[Array, ""]:
        """The mean."""
        return self.mean

    def width(self) -> Float[Array, ""]:
        """Of the narrower of the two wells."""
        return jnp.minimum(jnp.sqrt(self.variance), self.quartic**0.25)

    def log_normaliser(self) -> Float[Array, ""]:
        """Log of the integral."""
        # Where the exponent is DROP: of the quadratic in y^2.
        gauss = 1 / self.variance
        root = jnp.sqrt(gauss**2 + 4 * DROP / self.quartic)
        reach = jax.lax.stop_gradient(jnp.sqrt(4 * DROP / (gauss + root)))
        piece = jnp.zeros((), jnp.int32)
        density = lambda u: self.log_density(u, jnp.broadcast_to(piece, u.shape))
        half = log_integral(density, self.mean[None], (self.mean + reach)[None])
        return half + float(np.log(2))

    def log_density(
        self, u: Float[Array, "*s"], piece: Int[Array, "*s"]
    ) -> Float[Array, "*s"]:
        """Minus both wells."""
        square = (u - self.mean) ** 2
        return -0.5 * square / self.variance - 0.25 * square**2 / self.quartic

    def log_ratio(
        self,
        u: Float[Array, ""],
        shift: Float[Array, "p n"],
        home: Int[Array, ""],
        piece: Int[Array, "p 1"],
    ) -> Float[Array, "p n"]:
        """Of two values: both powers have the factor y'^2 - y^2."""
        y = u - self.mean
        apart = shift * (2 * y + shift)
        both = y**2 + (y + shift) ** 2
        return -0.5 * apart / self.variance - 0.25 * apart * both / self.quartic


def quartic(mean: ScalarLike, variance: ScalarLike, quartic: ScalarLike) -> Quartic:
    """Density ~ exp(-y^2 / 2 variance - y^4 / 4 quartic), y = u - mean.

    One of the two wells may be infinitely wide; `variance` is that of the Gaussian
    part, not of the density.

    Raises:
        ValueError: A width that is not positive, or both infinite.
    """
    variance = positive_number(variance, "variance", False)
    well = positive_number(quartic, "quartic", False)
    if is_concrete(variance, well) and not bool(jnp.minimum(variance, well) < jnp.inf):
        raise ValueError("`variance` and `quartic` are infinite; one must be finite.")
    return Quartic(number(mean, "mean"), variance, well)
