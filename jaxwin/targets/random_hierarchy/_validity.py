"""How far up words obey the rules, and which of them are copies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

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
    same = word[:, None] == jnp.arange(law.num_symbols, dtype=word.dtype)[None]
    leaves = jnp.where(same, 0, -jnp.inf).astype(law.log_weights.dtype)
    up = law.upward(leaves.T[..., None])
    # Only what fails anew is marked; whatever is above it fails too.
    valid = ~up.contradicted[-1][:, 0]
    found = []
    for fails in up.contradicted[-2::-1]:
        valid = jnp.all(valid.reshape(-1, law.branching), axis=1) & ~fails[:, 0]
        found.append(valid)
    return tuple(found[::-1])


def validity(law: RandomHierarchy, words: Int[Array, "b n"]) -> Float[np.ndarray, " h"]:
    """Fraction of subtrees of height h = 1 ... L that obey all rules, over words.

    1 for draws of the law; (m / v^(s - 1))^((s^h - 1) / (s - 1)) on average over random
    rules for uniformly random words.

    Raises:
        ValueError: Words of another length.

    References:
        arXiv:2502.12089 (as a score of generated words).
    """
    if words.ndim != 2 or words.shape[1] != law.num_sites:
        raise ValueError(
            f"`words` has shape {words.shape}; it must be (b, {law.num_sites}), one "
            f"word a row."
        )
    valid = jax.lax.map(
        lambda word: valid_nodes(law, word), jnp.asarray(words), batch_size=BLOCK
    )
    return np.array([np.asarray(level).mean() for level in valid[::-1]])


def copies(words: Int[Array, "b n"], training: Int[Array, "p n"]) -> float:
    """Fraction of words that are among the training words."""
    known = {row.tobytes() for row in np.asarray(training, np.int64)}
    rows = np.asarray(words, np.int64)
    return float(np.mean([row.tobytes() in known for row in rows]))
