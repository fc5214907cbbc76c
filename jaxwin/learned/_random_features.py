"""Random features: a network whose first layer is drawn and never trained."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float, Int

from jaxwin.learned._embedding import Embedding
from jaxwin.learned._initial import zero


class Drawn(nnx.Variable):
    """Weights that are drawn once and not trained."""


class RandomFeatures(nnx.Module):
    """F(x, level) = A tanh(W x / sqrt(d) + V e) / sqrt(p); A and e alone are trained.

    W (d, p) has standard Gaussian entries, p = `width`. The random-feature score model
    whose spectrum is known (`analysis.random_features`) has no V e: that shift, which
    lets one network serve all noise levels, is ours, and is trained.

    References:
        Bonnaire, Urfin, Biroli, Mezard (2025), arXiv:2505.17638, section 3, at one
        noise level.
    """

    def __init__(
        self,
        dimension: int,
        *,
        width: int = 1024,
        num_labels: int = 0,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        small = min(width, 64)
        self.dtype = dtype
        self.embedding = Embedding(small, num_labels, dtype=dtype, rngs=rngs)
        drawn = lambda *shape: rngs.params.normal(shape, jnp.float32)
        self.first = Drawn(drawn(dimension, width))
        self.told = Drawn(drawn(small, width) / small**0.5)
        self.leave = nnx.Linear(
            width,
            dimension,
            use_bias=False,
            dtype=dtype,
            kernel_init=zero,
            rngs=rngs,
        )

    def __call__(
        self, x: Float[Array, "b d"], level: Float[Array, " b"], label: Int[Array, " b"]
    ) -> Float[Array, "b d"]:
        """Values at a block of points."""
        told = self.embedding(level, label)
        dimension, width = self.first[...].shape
        kind = x.dtype if self.dtype is None else self.dtype
        inside = x.astype(kind) @ self.first[...].astype(kind) / dimension**0.5
        inside = inside + told @ self.told[...].astype(told.dtype)
        # `leave` has entries of size one: the factor makes kernels finite as p grows.
        return self.leave(jnp.tanh(inside)) / width**0.5
