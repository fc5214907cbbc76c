"""Where training points come from: a law, drawn afresh, or an array."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from jaxwin._typing import Key
from jaxwin.targets import AbstractLabelledTarget, AbstractTarget


class AbstractBatches(eqx.Module):
    """Clean points with labels, as many as are asked for."""

    @abc.abstractmethod
    def draw(self, key: Key, size: int) -> tuple[Float[Array, "b d"], Int[Array, " b"]]:
        """A batch in float32; labels are 0 where there are none."""


class Fresh(AbstractBatches):
    """Points of a law, never the same twice."""

    law: AbstractTarget

    def draw(self, key: Key, size: int) -> tuple[Float[Array, "b d"], Int[Array, " b"]]:
        """Independent draws."""
        keys = jr.split(key, size)
        if isinstance(self.law, AbstractLabelledTarget):
            points, labels = jax.vmap(self.law.sample_labelled)(keys)
        else:
            points, labels = jax.vmap(self.law.sample)(keys), jnp.zeros(size, int)
        return points.astype(jnp.float32), labels.astype(jnp.int32)


class Stored(AbstractBatches):
    """Points of an array, drawn with replacement."""

    points: Float[Array, "n d"]
    labels: Int[Array, " n"]

    def draw(self, key: Key, size: int) -> tuple[Float[Array, "b d"], Int[Array, " b"]]:
        """Rows drawn uniformly."""
        rows = jr.randint(key, (size,), 0, len(self.points))
        return self.points[rows], self.labels[rows]
