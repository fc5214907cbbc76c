"""Mean field of belief propagation: how a belief in the truth climbs a random tree."""

from jaxtyping import Array, Float

from jaxwin._checks import check
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.analysis.hierarchy._rules import (
    check_noise,
    check_rules,
    geometric,
    weights,
)


def leaf_belief(noise: TimesLike, v: int) -> Float[Array, "..."]:
    """Belief p_0 = 1 - eps + eps / v in the true symbol of a leaf.

    Raises:
        ValueError: `noise` outside [0, 1].
    """
    check_noise(noise)
    return 1 - as_float(noise) * ((v - 1) / v)


def belief_noise(p: TimesLike, v: int) -> Float[Array, "..."]:
    """Noise eps = (1 - p) / (1 - 1 / v) of leaves believed in by p."""
    check(p, lambda p: (p >= 0) & (p <= 1), "p", "a probability, in [0, 1]")
    return (1 - as_float(p)) * (v / (v - 1))


def upward_map(p: TimesLike, v: int, m: ScalarLike, s: int) -> Float[Array, "..."]:
    """Belief in a parent whose s children are each believed in by p.

        F(p) = [p^s + a (1 - p^s)] / [p^s + b (1 - p^s)],
        a = (m - 1) / (v^s - 1),    b = (m v - 1) / (v^s - 1).

    Belief propagation with its numerator and its sum averaged over the choice of the
    other m v - 1 tuples. F(1 / v) = 1 / v and F(1) = 1 exactly. Elementwise.

    Args:
        p: Belief in the true symbol, in [0, 1].
        v: Symbols.
        m: Rules per symbol, from 1 to v^(s - 1); not whole ones are taken too.
        s: Children.

    Raises:
        ValueError: An argument out of range.

    References:
        Sclocchi, Favero & Wyart, arXiv:2402.16991 (the map); this form derived.
    """
    p, m = _arguments(p, v, m, s)
    share = weights(v, m, s, v)
    whole, broken = p**s, (1 - p) * geometric(p, s)
    return (whole + share.own * broken) / (whole + share.valid * broken)


def upward_slope(p: TimesLike, v: int, m: ScalarLike, s: int) -> Float[Array, "..."]:
    """Slope F'(p) = s p^(s-1) (b - a) / [b + (1 - b) p^s]^2 of `upward_map`.

    Raises:
        ValueError: An argument out of range.
    """
    p, m = _arguments(p, v, m, s)
    share = weights(v, m, s, v)
    whole = share.valid + share.not_valid * p**s
    return s * p ** (s - 1) * share.wrong / whole**2


def dual_rules(v: int, m: ScalarLike, s: int) -> Float[Array, ""]:
    """Rules m' = v^(s-1) / m of the dual tree: p*(m) p*(m') = 1 / v, the same F'(p*).

    Raises:
        ValueError: An argument out of range.

    References:
        Derived.
    """
    check_rules(v, m, s)
    return v ** (s - 1) / as_float(m)


def _arguments(p: TimesLike, v: int, m: ScalarLike, s: int) -> tuple[Array, Array]:
    check_rules(v, m, s)
    check(p, lambda p: (p >= 0) & (p <= 1), "p", "a probability, in [0, 1]")
    p, m = floats(p, m)
    return p, m
