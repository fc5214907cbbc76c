"""What a word is: one symbol of the law a site, or none where it is masked."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxwin._checks import is_concrete
from jaxwin.targets._discrete import AbstractDiscreteLaw

# What is seen of an erased symbol.
MASK = -1


def is_symbol(word: Int[Array, " n"], num_symbols: int) -> Bool[Array, "q n"]:
    """Whether symbol a stands at site i."""
    return word[None] == jnp.arange(num_symbols, dtype=word.dtype)[:, None]


def check_word(
    law: AbstractDiscreteLaw, word: Int[Array, " n"], name: str, *, masks: bool
) -> None:
    """Raise ValueError for another length, or concrete symbols out of range."""
    q = law.num_symbols
    if word.shape != (law.num_sites,):
        raise ValueError(
            f"`{name}` has shape {word.shape}; the law takes one word of shape "
            f"({law.num_sites},): use `jax.vmap` for many."
        )
    if not is_concrete(word):
        return
    symbols = np.asarray(word)
    outside = symbols[(symbols < (MASK if masks else 0)) | (symbols >= q)]
    if outside.size:
        also = f", or {MASK} where a site is masked" if masks else ""
        raise ValueError(
            f"`{name}` holds {outside[0]}; symbols of the law are 0 ... {q - 1}{also}."
        )
