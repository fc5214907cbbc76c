"""Mean-field reconstruction and correlated changes of a tree, height by height."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.analysis.hierarchy._rules import (
    Weights,
    check_classes,
    check_depth,
    check_noise,
    check_rules,
    weights,
)
from jaxwin.analysis.hierarchy._sibling_chain import PosteriorChain, sibling_chain
from jaxwin.io import field


class MeanFieldCurves(eqx.Module):
    """Mean-field curves along noise, by height: index 0 is the leaves."""

    noise: Float[Array, " t"] = field(("noise",), "noise", "eps")
    upward: Float[Array, "t heights"] = field(("noise", "height"), "probability", "p_h")
    kept: Float[Array, "t heights"] = field(("noise", "height"), "probability", "P_h")
    covariance: Float[Array, "t heights"] = field(("noise", "height"), "", "C_h")
    susceptibility: Float[Array, " t"] = field(("noise",), "leaves", "chi")


def posterior_chain(
    noise: ScalarLike,
    v: int,
    m: ScalarLike,
    s: int,
    depth: int,
    classes: int | None = None,
) -> PosteriorChain:
    """Beliefs, reconstruction and covariances of a tree of which each leaf knows eps.

    P_L = p_L at the root and P_{h-1} = P_h tau_T + (1 - P_h) tau_F below. With
    E_h(true / false) the mean leaf spin given the truth at height h,

        C_h = E[E_{h-1} E_{h-1}'] - (2 P_0 - 1)^2
            = 4 [prod_{k<h} (tau_T - tau_F)_k]^2 Cov(children of a node at height h),
        chi = 1 + sum_{h=1..L} (s^h - s^(h-1)) C_h / C_0.

    Accurate relative to each number; differentiable in noise and m. Against belief
    propagation at L = 10, v = 32, m = 8 the class is 3 % low near eps*, chi 2 to 5 %.

    Args:
        noise: eps in [0, 1]: leaves believe by 1 - eps + eps / v in what they were.
        v: Symbols.
        m: Rules per symbol, from 1 to v^(s - 1).
        s: Children of a node.
        depth: L, so that there are s^L leaves.
        classes: Of the root, v by default.

    Raises:
        ValueError: An argument out of range.

    References:
        Sclocchi, Favero & Wyart, arXiv:2402.16991 (reconstruction); C and chi:
        arXiv:2410.13770; these forms derived.
    """
    check_rules(v, m, s)
    check_noise(noise)
    check_depth(depth)
    classes = v if classes is None else classes
    check_classes(classes, v, m, s)
    noise, m = floats(noise, m)
    inner, top = weights(v, m, s, v), weights(v, m, s, classes)
    join = lambda below, root: jnp.stack([below] * (depth - 1) + [root])
    share = Weights(*map(join, inner, top))
    number = lambda value: jnp.asarray(float(value), m.dtype)
    return sibling_chain(noise, share, number(v), m, number(classes), s)


def mean_field_curves(
    noises: Float[Array, " t"],
    v: int,
    m: ScalarLike,
    s: int,
    depth: int,
    classes: int | None = None,
) -> MeanFieldCurves:
    """`posterior_chain` at many noises, as one compiled program.

    Raises:
        ValueError: An argument out of range.
    """
    check_noise(noises, "noises")
    chains = jax.vmap(lambda e: posterior_chain(e, v, m, s, depth, classes))(noises)
    return MeanFieldCurves(
        chains.noise,
        chains.upward,
        chains.kept,
        chains.covariance,
        chains.susceptibility,
    )
