"""A data set as a law: point masses, or a Gaussian kernel about every point."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._checks import finite, is_concrete, non_negative, require
from jaxwin._numerics import as_float, choose
from jaxwin._streaming import (
    Blocks,
    Online,
    Posterior,
)
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.targets._base import (
    AbstractLabelledTarget,
    Local,
    Moments,
    noise_with_a_score,
    refuse_zero_noise,
)
from jaxwin.targets._clusters import Balls, by_tile, clustered
from jaxwin.targets._label_masses import log_label_masses
from jaxwin.targets._labels import check_labels, restricted_log_weights
from jaxwin.targets._noised_points import NoisedPoints
from jaxwin.targets._own_point import own_partial, own_posterior

# Points a block: large enough for a full-speed matrix product, small enough for cache.
BLOCK = 256


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
    balls: Balls | None

    def __init__(
        self,
        points: AnyArray,
        labels: AnyArray | None = None,
        bandwidth: ScalarLike = 0.0,
        *,
        clusters: int | None = None,
    ):
        """Build the law.

        Args:
            points: (n, d) data.
            labels: (n,) classes 0 ... c - 1, or None.
            bandwidth: Kernel standard deviation h >= 0, in units of the data.
            clusters: For large n, about sqrt(n): the points are put in the order of so
                many k-means clusters, and `many` and `score_many` pass over blocks
                whose weights are certain to be exactly zero. They agree with those of
                the plain law to rounding; what is saved at small noise depends on the
                data, and where nothing can be left out the cost stays the same. Take
                noise levels one by one (`lax.map`): under a `vmap` over them nothing is
                left out, at twice the cost. Indices are those of `points`, in the new
                order.

        Raises:
            ValueError: Another shape, non-finite points, labels of another length;
                `clusters` that are not between 1 and n, or of traced points.
        """
        points = as_float(points)
        if points.ndim != 2 or 0 in points.shape:
            raise ValueError(
                f"`points` has shape {points.shape}; it must be (n, d) with n, d >= 1: "
                f"flatten each point into one row."
            )
        message = "`points` must be finite everywhere; drop rows with NaN or infinity."
        points = require(points, finite, message)
        self.centre = points.mean(axis=0)
        n = points.shape[0]
        labels = np.zeros(n, np.int32) if labels is None else labels
        labels, num_labels = check_labels(labels, n)
        count = -(-n // BLOCK)
        size = -(-n // count)
        self.balls = None
        if clusters is not None:
            order, self.balls = clustered(points, self.centre, clusters, size)
            points, labels = points[order], labels[order]
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
        self.radius = jax.lax.stop_gradient(_radius(points, self.centre))
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
        return self._many(NoisedPoints.posterior, xs, alpha, sigma)

    def score_many(
        self, xs: Float[Array, "b d"], alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "b d"]:
        """Scores of a block of points at one noise level.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        return self._many(NoisedPoints.score, xs, alpha, sigma)

    def nearest(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """The data point of largest weight at x."""
        return self._seen(alpha, sigma).nearest(x)

    def partial(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike, reference: Point
    ) -> Online:
        """Unnormalised averages over these points, relative to `reference`.

        Averages of disjoint parts of one law about one reference `merge`, and `finish`
        normalises. Points keep their weights: shards are slices of one law, or laws of
        equally many points.
        """
        return self._seen(alpha, sigma).partial(x, reference)

    def finish(
        self,
        online: Online,
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
        reference: Point,
    ) -> Posterior:
        """Normalised averages, from those of `partial` about the same reference."""
        return self._seen(alpha, sigma).finish(online, x, reference)

    def log_density(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log-density of the noised law; point masses need sigma > 0."""
        if not self.smooth:
            refuse_zero_noise(sigma, "a density of point masses")
        return self._seen(alpha, sigma).posterior(x).log_evidence

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]."""
        return self._seen(alpha, sigma).posterior(x).mean

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score of the noised law.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        return self._seen(alpha, sigma).score(x)

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian (alpha^2 / v^2) Cov_i[a_i] - I / v, over data points i given x.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        variance = self._seen(alpha, sigma).variance()
        spread = self._scatter(x, alpha, sigma) * (alpha / variance) ** 2
        return spread - jnp.eye(x.size, dtype=x.dtype) / variance

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, without the matrix.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)

        def add(weight: Array, near: Array, mean: Point) -> Array:
            centred = near - mean[None]
            along = jnp.matmul(v, centred.T, precision="highest")
            return jnp.matmul(weight * along, centred, precision="highest")

        seen = self._seen(alpha, sigma)
        spread, variance = seen.spread(x, add, jnp.zeros_like(x))[1], seen.variance()
        return spread * (alpha / variance) ** 2 - v / variance

    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[x0 | x]: between the points plus within a kernel."""
        seen = self._seen(alpha, sigma)
        shrink, within = 1 - alpha * seen.gain(), seen.kernel_variance()
        between = shrink**2 * self._scatter(x, alpha, sigma)
        return between + within * jnp.eye(x.size, dtype=x.dtype)

    def local(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Local:
        """Mean, score and their divergences, streamed in two passes.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, self._point_masses)
        return self._seen(alpha, sigma).local(x)

    def label_log_posterior(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " c"]:
        """Log-probabilities of the labels given x; at sigma = 0 the limit."""
        return self._seen(alpha, sigma).posterior(x).label_log_posterior

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
        seen = self._seen(alpha, sigma)
        point = seen.draw(x, uniform)
        if not self.smooth:
            return point
        gain, spread = seen.gain(), jnp.sqrt(seen.kernel_variance())
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

    def with_labels(self, labels: AnyArray) -> "Empirical":
        """The same points, which are shared, under other labels.

        Raises:
            ValueError: As at construction.
        """
        labels, num_labels = check_labels(labels, self.num_points)
        shape = self.blocks.labels.shape
        pad = self.blocks.labels.size - self.num_points
        laid_out = jnp.pad(labels, (0, pad)).reshape(shape)
        blocks = eqx.tree_at(lambda blocks: blocks.labels, self.blocks, laid_out)
        blocks = dataclasses.replace(blocks, num_labels=num_labels)
        return eqx.tree_at(lambda law: law.blocks, self, blocks)

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
        variance = self._seen(alpha, sigma).variance()
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
        index, z = self.draw_own(key)
        others = self.log_label_masses_of_others(index, z, alphas, sigmas)
        own = self.blocks.log_weights.reshape(-1)[index]
        label = self.blocks.labels.reshape(-1)[index]
        own = jnp.where(
            jnp.arange(self.num_labels, dtype=label.dtype) == label, own, -jnp.inf
        )
        return label, jax.nn.log_softmax(jnp.logaddexp(others, own[None]))

    def soft_labels_at(
        self,
        x0: Point,
        z: Point,
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> Float[Array, "t c"]:
        """Log p(label | alpha x0 + sigma z) at every noise level, in one pass."""
        variances = self._variances(alphas, sigmas)
        b, c = alphas * sigmas / variances, alphas**2 / variances
        return jax.nn.log_softmax(self._log_label_masses(x0, z, b, c))

    def draw_own(self, key: Key) -> tuple[Int[Array, ""], Point]:
        """Index of a data point drawn by weight, and the Gaussian that noises it."""
        choice_key, normal_key = jr.split(key)
        z = jr.normal(normal_key, (self.dimension,), self.centre.dtype)
        return self.draw_index(choice_key), z

    def log_label_masses_of_others(
        self,
        index: Int[Array, ""],
        z: Point,
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> Float[Array, "t c"]:
        """Log of each label's weight at a noised data point, its own point left out.

        Relative to a unit weight at the own point, at alpha a_own + sqrt(v) z as in
        `own_partial`; the products with the data are taken once for all levels.
        """
        variances = self._variances(alphas, sigmas)
        own = self.blocks.points.reshape(-1, self.dimension)[index]
        b, c = alphas / jnp.sqrt(variances), alphas**2 / variances
        return self._log_label_masses(own, z, b, c, index)

    def _variances(
        self, alphas: Float[Array, " t"], sigmas: Float[Array, " t"]
    ) -> Float[Array, " t"]:
        return jax.vmap(lambda a, s: self._seen(a, s).variance())(alphas, sigmas)

    def _log_label_masses(
        self, y: Point, z: Point, b: Array, c: Array, skip: Int[Array, ""] | int = -1
    ) -> Float[Array, "t c"]:
        data = self.blocks, self.centre, self.radius
        return log_label_masses(*data, y, z, b, c, skip)

    def _own_posterior(
        self, index: Int[Array, ""], z: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Posterior:
        seen = self._seen(alpha, sigma)
        online = self.own_partial(index, z, alpha, sigma)
        args = self.blocks, online, index, z, alpha, seen.variance()
        posterior, x = own_posterior(*args)
        return seen.with_kernel(posterior, x)

    def _many(
        self,
        use: Callable[[NoisedPoints, Point], PyTree[Array]],
        xs: Float[Array, "b d"],
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> PyTree[Array]:
        seen, xs = self._seen(alpha, sigma), as_float(xs)
        if self.balls is None or not len(xs):
            return jax.vmap(lambda x: use(seen, x))(xs)
        return by_tile(seen, self.balls, xs, use)

    def _point_masses(self) -> Bool[Array, ""] | bool:
        return self.bandwidth <= 0 if self.smooth else True

    def _seen(self, alpha: ScalarLike, sigma: ScalarLike) -> NoisedPoints:
        """The data at one noise level."""
        data = self.blocks, self.centre, self.radius, self.bandwidth
        return NoisedPoints(*data, alpha, sigma)

    def _scatter(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Array:
        """Covariance of the data points under their responsibilities."""

        def add(weight: Array, near: Array, mean: Point) -> Array:
            centred = near - mean[None]
            weighted = (centred * weight[:, None]).T
            return jnp.matmul(weighted, centred, precision="highest")

        zero = jnp.zeros((x.size, x.size), x.dtype)
        return self._seen(alpha, sigma).spread(x, add, zero)[1]


@jax.jit
def _radius(points: Float[Array, "n d"], centre: Point) -> Float[Array, ""]:
    """Largest distance to the centre; compiled, so that no copy of the data is made."""
    return jnp.sqrt(jnp.sum((points - centre[None]) ** 2, axis=1).max())
