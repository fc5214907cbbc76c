"""A law seen through a channel: all that windows, clones and U-turns ask for."""

import abc
from typing import Generic, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._typing import Key, ScalarLike, TimesLike
from jaxwin.channels._base import AbstractChannel, Datum, L, Law

NO_POSTERIOR = (
    "a sampler has no label posterior at a noise (`has_exact_labels` is False); "
    "simulate U-turns, `method='simulated'`, or, where the law is known, take "
    "`Observed(law, Gaussian(process))`."
)


class AbstractObserved(eqx.Module):
    """Clean labelled data, their degradation at a noise level, and the way back.

    Analyses take only this, and never know whether the way back is an exact posterior,
    a sampler or somebody's model. `has_exact_labels` says whether
    `label_log_posterior` and `soft_labels` exist.
    """

    @property
    @abc.abstractmethod
    def has_exact_labels(self) -> bool:
        """Whether exact label posteriors exist."""

    @abc.abstractmethod
    def start(self, key: Key) -> tuple[Datum, Int[Array, ""]]:
        """A clean point and its label."""

    @abc.abstractmethod
    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels of clean points."""

    @abc.abstractmethod
    def observe(self, key: Key, x0: Datum, noise: ScalarLike) -> Datum:
        """An observation of `x0` at a noise level."""

    @abc.abstractmethod
    def resample(self, key: Key, observation: Datum, noise: ScalarLike) -> Datum:
        """A clean point x0' continued from the observation."""

    @abc.abstractmethod
    def label_probabilities(self, x0: Datum) -> Float[Array, " c"]:
        """Probabilities of the labels of a clean point."""

    @abc.abstractmethod
    def label_log_posterior(
        self, observation: Datum, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities log p(label | observation)."""

    @abc.abstractmethod
    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """An increasing map of noise in which curves are smooth: interpolate there."""

    @abc.abstractmethod
    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """Inverse of `coordinate`."""

    @abc.abstractmethod
    def soft_labels(
        self, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A draw's label and its log posterior at every noise, in one pass."""


@runtime_checkable
class LabelledData(Protocol):
    """Clean points with labels: a labelled target, or a set of held-out points."""

    def sample_labelled(self, key: Key) -> tuple[Datum, Int[Array, ""]]:
        """One clean point with its label."""
        ...

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels."""
        ...


class AbstractSimulated(AbstractObserved):
    """A way back that is known by its ends alone: there is no posterior of labels."""

    @property
    def has_exact_labels(self) -> bool:
        """No: there are ends, not posteriors."""
        return False

    def label_log_posterior(
        self, observation: Datum, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """There is none.

        Raises:
            ValueError: Always.
        """
        raise ValueError(NO_POSTERIOR)

    def soft_labels(
        self, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """There are none.

        Raises:
            ValueError: Always.
        """
        raise ValueError(NO_POSTERIOR)


class Observed(AbstractObserved, Generic[L]):
    """An exact law seen through a channel: `Observed(law, Gaussian())`.

    A target through `Gaussian`; a discrete law through `Masking`, `UniformCorruption`,
    or `Gaussian`, which sees its one-hot points (`law` is then a `OneHot`).

    Raises:
        ValueError: A channel of words is given a law that has none.
    """

    law: L
    channel: AbstractChannel[L]

    def __init__(self, law: Law, channel: AbstractChannel[L]):
        self.law, self.channel = channel.bound(law)

    @property
    def has_exact_labels(self) -> bool:
        """Whether the channel is Bayesian: then the law's posterior is known."""
        return self.channel.is_bayesian

    def start(self, key: Key) -> tuple[Datum, Int[Array, ""]]:
        """A clean point of the law and its label."""
        return self.law.sample_labelled(key)

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels."""
        return self.law.log_label_prior()

    def observe(self, key: Key, x0: Datum, noise: ScalarLike) -> Datum:
        """The channel's observation of `x0`."""
        return self.channel.corrupt(key, x0, noise)

    def resample(self, key: Key, observation: Datum, noise: ScalarLike) -> Datum:
        """An exact draw from p(x0 | observation)."""
        return self.channel.resample(self.law, key, observation, noise)

    def label_probabilities(self, x0: Datum) -> Float[Array, " c"]:
        """Probabilities of the labels of a clean point, the limit of no noise."""
        return jnp.exp(self.channel.clean_log_posterior(self.law, x0))

    def label_log_posterior(
        self, observation: Datum, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities log p(label | observation)."""
        return self.channel.label_log_posterior(self.law, observation, noise)

    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """The channel's coordinate."""
        return self.channel.coordinate(noise)

    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """Noise at a coordinate of the channel."""
        return self.channel.noise_at(coordinate)

    def soft_labels(
        self, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A draw's label and its log posterior at every noise, in one pass."""
        return self.channel.soft_labels(self.law, key, noises)
