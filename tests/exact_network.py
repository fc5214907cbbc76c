"""A network that is exact: a law's own denoiser behind the seam of learned ones."""

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxwin.learned import NetworkDenoiser
from jaxwin.targets import AbstractLabelledTarget, AbstractTarget


class ExactNetwork(nnx.Module):
    """The F for which a `NetworkDenoiser` is the law's own denoiser.

        F = scale (D - m - alpha s^2 u / v) sqrt(v) / (sigma s) + shift,

    at the alpha, sigma of sum 1 of squares with the ratio that the level says; `scale`
    and `shift`, 1 and 0, are what a gradient of the loss is taken by. A label restricts
    the law, `num_labels` does not.
    """

    def __init__(self, law: AbstractTarget, mean: Array, std: Array, num_labels: int):
        arrays, self.rest = eqx.partition(law, eqx.is_array)
        leaves, self.structure = jax.tree.flatten(arrays)
        self.leaves = nnx.List([nnx.Variable(leaf) for leaf in leaves])
        self.mean, self.std = nnx.Variable(mean), nnx.Variable(std)
        self.scale, self.shift = (nnx.Param(jnp.asarray(v)) for v in (1.0, 0.0))
        self.num_labels = num_labels

    def __call__(
        self, x: Float[Array, "b d"], level: Float[Array, " b"], label: Int[Array, " b"]
    ) -> Float[Array, "b d"]:
        return jax.vmap(self._one)(x, level, label)

    def _one(self, y: Array, level: Array, label: Array) -> Array:
        # In the type of the point, as the seam hands over its own parameters.
        own = lambda a: a.astype(y.dtype) if eqx.is_inexact_array(a) else a
        leaves = [own(leaf[...]) for leaf in self.leaves]
        law = eqx.combine(jax.tree.unflatten(self.structure, leaves), self.rest)
        mean, std = own(self.mean[...]), own(self.std[...])
        ratio = std * jnp.exp(4 * level)
        alpha, sigma = 1 / jnp.hypot(1, ratio), ratio / jnp.hypot(1, ratio)
        if self.num_labels:
            assert isinstance(law, AbstractLabelledTarget)
            kinds = jnp.arange(self.num_labels, dtype=label.dtype)
            law = law.restrict((kinds == label) | (label == self.num_labels))
        v = sigma**2 + (alpha * std) ** 2
        u = y * jnp.sqrt(v)
        found = law.denoise(u + alpha * mean, alpha, sigma)
        value = (found - mean - alpha * std**2 * u / v) * jnp.sqrt(v) / (sigma * std)
        return own(self.scale[...]) * value + own(self.shift[...])


def exact_denoiser(law: AbstractTarget, num_labels: int = 0) -> NetworkDenoiser:
    """The law seen through the seam that a trained network is seen through."""
    moments = law.moments()
    std = jnp.sqrt(moments.total_variance() / law.dimension)
    graph, state = nnx.split(ExactNetwork(law, moments.mean, std, num_labels))
    label = jnp.asarray(num_labels, jnp.int32)
    return NetworkDenoiser(state, moments.mean, std, label, graph, num_labels)
