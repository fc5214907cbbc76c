"""Mixtures of Gaussians with isotropic, diagonal, low-rank or full covariances."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import is_concrete, non_negative, require
from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance, segment_logsumexp
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.targets._base import AbstractLabelledTarget, Moments, refuse_zero_noise
from jaxwin.targets._covariance import (
    AbstractCovariance,
    Diagonal,
    Full,
    Isotropic,
    LowRank,
    decompose,
    decompose_factors,
)
from jaxwin.targets._labels import check_labels, restricted_log_weights


class _Channel(NamedTuple):
    """One point seen by every component: x = alpha m_k + offset_k, noise N(0, C_k)."""

    eigenvalues: Float[Array, "k m"]
    noised: Float[Array, "k m"]
    multiplicity: Float[Array, "1 m"]
    offset: Float[Array, "k d"]
    reference: Int[Array, ""]
    log_ratio: Float[Array, " k"]

    def log_responsibilities(self) -> Float[Array, " k"]:
        return jax.nn.log_softmax(self.log_ratio)


class GaussianMixture(AbstractLabelledTarget):
    r"""Mixture p0 = sum_k w_k N(m_k, Sigma_k); Sigma_k = 0 is a point mass.

    Seen through x = alpha x0 + sigma z, component k is N(alpha m_k, C_k) with
    C_k = alpha^2 Sigma_k + sigma^2 I, and everything follows from it:

        p(k | x)   ~ w_k N(x; alpha m_k, C_k)
        score      = -sum_k p(k | x) C_k^{-1} (x - alpha m_k)
        E[x0 | x]  = sum_k p(k | x) (m_k + alpha Sigma_k C_k^{-1} (x - alpha m_k))

    Build one with `isotropic`, `diagonal`, `low_rank` or `full`. A point costs O(K d)
    (isotropic, diagonal), O(K d r) (rank r) or O(K d^2) (full) at every noise level.

    Responsibilities are computed in two passes: the first finds the likeliest
    component r, the second takes every log-weight relative to it,

        alpha (m_k - m_r) . C_k^{-1} ((x - alpha m_r) - alpha (m_k - m_r) / 2) + ...,

    so that nothing of the size |x|^2 / sigma^2 cancels: right in float32 at every
    sigma (DESIGN 4).

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
        means = _means(means)
        variances = non_negative("variances")(_like(means, variances))
        variances = _broadcast(variances, means.shape[:1], "variances")
        return _mixture(means, Isotropic(variances, means.shape[1]), weights, labels)

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
        means = _means(means)
        variances = non_negative("variances")(_like(means, variances))
        variances = _broadcast(variances, means.shape, "variances")
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
        means = _means(means)
        factors = _like(means, factors)
        rank = factors.shape[-1] if factors.ndim >= 2 else 0
        factors = _broadcast(factors, (*means.shape, rank), "factors")
        if not 1 <= rank <= means.shape[1]:
            raise ValueError(
                f"`factors` has rank {rank} in dimension {means.shape[1]}; it must "
                f"have between 1 and d columns; use `full` for more."
            )
        message = "`factors` must be finite everywhere."
        factors = require(factors, jnp.isfinite(factors), message)
        variances = non_negative("variances")(_like(means, variances))
        variances = _broadcast(variances, means.shape[:1], "variances")
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
        means = _means(means)
        covariances = _like(means, covariances)
        shape = (*means.shape, means.shape[1])
        covariances = _broadcast(covariances, shape, "covariances")
        size = jnp.abs(covariances).max(axis=(1, 2))
        rounding = 64 * jnp.finfo(means.dtype).eps * means.shape[1] * size
        skew = jnp.abs(covariances - jnp.swapaxes(covariances, 1, 2)).max(axis=(1, 2))
        message = "`covariances` must be finite and symmetric; pass (C + C.T) / 2."
        covariances = require(covariances, skew <= rounding, message)
        eigenvalues, basis = decompose(covariances)
        message = "`covariances` must have no negative eigenvalue; clip its spectrum."
        eigenvalues = require(eigenvalues, eigenvalues >= -rounding[:, None], message)
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
        channel = self._channel(x, alpha, sigma)
        r = channel.reference
        noised, offset = channel.noised[r][None], channel.offset[r][None]
        square = self.covariance.component(r).bilinear(1 / noised, offset, offset)[0]
        log_det = jnp.sum(channel.multiplicity * jnp.log(noised))
        top = self.log_weights[r] - 0.5 * (square + log_det + x.size * LOG_TWO_PI)
        return top + jax.nn.logsumexp(channel.log_ratio)

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]."""
        channel = self._channel(x, alpha, sigma)
        weight = jnp.exp(channel.log_responsibilities())
        return _average(weight, self._component_denoise(channel, alpha))

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score of the noised mixture.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a score")
        channel = self._channel(x, alpha, sigma)
        weight = jnp.exp(channel.log_responsibilities())
        return _average(weight, self._component_score(channel))

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian -sum_k p_k C_k^{-1} + Cov_k[score_k], over components k given x.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a score Jacobian")
        channel = self._channel(x, alpha, sigma)
        weight = jnp.exp(channel.log_responsibilities())
        within = self.covariance.dense_sum(weight[:, None] / channel.noised)
        return _scatter(weight, self._component_score(channel)) - within

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, without the matrix.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a score Jacobian")
        channel = self._channel(x, alpha, sigma)
        weight = jnp.exp(channel.log_responsibilities())
        scores = self._component_score(channel)
        centred = scores - _average(weight, scores)[None]
        along = jnp.sum(centred * v[None], axis=1)
        vs = jnp.broadcast_to(v, self.means.shape)
        within = self.covariance.apply(1 / channel.noised, vs)
        return _average(weight, along[:, None] * centred - within)

    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[x0 | x], within components plus between them."""
        channel = self._channel(x, alpha, sigma)
        weight = jnp.exp(channel.log_responsibilities())
        left = _posterior_variances(channel, sigma)
        within = self.covariance.dense_sum(weight[:, None] * left)
        return _scatter(weight, self._component_denoise(channel, alpha)) + within

    def label_log_posterior(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the classes given x; at sigma = 0 the limit."""
        log_p = self._channel(x, alpha, sigma).log_responsibilities()
        return segment_logsumexp(log_p, self.labels, self.num_labels)

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
        channel = self._channel(x, alpha, sigma)
        k = jr.categorical(choice_key, channel.log_ratio)
        spread = jnp.sqrt(_posterior_variances(channel, sigma)[k])[None]
        mean = self._component_denoise(channel, alpha)[k]
        return mean + self.covariance.component(k).apply(spread, z)[0]

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
        mean = _average(weights, self.means)
        between = (self.means - mean[None]).T * jnp.sqrt(weights)[None]
        within, variance = self.covariance.factor(weights)
        return Moments(mean, jnp.concatenate([between, within], axis=1), variance)

    def _channel(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> _Channel:
        """Log-responsibilities relative to the likeliest component, in two passes."""
        eigenvalues, count = self.covariance.spectrum()
        noised = alpha**2 * eigenvalues + channel_variance(sigma)
        precision = 1 / noised
        form = self.covariance.bilinear
        offset = x[None] - alpha * self.means
        log_det = jnp.sum(count * jnp.log(noised), axis=1)
        rough = self.log_weights - 0.5 * (form(precision, offset, offset) + log_det)
        r = jnp.argmax(rough)
        shift = alpha * (self.means - self.means[r][None])
        common = jnp.broadcast_to(offset[r], shift.shape)
        # Equal covariances leave exactly zero in what follows; log1p of both signs, for
        # one component may be wider by any factor.
        gap = alpha**2 * (eigenvalues - eigenvalues[r][None])
        wider = jnp.log1p(jnp.maximum(gap, 0) / noised[r][None])
        narrower = jnp.log1p(jnp.maximum(-gap, 0) / noised)
        log_ratio = (
            form(precision, shift, common - shift / 2)
            - 0.5 * self.covariance.form_change(noised, gap, common, r)
            - 0.5 * jnp.sum(count * (wider - narrower), axis=1)
            + (self.log_weights - self.log_weights[r])
        )
        return _Channel(eigenvalues, noised, count, offset, r, log_ratio)

    def _component_score(self, channel: _Channel) -> Float[Array, "k d"]:
        return -self.covariance.apply(1 / channel.noised, channel.offset)

    def _component_denoise(
        self, channel: _Channel, alpha: ScalarLike
    ) -> Float[Array, "k d"]:
        gain = alpha * channel.eigenvalues / channel.noised
        return self.means + self.covariance.apply(gain, channel.offset)


def _posterior_variances(channel: _Channel, sigma: ScalarLike) -> Float[Array, "k m"]:
    """Eigenvalues of Cov[x0 | x, k] = sigma^2 Sigma_k C_k^{-1}."""
    return as_float(sigma) ** 2 * channel.eigenvalues / channel.noised


def _average(weights: Float[Array, " k"], rows: Float[Array, "k d"]) -> Point:
    return jnp.matmul(weights, rows, precision="highest")


def _scatter(
    weights: Float[Array, " k"], rows: Float[Array, "k d"]
) -> Float[Array, "d d"]:
    """Covariance of the rows under the weights, centred first."""
    centred = rows - _average(weights, rows)[None]
    return jnp.matmul((centred * weights[:, None]).T, centred, precision="highest")


def _means(means: AnyArray) -> Float[Array, "k d"]:
    means = as_float(means)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(
            f"`means` has shape {means.shape}; it must be (K, d) with K, d >= 1: pass "
            f"one row a component."
        )
    return require(means, jnp.isfinite(means), "`means` must be finite everywhere.")


def _like(means: Array, value: AnyArray) -> Array:
    return jnp.asarray(value).astype(means.dtype)


def _broadcast(value: Array, shape: tuple[int, ...], name: str) -> Array:
    """Repeat `value` along the component axis until it has `shape`."""
    if value.shape == shape:
        return value
    if value.shape not in ((), shape[1:]):
        raise ValueError(
            f"`{name}` has shape {value.shape}; it must be {shape}, or {shape[1:]} for "
            f"one value that all components share."
        )
    return jnp.broadcast_to(
        value.reshape((1,) * (len(shape) - value.ndim) + value.shape), shape
    )


def _mixture(
    means: Float[Array, "k d"],
    covariance: AbstractCovariance,
    weights: AnyArray | None,
    labels: AnyArray | None,
) -> GaussianMixture:
    count = means.shape[0]
    weights = jnp.full((count,), 1 / count) if weights is None else weights
    weights = non_negative("weights")(_like(means, weights))
    if weights.shape != (count,):
        raise ValueError(
            f"`weights` has shape {weights.shape}; it must be ({count},), one "
            f"probability a component."
        )
    message = "`weights` must sum to 1 within 1e-3; divide them by their sum."
    weights = require(weights, jnp.abs(weights.sum() - 1) <= 1e-3, message)
    labels = np.arange(count) if labels is None else labels
    labels, num_labels = check_labels(labels, count)
    log_weights = jnp.log(weights / weights.sum())
    return GaussianMixture(means, covariance, log_weights, labels, num_labels)
