"""Covariances by common ancestor: along the line of leaves, and summed."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, ScalarLike


def pair_shares(distances: AnyArray, s: int, depth: int) -> Float[Array, "r {depth}+1"]:
    """Shares of the pairs of leaves (i, i + r) by the height of their common ancestor.

        N_h(r) - N_{h-1}(r) = s^(L-h) min((s - 1) r, s^h - r)_+,
        N_h(r) = s^(L-h) (s^h - r)_+ pairs of height <= h,

    over the s^L - r pairs; at r = 0 each leaf is its own pair, at height 0.

    Args:
        distances: r, from 0 to s^L - 1.
        s: Children of a node.
        depth: L.

    Raises:
        ValueError: A distance out of range.
    """
    leaves = s**depth
    must = f"from 0 to {leaves - 1}: there are s^L = {leaves} leaves"
    check(distances, lambda r: (r >= 0) & (r < leaves), "distances", must)
    r = as_float(distances)
    sizes = jnp.asarray([float(s**h) for h in range(depth + 1)], r.dtype)
    new = jnp.minimum((s - 1) * r[:, None], sizes[None, :] - r[:, None])
    share = jnp.maximum(new, 0) / sizes[None, :] / (1 - r / leaves)[:, None]
    itself = jnp.zeros_like(sizes).at[0].set(1)
    return jnp.where(r[:, None] == 0, itself[None, :], share)


def distance_covariance(
    covariance: Float[Array, " heights"], distances: AnyArray, s: int
) -> Float[Array, " r"]:
    """Mean covariance C(r) of leaves r apart on the line, from C_h, h = 0, ..., L.

        C(r) = sum_h [N_h(r) - N_{h-1}(r)] C_h / (s^L - r),    C(0) = C_0.

    Args:
        covariance: C_h by the height of the lowest common ancestor; C_0 the variance.
        distances: r, from 0 to s^L - 1.
        s: Children of a node.

    Raises:
        ValueError: A distance out of range.

    References:
        Sclocchi, Favero & Wyart, arXiv:2410.13770 (C(r)); the counts derived.
    """
    shares = pair_shares(distances, s, covariance.size - 1)
    return jnp.sum(shares.astype(covariance.dtype) * covariance[None, :], axis=1)


def susceptibility(covariance: Float[Array, " heights"], s: int) -> Float[Array, ""]:
    """Leaves that change together: chi = sum_ij C_ij / sum_i C_ii.

        chi = 1 + sum_{h=1..L} (s^h - s^(h-1)) C_h / C_0,

    one where nothing changes, C_0 = 0.

    References:
        Sclocchi, Favero & Wyart, arXiv:2410.13770.
    """
    some = covariance[0] != 0
    ratio = covariance[1:] / jnp.where(some, covariance[0], 1)
    return 1 + jnp.sum(jnp.where(some, partners(ratio, s), 0))


def partners(value: Float[Array, " depth"], s: int) -> Float[Array, " depth"]:
    """Each of h = 1, ..., L times the s^h - s^(h-1) leaves that meet a leaf there."""
    numbers = [float(s**h - s ** (h - 1)) for h in range(1, value.size + 1)]
    return jnp.asarray(numbers, value.dtype) * value


def triangular_susceptibility(chi: ScalarLike) -> Float[Array, ""]:
    """chi_tri = sum_{i <= j} C_ij / sum_i C_ii = (chi + 1) / 2, of public notebooks."""
    return (as_float(chi) + 1) / 2
