"""Mean and covariance of rows under weights."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import Point


def average(weights: Float[Array, " k"], rows: Float[Array, "k d"]) -> Point:
    """Weighted sum of the rows."""
    return jnp.matmul(weights, rows, precision="highest")


def scatter(
    weights: Float[Array, " k"], rows: Float[Array, "k d"]
) -> Float[Array, "d d"]:
    """Covariance of the rows under the weights, centred first."""
    centred = rows - average(weights, rows)[None]
    return jnp.matmul((centred * weights[:, None]).T, centred, precision="highest")
