"""Differences that would cancel where signals are weak, to full relative precision."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# Below 1 / 3 these terms of the series reach float64; above it little cancels.
TERMS = 17


def atanh_excess(z: Float[Array, " *s"]) -> Float[Array, " *s"]:
    """Atanh(z) - z = z^3 / 3 + z^5 / 5 + ..., for |z| <= 1."""
    small = jnp.abs(z) < 1 / 3
    inner = jnp.where(small, z, 0)
    series = jnp.zeros_like(inner)
    for k in reversed(range(TERMS)):
        series = series * inner**2 + 1 / (2 * k + 3)
    outer = jnp.where(small, 1 / 3, z)
    return jnp.where(small, inner**3 * series, jnp.arctanh(outer) - outer)


def log_excess(x: Float[Array, " *s"]) -> Float[Array, " *s"]:
    """Difference x - log(1 + x) >= 0, for x >= -1.

    log(1 + x) = 2 atanh(z) with z = x / (2 + x), and x - 2 z = x z.
    """
    small = (x > -0.5) & (x < 1)
    inner = jnp.where(small, x, 0)
    z = inner / (2 + inner)
    outer = jnp.where(small, 1, x)
    return jnp.where(small, inner * z - 2 * atanh_excess(z), outer - jnp.log1p(outer))
