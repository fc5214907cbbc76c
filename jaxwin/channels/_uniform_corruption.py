"""Uniform corruption: symbols are replaced by random ones."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from jaxwin._numerics import as_float
from jaxwin._typing import Key, ScalarLike
from jaxwin.channels._base import Law
from jaxwin.channels._words import (
    AbstractWordChannel,
    Word,
    check_noise,
    log_shares,
)
from jaxwin.targets import AbstractDiscreteLaw


class UniformCorruption(AbstractWordChannel):
    """Each symbol is replaced by a uniformly random one with probability `noise`.

    P(seen | symbol) = (1 - eps) 1[seen = symbol] + eps / q: the channel of uniform
    discrete diffusion, eps = 1 - abar. One key replaces more and more of the same
    sites, by the same symbols.

    Args:
        num_symbols: Number of symbols q; that of the law it is used with if left out.

    References:
        D3PM, arXiv:2107.03006.
    """

    num_symbols: int | None = eqx.field(static=True, default=None)

    def bound(self, law: Law) -> tuple[AbstractDiscreteLaw, "UniformCorruption"]:
        """With the number of symbols of the law.

        Raises:
            ValueError: The law has no words, or another number of symbols.
        """
        law, _ = super().bound(law)
        if self.num_symbols not in (None, law.num_symbols):
            raise ValueError(
                f"`num_symbols` is {self.num_symbols} and the law has "
                f"{law.num_symbols} symbols: leave it out."
            )
        return law, UniformCorruption(law.num_symbols)

    def corrupt(self, key: Key, x0: Word, noise: ScalarLike) -> Word:
        """The word with random symbols at some sites.

        Raises:
            ValueError: A concrete `noise` outside of [0, 1]; the number of symbols is
                not known.
        """
        if self.num_symbols is None:
            raise ValueError(
                "the number of symbols is not known: use UniformCorruption(q), or "
                "Observed(law, UniformCorruption())."
            )
        return self.seen(x0, _drawn(key, x0.size, self.num_symbols), noise)

    def draw_noise(
        self, law: AbstractDiscreteLaw, key: Key
    ) -> tuple[Float[Array, " n"], Int[Array, " n"]]:
        """A uniform number a site, from which noise on it is replaced; and by what."""
        return _drawn(key, law.num_sites, law.num_symbols)

    def seen(
        self,
        word: Word,
        drawn: tuple[Float[Array, " n"], Int[Array, " n"]],
        noise: ScalarLike,
    ) -> Word:
        """The word with random symbols at some sites."""
        check_noise(noise)
        start, other = drawn
        lost = start < as_float(noise).astype(start.dtype)
        return jnp.where(lost, other.astype(word.dtype), word)

    def symbol_logits(
        self, law: AbstractDiscreteLaw, observation: Word, noise: ScalarLike
    ) -> Float[Array, "q n"]:
        """log(1 - eps + eps / q) at the symbol that is seen, log(eps / q) elsewhere."""
        check_noise(noise)
        others = jnp.asarray(noise) / law.num_symbols
        return log_shares(1 - noise + others, others, observation, law)


def _drawn(
    key: Key, num_sites: int, num_symbols: int
) -> tuple[Float[Array, " n"], Int[Array, " n"]]:
    site_key, symbol_key = jr.split(key)
    other = jr.randint(symbol_key, (num_sites,), 0, num_symbols, jnp.int32)
    return jr.uniform(site_key, (num_sites,)), other
