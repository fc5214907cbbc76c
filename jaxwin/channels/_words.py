"""What channels of words share: a site's symbols have likelihoods, nothing else."""

import abc
from typing import ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PyTree

from jaxwin._checks import check, unit_interval
from jaxwin._numerics import as_float
from jaxwin._typing import Key, ScalarLike, TimesLike
from jaxwin.channels._base import AbstractChannel, Law
from jaxwin.targets import AbstractDiscreteLaw
from jaxwin.targets._words import check_word, is_symbol

Word = Int[Array, " n"]


class AbstractWordChannel(AbstractChannel[AbstractDiscreteLaw]):
    """A degradation of the symbols of a word, site by site; `noise` lies in [0, 1].

    Observations are words too, and the law answers to their likelihoods; `masks` says
    whether sites of theirs may be erased.
    """

    masks: ClassVar[bool] = False

    @abc.abstractmethod
    def symbol_logits(
        self, law: AbstractDiscreteLaw, observation: Word, noise: ScalarLike
    ) -> Float[Array, "q n"]:
        """Log of P(observed symbol | symbol) at each site, symbol first."""

    @abc.abstractmethod
    def seen(self, word: Word, drawn: PyTree, noise: ScalarLike) -> Word:
        """The observation of a word that has the noise `drawn`."""

    def site_logits(
        self, law: AbstractDiscreteLaw, observation: Word, noise: ScalarLike
    ) -> Float[Array, "n q"]:
        """Log of P(observed symbol | symbol) at each site.

        Raises:
            ValueError: A concrete observation of another length, or with symbols that
                the law does not have.
        """
        check_word(law, observation, "observation", masks=self.masks)
        return self.symbol_logits(law, observation, noise).T

    def word_logits(
        self, law: AbstractDiscreteLaw, word: Word, drawn: PyTree, noise: ScalarLike
    ) -> Float[Array, "q n"]:
        """Log-likelihoods of the observation of a word that has the noise `drawn`."""
        return self.symbol_logits(law, self.seen(word, drawn, noise), noise)

    def bound(self, law: Law) -> tuple[AbstractDiscreteLaw, "AbstractWordChannel"]:
        """Law and channel as they are.

        Raises:
            ValueError: The law has no words.
        """
        if not isinstance(law, AbstractDiscreteLaw):
            raise ValueError(
                f"`law` is a {type(law).__name__}, and {type(self).__name__} acts on "
                f"words: take a discrete law, such as RandomHierarchy, or Gaussian()."
            )
        return law, self

    def resample(
        self, law: AbstractDiscreteLaw, key: Key, observation: Word, noise: ScalarLike
    ) -> Word:
        """An exact draw of a word given the observation."""
        logits = self.site_logits(law, observation, noise)
        return law.posterior_sample(key, logits)

    def label_log_posterior(
        self, law: AbstractDiscreteLaw, observation: Word, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities log p(label | observation) under the law."""
        return law.label_log_posterior(self.site_logits(law, observation, noise))

    def clean_log_posterior(
        self, law: AbstractDiscreteLaw, x0: Word
    ) -> Float[Array, " c"]:
        """Labels of a word all of whose symbols are seen.

        Raises:
            ValueError: As `site_logits`.
        """
        check_word(law, x0, "x0", masks=False)
        same = is_symbol(x0, law.num_symbols).T
        dtype = law.log_label_prior().dtype
        return law.label_log_posterior(jnp.where(same, 0, -jnp.inf).astype(dtype))

    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """The noise itself."""
        return as_float(noise)

    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """The noise itself."""
        return as_float(coordinate)

    def soft_labels(
        self, law: AbstractDiscreteLaw, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """One word and one set of random numbers for all noises."""
        data_key, noise_key = jr.split(key)
        word, label = law.sample_labelled(data_key)
        drawn = self.draw_noise(law, noise_key)

        def at(noise: Array) -> Array:
            return law.label_log_posterior(self.word_logits(law, word, drawn, noise).T)

        return label, jax.lax.map(at, noises)


def check_noise(noise: ScalarLike) -> None:
    """Raise ValueError where a concrete noise lies outside of [0, 1]."""
    check(noise, unit_interval, "noise", "in [0, 1]")


def log_shares(
    own: ScalarLike, others: ScalarLike, word: Word, law: AbstractDiscreteLaw
) -> Float[Array, "q n"]:
    """Log of `own` at each symbol of a word and of `others` elsewhere."""
    dtype = law.log_label_prior().dtype
    log_own, log_others = (
        jnp.log(jnp.asarray(share).astype(dtype)) for share in (own, others)
    )
    return jnp.where(is_symbol(word, law.num_symbols), log_own, log_others)
