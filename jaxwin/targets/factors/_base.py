"""What a density on the line must say of itself so that its posterior is exact."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Parts of the posterior below exp(-DROP) of its top are cut off.
DROP = 40.0


class Chart(NamedTuple):
    """A coordinate v on the line, u = base + unit v, in which x - alpha u = sigma q.

    q = offset - rate v. Where the noise is narrower than the density v counts its
    widths sigma / alpha from x / alpha (offset 0, rate 1), exactly so for sigma -> 0;
    elsewhere it counts widths of the density from its centre.
    """

    base: Float[Array, ""]
    unit: Float[Array, ""]
    rate: Float[Array, ""]
    offset: Float[Array, ""]
    narrow: Bool[Array, ""]


class Reach(NamedTuple):
    """Where on each piece the posterior is largest, and how far it matters.

    top: Coordinate v. down, up: distances from it to what is cut off, or to the end of
    the piece.
    """

    top: Float[Array, " p"]
    down: Float[Array, " p"]
    up: Float[Array, " p"]


class AbstractFactor(eqx.Module):
    """A density on the line, ~ exp(psi(u)), given on p pieces between its edges.

    On each piece psi is an analytic function, and `num_nodes` Gauss-Legendre nodes on
    either side of the posterior's top there are enough. It need not be normalised.
    """

    @property
    @abc.abstractmethod
    def num_nodes(self) -> int:
        """Nodes of a panel."""

    @abc.abstractmethod
    def edges(self) -> Float[Array, " p_plus_one"]:
        """Ends of the pieces, increasing; the outer two may be infinite."""

    @abc.abstractmethod
    def centre(self) -> Float[Array, ""]:
        """The mode of the density, or a place near its middle."""

    @abc.abstractmethod
    def width(self) -> Float[Array, ""]:
        """Its rough width."""

    @abc.abstractmethod
    def log_normaliser(self) -> Float[Array, ""]:
        """Log of int exp(psi)."""

    @abc.abstractmethod
    def log_density(
        self, u: Float[Array, "*s"], piece: Int[Array, "*s"]
    ) -> Float[Array, "*s"]:
        """Psi at `u`, elementwise, of the function that holds on `piece`."""

    @abc.abstractmethod
    def log_ratio(
        self,
        u: Float[Array, ""],
        shift: Float[Array, "p n"],
        home: Int[Array, ""],
        piece: Int[Array, "p 1"],
    ) -> Float[Array, "p n"]:
        """Psi(u + shift) on `piece` less psi(u) on `home`, without cancellation."""

    @abc.abstractmethod
    def reach(
        self, chart: Chart, low: Float[Array, " p"], high: Float[Array, " p"]
    ) -> Reach:
        """Where exp(psi(u) - q^2 / 2) lives on each piece, `low` to `high` on v."""

    def slope(
        self, u: Float[Array, "*s"], piece: Int[Array, "*s"]
    ) -> Float[Array, "*s"]:
        """Derivative of psi."""
        along = lambda u: self.log_density(u, piece)
        return jax.jvp(along, (u,), (jnp.ones_like(u),))[1]

    def marks(self) -> Float[Array, " m"]:
        """Places at which the density is not smooth, or changes quickly."""
        return self.edges()

    def pieces(self) -> Int[Array, " p"]:
        """Numbers of the pieces."""
        return jnp.arange(self.edges().size - 1)
