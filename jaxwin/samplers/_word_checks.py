"""What samplers of words are given: words of the law's length and symbols."""

import numpy as np
from jaxtyping import Array, Int

from jaxwin._checks import is_concrete
from jaxwin.channels import MASK
from jaxwin.targets import AbstractDiscreteLaw

# Which masked site comes next.
ORDERS = ("random", "left")


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


def check_per_step(per_step: int) -> None:
    """Raise ValueError unless at least one site is unmasked a step."""
    if per_step < 1:
        raise ValueError(
            f"`per_step` is {per_step}; it must be at least 1, the sites that are "
            f"unmasked at once."
        )
