"""What a channel is: how clean data are observed at a noise level."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, Int

from jaxwin._typing import Key, Point, ScalarLike, TimesLike
from jaxwin.targets import AbstractLabelledTarget


class AbstractChannel(eqx.Module):
    """A degradation of clean data; `noise` grows with what is lost."""

    @abc.abstractmethod
    def corrupt(self, key: Key, x0: Point, noise: ScalarLike) -> Point:
        """An observation of the clean point `x0`."""

    @abc.abstractmethod
    def resample(
        self,
        law: AbstractLabelledTarget,
        key: Key,
        observation: Point,
        noise: ScalarLike,
    ) -> Point:
        """An exact draw x0' ~ p(x0 | observation) under the law."""

    @abc.abstractmethod
    def label_log_posterior(
        self, law: AbstractLabelledTarget, observation: Point, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the labels given an observation."""

    @abc.abstractmethod
    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """An increasing map of noise in which curves are smooth: interpolate there."""

    @abc.abstractmethod
    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """Inverse of `coordinate`."""

    @abc.abstractmethod
    def soft_labels(
        self, law: AbstractLabelledTarget, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A clean draw's label, and its log posterior at every noise: one pass."""
