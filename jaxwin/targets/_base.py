"""What a denoiser, a target and a labelled target are: contracts for one point."""

import abc
import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._typing import Key, Point, ScalarLike


class Moments(eqx.Module):
    """Mean and covariance = factor factor^T + variance I of a law in d dimensions."""

    mean: Float[Array, " d"]
    factor: Float[Array, "d r"]
    variance: Float[Array, ""]

    def covariance(self) -> Float[Array, "d d"]:
        """The dense covariance."""
        product = jnp.matmul(self.factor, self.factor.T, precision="highest")
        return product + self.variance * jnp.eye(self.mean.size, dtype=product.dtype)

    def total_variance(self) -> Float[Array, ""]:
        """Trace of the covariance: the mean squared distance from the mean."""
        return jnp.sum(self.factor**2) + self.mean.size * self.variance

    def leading(self, count: int) -> tuple[Float[Array, " c"], Float[Array, "d c"]]:
        """The min(count, d) largest eigenvalues, descending, and their directions.

        Taken from the smaller of factor^T factor and factor factor^T, which share their
        positive eigenvalues. Past the rank of the factor eigenvalues equal `variance`;
        directions there are zero where they were not needed to find the others.
        Gradients of an eigenvalue that stands alone, and of its direction, are right
        whatever coincides among the others.
        """
        dimension, rank = self.factor.shape
        tall = dimension > rank
        a = self.factor.T if tall else self.factor
        values, vectors = _eigh(jnp.matmul(a, a.T, precision="highest"))
        values = jnp.clip(values[::-1][:count], 0)
        vectors = vectors[:, ::-1][:, :count]
        if tall:
            size = jnp.sqrt(jnp.where(values > 0, values, 1))
            lifted = jnp.matmul(self.factor, vectors, precision="highest")
            vectors = lifted / size[None]
        missing = (0, min(count, dimension) - values.size)
        values = jnp.pad(values, missing) + self.variance
        return values, jnp.pad(vectors, ((0, 0), missing))


@jax.custom_jvp
def _eigh(
    matrix: Float[Array, "r r"],
) -> tuple[Float[Array, " r"], Float[Array, "r r"]]:
    """Eigenvalues, ascending, and eigenvectors, with gradients at equal eigenvalues.

    d lambda_i = u_i . dA u_i and d u_i = sum_j u_j (u_j . dA u_i) / (lambda_i -
    lambda_j) over the eigenvalues that differ from lambda_i: what turns within equal
    ones changes no function of A. The rule of `jax.numpy.linalg.eigh` divides by zero.
    """
    return tuple(jnp.linalg.eigh(matrix))


@_eigh.defjvp
def _eigh_jvp(primals, tangents):
    (matrix,), (change,) = primals, tangents
    values, vectors = _eigh(matrix)
    product = functools.partial(jnp.matmul, precision="highest")
    inside = product(vectors.T, product((change + change.T) / 2, vectors))
    gap = values[None] - values[:, None]
    rounding = values.size * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values))
    apart = jnp.abs(gap) > rounding
    turn = jnp.where(apart, inside / jnp.where(apart, gap, 1), 0)
    return (values, vectors), (jnp.diagonal(inside), product(vectors, turn))


class Local(NamedTuple):
    """First and second order of a noised law at one point.

    mean: E[x0 | x]. score: grad log p(x). divergence: of the score, the Laplacian of
    log p. relative_variance: tr Cov[x0 | x] / sigma^2, finite also at sigma = 0 where
    the law has a density; alpha times it is the divergence of the mean.
    """

    mean: Point
    score: Point
    divergence: Float[Array, ""]
    relative_variance: Float[Array, ""]


class AbstractDenoiser(eqx.Module):
    """Posterior means E[x0 | x] of a law seen through x = alpha x0 + sigma z."""

    @abc.abstractmethod
    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]."""

    @abc.abstractmethod
    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score grad log p(x) = (alpha E[x0 | x] - x) / sigma^2; refused at sigma 0."""

    @abc.abstractmethod
    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's (symmetric) Jacobian with `v`."""

    def score_many(
        self, xs: Float[Array, "b d"], alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "b d"]:
        """Scores of a block of points at one noise level."""
        return jax.vmap(lambda x: self.score(x, alpha, sigma))(xs)


class AbstractTarget(AbstractDenoiser):
    """A law p0 whose posterior p(x0 | x) under the Gaussian channel is known.

    `posterior_draws` is the number of Gaussian vectors that `posterior_draw` takes.
    """

    @property
    @abc.abstractmethod
    def posterior_draws(self) -> int:
        """Gaussian vectors that `posterior_draw` takes."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """Dimension d of a point."""

    @abc.abstractmethod
    def log_density(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log-density of the noised law at `x`."""

    @abc.abstractmethod
    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian of the score, (alpha^2 Cov[x0 | x] / sigma^2 - I) / sigma^2."""

    @abc.abstractmethod
    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[x0 | x]."""

    @abc.abstractmethod
    def local(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Local:
        """Mean, score and their divergences, without a matrix; refused at sigma 0.

        divergence = (alpha^2 relative_variance - d) / sigma^2, each of the two taken in
        the form that does not cancel.
        """

    @abc.abstractmethod
    def sample(self, key: Key) -> Point:
        """One clean point x0."""

    @abc.abstractmethod
    def posterior_draw(
        self,
        choice_key: Key,
        z: Float[Array, "draws d"],
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> Point:
        """Exact draw x0 ~ p(x0 | x): Gaussians handed in, discrete choices by key."""

    @abc.abstractmethod
    def moments(self) -> Moments:
        """Mean and covariance of the clean law."""

    def posterior_sample(
        self, key: Key, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """An exact draw x0 ~ p(x0 | x)."""
        choice_key, normal_key = jr.split(key)
        z = jr.normal(normal_key, (self.posterior_draws, self.dimension), x.dtype)
        return self.posterior_draw(choice_key, z, x, alpha, sigma)


class AbstractLabelledTarget(AbstractTarget):
    """A target whose points carry one of `num_labels` labels (classes)."""

    @property
    @abc.abstractmethod
    def num_labels(self) -> int:
        """Number of labels c."""

    @abc.abstractmethod
    def sample_labelled(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """One clean point with its label."""

    @abc.abstractmethod
    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels."""

    @abc.abstractmethod
    def label_log_posterior(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities log p(label | x); at sigma = 0 the limit sigma -> 0."""

    @abc.abstractmethod
    def restrict(self, mask: Bool[Array, " c"]) -> "AbstractLabelledTarget":
        """The law given that the label is one of those in `mask`."""

    def soft_labels(
        self, key: Key, alphas: Float[Array, " t"], sigmas: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A clean draw's label, and log p(label | x) at every noise level.

        The same clean point and the same Gaussian z serve all levels, so a whole curve
        is one pass and its errors are correlated along the curve.
        """
        data_key, noise_key = jr.split(key)
        x0, label = self.sample_labelled(data_key)
        z = jr.normal(noise_key, x0.shape, x0.dtype)
        return label, self.soft_labels_at(x0, z, alphas, sigmas)

    def soft_labels_at(
        self,
        x0: Point,
        z: Point,
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> Float[Array, "t c"]:
        """Log p(label | alpha x0 + sigma z) at every noise level; any x0, any z."""

        def at(level: tuple[Array, Array]) -> Array:
            alpha, sigma = level
            return self.label_log_posterior(alpha * x0 + sigma * z, alpha, sigma)

        # A batch of noise levels would evaluate every form of the log-weights.
        return jax.lax.map(at, (alphas, sigmas))


def noise_with_a_score(
    sigma: ScalarLike, point_masses: Callable[[], Bool[Array, ""] | bool]
) -> ScalarLike:
    """`sigma`, refused where it is a concrete zero.

    One known only at run time is NaN where it is zero and the law has point masses: the
    score is then NaN too, not a number without meaning.
    """
    refuse_zero_noise(sigma, "a score")
    if is_concrete(sigma):
        return sigma
    return jnp.where((sigma == 0) & point_masses(), jnp.nan, sigma)


def refuse_zero_noise(sigma: ScalarLike, what: str) -> None:
    """Raise ValueError where `sigma` is a concrete zero: scores do not exist there."""
    if is_concrete(sigma) and not np.all(np.asarray(sigma) > 0):
        raise ValueError(
            f"`sigma` is {sigma}: {what} needs sigma > 0; take a small positive sigma, "
            "or `denoise`, whose limit at sigma = 0 exists."
        )
