"""A discrete law as points of R^d: every site shows the vector of its symbol."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import check_point
from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.targets._base import (
    AbstractLabelledTarget,
    Local,
    noise_with_a_score,
    refuse_zero_noise,
)
from jaxwin.targets._discrete import AbstractDiscreteLaw


class AbstractDiscreteTarget(AbstractLabelledTarget):
    r"""The points x0 = (e_{a_1} ... e_{a_n}) of words a, with vectors |e_a| = 1.

    Seen through x = alpha x0 + sigma z, site i has the log-likelihoods
    alpha e_a . x_i / sigma^2 and no others, all e_a being of one length. With m the
    posterior mean under the law in these,

        log p(x) = log E[exp(alpha x . x0 / sigma^2)]
                   - (|x|^2 + n alpha^2) / (2 sigma^2) - d log(2 pi sigma^2) / 2,
        score    = (alpha m - x) / sigma^2,    Cov[x0 | x] by forward derivatives of m.
    """

    law: eqx.AbstractVar[AbstractDiscreteLaw]

    @property
    @abc.abstractmethod
    def vectors(self) -> Float[np.ndarray, "q w"]:
        """Vectors e_a of length 1 that symbols show, one row each."""

    @property
    def dimension(self) -> int:
        """Dimension of a point, sites times coordinates of a site."""
        return self.law.num_sites * self.vectors.shape[1]

    @property
    def num_labels(self) -> int:
        """Number of labels c of the law."""
        return self.law.num_labels

    @property
    def posterior_draws(self) -> int:
        """None: symbols are discrete choices."""
        return 0

    def point(self, word: Int[Array, " n"]) -> Point:
        """The clean point of a word."""
        dtype = self.law.log_label_prior().dtype
        return jnp.asarray(self.vectors, dtype)[word].reshape(-1)

    def log_density(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log-density of the noised points.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a density with point masses")
        check_point(x, self.dimension)
        variance = channel_variance(sigma)
        sites, likeliest = self._sites(x)
        near = jnp.sum((sites - alpha * likeliest) ** 2) / variance
        log_kernel = -0.5 * (near + x.size * (LOG_TWO_PI + jnp.log(variance)))
        return log_kernel + self.law.log_evidence(self.site_logits(x, alpha, sigma))

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]."""
        return self._mean(self.site_logits(x, alpha, sigma))

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score (alpha E[x0 | x] - x) / sigma^2.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        mean = self.denoise(x, alpha, sigma)
        return (alpha * mean - x) / channel_variance(sigma)

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian of the score, (alpha^2 Cov[x0 | x] / sigma^2 - I) / sigma^2.

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
        """Posterior covariance Cov[x0 | x]."""
        along = lambda v: self._covariance_product(x, v, alpha, sigma)
        return jax.vmap(along, out_axes=1)(jnp.eye(x.size, dtype=x.dtype))

    def local(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Local:
        """Mean, score and their divergences, tr Cov[x0 | x] from the marginals.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        variance = channel_variance(sigma)
        marginals = self.law.marginals(self.site_logits(x, alpha, sigma))
        mean = self._of_symbols(marginals)
        # Half the sum of P(a) P(b) |e_a - e_b|^2: no cancellation where a site is
        # certain.
        apart = np.sum((self.vectors[:, None] - self.vectors[None]) ** 2, axis=-1)
        others = jnp.matmul(
            marginals, jnp.asarray(apart, mean.dtype), precision="highest"
        )
        relative_variance = 0.5 * jnp.sum(marginals * others) / variance
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
        return self.law.label_log_posterior(self.site_logits(x, alpha, sigma))

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels."""
        return self.law.log_label_prior()

    def sample(self, key: Key) -> Point:
        """One clean point."""
        return self.sample_labelled(key)[0]

    def sample_labelled(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """One clean point with its label."""
        symbols, label = self.law.sample_labelled(key)
        return self.point(symbols), label

    def posterior_draw(
        self,
        choice_key: Key,
        z: Float[Array, "draws d"],
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> Point:
        """Exact draw x0 ~ p(x0 | x), by discrete choices alone."""
        logits = self.site_logits(x, alpha, sigma)
        return self.point(self.law.posterior_sample(choice_key, logits)).astype(x.dtype)

    def restrict(self, mask: Bool[Array, " c"]) -> "AbstractDiscreteTarget":
        """The law given that the label is one of those in `mask`.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        return eqx.tree_at(lambda target: target.law, self, self.law.restrict(mask))

    def site_logits(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "n q"]:
        """Log-likelihoods of the symbols at each site, zero for the likeliest one."""
        check_point(x, self.dimension)
        sites, likeliest = self._sites(x)
        vectors = jnp.asarray(self.vectors, sites.dtype)
        apart = vectors[None] - likeliest[:, None]
        scale = alpha / channel_variance(sigma)
        return scale * jnp.sum(apart * sites[:, None], axis=-1)

    def _sites(self, x: Point) -> tuple[Float[Array, "n w"], Float[Array, "n w"]]:
        """The point by sites, and the vectors of the likeliest symbols."""
        vectors = self.vectors
        sites = as_float(x).reshape(-1, vectors.shape[1])
        rows = jnp.asarray(vectors, sites.dtype)
        along = jnp.matmul(sites, rows.T, precision="highest")
        # A choice without a slope: whatever it is, it leaves the density as it is.
        return sites, rows[jnp.argmax(along, axis=1)]

    def _of_symbols(self, weights: Float[Array, "n q"]) -> Point:
        """Sum of the vectors of the symbols by weight, at each site."""
        rows = jnp.asarray(self.vectors, weights.dtype)
        return jnp.matmul(weights, rows, precision="highest").reshape(-1)

    def _mean(self, site_logits: Float[Array, "n q"]) -> Point:
        return self._of_symbols(self.law.marginals(site_logits))

    def _covariance_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of Cov[x0 | x] = d E[x0 | x] / d (alpha x / sigma^2) with `v`."""
        logits = self.site_logits(x, alpha, sigma)
        sites = v.reshape(logits.shape[0], -1)
        rows = jnp.asarray(self.vectors, v.dtype)
        along = jnp.matmul(sites, rows.T, precision="highest")
        return jax.jvp(self._mean, (logits,), (along,))[1]
