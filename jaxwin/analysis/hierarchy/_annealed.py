"""The annealed downward message: the route of the papers to what is reconstructed."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.analysis.hierarchy._rules import check_rules


def downward_map(
    belief: ScalarLike, p: ScalarLike, v: int, m: ScalarLike, s: int
) -> Float[Array, ""]:
    """Annealed message to a child: from its parent's, q, and its siblings' beliefs p.

        q' = [q t + (1 - t) (m - q) / N] / [q t + (v - t) (m - q) / N],
        t = p^(s-1),  N = v^s - 1,    q = 1 / n at the root of n classes.

    Raises:
        ValueError: An argument out of range.

    References:
        Derived; with `combine` it is the chain of `posterior_chain`.
    """
    check_rules(v, m, s)
    belief, p, m = floats(belief, p, m)
    return message(belief, 1 - belief, p, jnp.asarray(float(v), m.dtype), m, s)[0]


def combine(p: ScalarLike, q: ScalarLike, v: int) -> Float[Array, ""]:
    """Belief from below and from elsewhere: p q / (p q + (1 - p) (1 - q) / (v - 1))."""
    p, q = floats(p, q)
    return p * q / (p * q + (1 - p) * (1 - q) / (v - 1))


def message(
    belief: Array, rest: Array, p: Array, v: Array, m: Array, s: int
) -> tuple[Array, Array]:
    """The message and its complement, by the same of the parent's."""
    t = p ** (s - 1)
    others = (m - 1 + rest) / (v**s - 1)
    right = belief * t + (1 - t) * others
    wrong = (v - 1) * others
    return right / (right + wrong), wrong / (right + wrong)
