"""Where a deep random tree loses its class: the repulsive belief of the mean field."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.analysis.hierarchy._rules import check_noise, check_rules, weights
from jaxwin.io import field, to_json


class Transition(eqx.Module):
    """Where a deep random tree loses its class, or why it has no such place.

    There is one iff both slopes are below one. Where there is none (`found` false),
    belief, noise, slope and exponent are NaN in memory and null in JSON, and `answer`
    says what happens instead.
    """

    symbols: int = eqx.field(static=True)
    branching: int = eqx.field(static=True)
    rules: Float[Array, ""] = field((), "", "m, per symbol")
    slope_at_truth: Float[Array, ""] = field((), "", "F'(1), about s m / v^(s-1)")
    slope_at_chance: Float[Array, ""] = field((), "", "F'(1 / v), about s / m")
    belief: Float[Array, ""] = field((), "probability", "repulsive p*", nullable=True)
    noise: Float[Array, ""] = field((), "noise", "eps*", nullable=True)
    slope: Float[Array, ""] = field((), "", "F'(p*)", nullable=True)
    exponent: Float[Array, ""] = field((), "", "nu = ln s / ln F'(p*)", nullable=True)
    found: Bool[Array, ""] = field((), "", "whether there is a transition")

    @property
    def answer(self) -> str:
        """Which case it is, in words."""
        if bool(self.found):
            return "transition"
        if float(self.slope_at_truth) > 1:
            return "class lost for any noise"
        if float(self.slope_at_chance) > 1:
            return "class kept for all noise < 1"
        return "marginal"

    def __str__(self) -> str:
        if not bool(self.found):
            return f"no transition ({self.answer})"
        return f"transition at noise {float(self.noise):.4f}"

    def correlation_length(self, noise: ScalarLike) -> Float[Array, ""]:
        """Length xi = |eps - eps*|^(-nu) in leaves, its amplitude taken as one.

        s^h, h = -ln|eps - eps*| / ln F'(p*) the heights it takes to leave p*. Infinite
        at eps*, NaN where there is no transition.
        """
        check_noise(noise)
        apart = jnp.abs(as_float(noise).astype(self.noise.dtype) - self.noise)
        return apart ** (-self.exponent)

    def to_json(self) -> dict[str, Any]:
        """Numbers, null where there are none, and the answer in words."""
        return {**to_json(self), "answer": self.answer}


def transition(v: int, m: ScalarLike, s: int) -> Transition:
    """The transition of deep trees: eps* = (1 - p*) / (1 - 1 / v), F(p*) = p*.

        F'(1) = s m (v - 1) / (v^s - 1) < 1    one bad leaf does not spoil its parent,
        F'(1/v) = s v^(s-1) (v - 1) / (m (v^s - 1)) < 1    weak evidence dies out;

    then p* in (1/v, 1) repels. F(p) - p = (1 - p) (p - 1/v) Q(p) / [b + (1 - b) p^s],
    Q a polynomial of degree s - 1 with one positive root: p* = (m - 1) / (v - m) for
    s = 2, by bisection otherwise. Both conditions are exact for whole m, and p* can be
    differentiated in m.

    Args:
        v: Symbols, as many classes.
        m: Rules per symbol, from 1 to v^(s - 1).
        s: Children.

    Raises:
        ValueError: An argument out of range.

    References:
        Sclocchi, Favero & Wyart, arXiv:2402.16991; nu: arXiv:2410.13770; derived.
    """
    check_rules(v, m, s)
    (m,) = floats(m)
    number = lambda value: jnp.asarray(float(value), m.dtype)
    # Tuples over symbols: (v^s - 1) / (v - 1), a whole number.
    spread, least = number(sum(v**k for k in range(s))), number(s * v ** (s - 1))
    truth, chance = s * m / spread, least / (m * spread)
    found = (s * m < spread) & (m * spread > least)
    # Self-dual rules always have one: masked values stay finite.
    some = jnp.where(found, m, number(v ** ((s - 1) / 2)))
    share = weights(v, some, s, v)
    coefficients = _remaining_factor(v, share.own, share.wrong, share.not_valid, s)
    if s == 2:
        p, left = (some - 1) / (v - some), (v + 1 - 2 * some) / (v - some)
        above = (some * (v + 1) - 2 * v) / (v * (v - some))
    else:
        one = jnp.ones_like(some)
        p = bracketed_root(_polynomial, one / v, one, coefficients)
        left, above = 1 - p, p - 1 / v
    orders = jnp.arange(1, s, dtype=m.dtype)
    bend = _polynomial(p, coefficients[1:] * orders)
    # F'(p*) - 1, which near the margins has more digits than F'(p*).
    growth = left * above * bend / (share.valid + share.not_valid * p**s)
    only = lambda value: jnp.where(found, value, jnp.nan)
    return Transition(
        symbols=v,
        branching=s,
        rules=m,
        slope_at_truth=truth,
        slope_at_chance=chance,
        belief=only(p),
        noise=only(left * (v / (v - 1))),
        slope=only(1 + growth),
        exponent=only(math.log(s) / jnp.log1p(growth)),
        found=found,
    )


def _remaining_factor(
    v: int, own: Array, wrong: Array, not_valid: Array, s: int
) -> Float[Array, " s"]:
    """Coefficients of Q, from the constant on.

    (1 - b) p^s - (b - a) (p + ... + p^(s-1)) + a by synthetic division by p - 1 / v.
    """
    found = [not_valid]
    for _ in range(s - 2):
        found.append(found[-1] / v - wrong)
    # The division has no remainder; its last step would cancel.
    return jnp.stack([*found, -own * v])[::-1]


def _polynomial(p: Array, coefficients: Array) -> Array:
    total = jnp.zeros_like(p)
    for k in reversed(range(coefficients.shape[0])):
        total = total * p + coefficients[k]
    return total
