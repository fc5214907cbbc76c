"""Where the posterior of a log-concave density lives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin.targets.factors._base import DROP, AbstractFactor, Chart, Reach

# Halvings of a bracket for the top, and of the logarithm of a distance.
TOP_STEPS = 64
REACH_STEPS = 16
# A distance is sought between its upper bound and exp(-SPAN) of it.
SPAN = 60.0


class AbstractConcaveFactor(AbstractFactor):
    """A density whose logarithm is concave on each of its pieces.

    The posterior on a piece then has one top, by bisection, and falls from it on both
    sides at least as fast as the likelihood and as its slope there.
    """

    def reach(
        self, chart: Chart, low: Float[Array, " p"], high: Float[Array, " p"]
    ) -> Reach:
        """The top of each piece, and where the posterior is down by exp(-40)."""
        unit, rate, info = chart.unit, chart.rate, jnp.finfo(chart.unit.dtype)
        tiny, farthest = float(info.tiny), float(info.max) ** 0.5

        def slope(v: Float[Array, " p"]) -> Float[Array, " p"]:
            prior = unit * self.slope(chart.base + unit * v, self.pieces())
            return prior + rate * (chart.offset - rate * v)

        # Between the tops of prior and likelihood, and no further than where the
        # likelihood's curvature alone brings the slope to zero.
        within = lambda v: jnp.clip(jnp.clip(v, -farthest, farthest), low, high)
        prior_top = within((self.centre() - chart.base) / unit)
        likelihood_top = within(chart.offset / jnp.maximum(rate, tiny))
        start = within(jnp.zeros_like(low))
        further = within(start + slope(start) / jnp.maximum(rate**2, tiny))
        lowest = jnp.minimum(prior_top, likelihood_top)
        other = jnp.clip(further, lowest, jnp.maximum(prior_top, likelihood_top))
        top = _bisect(slope, start, other)
        by_slope = DROP / jnp.maximum(jnp.abs(slope(top)), tiny)
        by_likelihood = (2 * DROP) ** 0.5 / jnp.maximum(rate, float(info.eps))
        bound = jnp.minimum(by_slope, by_likelihood)[None]
        bound = jnp.minimum(bound, jnp.stack([top - low, high - top]))
        down, up = self._sides(chart, top, bound)
        return Reach(top, down, up)

    def _sides(
        self, chart: Chart, top: Float[Array, " p"], bound: Float[Array, "2 p"]
    ) -> Float[Array, "2 p"]:
        """How far the posterior matters below and above its tops, at most `bound`."""
        base, unit, rate, offset, _ = chart
        piece, sign = self.pieces(), jnp.array([[-1], [1]], bound.dtype)
        here, q = self.log_density(base + unit * top, piece), offset - rate * top
        both = jnp.broadcast_to(piece[None], bound.shape)

        def outside(distance: Float[Array, "2 p"]) -> Array:
            v = sign * distance
            there = self.log_density(base + unit * (top[None] + v), both)
            return here[None] - there - rate * v * (q[None] - 0.5 * rate * v) > DROP

        def halve(_, interval):
            near, far = interval
            middle = (near + far) / 2
            beyond = outside(bound * jnp.exp(-middle))
            return jnp.where(beyond, middle, near), jnp.where(beyond, far, middle)

        whole = jnp.zeros_like(bound), jnp.full_like(bound, SPAN)
        _, depth = jax.lax.fori_loop(0, REACH_STEPS, halve, whole)
        return jnp.where(outside(bound), bound * jnp.exp(-depth), bound)


def _bisect(slope, start: Float[Array, " p"], other: Float[Array, " p"]) -> Array:
    """Where a decreasing slope changes sign on the way from `start` to `other`."""
    way = jnp.sign(other - start)

    def halve(_, interval):
        near, far = interval
        middle = near + (far - near) / 2
        onward = slope(middle) * way > 0
        return jnp.where(onward, middle, near), jnp.where(onward, far, middle)

    return jax.lax.fori_loop(0, TOP_STEPS, halve, (start, other))[0]
