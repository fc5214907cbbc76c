"""How far up words obey the rules, and which of them are copies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import AnyArray
from jaxwin.targets._words import is_symbol
from jaxwin.targets.random_hierarchy._law import RandomHierarchy

# Words at once: a block must fit the memory.
BLOCK = 64


@eqx.filter_jit
def valid_nodes(
    law: RandomHierarchy, word: Int[Array, " n"]
) -> tuple[Bool[Array, " _"], ...]:
    """Whether some tree grows what is below each inner node, by level, root first.

    Symbols out of range belong to no tree. Rules of weight zero do not count.
    """
    same = is_symbol(word, law.num_symbols)
    leaves = jnp.where(same, 0, -jnp.inf).astype(law.log_weights.dtype)
    up = law.upward(leaves[..., None])
    # Only what fails anew is marked; whatever is above it fails too.
    valid = ~up.contradicted[-1][:, 0]
    found = []
    for fails in up.contradicted[-2::-1]:
        valid = jnp.all(valid.reshape(-1, law.branching), axis=1) & ~fails[:, 0]
        found.append(valid)
    return tuple(found[::-1])


def validity(law: RandomHierarchy, words: AnyArray) -> Float[np.ndarray, " h"]:
    """Fraction of subtrees of height h = 1 ... L of words (b, n) that obey all rules.

    1 for draws of the law; (m / v^(s - 1))^((s^h - 1) / (s - 1)) on average over random
    rules for uniformly random words.

    Raises:
        ValueError: Words of another length, or no whole numbers.

    References:
        arXiv:2502.12089 (as a score of generated words).
    """
    words = jnp.asarray(words)
    whole = jnp.issubdtype(words.dtype, jnp.integer)
    if words.ndim != 2 or words.shape[1] != law.num_sites or not whole:
        raise ValueError(
            f"`words` has shape {words.shape} and type {words.dtype}; it must be "
            f"(b, {law.num_sites}) whole numbers, one word a row."
        )
    valid = jax.lax.map(lambda word: valid_nodes(law, word), words, batch_size=BLOCK)
    return np.array([np.asarray(level).mean() for level in valid[::-1]])


def copies(words: AnyArray, training: AnyArray) -> float:
    """Fraction of words (b, n) that are among the training words (p, n).

    Raises:
        ValueError: No words, or words of two lengths.
    """
    words, training = np.asarray(words, np.int64), np.asarray(training, np.int64)
    if len(words) == 0 or words.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"`words` has shape {words.shape} and `training` {training.shape}; they "
            f"must hold words of one length, at least one word to look up."
        )
    known = {row.tobytes() for row in training}
    return float(np.mean([row.tobytes() in known for row in words]))
