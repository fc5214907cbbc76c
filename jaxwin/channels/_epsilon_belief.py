"""The eps-process: beliefs tilted towards the truth, which no channel gives."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import Key, ScalarLike
from jaxwin.channels._words import (
    AbstractWordChannel,
    Word,
    check_noise,
    log_shares,
)
from jaxwin.targets import AbstractDiscreteLaw


class EpsilonBelief(AbstractWordChannel):
    """Leaf beliefs 1 - eps + eps / q on the true symbol and eps / q on the others.

    The simplified process of arXiv:2402.16991 (`eps_belief`), for which mean-field
    theory is nearly exact. It is not Bayesian: no observation of a word has this
    likelihood, a belief is never confidently wrong, averages of posteriors are not
    posteriors of averages, and the Nishimori identity E[P(truth)] = E[sum_a P(a)^2]
    fails. `UniformCorruption` is the channel in which a fraction eps of the symbols is
    random; its class transition lies elsewhere.

    References:
        arXiv:2402.16991; that it is no channel is derived.
    """

    @property
    def is_bayesian(self) -> bool:
        """Never: beliefs are placed, nothing is observed."""
        return False

    def corrupt(self, key: Key, x0: Word, noise: ScalarLike) -> Word:
        """The word itself: beliefs are placed around the truth.

        Raises:
            ValueError: A concrete `noise` outside of [0, 1].
        """
        del key
        return self.seen(x0, None, noise)

    def draw_noise(self, law: AbstractDiscreteLaw, key: Key) -> None:
        """Nothing is random."""

    def seen(self, word: Word, drawn: None, noise: ScalarLike) -> Word:
        """The word itself."""
        check_noise(noise)
        return word

    def symbol_logits(
        self, law: AbstractDiscreteLaw, observation: Word, noise: ScalarLike
    ) -> Float[Array, "q n"]:
        """Log of the beliefs around the true word."""
        check_noise(noise)
        others = jnp.asarray(noise) / law.num_symbols
        return log_shares(1 - noise + others, others, observation, law)
