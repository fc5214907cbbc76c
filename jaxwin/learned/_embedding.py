"""What networks are told besides the point: the noise level and the label."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float, Int

from jaxwin.learned._initial import scaled, spread, zero

# Frequencies of the noise level c = log(sigma / alpha) / 4, which runs over about +-2.
LOWEST, HIGHEST = 0.5, 16.0


class Embedding(nnx.Module):
    """Noise level and label as one vector.

    Sines and cosines of the level at geometric frequencies, through two layers; to that
    a learned vector of the label is added. Label `num_labels` is "no label".
    """

    def __init__(
        self, width: int, num_labels: int, *, dtype: DTypeLike | None, rngs: nnx.Rngs
    ):
        # In float32 like all parameters, also where 64-bit floats are on.
        frequencies = jnp.geomspace(LOWEST, HIGHEST, width // 2, dtype=jnp.float32)
        self.frequencies = nnx.Variable(frequencies)
        layer = lambda a: nnx.Linear(
            a, width, dtype=dtype, kernel_init=scaled, bias_init=zero, rngs=rngs
        )
        self.first, self.second = layer(2 * (width // 2)), layer(width)
        self.labels = (
            nnx.Embed(
                num_labels + 1, width, dtype=dtype, embedding_init=spread, rngs=rngs
            )
            if num_labels
            else None
        )

    def __call__(
        self, level: Float[Array, " b"], label: Int[Array, " b"]
    ) -> Float[Array, "b w"]:
        """Vectors of a block of points."""
        phase = level[:, None] * self.frequencies[...][None].astype(level.dtype)
        told = self.first(jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=1))
        told = self.second(nnx.silu(told))
        if self.labels is not None:
            # `Embed` gives float32 whatever its parameters were cast to.
            told = told + self.labels(label).astype(told.dtype)
        return nnx.silu(told)
