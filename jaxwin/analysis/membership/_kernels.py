"""Reconstruction of points by a mixture of equal kernels, streamed over its points."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._numerics import channel_variance
from jaxwin._streaming import Block, Blocks, coordinate_sum
from jaxwin._typing import Key
from jaxwin.analysis.membership._points import own_log_weights
from jaxwin.targets import AbstractLabelledTarget, Empirical, GaussianMixture

# Points of a mixture a block, and candidates at once: with the draws of a block, what
# stays in cache.
BLOCK, TILE = 256, 32


class Kernels(eqx.Module):
    """The law sum_j w_j N(a_j, h^2 I); h = 0 is the point masses."""

    blocks: Blocks
    centre: Float[Array, " d"]
    bandwidth: Float[Array, ""]
    smooth: bool = eqx.field(static=True)

    @property
    def points(self) -> Float[Array, "n d"]:
        """All points, those that fill up the last block too."""
        return self.blocks.points.reshape(-1, self.centre.size)

    @property
    def log_weights(self) -> Float[Array, " n"]:
        """Their log-weights, -inf for what fills up."""
        return self.blocks.log_weights.reshape(-1)


def as_kernels(law: AbstractLabelledTarget) -> Kernels | None:
    """A data set, or a concrete mixture of one isotropic variance, else None."""
    if isinstance(law, Empirical):
        return Kernels(law.blocks, law.centre, law.bandwidth, law.smooth)
    if not isinstance(law, GaussianMixture) or not is_concrete(law):
        return None
    spectrum = np.asarray(law.covariance.spectrum()[0])
    if not np.all(spectrum == spectrum.flat[0]):
        return None
    count = -(-len(law.means) // BLOCK)
    size = -(-len(law.means) // count)
    pad = count * size - len(law.means)
    points = jnp.pad(law.means, ((0, pad), (0, 0))).reshape(count, size, -1)
    weights = jnp.pad(law.log_weights, (0, pad), constant_values=-jnp.inf)
    labels = jnp.pad(law.labels, (0, pad)).reshape(count, size)
    blocks = Blocks(points, weights.reshape(count, size), labels, law.num_labels)
    bandwidth = jnp.sqrt(law.covariance.spectrum()[0][0, 0])
    return Kernels(blocks, law.means.mean(axis=0), bandwidth, bool(spectrum.max() > 0))


class StreamedReconstruction(eqx.Module):
    r"""E[|X' - x|^2 | y] and the weight of x's own kernel, at y = alpha x + sigma z.

    With v = alpha^2 h^2 + sigma^2, g = alpha h^2 / v and D_j = |x - a_j|^2,

        log p_j = log w_j - (alpha^2 D_j / 2 + alpha sigma (x - a_j) . z) / v
        E[...]  = (1 - g alpha)^2 sum_j p_j D_j
                  - 2 (1 - g alpha) g sigma sum_j p_j (x - a_j) . z
                  + g^2 sigma^2 |z|^2 + d sigma^2 h^2 / v

    One replica is one Gaussian z, shared by all candidates and levels; the products
    with the points are taken once for all levels, and serve every z of a block. Beside
    data and results, memory is a tile of candidates against a block of points.

    A distance is a sum of squared differences: right in float32 for the own point and
    close ones. The log-weights of others err there by eps |a| |z| alpha / sigma.
    """

    kernels: Kernels
    candidates: Float[Array, "m d"]
    own_log_weight: Float[Array, " m"]
    alphas: Float[Array, " t"]
    sigmas: Float[Array, " t"]

    @classmethod
    def of(
        cls,
        kernels: Kernels,
        candidates: Float[np.ndarray, "m d"],
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> "StreamedReconstruction":
        """Find the candidates among the points."""
        own = own_log_weights(kernels.points, kernels.log_weights, candidates)
        own = jnp.asarray(own, kernels.centre.dtype)
        return cls(kernels, jnp.asarray(candidates), own, alphas, sigmas)

    def __call__(self, key: Key, replica: Int[Array, ""]) -> dict[str, Array]:
        """Those of one Gaussian, (t, m)."""
        return jax.tree.map(lambda leaf: leaf[0], self.many(key, replica[None]))

    def many(self, key: Key, replicas: Int[Array, " k"]) -> dict[str, Array]:
        """Those of a block of Gaussians, (k, t, m)."""
        centre = self.kernels.centre
        normal = lambda r: jr.normal(jr.fold_in(key, r), centre.shape, centre.dtype)
        zs = jax.vmap(normal)(replicas)
        count = len(self.candidates)
        tile = min(TILE, count)
        cut = lambda a: jnp.pad(
            a, ((0, -count % tile),) + ((0, 0),) * (a.ndim - 1), mode="edge"
        ).reshape(-1, tile, *a.shape[1:])
        tiles = cut(self.candidates), cut(self.own_log_weight)
        found = jax.lax.map(lambda now: self._tile(zs, *now), tiles)
        flat = lambda a: jnp.moveaxis(a, 0, 2).reshape(*a.shape[1:3], -1)[..., :count]
        return {name: jnp.moveaxis(flat(a), 0, 1) for name, a in found.items()}

    def _tile(
        self, zs: Float[Array, "k d"], xs: Float[Array, "m d"], own: Float[Array, " m"]
    ) -> dict[str, Float[Array, "t k m"]]:
        law, dtype = self.kernels, xs.dtype
        dot = lambda a, b: jnp.matmul(a, b.T, precision="highest")
        of_x = dot(zs, xs - law.centre[None])
        noise = jax.vmap(channel_variance)(self.sigmas)
        variance = self.alphas**2 * law.bandwidth**2 + noise
        b, c = self.alphas * self.sigmas / variance, self.alphas**2 / variance

        def step(carry: tuple[Array, ...], block: Block) -> tuple[Array, ...]:
            square = lambda x: coordinate_sum(_square, block.points, x)
            apart = jax.vmap(square)(xs)
            along = of_x[:, :, None] - dot(zs, block.points - law.centre[None])[:, None]
            along = jnp.where(apart[None] == 0, 0, along)

            def at(now: tuple[Array, ...]) -> tuple[Array, ...]:
                b, c, top, *sums = now
                ratio = block.log_weights[None, None] - 0.5 * c * apart[None]
                ratio = ratio - b * along
                new = jnp.maximum(top, ratio.max(axis=-1))
                weight, old = jnp.exp(ratio - new[..., None]), jnp.exp(top - new)
                terms = [weight, weight * apart[None], weight * along]
                terms = terms if law.smooth else terms[:2]
                added = zip(sums, terms, strict=True)
                return new, *[old * s + term.sum(axis=-1) for s, term in added]

            return jax.lax.map(at, (b, c, *carry))

        shape = b.size, *of_x.shape
        zeros = [jnp.zeros(shape, dtype)] * (3 if law.smooth else 2)
        top, mass, near, *path = law.blocks.fold(
            step, (jnp.full(shape, jnp.finfo(dtype).min, dtype), *zeros)
        )
        distance = near / mass
        if law.smooth:
            each = lambda a: a[:, None, None]
            within = self.sigmas**2 * law.bandwidth**2 / variance
            gain, shrink = self.alphas * law.bandwidth**2 / variance, self.sigmas**2
            shrink = shrink / variance
            moved = each(gain * self.sigmas)
            distance = each(shrink) ** 2 * distance + each(xs.shape[1] * within)
            distance = distance - 2 * each(shrink) * moved * (path[0] / mass)
            distance = distance + moved**2 * jnp.sum(zs**2, axis=1)[None, :, None]
        log_own = own[None, None] - top - jnp.log(mass)
        return {"distance": distance, "returned": jnp.exp(jnp.minimum(log_own, 0))}


def _square(column: Array, x: Array) -> Array:
    return (column - x) ** 2
