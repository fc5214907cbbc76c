"""A network for vectors: residual layers that are told the noise level."""

from flax import nnx
from jaxtyping import Array, DTypeLike, Float, Int

from jaxwin.learned._embedding import Embedding
from jaxwin.learned._initial import scaled, zero


class MLP(nnx.Module):
    """Residual multilayer perceptron of a point, its noise level and its label.

        h <- h + W' silu(W h + V e),    e the embedding of noise level and label,

    `depth` times between a layer into `width` features and one out of them. The last
    layer begins at zero: an untrained denoiser is the best linear one of isotropic
    data.
    """

    def __init__(
        self,
        dimension: int,
        *,
        width: int = 128,
        depth: int = 3,
        num_labels: int = 0,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        layer = lambda a, b, init=scaled: nnx.Linear(
            a, b, dtype=dtype, kernel_init=init, bias_init=zero, rngs=rngs
        )
        self.embedding = Embedding(width, num_labels, dtype=dtype, rngs=rngs)
        self.enter = layer(dimension, width)
        self.inner = nnx.List([layer(width, width) for _ in range(depth)])
        self.told = nnx.List([layer(width, width) for _ in range(depth)])
        self.outer = nnx.List([layer(width, width) for _ in range(depth)])
        self.leave = layer(width, dimension, zero)

    def __call__(
        self, x: Float[Array, "b d"], level: Float[Array, " b"], label: Int[Array, " b"]
    ) -> Float[Array, "b d"]:
        """Values at a block of points."""
        told, h = self.embedding(level, label), self.enter(x)
        for inner, shift, outer in zip(self.inner, self.told, self.outer, strict=True):
            h = h + outer(nnx.silu(inner(h) + shift(told)))
        return self.leave(nnx.silu(h))
