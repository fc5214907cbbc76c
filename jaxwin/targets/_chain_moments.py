"""Mean and covariance of numbers along a mixture of Markov chains."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin.targets._base import Moments

_product = functools.partial(jnp.einsum, precision="highest")


def chain_moments(
    initial: Float[Array, "c q"],
    transitions: Float[Array, "c q q"],
    shares: Float[Array, " c"],
    values: Float[Array, " q"],
    num_sites: int,
) -> Moments:
    r"""Mean and covariance of the numbers values[a_1] ... values[a_n].

    A number is its mean plus what each symbol up to it adds to what is known,

        values[a_j] - E = sum_{i <= j} (g_{j-i}(a_i) - E[g_{j-i}(a_i) | a_{i-1}]),

    g_r = T^r values; the terms are uncorrelated, so that the covariance of a class is a
    sum over i of (q, q) forms in the g, and those have roots: the factor has columns
    for the classes and for each class, site and symbol but one. O(K n^2 q^2).
    """

    def forward(p: Array, _: None) -> tuple[Array, Array]:
        ahead = _product("ka,kab->kb", p, transitions)
        return ahead / jnp.sum(ahead, axis=1, keepdims=True), p

    backward = lambda g, _: (_product("kab,kb->ka", transitions, g), g)
    at = jax.lax.scan(forward, initial, length=num_sites)[1]
    start = jnp.broadcast_to(values[None], initial.shape)
    ahead = jax.lax.scan(backward, start, length=num_sites)[1]
    first = _product("kb,kc->kbc", initial, initial)[None]
    later = _product("ika,kab,kac->ikbc", at[:-1], transitions, transitions)
    new = _root(jnp.concatenate([first, later]))
    back = jnp.arange(num_sites)[:, None] - jnp.arange(num_sites)[None]
    kept = jnp.where(back[..., None, None] >= 0, ahead[jnp.maximum(back, 0)], 0)
    within = _product("jikb,ikbr->jikr", kept, new)
    within = within * jnp.sqrt(shares)[None, None, :, None]
    means = _product("ikb,b->ik", at, values)
    mean = _product("ik,k->i", means, shares)
    between = (means - mean[:, None]) * jnp.sqrt(shares)[None]
    factor = jnp.concatenate([between, within.reshape(num_sites, -1)], axis=1)
    return Moments(mean, factor, jnp.zeros_like(mean[0]))


def _root(overlaps: Float[Array, "n c q q"]) -> Float[Array, "n c q r"]:
    """R with R R^T = diag(row sums) - overlaps, r = q - 1: the covariance of a symbol.

    Elimination in positive numbers alone (the diagonal of `overlaps` cancels and is not
    looked at), so that rare symbols keep their digits.
    """
    columns = []
    for b in range(overlaps.shape[-1] - 1):
        away = overlaps[..., 0, 1:]
        mass = jnp.sum(away, axis=-1, keepdims=True)
        some = mass > 0
        root = jnp.sqrt(jnp.where(some, mass, 1))
        column = jnp.concatenate([jnp.where(some, root, 0), -away / root], axis=-1)
        columns.append(jnp.pad(column, [(0, 0), (0, 0), (b, 0)]))
        share = (away / root)[..., None]
        overlaps = overlaps[..., 1:, 1:] + share * jnp.swapaxes(share, -1, -2)
    return jnp.stack(columns, axis=-1)
