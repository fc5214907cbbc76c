"""Mixtures of products of one-dimensional densities, each any log-concave one."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import check_point
from jaxwin._numerics import as_float, channel_variance, segment_logsumexp
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.targets._base import (
    AbstractLabelledTarget,
    Local,
    Moments,
    noise_with_a_score,
)
from jaxwin.targets._labels import restricted_log_weights
from jaxwin.targets._mixture_arguments import checked_classes, checked_weights
from jaxwin.targets._weighted_rows import average, scatter
from jaxwin.targets.factors import AbstractFactor
from jaxwin.targets.factors._posterior import (
    Seen,
    draw,
    log_density,
    posterior_moments,
    seen,
)

Factors = Sequence[AbstractFactor | Sequence[AbstractFactor]]


# Widths at which a quadrature over the noised law cuts the line: tails are at most
# exponential, and less than 1e-17 is beyond the last.
CUTS = np.array([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0, 40.0])
# Around an edge of a clean density, in widths of the noise.
EDGE_CUTS = CUTS[:6]


class ProductMixture(AbstractLabelledTarget):
    r"""Mixture p0 = sum_k w_k prod_i f_ki(x_i) of products of densities on the line.

    The channel x = alpha x0 + sigma z leaves the coordinates of a component
    independent, so that everything follows from one-dimensional convolutions

        g_ki(x_i) = int f_ki(u) N(x_i; alpha u, sigma^2) du,

    each by Gauss-Legendre quadrature where its integrand lives, found anew at every
    point (`targets.factors`). A point costs O(K d) of these, some hundred exponentials
    each. In float64, at any x, with sigma from 0 to 1e3, any alpha and any tails:
    log-densities, posterior means, relative variances and label posteriors err by less
    than 1e-10 (a value v by 1e-10 (1 + |v|)), scores too from sigma = 1e-4; below, near
    the end of an interval or a kink, scores err by less than 1e-14 / sigma.

    References:
        Derived; the target contract is that of a `GaussianMixture`.
    """

    groups: tuple[AbstractFactor, ...]
    log_weights: Float[Array, " k"]
    labels: Int[Array, " k"]
    label_count: int = eqx.field(static=True)
    # Which of the K d factors, row by row, each group holds.
    members: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(
        self,
        factors: Factors,
        weights: AnyArray | None = None,
        *,
        labels: AnyArray | None = None,
    ):
        """Build the law.

        Args:
            factors: K rows of d densities of `targets.factors`, one a coordinate; in
                one dimension K densities will do.
            weights: (K,) probabilities; equal if left out.
            labels: (K,) class of each component, 0 ... c - 1; left out, every
                component is a class of its own.

        Raises:
            ValueError: Rows of different lengths or none, things that are no factors,
                negative weights.
        """
        rows = [[f] if isinstance(f, AbstractFactor) else list(f) for f in factors]
        dimension = _dimension(rows)
        self.groups, self.members = _grouped([f for row in rows for f in row])
        # Stands for the rows where the checks of mixtures ask for means.
        like = jnp.zeros((len(rows), dimension), rows[0][0].centre().dtype)
        self.log_weights = checked_weights(like, weights)
        self.labels, self.label_count = checked_classes(like, labels)

    @property
    def dimension(self) -> int:
        """Dimension d of a point."""
        return sum(len(members) for members in self.members) // self.log_weights.size

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
        """Log-density of the noised mixture; at sigma = 0 that of the law."""
        return jax.nn.logsumexp(self._log_joint(x, alpha, sigma))

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]."""
        weight, each = self._weighted(x, alpha, sigma)
        return average(weight, each.mean)

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score of the noised mixture.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: False)
        weight, each = self._weighted(x, alpha, sigma)
        return average(weight, each.score)

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian of the score, within the components plus between their scores.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: False)
        weight, each = self._weighted(x, alpha, sigma)
        return jnp.diag(average(weight, each.slope)) + scatter(weight, each.score)

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, without the matrix.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: False)
        weight, each = self._weighted(x, alpha, sigma)
        centred = each.score - average(weight, each.score)[None]
        along = jnp.sum(centred * v[None], axis=1)
        return average(weight, along[:, None] * centred + each.slope * v[None])

    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[x0 | x], within components plus between them."""
        weight, each = self._weighted(x, alpha, sigma)
        within = channel_variance(sigma) * average(weight, each.relative_variance)
        return jnp.diag(within) + scatter(weight, each.mean)

    def local(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Local:
        """Mean, score and their divergences, without a matrix.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: False)
        weight, each = self._weighted(x, alpha, sigma)
        variance = channel_variance(sigma)
        mean, score = average(weight, each.mean), average(weight, each.score)
        square = lambda rows, centre: jnp.sum((rows - centre[None]) ** 2, axis=1)
        # sigma^2 (score_k - score) = alpha (mean_k - mean): by the one that is exact.
        narrow = variance < as_float(alpha) ** 2
        signal = jnp.where(narrow, alpha, 1)
        between = jnp.where(
            narrow,
            square(each.score, score) * (variance / signal**2),
            square(each.mean, mean) / variance,
        )
        relative = jnp.sum(each.relative_variance, axis=1) + between
        slope = jnp.sum(each.slope, axis=1) + square(each.score, score)
        return Local(mean, score, jnp.sum(weight * slope), jnp.sum(weight * relative))

    def label_log_posterior(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the classes given x; at sigma = 0 the limit."""
        log_p = jax.nn.log_softmax(self._log_joint(x, alpha, sigma))
        return segment_logsumexp(log_p, self.labels, self.num_labels)

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the classes."""
        return segment_logsumexp(self.log_weights, self.labels, self.num_labels)

    def sample(self, key: Key) -> Point:
        """One clean point."""
        return self.sample_labelled(key)[0]

    def sample_labelled(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """One clean point with its class: quantiles, where nothing is seen."""
        choice_key, normal_key = jr.split(key)
        k = jr.categorical(choice_key, self.log_weights)
        z = jr.normal(normal_key, (self.dimension,), self.log_weights.dtype)
        return self._draws(z, jnp.zeros_like(z), 0.0, 1.0)[k], self.labels[k]

    def posterior_draw(
        self,
        choice_key: Key,
        z: Float[Array, "draws d"],
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> Point:
        """Exact draw x0 ~ p(x0 | x): the component by `choice_key`, quantiles by z."""
        k = jr.categorical(choice_key, self._log_joint(x, alpha, sigma))
        return self._draws(z[0], x, alpha, sigma)[k]

    def restrict(self, mask: Bool[Array, " c"]) -> "ProductMixture":
        """The mixture of the classes in `mask`, weights renormalised.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        log_weights = restricted_log_weights(
            self.log_weights, self.labels, mask, self.num_labels
        )
        return eqx.tree_at(lambda law: law.log_weights, self, log_weights)

    def moments(self) -> Moments:
        """Mean and covariance: between the components plus within them."""
        weights = jnp.exp(self.log_weights)
        means, variances = self._clean_moments()
        mean = average(weights, means)
        between = (means - mean[None]).T * jnp.sqrt(weights)[None]
        within = jnp.diag(jnp.sqrt(average(weights, variances)))
        factor = jnp.concatenate([between, within], axis=1)
        return Moments(mean, factor, jnp.zeros_like(mean[0]))

    def quadrature_cuts(
        self, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " m"]:
        """Places between which the noised law on a line is smooth.

        Around each component by its standard deviation, and around every place where a
        clean density is not smooth by the noise.

        Raises:
            ValueError: The law has more dimensions than one.
        """
        if self.dimension != 1:
            raise ValueError(
                f"the law has {self.dimension} dimensions; only a line can be cut."
            )
        means, variances = self._clean_moments()
        noise = jnp.sqrt(channel_variance(sigma))
        spread = jnp.sqrt(jnp.asarray(alpha) ** 2 * variances[:, 0] + noise**2)
        cuts = [_around(alpha * means[:, 0], spread, CUTS)]
        for group in self.groups:
            marks = jax.vmap(lambda factor: factor.marks())(group).reshape(-1)
            # An infinite end is none: it falls on what is cut already.
            marks = jnp.where(jnp.isfinite(marks), marks, means[0, 0])
            cuts.append(_around(alpha * marks, noise[None], EDGE_CUTS))
        return jnp.concatenate(cuts)

    def _each(self, function: Callable[..., Any], x: Point, *more: Array) -> Any:
        """A function of every factor and its coordinate(s), of results (K, d)."""
        shape = self.log_weights.size, self.dimension
        rows = [jnp.broadcast_to(a[None], shape).reshape(-1) for a in (x, *more)]
        found = [
            jax.vmap(function)(group, *(row[np.asarray(at)] for row in rows))
            for group, at in zip(self.groups, self.members, strict=True)
        ]
        order = np.argsort(np.concatenate([np.asarray(at) for at in self.members]))
        join = lambda *parts: jnp.concatenate(parts)[order].reshape(shape)
        return jax.tree.map(join, *found)

    def _seen(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Seen:
        check_point(x, self.dimension)
        return self._each(lambda f, x: seen(f, x, alpha, sigma), as_float(x))

    def _log_joint(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " k"]:
        check_point(x, self.dimension)
        each = self._each(lambda f, x: log_density(f, x, alpha, sigma), as_float(x))
        return self.log_weights + jnp.sum(each, axis=1)

    def _weighted(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> tuple[Float[Array, " k"], Seen]:
        """Responsibilities of the components, and what each coordinate says."""
        each = self._seen(x, alpha, sigma)
        log_joint = self.log_weights + jnp.sum(each.log_density, axis=1)
        return jax.nn.softmax(log_joint), each

    def _draws(
        self, z: Point, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "k d"]:
        check_point(x, self.dimension)
        return self._each(lambda f, x, z: draw(f, z, x, alpha, sigma), x, z)

    def _clean_moments(self) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
        """Means and variances of the factors: posteriors where nothing is seen."""
        zero = jnp.zeros(self.dimension, self.log_weights.dtype)
        return self._each(lambda f, x: posterior_moments(f, x, x, x + 1), zero)


def _around(
    places: Float[Array, " m"], widths: Float[Array, "..."], cuts: np.ndarray
) -> Float[Array, " n"]:
    """Places and widths times the cuts, on both sides."""
    both = jnp.asarray(np.concatenate([-cuts[:0:-1], cuts]), places.dtype)
    return (places[:, None] + widths[:, None] * both[None]).reshape(-1)


def _dimension(rows: list[list[Any]]) -> int:
    """Number of factors of each row."""
    sizes = sorted({len(row) for row in rows})
    if len(sizes) != 1 or sizes[0] == 0:
        raise ValueError(
            f"`factors` has {len(rows)} rows of {sizes or 'no'} factors; it must have "
            f"K >= 1 rows of d >= 1, one row a component."
        )
    wrong = [f for row in rows for f in row if not isinstance(f, AbstractFactor)]
    if wrong:
        raise ValueError(
            f"`factors` holds {wrong[0]!r}; its entries must be densities of "
            f"`targets.factors`."
        )
    return sizes[0]


def _grouped(
    factors: list[AbstractFactor],
) -> tuple[tuple[AbstractFactor, ...], tuple[tuple[int, ...], ...]]:
    """Factors of one kind and shape as one, and which of all of them each holds."""
    kinds: dict[Any, list[int]] = {}
    for i, factor in enumerate(factors):
        leaves, structure = jax.tree.flatten(factor)
        kind = structure, *((leaf.shape, leaf.dtype) for leaf in leaves)
        kinds.setdefault(kind, []).append(i)
    stack = lambda *leaves: jnp.stack(leaves)
    groups = [jax.tree.map(stack, *(factors[i] for i in at)) for at in kinds.values()]
    return tuple(groups), tuple(tuple(at) for at in kinds.values())
