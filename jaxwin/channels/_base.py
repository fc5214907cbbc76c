"""What a channel is: how clean data are observed at a noise level."""

import abc
from typing import Generic, TypeAlias, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, Int, PyTree

from jaxwin._typing import Key, Point, ScalarLike, TimesLike
from jaxwin.targets import AbstractDiscreteLaw, AbstractLabelledTarget

Law: TypeAlias = AbstractLabelledTarget | AbstractDiscreteLaw
# A point of R^d, or the symbols of a word.
Datum: TypeAlias = Point | Int[Array, " n"]


# What a channel asks: a target, or a discrete law.
L = TypeVar("L", AbstractLabelledTarget, AbstractDiscreteLaw)


class AbstractChannel(eqx.Module, Generic[L]):
    """A degradation of clean data; `noise` grows with what is lost."""

    @property
    def is_bayesian(self) -> bool:
        """Whether posteriors are those of the observations that `corrupt` makes."""
        return True

    @abc.abstractmethod
    def bound(self, law: Law) -> tuple[L, "AbstractChannel[L]"]:
        """Law and channel as they are used together; refused where they do not fit."""

    @abc.abstractmethod
    def corrupt(self, key: Key, x0: Datum, noise: ScalarLike) -> Datum:
        """An observation of the clean `x0`; one key shares its noise at all levels."""

    @abc.abstractmethod
    def resample(
        self, law: L, key: Key, observation: Datum, noise: ScalarLike
    ) -> Datum:
        """An exact draw x0' ~ p(x0 | observation) under the law."""

    @abc.abstractmethod
    def label_log_posterior(
        self, law: L, observation: Datum, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the labels given an observation."""

    @abc.abstractmethod
    def clean_log_posterior(self, law: L, x0: Datum) -> Float[Array, " c"]:
        """Log-probabilities of the labels of a clean datum."""

    @abc.abstractmethod
    def site_logits(
        self, law: L, observation: Datum, noise: ScalarLike
    ) -> Float[Array, "n q"]:
        """Log-likelihoods of the symbols at each site of a discrete law."""

    @abc.abstractmethod
    def draw_noise(self, law: AbstractDiscreteLaw, key: Key) -> PyTree:
        """All that is random in observations of a word, at any noise: drawn once."""

    @abc.abstractmethod
    def word_logits(
        self,
        law: AbstractDiscreteLaw,
        word: Int[Array, " n"],
        drawn: PyTree,
        noise: ScalarLike,
    ) -> Float[Array, "q n"]:
        """Log-likelihoods of the observation of a word that has the noise `drawn`.

        Symbol first, as the batched door of `RandomHierarchy` wants them.
        """

    @abc.abstractmethod
    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """An increasing map of noise in which curves are smooth: interpolate there."""

    @abc.abstractmethod
    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """Inverse of `coordinate`."""

    @abc.abstractmethod
    def soft_labels(
        self, law: L, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A clean draw's label, and its log posterior at every noise: one pass."""
