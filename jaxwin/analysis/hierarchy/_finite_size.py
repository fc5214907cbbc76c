"""How the mean-field transition sharpens and grows with the depth of the tree."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import ScalarLike
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.analysis.hierarchy._posterior_chain import posterior_chain
from jaxwin.analysis.hierarchy._rules import (
    check_depth,
    check_rules,
    geometric,
    weights,
)
from jaxwin.analysis.hierarchy._sibling_chain import spread_down
from jaxwin.analysis.hierarchy._transition import transition
from jaxwin.io import field

# Shares of the class's excess over chance between which its curve is called steep.
EARLY, LATE = 0.75, 0.25
# Noises that are looked at before a peak is bracketed.
GRID = 129


class ClassWidths(eqx.Module):
    """Where the class curve falls, by depth L = 1, 2, ...

    Its excess over chance, (P_L - 1/v) / (1 - 1/v), is 3/4 at `early` and 1/4 at
    `late`. With a transition width ~ F'(p*)^(-L) = (s^L)^(-1/nu): the tree is as large
    as the correlation length |eps - eps*|^(-nu) of both ends.
    """

    depth: Int[Array, " depth"] = field(("depth",), "levels", "L")
    early: Float[Array, " depth"] = field(("depth",), "noise", "excess 3/4")
    late: Float[Array, " depth"] = field(("depth",), "noise", "excess 1/4")
    width: Float[Array, " depth"] = field(("depth",), "noise", "late - early")
    slope: Float[Array, ""] = field(
        (), "per level", "of ln width, predicted: -ln F'(p*)", nullable=True
    )
    found: Bool[Array, ""] = field((), "", "whether there is a transition")


class CriticalGrowth(eqx.Module):
    """chi at eps*, by depth L = 1, 2, ..., and whether it grows without end.

    chi ~ s^(L (2 / nu - 1)) for nu < 2; for nu > 2 it saturates although the
    correlation length diverges. NaN in memory, null in JSON, without a transition.
    """

    depth: Int[Array, " depth"] = field(("depth",), "levels", "L")
    susceptibility: Float[Array, " depth"] = field(
        ("depth",), "leaves", "chi(eps*)", nullable=True
    )
    exponent: Float[Array, ""] = field((), "", "2 / nu - 1, in s^L", nullable=True)
    diverges: Bool[Array, ""] = field((), "", "whether nu < 2")
    found: Bool[Array, ""] = field((), "", "whether there is a transition")


class SusceptibilityPeak(eqx.Module):
    """The largest chi over noise, and whether it is inside of (0, 1)."""

    noise: Float[Array, ""] = field((), "noise", "where")
    susceptibility: Float[Array, ""] = field((), "leaves", "chi there")
    interior: Bool[Array, ""] = field((), "", "whether both ends are lower")


def class_widths(v: int, m: ScalarLike, s: int, depth: int) -> ClassWidths:
    """Noises between which the mean-field class is lost, for trees of each depth.

    By the inverse of `upward_map` from the root to the leaves; the width by its own
    recursion, so that deep trees lose no digit. With or without a transition.

    Args:
        v: Symbols, as many classes.
        m: Rules per symbol, from 1 to v^(s - 1).
        s: Children of a node.
        depth: Of the deepest tree.

    Raises:
        ValueError: An argument out of range.
    """
    check_rules(v, m, s)
    check_depth(depth)
    (m,) = floats(m)
    share = weights(v, m, s, v)
    belief = lambda excess: jnp.asarray(1 / v + excess * (1 - 1 / v), m.dtype)

    def back(state: tuple[Array, Array, Array], _: None):
        early, late, gap = state
        rest = share.not_own - share.not_valid * jnp.stack([early, late])
        whole = (share.valid * jnp.stack([early, late]) - share.own) / rest
        new = whole ** (1 / s)
        # (x^s - y^s) / (x - y).
        steep = new[0] ** (s - 1) * geometric(new[1] / new[0], s)
        gap = gap * share.wrong / (rest[0] * rest[1] * steep)
        return (new[0], new[1], gap), (new[0], new[1], gap)

    start = belief(EARLY), belief(LATE)
    state = *start, start[0] - start[1]
    _, (early, late, gap) = jax.lax.scan(back, state, length=depth)
    found = transition(v, m, s)
    unit = v / (v - 1)
    return ClassWidths(
        depth=jnp.arange(1, depth + 1),
        early=(1 - early) * unit,
        late=(1 - late) * unit,
        width=gap * unit,
        slope=-jnp.log(found.slope),
        found=found.found,
    )


def critical_susceptibility(
    v: int, m: ScalarLike, s: int, depth: int
) -> CriticalGrowth:
    """Mean-field chi at eps*, for trees of each depth.

    All heights are alike there, so that one pass down serves all depths and p* cannot
    be left by rounding, as it would be by `posterior_chain` in deep trees.

    Args:
        v: Symbols, as many classes.
        m: Rules per symbol, from 1 to v^(s - 1).
        s: Children of a node.
        depth: Of the deepest tree.

    Raises:
        ValueError: An argument out of range.

    References:
        Sclocchi, Favero & Wyart, arXiv:2410.13770 (nu); the condition nu < 2 derived.
    """
    check_depth(depth)
    at = transition(v, m, s)
    m = at.rules
    share = weights(v, m, s, v)
    # Masked values stay finite.
    p = jnp.where(at.found, at.belief, 0.5)
    slope = jnp.where(at.found, at.slope, 1.0)
    whole = p**s
    all_ = share.valid + share.not_valid * whole

    def down(state: tuple[Array, Array], _: None):
        new = spread_down(state, share, p ** (s - 1), all_)
        return new, new

    one = jnp.ones_like(p)
    _, (fresh, bound) = jax.lax.scan(down, (one, jnp.zeros_like(one)), length=depth)
    # Leaves that meet at height h, (s - 1) s^(h-1), with their chain (F'/s)^(2(h-1)).
    reach = (s - 1) * (slope**2 / s) ** jnp.arange(depth, dtype=p.dtype)
    # Entry j of fresh and bound belongs to height L - j: chi_L = sum_j of both.
    joint = jnp.convolve(reach, fresh * bound, precision="highest")[:depth]
    kept = p * (fresh + bound * p ** (s - 1))
    chi = 1 + joint * whole * (1 - p) / (kept * fresh)
    only = lambda value: jnp.where(at.found, value, jnp.nan)
    return CriticalGrowth(
        depth=jnp.arange(1, depth + 1),
        susceptibility=only(chi),
        exponent=2 / at.exponent - 1,
        diverges=at.found & (at.slope > math.sqrt(s)),
        found=at.found,
    )


def susceptibility_peak(
    v: int, m: ScalarLike, s: int, depth: int, classes: int | None = None
) -> SusceptibilityPeak:
    """Where the mean-field chi is largest over noise, for a tree of one depth.

    On a grid, then by bisection of the slope. At an end of [0, 1] that is no interior
    peak. Arguments as in `posterior_chain`.

    Raises:
        ValueError: An argument out of range.
    """
    (m,) = floats(m)
    chi = lambda noise: _susceptibility(noise, (m, v, s, depth, classes))
    noises = jnp.linspace(0, 1, GRID, dtype=m.dtype)
    best = jnp.argmax(jax.vmap(chi)(noises))
    interior = (best > 0) & (best < GRID - 1)
    # At an end the bracket is one that is not used.
    middle = jnp.clip(best, 1, GRID - 2)
    low, high = noises[middle - 1], noises[middle + 1]
    top = bracketed_root(_minus_slope, low, high, (m, v, s, depth, classes))
    noise = jnp.where(interior, top, noises[best])
    return SusceptibilityPeak(noise, chi(noise), interior)


@eqx.filter_jit
def _susceptibility(noise: Array, args: tuple) -> Array:
    m, v, s, depth, classes = args
    return posterior_chain(noise, v, m, s, depth, classes).susceptibility


def _minus_slope(noise: Array, args: tuple) -> Array:
    # Forwards: less to compile than backwards through the scans.
    one = jnp.ones_like(noise)
    return -jax.jvp(lambda noise: _susceptibility(noise, args), (noise,), (one,))[1]
