"""Where a deep tree of random rules loses its class, by population dynamics."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import check
from jaxwin._typing import Key
from jaxwin.analysis._crossing import Crossing, independent_mean
from jaxwin.analysis.hierarchy._leaf_beliefs import AbstractLeaves
from jaxwin.analysis.hierarchy._population import GROUP, next_height, share_known
from jaxwin.analysis.hierarchy._rules import check_rules
from jaxwin.analysis.hierarchy._transition import transition
from jaxwin.io import field

# Key, noise and a count n to beliefs (n, v) about leaves whose true symbol is 0.
LeafBeliefs: TypeAlias = Callable[[Key, Float[Array, ""], int], Float[Array, "n v"]]

# Shares of the way from nothing known to certainty at which the class is decided.
LOST, KEPT = 0.01, 0.99
# Leaves that must be in error, in a population of N: where fewer are, certainty is that
# of a population too small to hold an error, and not of the channel.
FEWEST_ERRORS = 10


class DeepThreshold(eqx.Module):
    """The noise at which the class of infinitely deep trees is lost, and its error.

    The interval is Student's over the populations; `found` is false where the class
    meets the same fate in all of the range searched, as (low, high) then says, or in
    all of it but noises so small that a population has fewer than ten errors.
    """

    noise: Crossing = field((), "", "mean over the populations")
    each: Float[Array, " population"] = field(
        ("population",), "noise of the leaves", "of single populations", nullable=True
    )

    def __str__(self) -> str:
        return str(self.noise)

    def to_json(self) -> dict:
        """The threshold as `{value, stderr, low, high, found}`."""
        return self.noise.to_json()


class Height(NamedTuple):
    """A population of beliefs at one height, and how much it knows: 0 to 1."""

    height: Int[Array, ""]
    beliefs: Float[Array, "n v"]
    known: Float[Array, ""]
    below: Float[Array, ""]
    halfway: Float[Array, ""]


def deep_threshold(
    leaf: LeafBeliefs,
    v: int,
    m: int,
    s: int,
    key: Key,
    *,
    bracket: tuple[float, float] = (0.0, 1.0),
    population: int = 20_480,
    levels: int = 200,
    tolerance: float = 1e-3,
    seeds: int = 3,
) -> DeepThreshold:
    """The noise at which trees of random rules lose their class, for any channel.

    Population dynamics: N beliefs, each about a true symbol called 0, climb from the
    leaves; see `next_height`. A noise is on the one side or the other as the mean
    belief in the truth ends up at 1 or at 1 / v, or where neither is reached, as it
    went up or down over the last half of the levels. With the random numbers of one
    population shared by all noises this is a step, found by bisection, and the
    populations scatter about the threshold of the infinite one. Where F'(1/v) > 1 there
    is none, on any channel: weak information, of which the slope is that of the mean
    field, grows.

    Args:
        leaf: `leaf(key, noise, count)` gives (count, v) beliefs of leaves whose true
            symbol is 0, such as `GaussianLeaves(v)`; an equinox module or a function
            (compiled once for each).
        v: Symbols, as many classes.
        m: Rules per symbol.
        s: Children.
        key: Random key.
        bracket: Range of the noise that is searched. For an SNR one that is larger
            than the threshold must be given.
        population: Beliefs N, raised to a multiple of 16. Errors fall like N^(-1/2).
        levels: Most levels that are climbed for one noise.
        tolerance: Width of the last bracket, in units of the noise.
        seeds: Populations, at least 2.

    Raises:
        ValueError: An argument out of range, or beliefs of another shape.

    References:
        Sclocchi, Favero & Wyart, arXiv:2402.16991 (the model); population dynamics:
        Mezard & Parisi, cond-mat/0009418.
    """
    check_rules(v, m, s)
    check(seeds, lambda n: n >= 2, "seeds", "at least 2: errors need two")
    check(population, lambda n: n >= 1, "population", "at least 1")
    check(levels, lambda n: n >= 2, "levels", "at least 2")
    low, high = bracket
    check(high - low, lambda w: w > 0, "bracket", "increasing: pass (low, high)")
    check(tolerance, lambda t: t > 0, "tolerance", "positive")
    if isinstance(leaf, AbstractLeaves):
        inside = lambda noise: (noise >= 0) & (noise <= leaf.largest_noise)
        check(np.array(bracket), inside, "bracket", f"in [0, {leaf.largest_noise:g}]")
    if float(transition(v, float(m), s).slope_at_chance) > 1:
        # However little is known grows; populations may lose it by chance.
        missing = np.full(seeds, np.nan)
        return DeepThreshold(independent_mean(missing, bracket), jnp.array(missing))
    groups = -(-population // GROUP)
    places = []
    for seed in range(seeds):
        own = jr.fold_in(key, seed)
        ask = lambda noise, key=own: bool(
            class_is_kept(
                leaf, jnp.float32(noise), key, v, m, s, groups * GROUP, levels
            )
        )
        place = _bisect(ask, low, high, tolerance)
        beliefs = leaf(own, jnp.float32(place), groups * GROUP)
        errors = groups * GROUP * (1 - float(share_known(beliefs)))
        places.append(place if errors >= FEWEST_ERRORS else np.nan)
    found = independent_mean(np.array(places), bracket, tolerance)
    return DeepThreshold(found, jnp.array(places))


@eqx.filter_jit
def class_is_kept(
    leaf: LeafBeliefs,
    noise: Float[Array, ""],
    key: Key,
    v: int,
    m: int,
    s: int,
    population: int,
    levels: int,
) -> Bool[Array, ""]:
    """Whether a population at this noise ends up certain; see `deep_threshold`.

    One program for all noises; beliefs have the float type of `noise`. The population
    is a multiple of 16.
    """
    leaf_key, key = jr.split(key)
    beliefs = leaf(leaf_key, noise, population)
    if beliefs.shape != (population, v):
        raise ValueError(
            f"`leaf` gave beliefs of shape {beliefs.shape}; it must give "
            f"{(population, v)}, a row of {v} symbols for each leaf asked for."
        )

    def undecided(now: Height) -> Array:
        # Past the mark and on its way: what starts there may still turn back.
        lost = (now.known < LOST) & (now.known <= now.below)
        kept = (now.known > KEPT) & (now.known >= now.below)
        return (now.height < levels) & ~(lost | kept)

    def climb(now: Height) -> Height:
        above = next_height(jr.fold_in(key, now.height), now.beliefs, m, s)
        height, known = now.height + 1, share_known(above)
        halfway = jnp.where(height == levels // 2, known, now.halfway)
        return Height(height, above, known, now.known, halfway)

    none = jnp.full_like(noise, jnp.nan)
    start = Height(jnp.zeros((), jnp.int32), beliefs, share_known(beliefs), none, none)
    end = jax.lax.while_loop(undecided, climb, start)
    return jnp.where(end.height < levels, end.known > 0.5, end.known > end.halfway)


def _bisect(
    ask: Callable[[float], bool], low: float, high: float, tolerance: float
) -> float:
    """Where the answer changes; NaN if it does not, or only at an end."""
    below, ends = ask(low), (low, high)
    if below == ask(high):
        return np.nan
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if ask(middle) == below else (low, middle)
    return np.nan if low == ends[0] or high == ends[1] else (low + high) / 2
