"""A data set as a law: point masses, or a Gaussian kernel about every point."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._checks import is_concrete, non_negative, require
from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance, choose
from jaxwin._streaming import (
    Block,
    Blocks,
    Online,
    Posterior,
    by_form,
    centred_ratios,
    draw,
    finish,
    log_ratios,
    merge,
    nearest,
    partial,
)
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.targets._base import AbstractLabelledTarget, Moments, refuse_zero_noise
from jaxwin.targets._labels import check_labels, restricted_log_weights
from jaxwin.targets._own_point import own_partial, own_posterior

# Points a block: large enough for a full-speed matrix product, small enough for cache.
BLOCK = 256


class _Weights(NamedTuple):
    """Log-weights of a block relative to a unit weight at `reference`."""

    log_ratio: Callable[[Block], Float[Array, " s"]]
    reference: Point


class Empirical(AbstractLabelledTarget):
    r"""Law p0 = (1/n) sum_i N(a_i, h^2 I) of a data set; h = 0 is the point masses.

    Through x = alpha x0 + sigma z every point is seen with variance
    v = alpha^2 h^2 + sigma^2, and with p_i(x) ~ exp(-|x - alpha a_i|^2 / 2v)

        E[x0 | x] = (1 - alpha g) sum_i p_i a_i + g x,    g = alpha h^2 / v
        score     = (alpha sum_i p_i a_i - x) / v

    All sums stream over blocks of points: memory beyond the data does not grow with n,
    work is O(n d) a point, under `vmap` two matrix products. Where alpha^2 radius^2 / v
    is so large that rounding would show, log-weights are taken in float64, or in two
    passes, nearest point first (`_streaming.by_form`).

    Without labels all points share one label.

    References:
        Biroli et al., arXiv:2402.18491, section 3 (the empirical score).
    """

    blocks: Blocks
    bandwidth: Float[Array, ""]
    centre: Float[Array, " d"]
    radius: Float[Array, ""]
    num_points: int = eqx.field(static=True)
    smooth: bool = eqx.field(static=True)

    def __init__(
        self,
        points: AnyArray,
        labels: AnyArray | None = None,
        bandwidth: ScalarLike = 0.0,
    ):
        """Build the law.

        Args:
            points: (n, d) data.
            labels: (n,) classes 0 ... c - 1, or None.
            bandwidth: Kernel standard deviation h >= 0, in units of the data.

        Raises:
            ValueError: Another shape, non-finite points, labels of another length.
        """
        points = as_float(points)
        if points.ndim != 2 or 0 in points.shape:
            raise ValueError(
                f"`points` has shape {points.shape}; it must be (n, d) with n, d >= 1: "
                f"flatten each point into one row."
            )
        message = "`points` must be finite everywhere; drop rows with NaN or infinity."
        points = require(points, jnp.isfinite(points), message)
        n = points.shape[0]
        labels = np.zeros(n, np.int32) if labels is None else labels
        labels, num_labels = check_labels(labels, n)
        count = -(-n // BLOCK)
        size = -(-n // count)
        pad = count * size - n
        log_weights = jnp.full((n,), -np.log(n), points.dtype)
        self.blocks = Blocks(
            points=jnp.pad(points, ((0, pad), (0, 0))).reshape(count, size, -1),
            log_weights=jnp.pad(
                log_weights, (0, pad), constant_values=-jnp.inf
            ).reshape(count, size),
            labels=jnp.pad(labels, (0, pad)).reshape(count, size),
            num_labels=num_labels,
        )
        bandwidth = jnp.asarray(bandwidth).astype(points.dtype)
        self.bandwidth = non_negative("bandwidth")(bandwidth)
        self.centre = points.mean(axis=0)
        apart = jnp.sum((points - self.centre[None]) ** 2, axis=1)
        self.radius = jnp.sqrt(jax.lax.stop_gradient(apart.max()))
        self.num_points = n
        # Point masses need no Gaussian; a traced bandwidth may be positive.
        smooth = not is_concrete(bandwidth) or bool(bandwidth > 0)
        self.smooth = smooth

    @property
    def posterior_draws(self) -> int:
        """One Gaussian vector for a kernel, none for point masses."""
        return int(self.smooth)

    @property
    def num_labels(self) -> int:
        """Number of labels c."""
        return self.blocks.num_labels

    @property
    def dimension(self) -> int:
        """Dimension d of a point."""
        return self.centre.size

    @property
    def points(self) -> Float[Array, "n d"]:
        """The data, without padding."""
        return self.blocks.points.reshape(-1, self.dimension)[: self.num_points]

    @property
    def labels(self) -> Int[Array, " n"]:
        """Label of each point."""
        return self.blocks.labels.reshape(-1)[: self.num_points]

    def many(
        self, xs: Float[Array, "b d"], alpha: ScalarLike, sigma: ScalarLike
    ) -> Posterior:
        """Evidence, mean, label posterior and purity at a block of points."""
        return jax.vmap(lambda x: self._posterior(x, alpha, sigma))(xs)

    def nearest(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """The data point of largest weight at x."""
        variance = self._variance(alpha, sigma)
        return nearest(self.blocks, x, alpha, variance, self.centre)

    def partial(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike, reference: Point
    ) -> Online:
        """Unnormalised averages over these points, relative to `reference`.

        Averages of disjoint parts of one law about one reference `merge`, and `finish`
        normalises. Points keep their weights: shards are slices of one law, or laws of
        equally many points.
        """
        variance = self._variance(alpha, sigma)
        ratio = lambda block: log_ratios(block, x, reference, alpha, variance)
        return self._sum(_Weights(ratio, reference))

    def finish(
        self,
        online: Online,
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
        reference: Point,
    ) -> Posterior:
        """Normalised averages, from those of `partial` about the same reference."""
        log_kernel = self._log_kernel(x, alpha, sigma, reference, online.top.dtype)
        return self._with_kernel(finish(online, log_kernel), x, alpha, sigma)

    def log_density(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log-density of the noised law; point masses need sigma > 0."""
        if not self.smooth:
            refuse_zero_noise(sigma, "a density of point masses")
        return self._posterior(x, alpha, sigma).log_evidence

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]."""
        return self._posterior(x, alpha, sigma).mean

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score of the noised law.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a score")

        def use(weights: _Weights) -> Point:
            online = self._sum(weights)
            return online.sum_x / online.mass

        mean = self._weigh(x, alpha, sigma, use)
        return (alpha * mean - x) / self._variance(alpha, sigma)

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian (alpha^2 / v^2) Cov_i[a_i] - I / v, over data points i given x.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a score Jacobian")
        variance = self._variance(alpha, sigma)
        spread = self._scatter(x, alpha, sigma) * (alpha / variance) ** 2
        return spread - jnp.eye(x.size, dtype=x.dtype) / variance

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, without the matrix.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a score Jacobian")

        def add(weight: Array, centred: Array) -> Array:
            along = jnp.sum(centred * v[None], axis=1)
            return jnp.matmul(weight * along, centred, precision="highest")

        variance = self._variance(alpha, sigma)
        spread = self._centred_sum(x, alpha, sigma, add, jnp.zeros_like(x))
        return spread * (alpha / variance) ** 2 - v / variance

    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[x0 | x]: between the points plus within a kernel."""
        variance = self._variance(alpha, sigma)
        shrink = 1 - alpha * self._gain(alpha, variance)
        within = self._kernel_variance(sigma, variance)
        between = shrink**2 * self._scatter(x, alpha, sigma)
        return between + within * jnp.eye(x.size, dtype=x.dtype)

    def label_log_posterior(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the labels given x; at sigma = 0 the limit."""
        return self._posterior(x, alpha, sigma).label_log_posterior

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels."""
        mass = jax.ops.segment_sum(
            jnp.exp(self.blocks.log_weights.reshape(-1)),
            self.blocks.labels.reshape(-1),
            self.num_labels,
        )
        return jnp.log(mass)

    def sample(self, key: Key) -> Point:
        """One clean point."""
        return self.sample_labelled(key)[0]

    def sample_labelled(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """One clean point with its label."""
        choice_key, normal_key = jr.split(key)
        index = self.draw_index(choice_key)
        z = jr.normal(normal_key, (self.dimension,), self.centre.dtype)
        points = self.blocks.points.reshape(-1, self.dimension)
        return points[index] + self.bandwidth * z, self.blocks.labels.reshape(-1)[index]

    def draw_index(self, key: Key) -> Int[Array, ""]:
        """Index of one point drawn by weight."""
        uniform = jr.uniform(key, (), self.centre.dtype)
        return choose(self.blocks.log_weights.reshape(-1), uniform)

    def posterior_draw(
        self,
        choice_key: Key,
        z: Float[Array, "draws d"],
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> Point:
        """Exact draw x0 ~ p(x0 | x): one uniform through cumulative weights."""
        uniform = jr.uniform(choice_key, (), x.dtype)

        def use(weights: _Weights) -> Point:
            return draw(self.blocks, weights.log_ratio, self._sum(weights), uniform)

        point = self._weigh(x, alpha, sigma, use)
        if not self.smooth:
            return point
        variance = self._variance(alpha, sigma)
        gain = self._gain(alpha, variance)
        spread = jnp.sqrt(self._kernel_variance(sigma, variance))
        return (1 - alpha * gain) * point + gain * x + spread * z[0]

    def restrict(self, mask: Bool[Array, " c"]) -> "Empirical":
        """The law of the points whose label is in `mask`.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        blocks = self.blocks
        log_weights = restricted_log_weights(
            blocks.log_weights, blocks.labels, mask, self.num_labels
        )
        return eqx.tree_at(lambda law: law.blocks.log_weights, self, log_weights)

    def moments(self) -> Moments:
        """Mean and covariance (dividing by n); the factor is the centred data."""
        weights = jnp.exp(self.blocks.log_weights.reshape(-1)[: self.num_points])
        mean = jnp.matmul(weights, self.points, precision="highest")
        factor = (self.points - mean[None]).T * jnp.sqrt(weights)[None]
        return Moments(mean, factor, self.bandwidth**2)

    def own_partial(
        self, index: Int[Array, ""], z: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Online:
        """Averages over the others at a point noised from data point `index`.

        The point is alpha a_own + sqrt(v) z, and weights are relative to the own one:
        nothing cancels, whatever sigma is.
        """
        variance = self._variance(alpha, sigma)
        return own_partial(self.blocks, index, z, alpha / jnp.sqrt(variance))

    def own_log_ratio(
        self, index: Int[Array, ""], z: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log of the others' weight over the own one.

        -inf if there are no others, +inf if a restriction left the own point out.
        """
        ratio = self.own_partial(index, z, alpha, sigma).log_mass()
        present = self.blocks.log_weights.reshape(-1)[index] > -jnp.inf
        return jnp.where(present, ratio, jnp.inf)

    def own_many(
        self,
        indices: Int[Array, " b"],
        zs: Float[Array, "b d"],
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> Posterior:
        """Finished averages, the own point in, of b noised points at t levels: (b, t).

        Distances are taken once and serve every level. `mean` is E[x0 | x].
        """
        at_levels = jax.vmap(self._own_posterior, in_axes=(None, None, 0, 0))
        return jax.vmap(lambda i, z: at_levels(i, z, alphas, sigmas))(indices, zs)

    def soft_labels(
        self, key: Key, alphas: Float[Array, " t"], sigmas: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A draw's label and log p(label | x) at every level, the own point in."""
        choice_key, normal_key = jr.split(key)
        index = self.draw_index(choice_key)
        z = jr.normal(normal_key, (self.dimension,), self.centre.dtype)
        at_levels = jax.vmap(self._own_posterior, in_axes=(None, None, 0, 0))
        posterior = at_levels(index, z, alphas, sigmas)
        return self.blocks.labels.reshape(-1)[index], posterior.label_log_posterior

    def _own_posterior(
        self, index: Int[Array, ""], z: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Posterior:
        variance = self._variance(alpha, sigma)
        online = self.own_partial(index, z, alpha, sigma)
        posterior, x = own_posterior(self.blocks, online, index, z, alpha, variance)
        return self._with_kernel(posterior, x, alpha, sigma)

    def _variance(
        self, alpha: ScalarLike, sigma: ScalarLike, dtype: jnp.dtype | None = None
    ) -> Float[Array, ""]:
        if dtype is not None:
            alpha, sigma = _cast(alpha, dtype), _cast(sigma, dtype)
        bandwidth = self.bandwidth if dtype is None else self.bandwidth.astype(dtype)
        return alpha**2 * bandwidth**2 + channel_variance(sigma)

    def _gain(self, alpha: ScalarLike, variance: Float[Array, ""]) -> Array:
        return alpha * self.bandwidth**2 / variance

    def _kernel_variance(self, sigma: ScalarLike, variance: Float[Array, ""]) -> Array:
        """Posterior variance sigma^2 h^2 / v within one kernel."""
        return as_float(sigma) ** 2 * self.bandwidth**2 / variance

    def _weigh(
        self,
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
        use: Callable[[_Weights], PyTree[Array]],
    ) -> PyTree[Array]:
        """What `use` makes of the log-weights, in the form that rounding allows."""
        variance = self._variance(alpha, sigma)

        def about_centre(dtype: jnp.dtype) -> PyTree[Array]:
            y, centre = x.astype(dtype), self.centre.astype(dtype)
            level = _cast(alpha, dtype), self._variance(alpha, sigma, dtype)
            ratio = lambda block: centred_ratios(block, y, centre, *level)
            return use(_Weights(ratio, centre))

        def about_nearest() -> PyTree[Array]:
            near = self.nearest(x, alpha, sigma)
            ratio = lambda block: log_ratios(block, x, near, alpha, variance)
            return use(_Weights(ratio, near))

        signal = alpha**2 * self.radius**2 / variance
        return by_form(signal, x.dtype, about_centre, about_nearest)

    def _sum(self, weights: _Weights) -> Online:
        dtype, wide = self.centre.dtype, weights.reference.dtype
        start = Online.empty(self.dimension, self.num_labels, dtype, wide)

        def step(online: Online, block: Block) -> Online:
            ratio = weights.log_ratio(block)
            return merge(online, partial(ratio, block.points, block.one_hot()))

        return self.blocks.fold(step, start)

    def _posterior(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Posterior:
        def use(weights: _Weights) -> Posterior:
            at = weights.reference
            log_kernel = self._log_kernel(x, alpha, sigma, at, at.dtype)
            return finish(self._sum(weights), log_kernel)

        return self._with_kernel(self._weigh(x, alpha, sigma, use), x, alpha, sigma)

    def _log_kernel(
        self,
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
        reference: Point,
        dtype: jnp.dtype,
    ) -> Float[Array, ""]:
        """Log N(x; alpha reference, v I)."""
        away = x.astype(dtype) - _cast(alpha, dtype) * reference.astype(dtype)
        variance = self._variance(alpha, sigma, dtype)
        square = jnp.sum(away**2) / variance
        return -0.5 * (square + x.size * (LOG_TWO_PI + jnp.log(variance)))

    def _with_kernel(
        self, data: Posterior, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Posterior:
        """The posterior mean within kernels about the data points."""
        gain = self._gain(alpha, self._variance(alpha, sigma))
        mean = (1 - alpha * gain) * data.mean + gain * x
        return eqx.tree_at(lambda p: p.mean, data, mean)

    def _scatter(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Array:
        """Covariance of the data points under their responsibilities."""

        def add(weight: Array, centred: Array) -> Array:
            weighted = (centred * weight[:, None]).T
            return jnp.matmul(weighted, centred, precision="highest")

        zero = jnp.zeros((x.size, x.size), x.dtype)
        return self._centred_sum(x, alpha, sigma, add, zero)

    def _centred_sum(self, x, alpha, sigma, add, zero: Array) -> Array:
        """Stream a weighted sum over a_i - sum_j p_j a_j, centred before squaring."""

        def use(weights: _Weights) -> Array:
            online = self._sum(weights)
            mean = online.sum_x / online.mass

            def step(total: Array, block: Block) -> Array:
                log_p = weights.log_ratio(block) - online.top
                weight = jnp.exp(log_p.astype(mean.dtype)) / online.mass
                return total + add(weight, block.points - mean[None])

            return self.blocks.fold(step, zero)

        return self._weigh(x, alpha, sigma, use)


def _cast(value: ScalarLike, dtype: jnp.dtype) -> Array:
    return as_float(value).astype(dtype)
