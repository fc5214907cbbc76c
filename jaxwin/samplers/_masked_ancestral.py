"""Ancestral sampling of masked words, a few sites at a time."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int

from jaxwin._checks import check_one_of
from jaxwin._typing import Key
from jaxwin.channels import MASK, Masking
from jaxwin.samplers._unmasking import ORDERS, check_per_step
from jaxwin.targets import AbstractDiscreteLaw
from jaxwin.targets._words import check_word


def masked_ancestral(
    law: AbstractDiscreteLaw,
    word_with_masks: Int[Array, " n"],
    key: Key,
    per_step: int = 1,
    order: str = "random",
) -> Int[Array, " n"]:
    """Fill in the masked sites of a word, `per_step` at once: masking backwards.

    With G the next `per_step` sites of those still masked, in the given order,
    a step is

        a_i ~ P(a_i | all that is seen by now)    for i in G, independently,

    so that the word is drawn from prod_steps prod_{i in G} P(a_i | seen). For one site
    a step that is the chain rule, exact in any order. For more it is parallel
    unmasking, whose sites within a group do not know of each other: biased, at worst to
    words that the law never makes; `unmasking_bias` measures it.

    Work: ceil(masked / per_step) calls of `law.marginals`, none for a word without
    masks; under `jax.vmap` the most of any word, for all.

    Args:
        law: Any discrete law.
        word_with_masks: Symbols, and -1 where a site is masked. Seen sites stay.
        key: Key of the order and the symbols.
        per_step: Sites that are unmasked at once; static.
        order: "random", a uniformly random one, or "left", by the number of the site.

    Returns:
        The word without masks. Where what is seen contradicts the law, marginals are
        those that `AbstractDiscreteLaw` answers then.

    Raises:
        ValueError: `per_step` < 1, an unknown order, a word of another length or with
            symbols out of range (not looked at under a trace).

    References:
        Austin et al. (2021), arXiv:2107.03006, section 3 (absorbing states).
        Sahoo et al. (2024), arXiv:2406.07524 (masked diffusion, and its reverse).
    """
    check_word(law, word_with_masks, "word_with_masks", masks=True)
    check_per_step(per_step)
    check_one_of(order, ORDERS, "order")
    order_key, symbol_key = jr.split(key)
    masked = word_with_masks == MASK
    # Masked sites by place in the order; seen sites come after all of them.
    place = jnp.arange(law.num_sites, dtype=jnp.int32)
    if order == "random":
        place = jr.permutation(order_key, place)
    by_place = jnp.argsort(jnp.where(masked, place, law.num_sites))
    rank = jnp.argsort(by_place).astype(jnp.int32)

    def unmask(step: Array, word: Int[Array, " n"]) -> Int[Array, " n"]:
        log_p = jnp.log(law.marginals(Masking().site_logits(law, word, 0.0)))
        drawn = jr.categorical(jr.fold_in(symbol_key, step), log_p, axis=1)
        now = (word == MASK) & (rank < (step + 1) * per_step)
        return jnp.where(now, drawn.astype(word.dtype), word)

    # A loop, not a scan: how many sites are masked is known at run time only.
    steps = -(-jnp.sum(masked, dtype=jnp.int32) // per_step)
    return jax.lax.fori_loop(jnp.zeros((), jnp.int32), steps, unmask, word_with_masks)
