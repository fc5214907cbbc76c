"""The exact law of parallel unmasking, and how far it is from the posterior."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import check_one_of, is_concrete
from jaxwin.channels import MASK, Masking
from jaxwin.samplers._unmasking import ORDERS, check_per_step
from jaxwin.targets import AbstractDiscreteLaw
from jaxwin.targets._words import check_word

# Partly unmasked words that are listed at most, and how many at once.
MOST_WORDS, BLOCK = 2**16, 256


class UnmaskingBias(NamedTuple):
    """Law of the end of `masked_ancestral`, the posterior, and their distance.

    words: All words with the seen symbols, masked sites in lexicographic order.
    sampled: Probability that the sampler ends there.
    posterior: Probability given the seen symbols.
    total_variation: Half the sum of |sampled - posterior|.
    """

    words: Int[np.ndarray, "w n"]
    sampled: Float[np.ndarray, " w"]
    posterior: Float[np.ndarray, " w"]
    total_variation: float


def unmasking_bias(
    law: AbstractDiscreteLaw,
    word_with_masks: Int[Array, " n"],
    per_step: int,
    order: str = "random",
) -> UnmaskingBias:
    """Total variation of `masked_ancestral` to the posterior, by listing all words.

    With S the masked sites and m their number, the probability of each partly unmasked
    word follows from those with more masks,

        p(seen, a_G) += p(seen) / C(|S|, g) prod_{i in G} P(a_i | seen),    |G| = g,

    over all groups G of g = min(per_step, |S|) sites (for the order "left" the first g
    alone), and the word without masks is the end. Zero to rounding for per_step = 1. It
    grows with per_step as a rule, but need not at every step: 4 sites as 3 and 1 may do
    better than as 2 and 2.

    Work: (q + 1)^m calls of `law.marginals` and q^m of `law.log_evidence`; sums on the
    host, in float64.

    Args:
        law: Any discrete law.
        word_with_masks: Symbols, and -1 where a site is masked.
        per_step: Sites that are unmasked at once.
        order: "random" or "left", as in `masked_ancestral`.

    Raises:
        ValueError: As `masked_ancestral`; more than 2^16 partly unmasked words; seen
            symbols of probability zero; a traced word.

    References:
        Derived: the chain rule on groups that are independent given what is seen.
    """
    if not is_concrete(word_with_masks):
        raise ValueError("`word_with_masks` is traced; words are listed on the host.")
    check_word(law, word_with_masks, "word_with_masks", masks=True)
    check_per_step(per_step)
    check_one_of(order, ORDERS, "order")
    start, q = np.asarray(word_with_masks), law.num_symbols
    sites = np.flatnonzero(start == MASK)
    m = len(sites)
    if (q + 1) ** m > MOST_WORDS:
        raise ValueError(
            f"`word_with_masks` has {m} masks, and {q + 1}^{m} partly unmasked words; "
            f"at most 2^16 can be listed: mask fewer sites."
        )
    # Axis i is masked site i; its last index stands for the mask.
    partly = _filled(start, sites, [*range(q), MASK])
    marginals = np.asarray(_marginals(law, jnp.asarray(partly)), float)[:, sites]
    marginals = marginals.reshape((q + 1,) * m + (m, q))
    p = np.zeros((q + 1,) * m)
    p[(q,) * m] = 1
    for size in range(m, 0, -1):
        for left in itertools.combinations(range(m), size):
            groups = list(itertools.combinations(left, min(per_step, size)))
            if order == "left":
                groups = groups[:1]
            at = _pattern(left, m, q)
            for group in groups:
                share = p[at] / len(groups)
                for site in group:
                    symbols = marginals[at][..., site, :]
                    share = share * np.swapaxes(symbols, site, -1)[..., 0]
                p[_pattern(tuple(set(left) - set(group)), m, q)] += share
    sampled = p[_pattern((), m, q)].reshape(-1)
    words = _filled(start, sites, list(range(q)))
    posterior = _posterior(law, words)
    distance = 0.5 * np.abs(sampled - posterior).sum()
    return UnmaskingBias(words, sampled, posterior, float(distance))


def _filled(start: np.ndarray, sites: np.ndarray, symbols: list[int]) -> np.ndarray:
    """All words with the masked sites filled by `symbols`, in lexicographic order."""
    fillings = np.array(list(itertools.product(symbols, repeat=len(sites))), int)
    words = np.tile(start, (len(fillings), 1))
    words[:, sites] = fillings
    return words


def _pattern(left: tuple[int, ...], m: int, q: int) -> tuple[slice, ...]:
    """Index of the words whose masked sites are `left`, all axes kept."""
    return tuple(slice(q, q + 1) if i in left else slice(0, q) for i in range(m))


def _posterior(law: AbstractDiscreteLaw, words: np.ndarray) -> np.ndarray:
    """Probabilities of words, normalised."""
    log_p = np.asarray(_log_evidence(law, jnp.asarray(words)), float)
    if not np.any(log_p > -np.inf):
        raise ValueError(
            "`word_with_masks` has probability zero: no word of the law has its seen "
            "symbols."
        )
    p = np.exp(log_p - log_p.max())
    return p / p.sum()


@eqx.filter_jit
def _marginals(
    law: AbstractDiscreteLaw, words: Int[Array, "w n"]
) -> Float[Array, "w n q"]:
    one = lambda word: law.marginals(Masking().site_logits(law, word, 0.0))
    return jax.lax.map(one, words, batch_size=BLOCK)


@eqx.filter_jit
def _log_evidence(
    law: AbstractDiscreteLaw, words: Int[Array, "w n"]
) -> Float[Array, " w"]:
    one = lambda word: law.log_evidence(Masking().site_logits(law, word, 0.0))
    return jax.lax.map(one, words, batch_size=BLOCK)
