"""What pairs of components say of one component and all others."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from jaxwin.analysis.windows._pair_geometry import PairGeometry, pair_geometry
from jaxwin.targets import GaussianMixture


class ComponentPairs(eqx.Module):
    """Decomposed pairs of a mixture, its weights, and which share a class.

    `pairs`: i < j, each once, (p, 1). `rows`: the same as (k, k, 1). Levels are along
    the last dimension.
    """

    pairs: PairGeometry
    rows: PairGeometry
    log_weights: Float[Array, " k"]
    same: Bool[Array, "k k"]

    @classmethod
    def of(cls, law: GaussianMixture) -> "ComponentPairs":
        """Of a mixture whose labels are the classes."""
        same = law.labels[:, None] == law.labels[None]
        pairs = jax.tree.map(lambda leaf: leaf[..., None], pair_geometry(law))

        def table(leaf: Array, diagonal: float) -> Array:
            return jax.vmap(lambda axis: spread(axis, same.shape[0], diagonal))(leaf)

        # A component is itself: some axes, and no distance.
        rows = jax.tree.map(lambda leaf: table(leaf, 1.0), pairs)
        rows = eqx.tree_at(lambda rows: rows.along, rows, table(pairs.along, 0.0))
        return cls(pairs, rows, law.log_weights, same)

    def from_all(self, variation: Float[Array, "k k t"]) -> Float[Array, "k t"]:
        """Upper bound of TV(p_i, p): the average of TV_ij over components."""
        return jnp.sum(jnp.exp(self.log_weights)[None, :, None] * variation, axis=1)

    def less_overlap(self, log_overlap: Float[Array, "k k t"]) -> Float[Array, "k t"]:
        """Lower bound of TV(p_i, rest) - 1, rest = sum_j lambda_j p_j over j != i.

        1 - TV = E min(p_i, sum_j lambda_j p_j) <= sum_j E min(p_i, lambda_j p_j), each
        in closed form for one variance and at most sqrt(lambda_j) BC_ij.
        """
        apart = ~jnp.eye(self.log_weights.size, dtype=bool)
        weights = jnp.exp(self.log_weights)
        rest = jnp.sum(jnp.where(apart, weights[None], 0), axis=1)
        share = weights[None] / jnp.where(rest > 0, rest, 1)[:, None]
        share = jnp.where(apart, share, 0)[..., None]
        if self.rows.shared:
            common = _smaller(-8 * log_overlap, share)
        else:
            common = jnp.sqrt(share) * jnp.exp(log_overlap)
        return -jnp.sum(common, axis=1)

    def certificate(
        self, variation: Float[Array, "k k t"], overlap: Float[Array, "p s"]
    ) -> tuple[Float[Array, "k t"], Float[Array, "k s"]]:
        """Intra of a component in its class, and the leak of that class.

        From TV of all pairs and BC of pairs i < j, at any levels.
        """
        weights = jnp.exp(self.log_weights)
        inside = jnp.where(self.same, weights[None], 0)
        whole = jnp.sum(inside, axis=1)
        whole = jnp.where(whole > 0, whole, 1)
        intra = jnp.sum((inside / whole[:, None])[..., None] * variation, axis=1)
        i, j = np.triu_indices(weights.size, 1)
        leaves = self.same[:, i] != self.same[:, j]
        root = jnp.sqrt(weights)
        across = jnp.where(leaves, (root[i] * root[j])[None], 0) / (2 * whole[:, None])
        return intra, jnp.sum(across[..., None] * overlap[None], axis=1)


def _smaller(square: Array, share: Array) -> Array:
    """E min(p, lambda q) of two Gaussians at distance D of unit width, D^2 = square.

    Phi(-D/2 + ln(lambda) / D) + lambda Phi(-D/2 - ln(lambda) / D).
    """
    some = (square > 0) & (share > 0)
    distance = jnp.sqrt(jnp.where(some, square, 1))
    shift = jnp.log(jnp.where(some, share, 1)) / distance
    # Phi(-x) by its complement: exact in both tails at a third of the cost of `ndtr`.
    above = lambda x: 0.5 * jax.lax.erfc(x * float(np.sqrt(0.5)))
    common = above(distance / 2 - shift) + share * above(distance / 2 + shift)
    return jnp.where(some, common, jnp.minimum(share, 1))


def spread(
    values: Shaped[Array, "p ..."], count: int, diagonal: float | bool | Array
) -> Shaped[Array, "k k ..."]:
    """Values of pairs i < j as a symmetric table."""
    i, j = np.triu_indices(count, 1)
    pair = np.full((count, count), i.size)
    pair[i, j] = pair[j, i] = np.arange(i.size)
    last = jnp.full_like(values, diagonal, shape=(1, *values.shape[1:]))
    return jnp.concatenate([values, last])[pair]
