"""Mean field of the posterior: what survives at every height, and what with what.

Up the tree go a belief p_h and its complement, down the tree the weights of a node's
children. Given the truth of the parent these are

    true    [u + a (q^2 - u)] / Z,  a q (1 - q) / Z,  a (1 - q)^2 / Z
    false   (q^2 - u) / W,  q (1 - q) / W,  (1 - q)^2 / W

for (true, true), (true, false), (false, false), q = p_{h-1}, u = q^s, W = 1 - u and
Z = u + a W. Averaged over the parent: G q^2 + K u, G q (1 - q), G (1 - q)^2, where
G + K u = 1, so that the covariance of two siblings is G K u (1 - q)^2. From one height
to the next, with D = u + b W, t = K p_h^{s-1} of the height above, G = 1 and K = 0
above the root,

    G' = (b G + a t) / D,    K' = [(1 - b) G + (1 - a) t] / D,
    P_h = p_h (G + t),    1 - P_h = G (1 - p_h)

(derived). Sums of positive terms: no digit is lost at small noise or in deep trees.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin.analysis.hierarchy._annealed import message
from jaxwin.analysis.hierarchy._pair_counts import partners
from jaxwin.analysis.hierarchy._rules import Weights, geometric
from jaxwin.io import field


class PosteriorChain(eqx.Module):
    """Every height at one noise: index 0 is the leaves, the last the root.

    The fields of an edge belong to a parent at height 1, ..., L and two given children,
    whose truths are (true, true), (true, false), (false, false).
    """

    noise: Float[Array, ""] = field((), "noise", "eps")
    upward: Float[Array, " heights"] = field(("height",), "probability", "p_h, below")
    downward: Float[Array, " heights"] = field(
        ("height",), "probability", "belief from everything that is not below"
    )
    kept: Float[Array, " heights"] = field(("height",), "probability", "P_h, all")
    siblings_true: Float[Array, "depth 3"] = field(
        ("edge", "pair"), "probability", "of two siblings, their parent true"
    )
    siblings_false: Float[Array, "depth 3"] = field(
        ("edge", "pair"), "probability", "of two siblings, their parent false"
    )
    tau_true: Float[Array, " depth"] = field(
        ("edge",), "probability", "that a child of a true parent is true"
    )
    tau_false: Float[Array, " depth"] = field(
        ("edge",), "probability", "that a child of a false parent is true"
    )
    covariance: Float[Array, " heights"] = field(
        ("height",), "", "C_h of two leaf spins +-1 by their common ancestor"
    )
    susceptibility: Float[Array, ""] = field((), "leaves", "chi")


def spread_down(
    state: tuple[Array, Array], share: Weights, above: Array, all_: Array
) -> tuple[Array, Array]:
    """G and K of a node from those above it, `above` = p_h^(s-1) and `all_` = D."""
    fresh, bound = state
    t = bound * above
    return (
        (share.valid * fresh + share.own * t) / all_,
        (share.not_valid * fresh + share.not_own * t) / all_,
    )


@partial(jax.jit, static_argnames="s")
def sibling_chain(
    noise: Array, share: Weights, v: Array, m: Array, classes: Array, s: int
) -> PosteriorChain:
    """The chain of a tree whose weights have one entry for each height 1, ..., L."""
    missed = noise * (v - 1) / v  # 1 - p_0
    one = jnp.ones_like(missed)

    def up(state: tuple[Array, Array], share: Weights):
        # `far` = (1 - p_h) / (1 - p_0), which is finite without noise.
        p, far = state
        whole, parts = p**s, geometric(p, s)
        broken = missed * far * parts
        true, all_ = whole + share.own * broken, whole + share.valid * broken
        new = true / all_, far * share.wrong * parts / all_
        return new, (p, far, whole, parts, true, all_)

    (root, _), levels = jax.lax.scan(up, (1 - missed, one), share)
    p, far, whole, parts, true, all_ = levels

    def down(state: tuple[Array, Array], level: tuple[Weights, Array, Array]):
        new = spread_down(state, *level)
        return new, new

    above = jnp.concatenate([p[1:], root[None]]) ** (s - 1)
    _, (fresh, bound) = jax.lax.scan(
        down, (one, 0 * one), (share, above, all_), reverse=True
    )

    def instruct(state: tuple[Array, Array], p: Array):
        new = message(*state, p, v, m, s)
        return new, new[0]

    prior = one / classes
    _, downward = jax.lax.scan(instruct, (prior, 1 - prior), p, reverse=True)

    missing = missed * far
    kept = p * (fresh + bound * p ** (s - 1))
    # (q^2 - u) / (1 - q); the false parents' factor 1 - q is cancelled against W.
    rest = p**2 * geometric(p, s - 2)
    second = lambda *parts: jnp.stack(parts, axis=-1)
    pairs_true = second(
        whole + share.own * missing * rest,
        share.own * p * missing,
        share.own * missing**2,
    )
    transfer = whole / (true * parts)  # tau_T - tau_F
    reach = jnp.cumprod(jnp.concatenate([one[None], transfer[:-1]]))
    lost = fresh[0] * missed  # 1 - P_0
    # C_h / C_0 with the factor 1 - p_0 cancelled: finite without noise.
    ratio = reach**2 * fresh * bound * whole * far**2 * missed / (kept[0] * fresh[0])
    variance = 4 * kept[0] * lost
    return PosteriorChain(
        noise=noise,
        upward=jnp.append(p, root),
        downward=jnp.append(downward, prior),
        kept=jnp.append(kept, root),
        siblings_true=pairs_true / true[:, None],
        siblings_false=second(rest, p, missing) / parts[:, None],
        tau_true=(whole + share.own * missing * p * geometric(p, s - 1)) / true,
        tau_false=p * geometric(p, s - 1) / parts,
        covariance=jnp.append(variance, variance * ratio),
        susceptibility=1 + jnp.sum(partners(ratio, s)),
    )
