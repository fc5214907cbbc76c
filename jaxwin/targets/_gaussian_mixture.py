"""Mixtures of Gaussians with isotropic, diagonal, low-rank or full covariances."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import finite, is_concrete, non_negative, require
from jaxwin._numerics import as_float, channel_variance, segment_logsumexp
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.targets._base import (
    AbstractLabelledTarget,
    Local,
    Moments,
    noise_with_a_score,
    refuse_zero_noise,
)
from jaxwin.targets._components import AbstractComponents, AnyComponents
from jaxwin.targets._covariance import (
    AbstractCovariance,
    Diagonal,
    Full,
    Isotropic,
    LowRank,
    decompose,
    decompose_factors,
)
from jaxwin.targets._isotropic import IsotropicComponents
from jaxwin.targets._labels import restricted_log_weights
from jaxwin.targets._mixture_arguments import (
    broadcast,
    checked_classes,
    checked_means,
    checked_weights,
    like,
)
from jaxwin.targets._weighted_rows import average, scatter


class GaussianMixture(AbstractLabelledTarget):
    r"""Mixture p0 = sum_k w_k N(m_k, Sigma_k); Sigma_k = 0 is a point mass.

    Seen through x = alpha x0 + sigma z, component k is N(alpha m_k, C_k) with
    C_k = alpha^2 Sigma_k + sigma^2 I, and everything follows from it:

        p(k | x)   ~ w_k N(x; alpha m_k, C_k)
        score      = -sum_k p(k | x) C_k^{-1} (x - alpha m_k)
        E[x0 | x]  = sum_k p(k | x) (m_k + alpha Sigma_k C_k^{-1} (x - alpha m_k))

    Build one with `isotropic`, `diagonal`, `low_rank` or `full`. A point costs O(K d)
    (isotropic, diagonal), O(K d r) (rank r) or O(K d^2) (full) at every noise level.

    Responsibilities are right in float32 at every sigma (DESIGN 4); under `vmap` an
    isotropic mixture costs a matrix product per contraction.

    References:
        Biroli et al., arXiv:2402.18491, section 2; Li & Chen, arXiv:2403.01633.
    """

    means: Float[Array, "k d"]
    covariance: AbstractCovariance
    log_weights: Float[Array, " k"]
    labels: Int[Array, " k"]
    label_count: int = eqx.field(static=True)

    @classmethod
    def isotropic(
        cls,
        means: AnyArray,
        variances: AnyArray,
        weights: AnyArray | None = None,
        *,
        labels: AnyArray | None = None,
    ) -> "GaussianMixture":
        """Components N(m_k, v_k I).

        Args:
            means: (K, d) component means.
            variances: One variance for all, or (K,); zero makes point masses.
            weights: (K,) probabilities; equal if left out.
            labels: (K,) class of each component, 0 ... c - 1; left out, every
                component is a class of its own.

        Raises:
            ValueError: Shapes that do not fit, negative variances or weights.
        """
        means = checked_means(means)
        variances = non_negative("variances")(like(means, variances))
        if variances.ndim:
            variances = broadcast(variances, means.shape[:1], "variances")
        count, dimension = means.shape
        covariance = Isotropic(jnp.atleast_1d(variances), dimension, count)
        return _mixture(means, covariance, weights, labels)

    @classmethod
    def diagonal(
        cls,
        means: AnyArray,
        variances: AnyArray,
        weights: AnyArray | None = None,
        *,
        labels: AnyArray | None = None,
    ) -> "GaussianMixture":
        """Components N(m_k, diag(v_k)); `variances` is (d,) or (K, d).

        Args and Raises as in `isotropic`.
        """
        means = checked_means(means)
        variances = non_negative("variances")(like(means, variances))
        variances = broadcast(variances, means.shape, "variances")
        return _mixture(means, Diagonal(variances), weights, labels)

    @classmethod
    def low_rank(
        cls,
        means: AnyArray,
        factors: AnyArray,
        variances: AnyArray,
        weights: AnyArray | None = None,
        *,
        labels: AnyArray | None = None,
    ) -> "GaussianMixture":
        """Components of covariance factor_k factor_k^T + v_k I.

        Args:
            means: (K, d) component means.
            factors: (d, r) for all components or (K, d, r), r <= d.
            variances: One variance or (K,), >= 0.
            weights: (K,) probabilities; equal if left out.
            labels: (K,) class of each component.

        Raises:
            ValueError: Shapes that do not fit, r > d, negative variances or weights.
        """
        means = checked_means(means)
        factors = like(means, factors)
        rank = factors.shape[-1] if factors.ndim >= 2 else 0
        factors = broadcast(factors, (*means.shape, rank), "factors")
        if not 1 <= rank <= means.shape[1]:
            raise ValueError(
                f"`factors` has rank {rank} in dimension {means.shape[1]}; it must "
                f"have between 1 and d columns; use `full` for more."
            )
        message = "`factors` must be finite everywhere."
        factors = require(factors, finite, message)
        variances = non_negative("variances")(like(means, variances))
        variances = broadcast(variances, means.shape[:1], "variances")
        basis, singular = decompose_factors(factors)
        spikes = variances[:, None] + singular**2
        return _mixture(means, LowRank(basis, spikes, variances), weights, labels)

    @classmethod
    def full(
        cls,
        means: AnyArray,
        covariances: AnyArray,
        weights: AnyArray | None = None,
        *,
        labels: AnyArray | None = None,
    ) -> "GaussianMixture":
        """Components of any covariance, decomposed once.

        In float32 the responsibilities of two wide, nearly equal covariances err by
        about eps sqrt(largest / smallest eigenvalue of the noised ones), at most 4e-5
        where measured: the rounding of a turn into the eigenbasis, which no other order
        of sums removes.

        Args:
            means: (K, d) component means.
            covariances: (d, d) for all components or (K, d, d), symmetric, >= 0.
            weights: (K,) probabilities; equal if left out.
            labels: (K,) class of each component.

        Raises:
            ValueError: Shapes that do not fit, an asymmetric matrix, a negative
                eigenvalue, negative weights. Gradients with respect to `covariances`
                are those of `eigh`: not finite where eigenvalues coincide.
        """
        means = checked_means(means)
        covariances = like(means, covariances)
        shape = (*means.shape, means.shape[1])
        covariances = broadcast(covariances, shape, "covariances")
        rounding = 64 * float(jnp.finfo(means.dtype).eps) * means.shape[1]
        largest = lambda c: abs(c).max(axis=(1, 2))
        symmetric = lambda c: largest(c - c.swapaxes(1, 2)) <= rounding * largest(c)
        message = "`covariances` must be finite and symmetric; pass (C + C.T) / 2."
        covariances = require(covariances, symmetric, message)
        eigenvalues, basis = decompose(covariances)
        message = "`covariances` must have no negative eigenvalue; clip its spectrum."
        lowest = -rounding * largest(covariances)[:, None]
        eigenvalues = require(eigenvalues, lambda e: e >= lowest, message)
        return _mixture(means, Full(basis, jnp.clip(eigenvalues, 0)), weights, labels)

    @property
    def dimension(self) -> int:
        """Dimension d of a point."""
        return self.means.shape[1]

    @property
    def num_labels(self) -> int:
        """Number of classes c."""
        return self.label_count

    @property
    def posterior_draws(self) -> int:
        """Gaussian vectors that `posterior_draw` takes."""
        return 1

    def log_density(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log-density of the noised mixture; at sigma = 0 only without point masses."""
        if is_concrete(self.covariance):
            with jax.ensure_compile_time_eval():  # constants of a caller's jit
                smooth = bool(jnp.all(self.covariance.spectrum()[0] > 0))
            if not smooth:
                refuse_zero_noise(sigma, "a density with point masses")
        return self._seen(alpha, sigma).log_density(x)

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]."""
        return self._seen(alpha, sigma).denoise(x)

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score of the noised mixture.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        return self._seen(alpha, sigma).score(x)

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian -sum_k p_k C_k^{-1} + Cov_k[score_k], over components k given x.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        seen, weight = self._weighted(x, alpha, sigma)
        within = self.covariance.dense_sum(weight[:, None] / seen.noised())
        return scatter(weight, seen.scores(x)) - within

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, without the matrix.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        seen, weight = self._weighted(x, alpha, sigma)
        scores = seen.scores(x)
        centred = scores - average(weight, scores)[None]
        along = jnp.sum(centred * v[None], axis=1)
        vs = jnp.broadcast_to(v, self.means.shape)
        within = self.covariance.apply(1 / seen.noised(), vs)
        return average(weight, along[:, None] * centred - within)

    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[x0 | x], within components plus between them."""
        seen, weight = self._weighted(x, alpha, sigma)
        left = as_float(sigma) ** 2 * self.covariance.spectrum()[0] / seen.noised()
        within = self.covariance.dense_sum(weight[:, None] * left)
        return scatter(weight, seen.means_given(x)) + within

    def local(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Local:
        """Mean, score and their divergences, O(K d) unless covariances are full.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        return self._seen(alpha, sigma).local(x)

    def label_log_posterior(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the classes given x; at sigma = 0 the limit."""
        log_p = self._seen(alpha, sigma).log_responsibilities(x)
        if self.num_labels == log_p.size:  # no label twice: nothing to add up
            return log_p[jnp.argsort(self.labels)]
        return segment_logsumexp(log_p, self.labels, self.num_labels)

    def soft_labels_at(
        self,
        x0: Point,
        z: Point,
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> Float[Array, "t c"]:
        """Log p(label | alpha x0 + sigma z) at every noise level.

        Full covariances turn x0 and z into their axes once, for all levels.
        """
        if not isinstance(self.covariance, Full):
            return super().soft_labels_at(x0, z, alphas, sigmas)
        clean, noise = self.covariance.turned(x0[None] - self.means, z)
        eigenvalues = self.covariance.eigenvalues

        def at(alpha: Array, sigma: Array) -> Array:
            noised = alpha**2 * eigenvalues + channel_variance(sigma)
            square = (alpha * clean + sigma * noise) ** 2 / noised
            log_p = self.log_weights - 0.5 * jnp.sum(square + jnp.log(noised), axis=1)
            return segment_logsumexp(
                jax.nn.log_softmax(log_p), self.labels, self.num_labels
            )

        return jax.vmap(at)(alphas, sigmas)

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the classes."""
        return segment_logsumexp(self.log_weights, self.labels, self.num_labels)

    def sample(self, key: Key) -> Point:
        """One clean point."""
        return self.sample_labelled(key)[0]

    def sample_labelled(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """One clean point with its class."""
        choice_key, normal_key = jr.split(key)
        k = jr.categorical(choice_key, self.log_weights)
        z = jr.normal(normal_key, (1, self.dimension), self.means.dtype)
        covariance = self.covariance.component(k)
        spread = covariance.apply(jnp.sqrt(covariance.spectrum()[0]), z)[0]
        return self.means[k] + spread, self.labels[k]

    def posterior_draw(
        self,
        choice_key: Key,
        z: Float[Array, "draws d"],
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> Point:
        """Exact draw x0 ~ p(x0 | x): the component by `choice_key`, the rest by z."""
        log_p = self._seen(alpha, sigma).log_responsibilities(x)
        k = jr.categorical(choice_key, log_p)
        covariance = self.covariance.component(k)
        variances = covariance.spectrum()[0]
        noised = alpha**2 * variances + channel_variance(sigma)
        offset = (x - alpha * self.means[k])[None]
        mean = self.means[k] + covariance.apply(alpha * variances / noised, offset)[0]
        spread = as_float(sigma) * jnp.sqrt(variances / noised)
        return mean + covariance.apply(spread, z)[0]

    def restrict(self, mask: Bool[Array, " c"]) -> "GaussianMixture":
        """The mixture of the classes in `mask`, weights renormalised.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        log_weights = restricted_log_weights(
            self.log_weights, self.labels, mask, self.num_labels
        )
        return eqx.tree_at(lambda law: law.log_weights, self, log_weights)

    def moments(self) -> Moments:
        """Mean and covariance: between the means plus within the components."""
        weights = jnp.exp(self.log_weights)
        mean = average(weights, self.means)
        between = (self.means - mean[None]).T * jnp.sqrt(weights)[None]
        within, variance = self.covariance.factor(weights)
        return Moments(mean, jnp.concatenate([between, within], axis=1), variance)

    def _point_masses(self) -> Bool[Array, ""]:
        """Whether a component of positive weight has no width in some direction."""
        flat = jnp.min(self.covariance.spectrum()[0], axis=1) <= 0
        return jnp.any(flat & (self.log_weights > -jnp.inf))

    def _seen(self, alpha: ScalarLike, sigma: ScalarLike) -> AbstractComponents:
        """The components at one noise level."""
        if isinstance(self.covariance, Isotropic):
            variances = self.covariance.variances
            return IsotropicComponents(
                self.means, variances, self.log_weights, alpha, sigma
            )
        return self._any_seen(alpha, sigma)

    def _any_seen(self, alpha: ScalarLike, sigma: ScalarLike) -> AnyComponents:
        covariance, log_weights = self.covariance, self.log_weights
        return AnyComponents(self.means, covariance, log_weights, alpha, sigma)

    def _weighted(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> tuple[AnyComponents, Float[Array, " k"]]:
        """The components one by one, and their responsibilities."""
        log_p = self._seen(alpha, sigma).log_responsibilities(x)
        return self._any_seen(alpha, sigma), jnp.exp(log_p)


def _mixture(
    means: Float[Array, "k d"],
    covariance: AbstractCovariance,
    weights: AnyArray | None,
    labels: AnyArray | None,
) -> GaussianMixture:
    log_weights = checked_weights(means, weights)
    classes, num_labels = checked_classes(means, labels)
    return GaussianMixture(means, covariance, log_weights, classes, num_labels)
