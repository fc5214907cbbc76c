"""One noised point seen by every component of a mixture, at one noise level."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._checks import check_point
from jaxwin._numerics import LOG_TWO_PI, channel_variance
from jaxwin._typing import Point, ScalarLike
from jaxwin.targets._base import Local
from jaxwin.targets._covariance import AbstractCovariance


class AbstractComponents(eqx.Module):
    """Components N(alpha m_k, C_k) of a noised mixture, C_k = alpha^2 Sigma_k + v I."""

    @abc.abstractmethod
    def log_responsibilities(self, x: Point) -> Float[Array, " k"]:
        """Log-probabilities log p(k | x)."""

    @abc.abstractmethod
    def log_density(self, x: Point) -> Float[Array, ""]:
        """Log-density at x."""

    @abc.abstractmethod
    def score(self, x: Point) -> Point:
        """Score -sum_k p(k | x) C_k^{-1} (x - alpha m_k)."""

    @abc.abstractmethod
    def denoise(self, x: Point) -> Point:
        """Posterior mean E[x0 | x], the average of `means_given`."""

    @abc.abstractmethod
    def local(self, x: Point) -> Local:
        """Mean, score and their divergences: between components plus within."""


class AnyComponents(AbstractComponents):
    """Components of any covariance, in two passes.

    The first finds the likeliest component r, the second takes every log-weight
    relative to it,

        alpha (m_k - m_r) . C_k^{-1} ((x - alpha m_r) - alpha (m_k - m_r) / 2) + ...,

    so that nothing of the size |x|^2 / sigma^2 cancels: right in float32 at every
    sigma (DESIGN 4).
    """

    means: Float[Array, "k d"]
    covariance: AbstractCovariance
    log_weights: Float[Array, " k"]
    alpha: ScalarLike
    sigma: ScalarLike

    def log_responsibilities(self, x: Point) -> Float[Array, " k"]:
        return jax.nn.log_softmax(self._relative(x).log_ratio)

    def log_density(self, x: Point) -> Float[Array, ""]:
        relative = self._relative(x)
        r = relative.reference
        noised, offset = self.noised()[r][None], (x - self.alpha * self.means[r])[None]
        square = self.covariance.component(r).bilinear(1 / noised, offset, offset)[0]
        log_det = jnp.sum(self.covariance.spectrum()[1] * jnp.log(noised))
        top = self.log_weights[r] - 0.5 * (square + log_det + x.size * LOG_TWO_PI)
        return top + jax.nn.logsumexp(relative.log_ratio)

    def score(self, x: Point) -> Point:
        weight = jnp.exp(self.log_responsibilities(x))
        return jnp.matmul(weight, self.scores(x), precision="highest")

    def denoise(self, x: Point) -> Point:
        weight = jnp.exp(self.log_responsibilities(x))
        return jnp.matmul(weight, self.means_given(x), precision="highest")

    def local(self, x: Point) -> Local:
        weight = jnp.exp(self.log_responsibilities(x))
        (eigenvalues, count), noised = self.covariance.spectrum(), self.noised()

        def between(rows: Array) -> tuple[Point, Array]:
            mean = jnp.matmul(weight, rows, precision="highest")
            return mean, jnp.sum(weight[:, None] * (rows - mean[None]) ** 2)

        mean, of_means = between(self.means_given(x))
        score, of_scores = between(self.scores(x))
        # alpha m_k - sigma^2 s_k is x for all k: either spread gives the other.
        alpha_sq, noise = self.alpha**2, channel_variance(self.sigma)
        quiet = alpha_sq > noise
        other = noise * of_scores / jnp.where(quiet, alpha_sq, 1)
        other = jnp.where(quiet, other, of_means / jnp.where(quiet, 1, noise))
        within = lambda values: jnp.sum(weight[:, None] * (count * values / noised))
        return Local(
            mean=mean,
            score=score,
            divergence=of_scores - within(jnp.ones_like(noised)),
            relative_variance=other + within(eigenvalues),
        )

    def noised(self) -> Float[Array, "k m"]:
        """Eigenvalues of C_k."""
        eigenvalues = self.covariance.spectrum()[0]
        return self.alpha**2 * eigenvalues + channel_variance(self.sigma)

    def scores(self, x: Point) -> Float[Array, "k d"]:
        """Score of each component."""
        return -self.covariance.apply(1 / self.noised(), self._offset(x))

    def means_given(self, x: Point) -> Float[Array, "k d"]:
        """E[x0 | x, k] of each component."""
        gain = self.alpha * self.covariance.spectrum()[0] / self.noised()
        return self.means + self.covariance.apply(gain, self._offset(x))

    def _offset(self, x: Point) -> Float[Array, "k d"]:
        check_point(x, self.means.shape[1])
        return x[None] - self.alpha * self.means

    def _relative(self, x: Point) -> "_Relative":
        eigenvalues, count = self.covariance.spectrum()
        noised, offset = self.noised(), self._offset(x)
        form = self.covariance.bilinear
        log_det = jnp.sum(count * jnp.log(noised), axis=1)
        rough = self.log_weights - 0.5 * (form(1 / noised, offset, offset) + log_det)
        r = jnp.argmax(rough)
        shift = self.alpha * (self.means - self.means[r][None])
        common = jnp.broadcast_to(offset[r], shift.shape)
        # Equal covariances leave exactly zero in what follows.
        gap = self.alpha**2 * (eigenvalues - eigenvalues[r][None])
        log_ratio = (
            form(1 / noised, shift, common - shift / 2)
            - 0.5 * self.covariance.form_change(noised, gap, common, r)
            - 0.5 * jnp.sum(count * log_wider(gap, noised, noised[r][None]), axis=1)
            + (self.log_weights - self.log_weights[r])
        )
        return _Relative(r, log_ratio)


class _Relative(NamedTuple):
    """Log-weights relative to that of component `reference`."""

    reference: Int[Array, ""]
    log_ratio: Float[Array, " k"]


def log_wider(gap: Array, noised: Array, reference: Array) -> Array:
    """Log of noised / reference, gap = noised - reference: exact for nearly equal ones.

    By log1p of both signs, for one component may be wider by any factor.
    """
    wider = jnp.log1p(jnp.maximum(gap, 0) / reference)
    return wider - jnp.log1p(jnp.maximum(-gap, 0) / noised)
