"""What the theorem on critical windows bounds, and how far apart it needs scales."""

import math

import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, check, is_concrete, not_negative
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike


def theorem_bound(epsilon: ScalarLike, weight_ratio: ScalarLike) -> Float[Array, ""]:
    """Largest TV(p^{init,T}, p^{targ}) at any T in [T_end, T_start].

        eps (1 + max(1, W) / sqrt(2)),   W = w_rest / w_targ,

    for every law and every Markov degradation. A bound above one says nothing.

    Args:
        epsilon: Tolerance of the thresholds, in (0, 1).
        weight_ratio: W, >= 0; zero where the target is all.

    Raises:
        BadInput: `epsilon` outside (0, 1).
        ValueError: W < 0.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Theorem 2.
    """
    epsilon = tolerance(epsilon)
    check(weight_ratio, not_negative, "weight_ratio", "finite and >= 0")
    larger = jnp.maximum(as_float(weight_ratio).astype(epsilon.dtype), 1)
    return epsilon * (1 + larger / math.sqrt(2))


def separation_ratio(epsilon: ScalarLike) -> Float[Array, ""]:
    """Ratio rho(eps) of scales from which nested windows of two levels are resolved.

        rho = erfinv(1 - eps^2) / erfinv(eps):

    a pair at distance a_1 is told apart (TV >= 1 - eps^2) where one at a_2 no longer is
    (TV <= eps) if and only if a_1 / a_2 >= rho, at one isotropic variance.

    Raises:
        BadInput: `epsilon` outside (0, 1).

    References:
        Derived; conditions of Li, Karan & Chen, arXiv:2502.00921, Definition 8.
    """
    epsilon = tolerance(epsilon)
    return told_apart(epsilon) / told_together(epsilon)


def depth_bound(scale_range: ScalarLike, epsilon: ScalarLike) -> Float[Array, ""]:
    """Levels that a hierarchy may add: ln(scale_range) / ln(rho(eps)).

    Each level needs a scale rho times that of the level within, so that a tree whose
    scales span a factor `scale_range` has one level more than this at most.

    Args:
        scale_range: Largest over smallest scale, >= 1.
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: `epsilon` outside (0, 1), or so large that rho <= 1: scales need not
            differ then.
        ValueError: `scale_range` < 1.

    References:
        Derived.
    """
    ratio = separation_ratio(epsilon)
    if is_concrete(ratio) and not np.all(np.asarray(ratio) > 1):
        raise BadInput(
            f"`epsilon` is {float(as_float(epsilon)):g}; it must be below 0.618, where "
            f"told apart (1 - eps^2) and told together (eps) are one."
        )
    check(scale_range, lambda s: (s >= 1) & (s < np.inf), "scale_range", ">= 1")
    return jnp.log(as_float(scale_range).astype(ratio.dtype)) / jnp.log(ratio)


def tolerance(epsilon: ScalarLike) -> Float[Array, ""]:
    """The tolerance as an array of floats.

    Raises:
        BadInput: A concrete one is no single number strictly between 0 and 1.
    """
    if is_concrete(epsilon) and np.ndim(epsilon) > 0:
        raise BadInput(
            f"`epsilon` is an array of shape {np.shape(epsilon)}; it must be one "
            f"number: use `jax.vmap` for many."
        )
    if is_concrete(epsilon) and not 0 < float(np.asarray(epsilon)) < 1:
        raise BadInput(
            f"`epsilon` is {float(np.asarray(epsilon)):g}; it must lie strictly "
            f"between 0 and 1: take 0.1."
        )
    return as_float(epsilon)


def told_together(epsilon: Float[Array, "..."]) -> Float[Array, "..."]:
    """Distance in widths, 2 sqrt(2) erfinv(eps), at which two Gaussians have TV eps."""
    return 2 * math.sqrt(2) * jsp.erfinv(epsilon)


def told_apart(epsilon: Float[Array, "..."]) -> Float[Array, "..."]:
    """Distance in widths at which two Gaussians of one covariance have TV 1 - eps^2.

    2 sqrt(2) erfinv(1 - eps^2) = -2 Phi^{-1}(eps^2 / 2), whose right-hand side keeps
    its digits for small eps.
    """
    return -2 * jsp.ndtri(epsilon**2 / 2)
