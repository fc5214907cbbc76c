"""U-turns of trees: what one start says of every level, at every noise.

A start is a tree of the law; it is observed twice, independently, and of each
observation belief propagation gives the exact marginals of all nodes and one exact draw
of the whole tree, which is what a full reverse process would return. All noises share
the start and the randomness of the channel.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import check, check_curve, unit_interval
from jaxwin._typing import AnyArray, Key
from jaxwin.channels import AbstractChannel, AbstractWordChannel
from jaxwin.targets import RandomHierarchy

# Observations whose beliefs fit the cache together: more are slower, on a CPU.
STARTS_AT_ONCE = 2
TURNS = 2


class Counts(NamedTuple):
    """Averages over the nodes of each level, root first, then sums for correlations.

    same: exact P(symbol unchanged). purity: sum_a P(a)^2. drawn: whether the drawn tree
    has it. changed: mean over the two turns of 1 where a leaf of the drawn tree is
    another. squares: sums over the nodes of each level of the square of how many leaves
    below changed, one turn; crossed: of the product of both turns.
    """

    same: Float[Array, "*b l"]
    purity: Float[Array, "*b l"]
    drawn: Float[Array, "*b l"]
    changed: Float[Array, "*b n"]
    squares: Float[Array, "*b l"]
    crossed: Float[Array, "*b l"]


class Turns(eqx.Module):
    """A replica function: one start, two turns, all noises; `many` is its batch."""

    law: RandomHierarchy
    channel: AbstractChannel
    noises: Float[Array, " t"]

    def __call__(self, key: Key, replica: Int[Array, ""]) -> Counts:
        """Counts of one start, (t, ...)."""
        return jax.tree.map(lambda leaf: leaf[0], self.many(key, replica[None]))

    def many(self, key: Key, replicas: Int[Array, " b"]) -> Counts:
        """Counts of many starts, (b, t, ...), few at a time."""
        keys = jax.vmap(lambda replica: jr.fold_in(key, replica))(replicas)
        together = STARTS_AT_ONCE if len(replicas) % STARTS_AT_ONCE == 0 else 1
        counts = jax.lax.map(self._some, keys.reshape(-1, together))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), counts)

    def _some(self, keys: Array) -> Counts:
        """Counts of a few starts, (starts, t, ...)."""
        law, starts, dtype = self.law, len(keys), self.law.log_weights.dtype
        keys = jax.vmap(lambda key: jr.split(key, 3))(keys)
        shape = 1 + law.num_inner
        draw = lambda key: jr.uniform(key, (shape,), dtype)
        tree = law.grow(jax.vmap(draw, out_axes=1)(keys[:, 0]))
        word = jnp.repeat(tree[-1], TURNS, axis=1)
        turn_keys = jax.vmap(lambda key: jr.split(key, TURNS))(keys[:, 1]).reshape(-1)
        draw = lambda key: self.channel.draw_noise(law, key)
        drawn = jax.vmap(draw, out_axes=-1)(turn_keys)
        choice = jax.vmap(lambda key: jr.uniform(key, (shape, TURNS), dtype))(
            keys[:, 2]
        )
        uniforms = jnp.moveaxis(choice, 0, 1).reshape(shape, -1)
        truth = tuple(jnp.repeat(level, TURNS, axis=1) for level in tree)

        def at(noise: Array) -> Counts:
            see = lambda word, own: self.channel.word_logits(law, word, own, noise)
            leaves = jax.vmap(see, in_axes=-1, out_axes=-1)(word, drawn)
            up = law.upward(leaves)
            return counted(law, truth, up, law.marginals_of(up), uniforms, starts)

        counts = jax.lax.map(at, self.noises)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), counts)


def check_turns(num_turns: int) -> None:
    """Raise ValueError unless there are two blocks of two starts, two turns each."""
    if num_turns < 4 * TURNS:
        raise ValueError(f"`num_turns` is {num_turns}; errors need at least 8.")


def checked_noises(
    channel: AbstractChannel, noises: AnyArray, *, posterior: bool
) -> Float[np.ndarray, " t"]:
    """Noises of a curve, refused outside of the channel or if it lacks a posterior.

    A channel has none if it is not Bayesian, which only matters where two nodes are
    asked for at once, or what is seen is a random variable.

    Raises:
        ValueError: Fewer than 4 noises, or noises that do not increase; and as said.
    """
    noises = np.asarray(noises, float)
    check_curve(noises, "noises")
    if isinstance(channel, AbstractWordChannel):
        check(noises, unit_interval, "noises", "in [0, 1]")
    known = lambda noises: ~np.isnan(channel.coordinate(jnp.asarray(noises)))
    check(noises, known, "noises", "on the clock of the channel")
    if posterior and not channel.is_bayesian:
        raise ValueError(
            f"{type(channel).__name__} has no posterior: take `Gaussian()`, "
            f"`Masking()` or `UniformCorruption()`."
        )
    return noises


def counted(
    law: RandomHierarchy,
    truth: tuple[Int[Array, "_ b"], ...],
    up: Any,
    marginals: tuple[Float[Array, "_ _ b"], ...],
    uniforms: Float[Array, "i b"],
    starts: int,
) -> Counts:
    """Counts of observations, the turns of a start side by side."""
    drawn, true = (
        jnp.concatenate(tree) for tree in (law.draw_given(up, uniforms), truth)
    )
    same = [at_symbols(one, level) for one, level in zip(marginals, truth, strict=True)]
    purity = [jnp.sum(one**2, axis=0) for one in marginals]
    kept = (drawn == true).astype(marginals[-1].dtype)
    changed = 1 - kept[-law.num_sites :]
    below = leaves_below(law, changed).reshape(-1, starts, TURNS)
    sizes = np.array([len(level) for level in truth])
    of_start = lambda values: values.reshape(len(values), starts, -1).mean(-1)
    total = lambda values: level_sums(sizes, values)
    mean = lambda values: of_start(level_means(sizes, values)).T
    return Counts(
        mean(jnp.concatenate(same)),
        mean(jnp.concatenate(purity)),
        mean(kept),
        of_start(changed).T,
        of_start(total((below**2).reshape(len(below), -1))).T,
        total(jnp.prod(below, axis=-1)).T,
    )


def at_symbols(
    values: Float[Array, "k n b"], symbols: Int[Array, "n b"]
) -> Float[Array, "n b"]:
    """values[symbols[j, b], j, b]."""
    count = symbols.size
    place = jnp.arange(count, dtype=jnp.int32).reshape(symbols.shape)
    flat = symbols * count + place
    return values.reshape(-1).at[flat].get(mode="promise_in_bounds")


def leaves_below(
    law: RandomHierarchy, values: Float[Array, "n b"]
) -> Float[Array, "i b"]:
    """Sums over the leaves below every node, root first, by one running sum."""
    branching, depth = law.branching, law.depth
    widths = branching ** np.arange(depth, -1, -1)
    ends = [np.arange(width, len(values) + 1, width) for width in widths]
    end = np.concatenate(ends)
    start = end - np.repeat(widths, [len(one) for one in ends])
    # Whole numbers: exact up to 2^24 leaves in float32.
    running = jnp.pad(jnp.cumsum(values, axis=0), ((1, 0), (0, 0)))
    return running[end] - running[start]


def level_sums(
    sizes: Int[np.ndarray, " l"], values: Float[Array, "i b"]
) -> Float[Array, "l b"]:
    """Sums over the nodes of each level, by one product for all: quick to compile."""
    level = np.repeat(np.arange(sizes.size), sizes)
    member = jnp.asarray(level[None] == np.arange(sizes.size)[:, None], values.dtype)
    return jnp.matmul(member, values, precision="highest")


def level_means(
    sizes: Int[np.ndarray, " l"], values: Float[Array, "i b"]
) -> Float[Array, "l b"]:
    """Means over the nodes of each level."""
    return level_sums(sizes, values) / jnp.asarray(sizes, values.dtype)[:, None]
