"""A word as evidence, if the rules can grow it."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import AnyArray
from jaxwin.targets._words import MASK, check_word, is_symbol
from jaxwin.targets.random_hierarchy import _passes
from jaxwin.targets.random_hierarchy._law import RandomHierarchy


def word_evidence(law: RandomHierarchy, word: AnyArray) -> Float[Array, "n q"]:
    """Site logits of a word that is seen, -1 where a site is not: 0 and -inf.

    Channels take words as they come, since a corrupted word need not be one of the law;
    what nothing explains is then flagged. This is for words that should be.

    Args:
        law: The hierarchy.
        word: Concrete symbols of the leaves.

    Raises:
        ValueError: Another length, unknown symbols, or a word that no tree grows; the
            message names the sites that have no parent.
    """
    word = jnp.asarray(word)
    if not jnp.issubdtype(word.dtype, jnp.integer):
        raise ValueError(f"`word` is of type {word.dtype}; symbols are whole numbers.")
    check_word(law, word, "word", masks=True)
    possible = is_symbol(word, law.num_symbols).T | (word == MASK)[:, None]
    logits = jnp.where(possible, 0, -jnp.inf).astype(law.log_weights.dtype)
    up = eqx.filter_jit(_upward)(law, logits)
    for level in range(law.depth - 1, -1, -1):
        fails = np.flatnonzero(up.contradicted[level][:, 0])
        if fails.size:
            width = law.branching ** (law.depth - level)
            first, last = fails[0] * width, (fails[0] + 1) * width - 1
            shown = np.asarray(word[first : last + 1])
            what = " ".join(map(str, shown)) if width <= 16 else f"{width} symbols"
            raise ValueError(
                f"`word` is grown by no tree: no symbol of level {level} has the "
                f"leaves {first} ... {last} ({what}) below it; `valid_nodes` shows "
                f"where a word obeys the rules."
            )
    return logits


def _upward(law: RandomHierarchy, logits: Float[Array, "n q"]) -> _passes.Upward:
    return law.upward(logits.T[..., None])
