"""Data points seen at one noise level: the sums behind the empirical law."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxwin._checks import check_point
from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance
from jaxwin._streaming import (
    Block,
    Blocks,
    Online,
    Posterior,
    by_form,
    centred_ratios,
    coordinate_sum,
    draw,
    finish,
    largest,
    log_ratios,
    merge,
    partial,
)
from jaxwin._typing import Point, ScalarLike
from jaxwin.targets._base import Local


class _Weights(NamedTuple):
    """Log-weights of a block relative to `log_reference`, and y = x - alpha centre."""

    log_ratio: Callable[[Block], Float[Array, " s"]]
    log_reference: Float[Array, ""]
    y: Point


class NoisedPoints(eqx.Module):
    """Gaussians N(alpha a_i, v I) about data points, v = alpha^2 h^2 + sigma^2.

    Sums are over a_i - centre: data far from the origin loses no digits.
    """

    blocks: Blocks
    centre: Float[Array, " d"]
    radius: Float[Array, ""]
    bandwidth: Float[Array, ""]
    alpha: ScalarLike
    sigma: ScalarLike

    def posterior(self, x: Point) -> Posterior:
        """Evidence, mean, label posterior and purity at x."""
        x = as_float(x)

        def use(weights: _Weights) -> Posterior:
            return finish(self._sum(weights), weights.log_reference)

        near = self.with_kernel(self._weigh(x, use), x - self.alpha * self.centre)
        return eqx.tree_at(lambda p: p.mean, near, self.centre + near.mean)

    def score(self, x: Point) -> Point:
        """Score (alpha E[a | x] - x) / v."""
        x = as_float(x)

        def use(weights: _Weights) -> Point:
            online = self._sum(weights)
            mean = online.sum_x / online.mass
            return (self.alpha * mean - weights.y) / self.variance()

        return self._weigh(x, use)

    def draw(self, x: Point, uniform: ScalarLike) -> Point:
        """A data point drawn by its weight at x, by one uniform."""
        x = as_float(x)

        def use(weights: _Weights) -> Point:
            return draw(self.blocks, weights.log_ratio, self._sum(weights), uniform)

        return self._weigh(x, use)

    def local(self, x: Point) -> Local:
        """Mean, score and their divergences: by the spread of the points."""

        def add(weight: Array, near: Array, mean: Point) -> Array:
            term = lambda column, own: (column - own) ** 2
            return jnp.sum(weight * coordinate_sum(term, near, mean))

        mean, spread = self.spread(x, add, jnp.zeros((), x.dtype))
        variance, y = self.variance(), x - self.alpha * self.centre
        noise, spread = channel_variance(self.sigma), spread / variance**2
        return Local(
            mean=self.centre + noise / variance * mean + self.gain() * y,
            score=(self.alpha * mean - y) / variance,
            divergence=self.alpha**2 * spread - x.size / variance,
            relative_variance=noise * spread + x.size * self.bandwidth**2 / variance,
        )

    def spread(
        self, x: Point, add: Callable[[Array, Array, Point], Array], zero: Array
    ) -> tuple[Point, Array]:
        """Average m of a_i - centre, and the sum over blocks of add(p, a - centre, m).

        Two passes, so that what is squared may be centred first.
        """
        x = as_float(x)

        def use(weights: _Weights) -> tuple[Point, Array]:
            online = self._sum(weights)
            mean = online.sum_x / online.mass

            def step(total: Array, block: Block) -> Array:
                log_p = weights.log_ratio(block) - online.top
                weight = jnp.exp(log_p.astype(mean.dtype)) / online.mass
                return total + add(weight, self._near(block), mean)

            return mean, self.blocks.fold(step, zero)

        return self._weigh(x, use)

    def nearest(self, x: Point) -> Point:
        """The data point of largest weight at x."""
        point = self.blocks.points.reshape(-1, x.size)[self.largest(x)[1]]
        return jax.lax.stop_gradient(point)

    def largest(self, x: Point) -> tuple[Float[Array, ""], Int[Array, ""]]:
        """The largest log-weight relative to a unit weight at the centre, and whose."""
        return largest(self.blocks, x, self.alpha, self.variance(), self.centre)

    def partial(self, x: Point, reference: Point) -> Online:
        """Sums over a_i and labels, relative to a unit weight at `reference`."""
        ratio = lambda block: self._ratios(block, x, reference)
        return self._fold(ratio, lambda block: block.points, x.dtype)

    def finish(self, online: Online, x: Point, reference: Point) -> Posterior:
        """Normalised averages from `partial` about the same reference."""
        square = jnp.sum((x - self.alpha * reference) ** 2)
        return self.with_kernel(finish(online, self.log_kernel(square)), x)

    def with_kernel(self, data: Posterior, x: Point) -> Posterior:
        """The posterior mean within the kernels, from that of the data points."""
        gain = self.gain()
        mean = (1 - self.alpha * gain) * data.mean + gain * x
        return eqx.tree_at(lambda p: p.mean, data, mean)

    def variance(self, dtype: jnp.dtype | None = None) -> Float[Array, ""]:
        """The variance v, in the type of the data or another."""
        dtype = self.centre.dtype if dtype is None else dtype
        alpha, sigma = _cast(self.alpha, dtype), _cast(self.sigma, dtype)
        return alpha**2 * self.bandwidth.astype(dtype) ** 2 + channel_variance(sigma)

    def gain(self) -> Float[Array, ""]:
        """Share g = alpha h^2 / v of x in the posterior mean."""
        return self.alpha * self.bandwidth**2 / self.variance()

    def kernel_variance(self) -> Float[Array, ""]:
        """Posterior variance sigma^2 h^2 / v within one kernel."""
        return as_float(self.sigma) ** 2 * self.bandwidth**2 / self.variance()

    def log_kernel(self, square: Float[Array, ""]) -> Float[Array, ""]:
        """Log-density of N(0, v I) at squared distance `square`, in its type."""
        variance = self.variance(square.dtype)
        log_level = self.centre.size * (LOG_TWO_PI + jnp.log(variance))
        return -0.5 * (square / variance + log_level)

    def _weigh(
        self, x: Point, use: Callable[[_Weights], PyTree[Array]]
    ) -> PyTree[Array]:
        """What `use` makes of the log-weights, in the form that rounding allows."""
        check_point(x, self.centre.size)

        def about_centre(dtype: jnp.dtype) -> PyTree[Array]:
            alpha, variance = _cast(self.alpha, dtype), self.variance(dtype)
            wide_x, centre = x.astype(dtype), self.centre.astype(dtype)
            y = wide_x - alpha * centre
            ratio = lambda block: centred_ratios(block, wide_x, centre, alpha, variance)
            log_reference = self.log_kernel(jnp.sum(y**2))
            return use(_Weights(ratio, log_reference, y.astype(x.dtype)))

        def about_nearest() -> PyTree[Array]:
            near, y = self.nearest(x), x - self.alpha * self.centre
            ratio = lambda block: self._ratios(block, x, near)
            log_reference = self.log_kernel(jnp.sum((x - self.alpha * near) ** 2))
            return use(_Weights(ratio, log_reference, y))

        signal = self.alpha**2 * self.radius**2 / self.variance()
        return by_form(signal, x.dtype, about_centre, about_nearest)

    def _sum(self, weights: _Weights) -> Online:
        return self._fold(weights.log_ratio, self._near, weights.log_reference.dtype)

    def _fold(
        self,
        log_ratio: Callable[[Block], Array],
        rows: Callable[[Block], Array],
        top_dtype: jnp.dtype,
    ) -> Online:
        dtype, size = self.centre.dtype, self.centre.size
        start = Online.empty(size, self.blocks.num_labels, dtype, top_dtype)

        def step(online: Online, block: Block) -> Online:
            return merge(
                online, partial(log_ratio(block), rows(block), block.one_hot())
            )

        return self.blocks.fold(step, start)

    def _ratios(self, block: Block, x: Point, reference: Point) -> Array:
        return log_ratios(block, x, reference, self.alpha, self.variance())

    def _near(self, block: Block) -> Float[Array, "s d"]:
        return block.points - self.centre[None]


def _cast(value: ScalarLike, dtype: jnp.dtype) -> Array:
    return as_float(value).astype(dtype)
