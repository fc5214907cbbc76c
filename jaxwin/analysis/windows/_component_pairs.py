"""What pairs of components say of one component and all others, at one level."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin.analysis.windows._pair_geometry import PairGeometry, pair_geometry
from jaxwin.targets import GaussianMixture


class ComponentPairs(eqx.Module):
    """Decomposed pairs of a mixture, its weights, and which share a class.

    Levels are one for all components, or (k, 1): one a row.
    """

    geometry: PairGeometry
    log_weights: Float[Array, " k"]
    same: Bool[Array, "k k"]

    @classmethod
    def of(cls, law: GaussianMixture) -> "ComponentPairs":
        """Of a mixture whose labels are the classes."""
        same = law.labels[:, None] == law.labels[None]
        return cls(pair_geometry(law), law.log_weights, same)

    def bounds(self, alpha: Array, sigma: Array) -> tuple[Array, Array, Array]:
        """Lower and upper bounds of TV_ij, and BC_ij: (k, k) each."""
        log = self.geometry.log_overlap(alpha, sigma)
        lower, upper = self.geometry.variation_bounds(alpha, sigma)
        # A component is itself, also where rounding makes 1 - BC of it.
        apart = ~jnp.eye(self.log_weights.size, dtype=bool)
        return jnp.where(apart, lower, 0), jnp.where(apart, upper, 0), jnp.exp(log)

    def from_all(self, variation: Float[Array, "k k"]) -> Float[Array, " k"]:
        """Upper bound of TV(p_i, p): the average of TV_ij over components."""
        return jnp.sum(jnp.exp(self.log_weights)[None] * variation, axis=1)

    def from_rest(self, alpha: Array, sigma: Array) -> Float[Array, " k"]:
        """Lower bound of TV(p_i, rest), rest = sum_j lambda_j p_j over j != i.

        1 - TV = E min(p_i, sum_j lambda_j p_j) <= sum_j E min(p_i, lambda_j p_j), each
        in closed form for one variance and at most sqrt(lambda_j) BC_ij.
        """
        apart = ~jnp.eye(self.log_weights.size, dtype=bool)
        weights = jnp.exp(self.log_weights)
        rest = jnp.sum(jnp.where(apart, weights[None], 0), axis=1)
        share = weights[None] / jnp.where(rest > 0, rest, 1)[:, None]
        if self.geometry.shared:
            square = self.geometry.distance_sq(alpha, sigma)
            common = _smaller(square, share)
        else:
            log = self.geometry.log_overlap(alpha, sigma)
            common = jnp.sqrt(share) * jnp.exp(log)
        return 1 - jnp.sum(jnp.where(apart, common, 0), axis=1)

    def certificate(
        self, variation: Float[Array, "k k"], overlap: Float[Array, "k k"]
    ) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Intra of a component in its class, and the leak of that class."""
        weights = jnp.exp(self.log_weights)
        inside = jnp.where(self.same, weights[None], 0)
        whole = jnp.sum(inside, axis=1)
        whole = jnp.where(whole > 0, whole, 1)
        intra = jnp.sum(inside * variation, axis=1) / whole
        root = jnp.sqrt(weights)
        across = jnp.where(self.same, 0, root[:, None] * root[None] * overlap)
        leaving = jnp.sum(across, axis=1)
        leak = jnp.sum(jnp.where(self.same, leaving[None], 0), axis=1) / (2 * whole)
        return intra, leak


def _smaller(square: Array, share: Array) -> Array:
    """E min(p, lambda q) of two Gaussians at distance D of unit width, D^2 = square.

    Phi(-D/2 + ln(lambda) / D) + lambda Phi(-D/2 - ln(lambda) / D).
    """
    some = (square > 0) & (share > 0)
    distance = jnp.sqrt(jnp.where(some, square, 1))
    shift = jnp.log(jnp.where(some, share, 1)) / distance
    # Phi(-x) by its complement: exact in both tails at a third of the cost of `ndtr`.
    above = lambda x: 0.5 * jax.lax.erfc(x * np.sqrt(0.5))
    common = above(distance / 2 - shift) + share * above(distance / 2 + shift)
    return jnp.where(some, common, jnp.minimum(share, 1))
