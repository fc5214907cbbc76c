"""The numbers of a random grammar that the mean field knows: checks and weights."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check, unit_interval
from jaxwin._typing import AnyArray, ScalarLike


class Weights(NamedTuple):
    """Shares of the tuples other than the true one, each with its complement.

    With N = v^s - 1 such tuples: `own` a = (m - 1) / N have the true parent, `valid`
    b = (k m - 1) / N have one, `wrong` = b - a another one, for k parents.
    """

    own: Float[Array, ""]
    valid: Float[Array, ""]
    wrong: Float[Array, ""]
    not_own: Float[Array, ""]
    not_valid: Float[Array, ""]


def weights(v: int, m: Array, s: int, parents: int) -> Weights:
    """Shares for `parents` symbols of m rules, in the float type of m."""
    number = lambda value: jnp.asarray(float(value), m.dtype)
    total, others = number(v**s), number(v**s - 1)
    return Weights(
        own=(m - 1) / others,
        valid=(parents * m - 1) / others,
        wrong=m * (parents - 1) / others,
        not_own=(total - m) / others,
        not_valid=(total - parents * m) / others,
    )


def geometric(p: Float[Array, "..."], terms: int) -> Float[Array, "..."]:
    """Sum of p^k for k < terms: 1 - p^s is (1 - p) times that of s terms."""
    total = jnp.ones_like(p) if terms else jnp.zeros_like(p)
    for _ in range(terms - 1):
        total = 1 + p * total
    return total


def check_rules(v: int, m: ScalarLike, s: int) -> None:
    """Raise ValueError unless v >= 2, s >= 2 and 1 <= m <= v^(s - 1)."""
    check(v, lambda v: v >= 2, "v", "a number of symbols, at least 2")
    check(s, lambda s: s >= 2, "s", "a number of children, at least 2")
    most = v ** (s - 1)
    must = f"between 1 and v^(s - 1) = {most}: more rules are ambiguous"
    check(m, lambda m: (m >= 1) & (m <= most), "m", must)


def check_noise(noise: AnyArray, name: str = "noise") -> None:
    """Raise ValueError unless concrete values are in [0, 1]."""
    check(noise, unit_interval, name, "in [0, 1]")


def check_depth(depth: int) -> None:
    """Raise ValueError unless the tree has at least one level below its root."""
    check(depth, lambda depth: depth >= 1, "depth", "at least 1")


def check_classes(classes: int, v: int, m: ScalarLike, s: int) -> None:
    """Raise ValueError unless the classes have m rules each without ambiguity."""
    must = "between 2 and v^s / m: more classes are ambiguous"
    # A traced m is one of [1, v^(s-1)]; then no more is known than n <= v^s.
    check(classes, lambda n: (n >= 2) & (n <= v**s), "classes", must)
    check(m, lambda m: classes * m <= v**s, "m", f"at most v^s / {classes}")
