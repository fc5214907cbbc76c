"""Exact draws of a direction u from exp(w . u): its cosine to w, then the rest."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._typing import Key, Point


def cosine_draw(
    key: Key, dimension: int, kappa: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""A cosine W of density ~ (1 - W^2)^((d - 3) / 2) exp(kappa W): 1 - W and 1 + W.

    Wood's rejection: with c the cosine of a uniform direction and

        x0 = 2 kappa / (d - 1 + sqrt((d - 1)^2 + 4 kappa^2)),

    propose W = (c + x0) / (1 + x0 c) and take it with probability
    ((1 - e) exp(e))^(d - 1), e = x0 c / (1 + x0 c). More than half are taken, for any d
    and kappa. 1 - W is a product: nothing is lost where it is tiny. For d = 1 the sign
    of w is taken with probability 1 / (1 + exp(-2 kappa)).

    References:
        Wood (1994), Simulation of the von Mises-Fisher distribution, Communications in
        Statistics - Simulation and Computation 23, 157.
    """
    if dimension == 1:
        along = jr.bernoulli(key, jax.nn.sigmoid(2 * kappa))
        below = jnp.where(along, 0, 2).astype(kappa.dtype)
        return below, 2 - below
    free = dimension - 1
    # In units of the larger one, so that no square overflows.
    unit = jnp.maximum(kappa, free)
    pull, rest = kappa / unit, free / (2 * unit)
    root = jnp.sqrt(pull**2 + rest**2)
    x0 = pull / (rest + root)
    # 1 - x0 and 1 + x0, from Wood's b = (1 - x0) / (1 + x0).
    b = rest / (pull + root)
    near, far = 2 * b / (1 + b), 2 / (1 + b)

    def propose(state):
        key, *_ = state
        key, normal_key, uniform_key = jr.split(key, 3)
        g = jr.normal(normal_key, (dimension,), kappa.dtype)
        others = jnp.sum(g[1:] ** 2)
        square = g[0] ** 2 + others
        c = g[0] / jnp.sqrt(square)
        # 1 - |c| from what is across: c is rounded where it is close to one.
        large = 1 + jnp.abs(c)
        small = others / (square * large)
        below, above = jnp.where(c > 0, small, large), jnp.where(c > 0, large, small)
        # 1 + x0 c, as a sum of what is not negative where it may be small.
        scale = jnp.where(c > 0, 1 + x0 * c, near + x0 * above)
        shift = x0 * c
        e = shift / scale
        log_scale = jnp.where(abs(shift) < 0.5, jnp.log1p(shift), jnp.log(scale))
        log_taken = free * (e - log_scale)
        log_u = jnp.log1p(-jr.uniform(uniform_key, (), kappa.dtype))
        # Negated, so that NaN ends the loop and is seen.
        again = log_u > log_taken
        return key, again, near * below / scale, far * above / scale

    start = key, jnp.array(True), kappa, kappa
    _, _, below, above = jax.lax.while_loop(lambda state: state[1], propose, start)
    return below, above


def tangent(z: Point, u: Point) -> Point:
    """The direction of z across the unit vector u; zero in one dimension."""
    if u.size == 1:
        return jnp.zeros_like(u)
    # Twice: what rounding leaves along u counts where z is almost parallel to it.
    for _ in range(2):
        z = z - jnp.dot(u, z, precision="highest") * u
    size = jnp.sqrt(jnp.dot(z, z, precision="highest"))
    return z / jnp.maximum(size, jnp.finfo(z.dtype).tiny)
