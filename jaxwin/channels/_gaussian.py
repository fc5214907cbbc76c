"""The Gaussian channel x = alpha(t) x0 + sigma(t) z of a process."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from jaxwin._numerics import channel_variance
from jaxwin._typing import Key, Point, ScalarLike, TimesLike
from jaxwin.channels._base import AbstractChannel, Law
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import (
    AbstractDiscreteLaw,
    AbstractDiscreteTarget,
    AbstractLabelledTarget,
    OneHot,
)
from jaxwin.targets._words import is_symbol


class Gaussian(AbstractChannel[AbstractLabelledTarget]):
    """x = alpha(t) x0 + sigma(t) z; `noise` is the time t of `process`, OU by default.

    Words of a discrete law are seen as one-hot points. All observations of one
    `corrupt` or `soft_labels` key share x0 and z.
    """

    process: AbstractProcess = eqx.field(default_factory=OrnsteinUhlenbeck)

    def bound(self, law: Law) -> tuple[AbstractLabelledTarget, "Gaussian"]:
        """The law, a discrete one as one-hot points."""
        return (OneHot(law) if isinstance(law, AbstractDiscreteLaw) else law), self

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

    def clean_log_posterior(
        self, law: AbstractLabelledTarget, x0: Point
    ) -> Float[Array, " c"]:
        """The limit of no noise."""
        return law.label_log_posterior(x0, 1.0, 0.0)

    def site_logits(
        self, law: AbstractLabelledTarget, observation: Point, noise: ScalarLike
    ) -> Float[Array, "n q"]:
        """Log-likelihoods alpha x_i . e_a / sigma^2, the largest of a site zero.

        Raises:
            ValueError: The law has no sites and symbols.
        """
        if not isinstance(law, AbstractDiscreteTarget):
            raise ValueError(
                f"`law` is a {type(law).__name__}, which has no sites: take OneHot or "
                f"Spins of a discrete law."
            )
        alpha, sigma = self.process.levels(noise, observation.dtype)
        return law.site_logits(observation, alpha, sigma)

    def draw_noise(self, law: AbstractDiscreteLaw, key: Key) -> Float[Array, "q n"]:
        """Standard Gaussians, one for each symbol of each site."""
        shape = law.num_symbols, law.num_sites
        return jr.normal(key, shape, law.log_label_prior().dtype)

    def word_logits(
        self,
        law: AbstractDiscreteLaw,
        word: Int[Array, " n"],
        drawn: Float[Array, "q n"],
        noise: ScalarLike,
    ) -> Float[Array, "q n"]:
        """The SNR at the true symbols, and Gaussians of its square root everywhere."""
        alpha, sigma = self.process.levels(noise, drawn.dtype)
        own = is_symbol(word, law.num_symbols)
        seen = jnp.where(own, alpha, 0) + sigma * drawn
        return alpha / channel_variance(sigma) * seen

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
