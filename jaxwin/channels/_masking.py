"""Masking: every symbol is erased with the same probability."""

from typing import ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._numerics import as_float
from jaxwin._typing import Key, ScalarLike
from jaxwin.channels._words import AbstractWordChannel, Word, check_noise, is_symbol
from jaxwin.targets import AbstractDiscreteLaw
from jaxwin.targets._words import MASK as MASK


class Masking(AbstractWordChannel):
    """Each symbol is erased (-1) with probability `noise`, the masked fraction.

    One key erases more and more of the same sites as noise grows.

    References:
        Absorbing diffusion, arXiv:2107.03006; for hierarchies arXiv:2410.13770.
    """

    masks: ClassVar[bool] = True

    def corrupt(self, key: Key, x0: Word, noise: ScalarLike) -> Word:
        """The word with erased sites.

        Raises:
            ValueError: A concrete `noise` outside of [0, 1].
        """
        return self.seen(x0, jr.uniform(key, x0.shape), noise)

    def draw_noise(self, law: AbstractDiscreteLaw, key: Key) -> Float[Array, " n"]:
        """A uniform number a site: it is erased from that noise on."""
        return jr.uniform(key, (law.num_sites,))

    def seen(self, word: Word, drawn: Float[Array, " n"], noise: ScalarLike) -> Word:
        """The word with erased sites."""
        check_noise(noise)
        return jnp.where(drawn < as_float(noise).astype(drawn.dtype), MASK, word)

    def symbol_logits(
        self, law: AbstractDiscreteLaw, observation: Word, noise: ScalarLike
    ) -> Float[Array, "q n"]:
        """0 at what is seen and -inf elsewhere; all 0 where nothing is.

        The probability of erasing is one for all words and left out, so that the
        log-evidence of a word of which all is seen is its log-probability.
        """
        del noise
        possible = is_symbol(observation, law.num_symbols)
        possible = possible | (observation == MASK)[None]
        return jnp.where(possible, 0, -jnp.inf).astype(law.log_label_prior().dtype)
