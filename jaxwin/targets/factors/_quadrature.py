"""Gauss-Legendre rules, and integrals of exponentials by them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Of an integral over the density itself: no more than `DROP` on a panel.
NODES = 48


def rule(count: int, like: Array) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Nodes and weights on [-1, 1], in the type of `like`."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return jnp.asarray(nodes, like.dtype), jnp.asarray(weights, like.dtype)


def log_integral(
    exponent: Callable[[Float[Array, "p n"]], Float[Array, "p n"]],
    low: Float[Array, " p"],
    high: Float[Array, " p"],
) -> Float[Array, ""]:
    """Log of the sum of integrals of exp(exponent), in turn from `low` to `high`."""
    nodes, weights = rule(NODES, low)
    half, middle = 0.5 * (high - low), 0.5 * (high + low)
    values = exponent(middle[:, None] + half[:, None] * nodes[None])
    top = jax.lax.stop_gradient(jnp.max(values))
    mass = half[:, None] * weights[None] * jnp.exp(values - top)
    return top + jnp.log(jnp.sum(mass))
