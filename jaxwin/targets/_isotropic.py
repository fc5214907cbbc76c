"""The kernel of isotropic mixtures: a matrix product per contraction under `vmap`."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxwin._checks import check_point
from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance
from jaxwin._streaming import Online, by_form, coordinate_sum, merge, partial
from jaxwin._typing import Point, ScalarLike
from jaxwin.targets._base import Local
from jaxwin.targets._components import AbstractComponents, log_wider

# Components a block: more are streamed, so that the weights of a batch stay in cache.
BLOCK = 256


class _Some(NamedTuple):
    """Some of the components; a shared variance has one entry."""

    means: Float[Array, "k d"]
    variances: Float[Array, " s"]
    log_weights: Float[Array, " k"]
    number: Int[Array, " k"]


class _Weights(NamedTuple):
    """Log-weights of some components relative to a density at x; y = x - alpha c."""

    log_reference: Float[Array, ""]
    log_ratio: Callable[[_Some], Float[Array, " k"]]
    y: Point


class IsotropicComponents(AbstractComponents):
    r"""Components N(alpha m_k, nu_k I), nu_k = alpha^2 v_k + sigma^2.

    About the centre c, with n_k = m_k - c, y = x - alpha c and nu the smallest nu_k,

        log p(k | x) ~ log w_k + alpha y . n_k / nu_k - alpha^2 |n_k|^2 / (2 nu_k)
                       + |y|^2 (nu_k - nu) / (2 nu nu_k) - d log(nu_k / nu) / 2
        score        = sum_k p(k | x) (alpha n_k - y) / nu_k
        E[x0 | x]    = c + sum_k p(k | x) (sigma^2 n_k + alpha v_k y) / nu_k

    normalised after the sums. Where this would round too much, `by_form` takes another.
    """

    means: Float[Array, "k d"]
    variances: Float[Array, " s"]
    log_weights: Float[Array, " k"]
    alpha: ScalarLike
    sigma: ScalarLike

    def log_responsibilities(self, x: Point) -> Float[Array, " k"]:
        x = as_float(x)

        def use(weights: _Weights) -> Array:
            log_ratio = weights.log_ratio(self._all())
            # In the type of x only when what is large and common is gone.
            log_ratio = (log_ratio - log_ratio.max()).astype(x.dtype)
            return jax.nn.log_softmax(log_ratio)

        return self._weigh(x, use)

    def log_density(self, x: Point) -> Float[Array, ""]:
        x = as_float(x)

        def use(weights: _Weights) -> Array:
            log_mass = self._sum(x, weights).log_mass()
            return (weights.log_reference + log_mass).astype(x.dtype)

        return self._weigh(x, use)

    def score(self, x: Point) -> Point:
        x = as_float(x)

        def use(weights: _Weights) -> Point:
            mean, rate, _ = self._average(x, weights)
            return self.alpha * mean - rate * weights.y

        return self._weigh(x, use)

    def denoise(self, x: Point) -> Point:
        x = as_float(x)

        def use(weights: _Weights) -> Point:
            mean, _, gain = self._average(x, weights)
            between = channel_variance(self.sigma) * mean
            return self._centre() + between + self.alpha * gain * weights.y

        return self._weigh(x, use)

    def local(self, x: Point) -> Local:
        x = as_float(x)

        def use(weights: _Weights) -> Local:
            online, y = self._sum(x, weights), weights.y
            mean, rate, gain = self._normalised(online)
            sigma_sq = channel_variance(self.sigma)

            def spread(some: _Some) -> Array:
                """Of score_k / alpha, which is that of E[x0 | x, k] / sigma^2."""
                log_p = (weights.log_ratio(some) - online.top).astype(x.dtype)
                rates = 1 / self._noised(some.variances)
                # (rates - rate) / alpha^2, also at alpha = 0.
                faster = rates * gain - some.variances * rates * rate

                def term(column: Array, own: Array, at: Array) -> Array:
                    return (rates * column - own - self.alpha * faster * at) ** 2

                near = some.means - self._centre()[None]
                squares = coordinate_sum(term, near, mean, y)
                return jnp.sum(jnp.exp(log_p) / online.mass * squares)

            between = self._stream(spread, jnp.add, jnp.zeros((), x.dtype))
            return Local(
                mean=self._centre() + sigma_sq * mean + self.alpha * gain * y,
                score=self.alpha * mean - rate * y,
                divergence=self.alpha**2 * between - x.size * rate,
                relative_variance=sigma_sq * between + x.size * gain,
            )

        return self._weigh(x, use)

    def _weigh(
        self, x: Point, use: Callable[[_Weights], PyTree[Array]]
    ) -> PyTree[Array]:
        """What `use` makes of the weights, in the form that rounding allows."""
        check_point(x, self.means.shape[1])
        near = self.means - self._centre()[None]
        low, high = self.variances.min(), self.variances.max()
        spread = jnp.sum(near**2, axis=1).max() + x.size * (high - low) / 2
        signal = self.alpha**2 * spread / self._noised(low)
        return by_form(
            jax.lax.stop_gradient(signal),
            x.dtype,
            lambda dtype: use(self._about_centre(x, dtype)),
            lambda: use(self._about_nearest(x)),
        )

    def _about_centre(self, x: Point, dtype: jnp.dtype) -> _Weights:
        cast = lambda value: as_float(value).astype(dtype)
        alpha, sigma_sq = cast(self.alpha), channel_variance(cast(self.sigma))
        centre, low = cast(self._centre()), cast(self.variances.min())
        level = alpha**2 * low + sigma_sq
        y = cast(x) - alpha * centre
        square = jnp.sum(y**2)

        def log_ratio(some: _Some) -> Array:
            near = cast(some.means) - centre[None]
            gap = alpha**2 * (cast(some.variances) - low)
            noised = level + gap
            rows = near * (alpha / noised)[:, None]
            away = alpha * jnp.sum(near * rows, axis=1)
            wider = x.size * jnp.log1p(gap / level)
            along = jnp.matmul(y, rows.T, precision="highest")
            ratio = along + (cast(some.log_weights) - 0.5 * (away + wider))
            if not self._differ():
                return ratio
            return ratio + square * (gap / (2 * level * noised))

        log_reference = _log_kernel(square, level, x.size)
        return _Weights(log_reference, log_ratio, y.astype(x.dtype))

    def _about_nearest(self, x: Point) -> _Weights:
        r = self._nearest(x)
        own, low = self.means[r], self.variances[r if self._differ() else 0]
        level, square = self._noised(low), jnp.sum((x - self.alpha * own) ** 2)

        def term(column: Array, own: Array, at: Array) -> Array:
            shift = self.alpha * (column - own)
            return shift * ((at - self.alpha * own) - shift / 2)

        def log_ratio(some: _Some) -> Array:
            noised = self._noised(some.variances)
            ratio = coordinate_sum(term, some.means, own, x) / noised
            if self._differ():
                gap = self.alpha**2 * (some.variances - low)
                wider = x.size * log_wider(gap, noised, level)
                ratio = ratio + 0.5 * (square * (gap / noised / level) - wider)
            return ratio + (some.log_weights - self.log_weights[r])

        log_reference = self.log_weights[r] + _log_kernel(square, level, x.size)
        return _Weights(log_reference, log_ratio, x - self.alpha * self._centre())

    def _nearest(self, x: Point) -> Int[Array, ""]:
        """The likeliest component, or a near tie, which serves as well."""
        rough = self._about_centre(x, x.dtype).log_ratio

        def best(some: _Some) -> tuple[Array, Array]:
            log_ratio = rough(some)
            k = jnp.argmax(log_ratio)
            return log_ratio[k], some.number[k]

        def better(a: tuple[Array, Array], b: tuple[Array, Array]):
            return jax.tree.map(lambda old, new: jnp.where(b[0] > a[0], new, old), a, b)

        start = jnp.full((), -jnp.inf, x.dtype), jnp.zeros((), jnp.int32)
        return self._stream(best, better, start)[1]

    def _sum(self, x: Point, weights: _Weights) -> Online:
        """Sums of (m_k - c) / nu_k, and of 1 / nu_k and v_k / nu_k if they differ."""

        def one(some: _Some) -> Online:
            rate = 1 / self._noised(some.variances)
            rows = (some.means - self._centre()[None]) * rate[:, None]
            marks = jnp.stack([rate, some.variances * rate], axis=1)
            marks = marks if self._differ() else jnp.zeros((some.number.size, 0))
            return partial(weights.log_ratio(some), rows, marks.astype(x.dtype))

        marks, top_dtype = 2 * self._differ(), weights.log_reference.dtype
        return self._stream(one, merge, Online.empty(x.size, marks, x.dtype, top_dtype))

    def _average(self, x: Point, weights: _Weights) -> tuple[Point, Array, Array]:
        """Averages of (m_k - c) / nu_k, 1 / nu_k and v_k / nu_k."""
        return self._normalised(self._sum(x, weights))

    def _normalised(self, online: Online) -> tuple[Point, Array, Array]:
        if self._differ():
            rate, gain = online.label_mass / online.mass
        else:
            rate = 1 / self._noised(self.variances[0])
            gain = self.variances[0] * rate
        return online.sum_x / online.mass, rate, gain

    def _stream(
        self,
        one: Callable[[_Some], PyTree[Array]],
        join: Callable[..., PyTree[Array]],
        start: PyTree[Array],
    ) -> PyTree[Array]:
        """Join what `one` makes of `BLOCK` components at a time."""
        every, total = self._all(), self.log_weights.size
        if total <= BLOCK:
            return one(every)
        count = -(-total // BLOCK)
        size = -(-total // count)

        def split(leaf: Array, fill: float = 0) -> Array:
            if leaf.shape[0] == 1:  # a shared variance
                return jnp.broadcast_to(leaf, (count, 1))
            pad = ((0, count * size - total),) + ((0, 0),) * (leaf.ndim - 1)
            leaf = jnp.pad(leaf, pad, constant_values=fill)
            return leaf.reshape(count, size, *leaf.shape[1:])

        blocks = jax.tree.map(split, every)
        blocks = blocks._replace(log_weights=split(every.log_weights, -jnp.inf))
        step = lambda carry, some: (join(carry, one(some)), None)
        return jax.lax.scan(step, start, blocks)[0]

    def _all(self) -> _Some:
        index = jnp.arange(self.log_weights.size, dtype=jnp.int32)
        return _Some(self.means, self.variances, self.log_weights, index)

    def _centre(self) -> Point:
        return self.means.mean(axis=0)

    def _noised(self, variances: Array) -> Array:
        return self.alpha**2 * variances + channel_variance(self.sigma)

    def _differ(self) -> bool:
        """Whether components have variances of their own."""
        return self.variances.size > 1


def _log_kernel(square: Array, level: Array, dimension: int) -> Array:
    return -0.5 * (square / level + dimension * (LOG_TWO_PI + jnp.log(level)))
