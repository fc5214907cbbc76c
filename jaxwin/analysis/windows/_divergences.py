"""Distances of two sub-mixtures as averages of functions of the label posterior."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Kind = Literal["total_variation", "bhattacharyya", "hellinger", "kl", "chi2"]
KINDS: tuple[str, ...] = get_args(Kind)


def log_ratios(
    log_posterior: Float[Array, "s c"],
    log_prior: Float[Array, " c"],
    log_drawn: Float[Array, " c"],
    mask: Bool[Array, " c"],
) -> Float[Array, " s"]:
    """Log of p^S over the law that is averaged over, r the posterior under that one.

        p^S / p' = sum_{k in S} (w_k / w_S) r_k / c_k,

    w the weights of the labels in the law, c those in p', the same components.
    """
    some = mask & (log_drawn > -jnp.inf)
    within = log_prior - jax.nn.logsumexp(log_prior, where=some)
    share = jnp.where(some, within - jnp.where(some, log_drawn, 0), -jnp.inf)
    return jax.nn.logsumexp(log_posterior + share[None], axis=1)


def integrand(
    kind: Kind, log_u: Float[Array, " s"], log_v: Float[Array, " s"]
) -> Float[Array, " s"]:
    """F with distance = E f, u = p^A / p', v = p^B / p'; the last step is `finished`.

    total_variation: 1 - min(u, v), whose other form |u - v| / 2 has the same average.
    hellinger: as bhattacharyya, sqrt(u v). chi2: u^2 / v - 1.
    """
    if kind == "total_variation":
        return 1 - jnp.exp(jnp.minimum(log_u, log_v))
    if kind == "kl":
        # 0 log 0 = 0, and its -inf must not meet the zero.
        some = log_u > -jnp.inf
        apart = jnp.where(some, log_u, 0) - jnp.where(some, log_v, 0)
        return jnp.exp(log_u) * apart
    if kind == "chi2":
        return jnp.exp(2 * log_u - log_v) - 1
    return jnp.exp(0.5 * (log_u + log_v))


def finished(
    kind: Kind, value: Float[Array, " t"], error: Float[Array, " t"]
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """The distance and its error from the average: Hellinger sqrt(2 (1 - BC))."""
    if kind != "hellinger":
        return value, error
    square = jnp.clip(2 * (1 - value), 0)
    distance = jnp.sqrt(square)
    # Where BC = 1 within its error, the distance is anything below sqrt(2 error).
    slope = jnp.where(square > 2 * error, error / jnp.where(square > 0, distance, 1), 0)
    return distance, jnp.where(square > 2 * error, slope, jnp.sqrt(2 * error))
