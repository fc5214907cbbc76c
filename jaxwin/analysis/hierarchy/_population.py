"""Populations of beliefs that climb a tree whose rules are fresh at every node."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._typing import Key

# Nodes that share a table of rules: fewer cost more tables, more tell less of rules.
GROUP = 16


def next_height(
    key: Key, beliefs: Float[Array, "n v"], m: int, s: int
) -> Float[Array, "n v"]:
    """Beliefs one level up: each new one from s of the old through random rules.

        U(y) = sum_{r of y} prod_i u_i(R[y, r, i]),    u = U / sum_y U,

    with u_1 ... u_s drawn from the population, and the rules R fresh for every 16
    nodes. Symbols are called so that the true one is 0 at every node; then the true
    parent 0 has the rule (0 ... 0), and as rules are symmetric under new names, the
    others are any m v - 1 of the remaining v^s - 1 tuples.

    The population is a multiple of 16.
    """
    population, v = beliefs.shape
    groups = population // GROUP
    pick_key, rule_key = jr.split(key)
    # Each old belief serves once at every place i, in a group of its own each time.
    order = jnp.argsort(jr.bits(pick_key, (population,)))
    rules = random_rules(rule_key, groups, v, m, s)
    first = v * jnp.arange(groups, dtype=rules.dtype)[:, None]
    # Products of s beliefs must not vanish together.
    beliefs = jnp.maximum(beliefs, float(jnp.finfo(beliefs.dtype).tiny) ** (1 / s))
    weights = jnp.ones((), beliefs.dtype)
    for i in range(s):
        picks = jnp.roll(order, i * (population // (s + 1)))
        child = beliefs[picks].reshape(groups, GROUP, v)
        # Symbols before nodes: what is looked up for a rule is then a row.
        rows = jnp.swapaxes(child, 1, 2).reshape(groups * v, GROUP)
        symbol = rules // v ** (s - 1 - i) % v
        weights = weights * rows.at[first + symbol].get(mode="clip")
    above = jnp.sum(weights.reshape(groups, v, m, GROUP), axis=2)
    above = above / jnp.sum(above, axis=1, keepdims=True)
    return jnp.swapaxes(above, 1, 2).reshape(population, v)


def random_rules(
    key: Key, count: int, v: int, m: int, s: int
) -> Int[Array, "count rules"]:
    """Tables of m v distinct s-tuples, m for each parent in turn; the first is known.

    Tuples are numbers in base v. The first rule of parent 0 is tuple 0, the true one;
    the others are uniform without replacement and in random order: the first different
    ones of a sequence of independent tuples, so long that it lacks some in one table of
    10^18.
    """
    drawn, others = m * v - 1, v**s - 1
    # Tuples that must be tried for one that is new, one after the other.
    tries = others / np.arange(others, others - drawn, -1.0)
    spread = np.sqrt(np.sum(tries * (tries - 1)))
    length = int(tries.sum() + 10 * spread + 45 * tries[-1])
    tuples = jr.randint(key, (count, length), 1, v**s, jnp.int32)
    place = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), tuples.shape)
    table = jnp.arange(count, dtype=jnp.int32)[:, None]
    first = jnp.full((count, v**s), length, jnp.int32).at[table, tuples].min(place)
    new = first[table, tuples] == place
    rank = jnp.where(new, jnp.cumsum(new, axis=1, dtype=jnp.int32), length)
    rules = jnp.zeros((count, drawn + 1), jnp.int32)
    return rules.at[table, rank].set(tuples, mode="drop")


def share_known(beliefs: Float[Array, "n v"]) -> Float[Array, ""]:
    """Mean belief in the truth, 0 where nothing is known and 1 where all is."""
    # Two steps, so that rounding does not grow with the population.
    mean = jnp.mean(jnp.mean(beliefs[:, 0].reshape(-1, GROUP), axis=1))
    v = beliefs.shape[1]
    return (mean - 1 / v) * (v / (v - 1))
