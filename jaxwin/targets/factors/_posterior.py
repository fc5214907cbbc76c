"""The posterior of one factor, seen through x = alpha u + sigma z, by quadrature."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._numerics import LOG_TWO_PI, channel_variance
from jaxwin._typing import ScalarLike
from jaxwin.targets.factors._base import AbstractFactor, Chart
from jaxwin.targets.factors._quadrature import rule

# Halvings of the place of a draw within its panel.
DRAW_STEPS = 40


class Origin(NamedTuple):
    """Where on the line tau = 0, on piece `home`: u = anchor + unit tau.

    There x - alpha u = sigma q, and q falls by `rate` tau from there.
    """

    anchor: Float[Array, ""]
    unit: Float[Array, ""]
    rate: Float[Array, ""]
    q: Float[Array, ""]
    home: Int[Array, ""]

    def exponent(
        self, factor: AbstractFactor, tau: Float[Array, "p n"], piece: Int[Array, "p 1"]
    ) -> Float[Array, "p n"]:
        """Log of the posterior relative to its value at the anchor."""
        log_ratio = factor.log_ratio(self.anchor, self.unit * tau, self.home, piece)
        return log_ratio + self.rate * tau * (self.q - 0.5 * self.rate * tau)


class Panels(NamedTuple):
    """Intervals of tau on which the unnormalised posterior is known at Gauss nodes.

    Its mass is exp(log_scale) times the sum of `mass`; `highest` is the exponent that
    stands for one there.
    """

    origin: Origin
    highest: Float[Array, ""]
    log_scale: Float[Array, ""]
    middle: Float[Array, " p"]
    half: Float[Array, " p"]
    mass: Float[Array, "p n"]

    def log_mass(self) -> Float[Array, ""]:
        """Log of the whole mass."""
        return self.log_scale + jnp.log(jnp.sum(self.mass))

    def moments(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean of u, and the variance of tau."""
        nodes, _ = rule(self.mass.shape[1], self.half)
        tau = self.middle[:, None] + self.half[:, None] * nodes[None]
        share = self.mass / jnp.sum(self.mass)
        mean = jnp.sum(share * tau)
        return self.origin.anchor + self.origin.unit * mean, jnp.sum(
            share * (tau - mean) ** 2
        )


class Place(NamedTuple):
    """Where the posterior lives: fixed while derivatives are taken."""

    top: Float[Array, " p"]
    down: Float[Array, " p"]
    up: Float[Array, " p"]
    # Which of the places are ends of the piece, and move with it.
    at_low: Bool[Array, " p"]
    at_high: Bool[Array, " p"]
    from_low: Bool[Array, " p"]
    to_high: Bool[Array, " p"]
    home: Int[Array, ""]


def _chart(
    factor: AbstractFactor, x: ScalarLike, alpha: ScalarLike, noise: Array
) -> Chart:
    centre, width = jax.lax.stop_gradient((factor.centre(), factor.width()))
    narrow = noise < alpha * width
    signal = jnp.where(narrow, alpha, 1)
    pick = lambda near, far: jnp.where(narrow, near, far)
    return Chart(
        base=pick(x / signal, centre),
        unit=pick(noise / signal, width),
        rate=pick(1, alpha * width / noise),
        offset=pick(0, (x - alpha * centre) / noise),
        narrow=narrow,
    )


def _place(factor: AbstractFactor, chart: Chart) -> Place:
    factor, chart = jax.lax.stop_gradient((factor, chart))
    edges = (factor.edges() - chart.base) / chart.unit
    low, high = edges[:-1], edges[1:]
    top, down, up = factor.reach(chart, low, high)
    height = factor.log_density(chart.base + chart.unit * top, factor.pieces())
    height = height + top * chart.rate * (chart.offset - 0.5 * chart.rate * top)
    return Place(
        top,
        down,
        up,
        top <= low,
        top >= high,
        down >= top - low,
        up >= high - top,
        jnp.argmax(height),
    )


def panels(
    factor: AbstractFactor,
    x: ScalarLike,
    alpha: ScalarLike,
    sigma: ScalarLike,
    place: Place | None = None,
) -> Panels:
    """Two panels a piece, on either side of the posterior's top there.

    Everything is measured from the highest top, the anchor: what stands in the exponent
    is then a difference of psi and tau rate (q - rate tau / 2), both of order one where
    the posterior lives, at every noise and every x. The limits of the panels are no
    functions of the parameters, except where they are ends of a piece: derivatives of
    the sums are those of the integrals.
    """
    noise = jnp.sqrt(channel_variance(sigma))
    chart = _chart(factor, x, alpha, noise)
    place = _place(factor, chart) if place is None else place
    home, rate = place.home, chart.rate
    # Infinite ends are never reached, and must not send NaN into a gradient.
    edges = factor.edges()
    edges = jnp.where(jnp.isfinite(edges), edges, 0)
    low, high = edges[:-1], edges[1:]
    anchor = chart.base + chart.unit * place.top[home]
    anchor = jnp.where(place.at_low[home], low[home], anchor)
    anchor = jnp.where(place.at_high[home], high[home], anchor)
    # By its definition where x / alpha, not the anchor, is known without rounding.
    q = jnp.where(
        chart.narrow & ~place.at_low[home] & ~place.at_high[home],
        chart.offset - rate * place.top[home],
        (x - alpha * anchor) / noise,
    )
    low, high = ((edge - anchor) / chart.unit for edge in (low, high))
    top = place.top - place.top[home]
    start = jnp.where(place.from_low, low, top - place.down)
    stop = jnp.where(place.to_high, high, top + place.up)
    top = jnp.where(place.at_low, low, top)
    top = jnp.where(place.at_high, high, top)
    # Two panels a piece, in their order on the line.
    limits = jnp.stack([start, top, stop], axis=1)
    half = 0.5 * jnp.diff(limits, axis=1).reshape(-1)
    middle = 0.5 * (limits[:, 1:] + limits[:, :-1]).reshape(-1)
    nodes, weights = rule(factor.num_nodes, half)
    tau = middle[:, None] + half[:, None] * nodes[None]
    piece = jnp.repeat(factor.pieces(), 2)[:, None]
    origin = Origin(anchor, chart.unit, rate, q, home)
    exponent = origin.exponent(factor, tau, piece)
    highest = jax.lax.stop_gradient(jnp.max(exponent))
    mass = half[:, None] * weights[None] * jnp.exp(exponent - highest)
    log_scale = factor.log_density(anchor, home) - 0.5 * q**2 + highest
    log_scale = log_scale + jnp.log(chart.unit) - jnp.log(noise) - 0.5 * LOG_TWO_PI
    return Panels(origin, highest, log_scale, middle, half, mass)


def log_density(
    factor: AbstractFactor, x: ScalarLike, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, ""]:
    """Log-density of the noised factor."""
    return panels(factor, x, alpha, sigma).log_mass() - factor.log_normaliser()


def posterior_moments(
    factor: AbstractFactor, x: ScalarLike, alpha: ScalarLike, sigma: ScalarLike
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and variance of u given x."""
    found = panels(factor, x, alpha, sigma)
    mean, spread = found.moments()
    return mean, found.origin.unit**2 * spread


class Seen(NamedTuple):
    """What one noised coordinate says: log-density, score and its slope, posterior.

    relative_variance: Var[u | x] / sigma^2.
    """

    log_density: Array
    score: Array
    slope: Array
    mean: Array
    relative_variance: Array


def seen(
    factor: AbstractFactor, x: ScalarLike, alpha: ScalarLike, sigma: ScalarLike
) -> Seen:
    """The noised factor at one point.

    The score is the derivative of the quadrature: for narrow noise, where the nodes
    move with x / alpha, E[psi' | x] / alpha and what the ends of the pieces add, so
    that nothing cancels; elsewhere (alpha E[u | x] - x) / sigma^2.
    """
    one, noise = jnp.ones_like(x), jnp.sqrt(channel_variance(sigma))
    place = _place(factor, _chart(factor, x, alpha, noise))
    value = lambda x: panels(factor, x, alpha, sigma, place).log_mass()
    both = lambda x: jax.jvp(value, (x,), (one,))
    (log_mass, score), (_, slope) = jax.jvp(both, (x,), (one,))
    found = panels(factor, x, alpha, sigma, place)
    mean, spread = found.moments()
    relative = (found.origin.unit / noise) ** 2 * spread
    return Seen(log_mass - factor.log_normaliser(), score, slope, mean, relative)


def draw(
    factor: AbstractFactor,
    z: ScalarLike,
    x: ScalarLike,
    alpha: ScalarLike,
    sigma: ScalarLike,
) -> Float[Array, ""]:
    """The posterior's quantile at the probability of a Gaussian z: an exact draw.

    Counted from the nearer end, so that both tails are right; differentiable.
    """
    found = panels(factor, x, alpha, sigma)
    back = z > 0
    flip = lambda array: jnp.where(back, array[::-1], array)
    mass = jnp.where(back, found.mass[::-1, ::-1], found.mass)
    middle, half = flip(found.middle), flip(found.half)
    each = jnp.sum(mass, axis=1)
    before = jnp.cumsum(each) - each
    target = jax.scipy.special.ndtr(-jnp.abs(z)) * jnp.sum(each)
    index = jnp.sum(jax.lax.stop_gradient(before <= target)) - 1
    left = target - before[index]
    coefficients, goal = jax.lax.stop_gradient((_antiderivative(mass[index]), left))

    def halve(_, interval):
        low, high = interval
        v = (low + high) / 2
        more = _series(coefficients, v) < goal
        return jnp.where(more, v, low), jnp.where(more, high, v)

    ends = -jnp.ones_like(left), jnp.ones_like(left)
    v, _ = jax.lax.stop_gradient(jax.lax.fori_loop(0, DRAW_STEPS, halve, ends))
    # A step of Newton, by a quadrature of its own: the last digits, and the derivative.
    # The series knows the mass between nodes to half the digits of a sum over them.
    nodes, weights = rule(coefficients.size, v)
    piece = jnp.where(back, each.size - 1 - index, index)[None, None] // 2
    way = jnp.where(back, -half[index], half[index])

    def density(v: Float[Array, " n"]) -> Float[Array, " n"]:
        tau = (middle[index] + way * v)[None]
        exponent = found.origin.exponent(factor, tau, piece)[0]
        return half[index] * jnp.exp(exponent - found.highest)

    share = 0.5 * (v + 1)
    mass_there = share * jnp.sum(weights * density(share * (nodes + 1) - 1))
    slope = jax.lax.stop_gradient(density(v[None])[0])
    slope = jnp.where(slope > 0, slope, jnp.inf)
    v = jnp.clip(v - (mass_there - left) / slope, -1, 1)
    return found.origin.anchor + found.origin.unit * (middle[index] + way * v)


def _antiderivative(mass: Float[Array, " n"]) -> Float[Array, " n"]:
    """Legendre coefficients, times 2 / (2 k + 1), of the density with these masses."""
    nodes, _ = np.polynomial.legendre.leggauss(mass.size)
    values = np.polynomial.legendre.legvander(nodes, mass.size - 1)
    return jnp.matmul(mass, jnp.asarray(values, mass.dtype), precision="highest")


def _series(coefficients: Float[Array, " n"], v: Float[Array, ""]) -> Float[Array, ""]:
    """Mass between -1 and v: int P_k = (P_{k+1} - P_{k-1}) / (2 k + 1)."""
    before, here = jnp.ones_like(v), v
    total = coefficients[0] * (v + 1)
    for k in range(1, coefficients.size):
        after = ((2 * k + 1) * v * here - k * before) / (k + 1)
        total = total + coefficients[k] * (after - before)
        before, here = here, after
    return 0.5 * total
