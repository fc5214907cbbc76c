"""A discrete law of two symbols as points of R^n with coordinates -1 and +1."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import check_point
from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.targets._base import (
    AbstractLabelledTarget,
    Local,
    Moments,
    noise_with_a_score,
    refuse_zero_noise,
)
from jaxwin.targets._discrete import AbstractDiscreteLaw


class Spins(AbstractLabelledTarget):
    r"""The points x0 = a of a discrete law of two symbols, spins a_i = -1 and +1.

    Seen through x = alpha x0 + sigma z, site i is in the field h_i = alpha x_i /
    sigma^2, and with m_i = E[a_i | x] under the law in these fields

        log p(x) = log E[exp(sum_i h_i a_i)] - (|x|^2 + n alpha^2) / (2 sigma^2)
                   - n log(2 pi sigma^2) / 2,
        score    = (alpha m - x) / sigma^2,    Cov[a_i, a_j | x] = d m_i / d h_j.

    Args:
        law: A discrete law with two symbols; symbol 0 is spin -1, symbol 1 is spin +1.

    Raises:
        ValueError: The law has another number of symbols.

    References:
        Biroli & Mezard, arXiv:2306.03518 (Curie-Weiss); exact for any law.
    """

    law: AbstractDiscreteLaw

    def __check_init__(self):
        if self.law.num_symbols != 2:
            raise ValueError(
                f"`law` has {self.law.num_symbols} symbols; spins have two: wrap a law "
                f"of two symbols."
            )

    @property
    def dimension(self) -> int:
        """Number of spins, the dimension of a point."""
        return self.law.num_sites

    @property
    def num_labels(self) -> int:
        """Number of labels c of the law."""
        return self.law.num_labels

    @property
    def posterior_draws(self) -> int:
        """None: spins are discrete choices."""
        return 0

    def log_density(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log-density of the noised spins.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a density with point masses")
        variance = channel_variance(sigma)
        # |x| with the slope zero at zero, as the likelier spin is a tie there.
        size = jnp.maximum(x, -x)
        near = jnp.sum((size - alpha) ** 2) / variance
        log_kernel = -0.5 * (near + x.size * (LOG_TWO_PI + jnp.log(variance)))
        return log_kernel + self.law.log_evidence(self._site_logits(x, alpha, sigma))

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior magnetisations E[a | x]."""
        marginals = self.law.marginals(self._site_logits(x, alpha, sigma))
        return marginals[:, 1] - marginals[:, 0]

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score (alpha E[a | x] - x) / sigma^2.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        mean = self.denoise(x, alpha, sigma)
        return (alpha * mean - x) / channel_variance(sigma)

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian of the score, (alpha^2 Cov[a | x] / sigma^2 - I) / sigma^2.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        along = lambda v: self.jacobian_product(x, v, alpha, sigma)
        return jax.vmap(along, out_axes=1)(jnp.eye(x.size, dtype=x.dtype))

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, by forward derivative.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        variance = channel_variance(sigma)
        spread = self._covariance_product(x, v, alpha, sigma)
        return (alpha**2 * spread / variance - v) / variance

    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[a | x]."""
        along = lambda v: self._covariance_product(x, v, alpha, sigma)
        return jax.vmap(along, out_axes=1)(jnp.eye(x.size, dtype=x.dtype))

    def local(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Local:
        """Mean, score and their divergences: tr Cov[a | x] = sum_i (1 - m_i^2).

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        variance = channel_variance(sigma)
        below, above = self.law.marginals(self._site_logits(x, alpha, sigma)).T
        mean = above - below
        # 1 - m^2 as a product: it keeps its digits where a spin is certain.
        relative_variance = jnp.sum(4 * above * below) / variance
        return Local(
            mean=mean,
            score=(alpha * mean - x) / variance,
            divergence=(alpha**2 * relative_variance - x.size) / variance,
            relative_variance=relative_variance,
        )

    def label_log_posterior(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the labels given x; at sigma = 0 the limit."""
        return self.law.label_log_posterior(self._site_logits(x, alpha, sigma))

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels."""
        return self.law.log_label_prior()

    def sample(self, key: Key) -> Point:
        """One clean point."""
        return self.sample_labelled(key)[0]

    def sample_labelled(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """One clean point with its label."""
        symbols, label = self.law.sample_labelled(key)
        return _spins(symbols, self.law.log_label_prior().dtype), label

    def posterior_draw(
        self,
        choice_key: Key,
        z: Float[Array, "draws d"],
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> Point:
        """Exact draw x0 ~ p(x0 | x), by discrete choices alone."""
        logits = self._site_logits(x, alpha, sigma)
        return _spins(self.law.posterior_sample(choice_key, logits), x.dtype)

    def restrict(self, mask: Bool[Array, " c"]) -> "Spins":
        """The law given that the label is one of those in `mask`.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        return eqx.tree_at(lambda target: target.law, self, self.law.restrict(mask))

    def moments(self) -> Moments:
        """Mean and covariance of the spins."""
        dtype = self.law.log_label_prior().dtype
        return self.law.moments(jnp.array([-1, 1], dtype))

    def _site_logits(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "n q"]:
        """Log-likelihoods of both spins, zero for the likelier one."""
        check_point(x, self.dimension)
        return _logits(alpha * as_float(x) / channel_variance(sigma))

    def _covariance_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of Cov[a | x] = d E[a | x] / d h with `v`."""

        def mean(logits: Float[Array, "n q"]) -> Point:
            marginals = self.law.marginals(logits)
            return marginals[:, 1] - marginals[:, 0]

        logits = self._site_logits(x, alpha, sigma)
        return jax.jvp(mean, (logits,), (jnp.stack([-v, v], axis=1),))[1]


def _logits(fields: Float[Array, " n"]) -> Float[Array, "n q"]:
    """Log of exp(h a), relative to the likelier spin."""
    # Not by |h|: a field of zero must pass its derivative on.
    down, up = jnp.maximum(fields, 0), jnp.maximum(-fields, 0)
    return -2 * jnp.stack([down, up], axis=1)


def _spins(symbols: Int[Array, " n"], dtype: jnp.dtype) -> Point:
    return 2 * symbols.astype(dtype) - 1
