"""The Gaussian channel x = alpha(t) x0 + sigma(t) z of a process."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from jaxwin._typing import Key, Point, ScalarLike, TimesLike
from jaxwin.channels._base import AbstractChannel
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget


class Gaussian(AbstractChannel):
    """x = alpha(t) x0 + sigma(t) z; `noise` is the time t of `process`, OU by default.

    All observations of one `corrupt` or `soft_labels` key share x0 and z.
    """

    process: AbstractProcess = eqx.field(default_factory=OrnsteinUhlenbeck)

    def corrupt(self, key: Key, x0: Point, noise: ScalarLike) -> Point:
        """One noised point."""
        alpha, sigma = self.process.levels(noise, x0.dtype)
        return alpha * x0 + sigma * jr.normal(key, x0.shape, x0.dtype)

    def resample(
        self,
        law: AbstractLabelledTarget,
        key: Key,
        observation: Point,
        noise: ScalarLike,
    ) -> Point:
        """An exact draw x0' ~ p(x0 | x): a U-turn's second half, in one step."""
        alpha, sigma = self.process.levels(noise, observation.dtype)
        return law.posterior_sample(key, observation, alpha, sigma)

    def label_log_posterior(
        self, law: AbstractLabelledTarget, observation: Point, noise: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities log p(label | x) under the law."""
        alpha, sigma = self.process.levels(noise, observation.dtype)
        return law.label_log_posterior(observation, alpha, sigma)

    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """Minus the log-SNR: a change of the data's scale is a shift of it."""
        return -self.process.log_snr(noise)

    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """Time of the process at a log-SNR of minus `coordinate`."""
        return self.process.time(-jnp.asarray(coordinate))

    def soft_labels(
        self, law: AbstractLabelledTarget, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """The law's own form of one pass over all noise levels."""
        return law.soft_labels(key, *jax.vmap(self.process.levels)(noises))
