"""Tables of production rules: drawn at random, or given and checked."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._typing import AnyArray, Key

# Up to so many tuples are shuffled; among more of them, few coincide.
MOST_SHUFFLED = 2**22


def draw_rules(
    key: Key,
    num_parents: int,
    num_rules: int,
    branching: int,
    num_symbols: int,
    ambiguous: bool,
) -> Int[Array, "k m s"]:
    """Rules of one level: s-tuples dealt m per parent.

    Distinct ones uniformly without replacement, so that a tuple has one parent at most;
    with `ambiguous` each uniformly and independently.
    """
    count, tuples = num_parents * num_rules, num_symbols**branching
    if tuples > 2**31 - 1:
        raise ValueError(
            f"there are {num_symbols}^{branching} tuples; rules are numbered in 32 "
            f"bits: take fewer symbols or a smaller branching."
        )
    if ambiguous:
        number = jr.randint(key, (count,), 0, tuples)
    elif count > tuples:
        raise ValueError(
            f"{num_rules} rules for each of {num_parents} symbols are more than the "
            f"{num_symbols}^{branching} = {tuples} tuples: take at most "
            f"{tuples // num_parents} rules (v^(s - 1) for as many symbols above as "
            f"below), or `ambiguous=True`."
        )
    elif tuples <= MOST_SHUFFLED:
        number = jr.permutation(key, tuples)[:count]
    else:
        number = _distinct(key, count, tuples)
    powers = num_symbols ** np.arange(branching)[::-1]
    symbols = number[:, None] // powers[None] % num_symbols
    return symbols.astype(jnp.int32).reshape(num_parents, num_rules, branching)


def _distinct(key: Key, count: int, below: int) -> Int[Array, " n"]:
    """Distinct whole numbers, uniformly: those that repeat an earlier one again.

    Nothing tells one number from another, so that every set is as likely.
    """

    def repeats(number: Array) -> Array:
        order = jnp.argsort(number, stable=True)
        ordered = number[order]
        again = jnp.concatenate([jnp.zeros(1, bool), ordered[1:] == ordered[:-1]])
        return jnp.zeros(count, bool).at[order].set(again)

    def redraw(state: tuple) -> tuple:
        key, number, again = state
        key, now = jr.split(key)
        number = jnp.where(again, jr.randint(now, (count,), 0, below), number)
        return key, number, repeats(number)

    key, first = jr.split(key)
    number = jr.randint(first, (count,), 0, below)
    state = key, number, repeats(number)
    return jax.lax.while_loop(lambda state: jnp.any(state[2]), redraw, state)[1]


def zipf_weights(num_rules: int, exponent: float) -> Float[np.ndarray, " m"]:
    """Probabilities ~ 1 / r^exponent of rules r = 1 ... m."""
    weights = np.arange(1, num_rules + 1, dtype=float) ** -exponent
    return weights / weights.sum()


def checked_rules(
    rules: tuple[AnyArray, ...], num_symbols: int | None, ambiguous: bool
) -> tuple[tuple[Int[Array, "_ _ s"], ...], int]:
    """Tables of whole numbers that fit each other, and the number of leaf symbols."""
    tables = [jnp.asarray(table) for table in rules]
    if not tables:
        raise ValueError("`rules` is empty; give one table (k, m, s) a level.")
    for level, table in enumerate(tables):
        if table.ndim != 3 or not table.size:
            raise ValueError(
                f"`rules[{level}]` has shape {table.shape}; it must be (k, m, s): "
                f"symbols of the s children, by rule and parent's symbol."
            )
        if not jnp.issubdtype(table.dtype, jnp.integer):
            raise ValueError(
                f"`rules[{level}]` is {table.dtype}; symbols are whole numbers."
            )
        if table.shape[2] != tables[0].shape[2]:
            raise ValueError(
                f"`rules[{level}]` has {table.shape[2]} children a rule and `rules[0]` "
                f"{tables[0].shape[2]}; the branching is one for all levels."
            )
    counts = [len(table) for table in tables[1:]]
    counts.append(len(tables[-1]) if num_symbols is None else num_symbols)
    for level, (table, count) in enumerate(zip(tables, counts, strict=True)):
        if is_concrete(table):
            _check_symbols(np.asarray(table), count, level, ambiguous)
    return tuple(table.astype(jnp.int32) for table in tables), counts[-1]


def _check_symbols(table: np.ndarray, count: int, level: int, ambiguous: bool) -> None:
    outside = (table < 0) | (table >= count)
    if outside.any():
        raise ValueError(
            f"`rules[{level}]` holds the symbol {table[outside][0]}; the level below "
            f"has symbols 0 ... {count - 1}."
        )
    rows = table.reshape(-1, table.shape[2])
    distinct, times = np.unique(rows, axis=0, return_counts=True)
    if not ambiguous and len(distinct) < len(rows):
        twice = tuple(int(symbol) for symbol in distinct[np.argmax(times > 1)])
        raise ValueError(
            f"`rules[{level}]` holds the tuple {twice} more than once, so that its "
            f"parent is ambiguous: change it, or pass `ambiguous=True`."
        )


def checked_rule_weights(
    rules: tuple[Int[Array, "_ _ s"], ...], weights: object
) -> tuple[Float[Array, "_ _"], ...]:
    """Log-probabilities of the rules of each symbol, normalised."""
    each = weights if isinstance(weights, tuple | list) else (weights,) * len(rules)
    if len(each) != len(rules):
        raise ValueError(
            f"`rule_weights` has {len(each)} entries for {len(rules)} levels; give one "
            f"a level, or one array for all."
        )
    return tuple(
        _log_weights(table.shape[:2], one, level)
        for level, (table, one) in enumerate(zip(rules, each, strict=True))
    )


def _log_weights(
    shape: tuple[int, ...], weights: object, level: int
) -> Float[Array, "k m"]:
    if weights is None:
        return jnp.full(shape, -np.log(shape[1]))
    weights = jnp.asarray(weights, dtype=float)
    if weights.shape not in (shape, shape[1:]):
        raise ValueError(
            f"`rule_weights` of level {level} has shape {weights.shape}; it must be "
            f"{shape[1:]}, the rules of any symbol, or {shape}."
        )
    weights = jnp.broadcast_to(weights, shape)
    total = weights.sum(axis=1, keepdims=True)
    if is_concrete(weights):
        good = np.all(np.asarray(weights) >= 0) and np.all(np.isfinite(total))
        if not (good and np.all(np.asarray(total) > 0)):
            raise ValueError(
                f"`rule_weights` of level {level} must be >= 0 and finite, with some "
                f"weight for every symbol."
            )
    return jnp.log(weights / total)
