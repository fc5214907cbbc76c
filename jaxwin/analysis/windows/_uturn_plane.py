"""Distances of U-turn laws on a plane: the noise is a product of two convolutions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._numerics import LOG_TWO_PI
from jaxwin.analysis.windows._absolute import absolute_plane
from jaxwin.analysis.windows._sets import weight
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# Grids have one of these numbers of places a side: few programs are compiled.
SIDES = 128, 256, 512, 1024, 2048
# Places in the narrowest width, wanted and least; and how far the grids reach.
FINE, LEAST, REACH = 5.0, 2.0, 6.5
# Places of the noised grid in the noise and in the narrowest noised width.
IN_NOISE, IN_WIDTH = 1.6, 4.0
# Below this share of the narrowest noised width posteriors are polynomials over the
# noise: a Gauss-Hermite rule of a few nodes takes their average.
SMALL_NOISE = 0.12
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(6)


class Plan(NamedTuple):
    """The clean grid: its ends and its number of places; that of each noised grid.

    A noised grid of no places stands for small noise.
    """

    low: Float[np.ndarray, "2"]
    high: Float[np.ndarray, "2"]
    side: int
    noised: tuple[int, ...]


def plan(
    law: AbstractLabelledTarget,
    alphas: Float[np.ndarray, " t"],
    sigmas: Float[np.ndarray, " t"],
) -> Plan | None:
    """Grids that resolve every component, or None where they would be too large."""
    if law.dimension != 2 or not isinstance(law, GaussianMixture):
        return None
    variances = np.asarray(law.covariance.spectrum()[0])
    variances = np.broadcast_to(variances, (len(law.means), variances.shape[1]))
    here = np.asarray(law.log_weights) > -np.inf
    narrow, wide = np.sqrt(variances[here].min()), np.sqrt(variances[here].max(axis=1))
    if not narrow > 0:
        return None
    means = np.asarray(law.means)[here]
    low = np.min(means - REACH * wide[:, None], axis=0)
    high = np.max(means + REACH * wide[:, None], axis=0)
    span = float(np.max(high - low))
    if span * LEAST / narrow > SIDES[-2]:
        return None
    side = _side(span * FINE / narrow, SIDES[:-1])
    noised = []
    for alpha, sigma in zip(alphas, sigmas, strict=True):
        width = np.sqrt((alpha * narrow) ** 2 + sigma**2)
        if sigma <= SMALL_NOISE * width:
            noised.append(0)
            continue
        step = min(sigma / IN_NOISE, width / IN_WIDTH)
        noised.append(_side((alpha * span + 2 * REACH * sigma) / step, SIDES))
    return Plan(low, high, side, tuple(noised))


def plane_distances(
    law: GaussianMixture,
    initial: Bool[np.ndarray, " c"],
    other: Bool[np.ndarray, " c"],
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
    grid: Plan,
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Total variation at every level, and its error: from half as many places a side.

    Along rows or along columns, the finer of two grids errs by a fourth or less of what
    they differ by.
    """
    dtype = law.means.dtype
    ends = jnp.asarray(grid.low, dtype), jnp.asarray(grid.high, dtype)
    axes = _axes(*ends, grid.side)
    log_prior = law.log_label_prior()
    density, aim = _clean(law, jnp.asarray(other), axes)
    aim = aim / weight(log_prior, other)
    share = weight(log_prior, initial)
    found = []
    for alpha, sigma, side in zip(alphas, sigmas, grid.noised, strict=True):
        level = law, jnp.asarray(initial), alpha, sigma, axes
        if side == 0:
            ratio = _small_noise(*level)
            ratios = ratio, ratio[::2, ::2]
        else:
            ratios = _convolved(*level, *ends, side)
        fine, coarse = (ratio / share for ratio in ratios)
        found.append(_distance(density, aim, fine, coarse, axes))
    value, error = np.asarray(jnp.stack(found)).T
    return value, error


def _side(least: float, sides: tuple[int, ...]) -> int:
    return next((side for side in sides if side >= least), sides[-1])


def _axes(low: Array, high: Array, side: int) -> Float[Array, "2 side"]:
    return jnp.linspace(low, high, side + 1, axis=1)


class _Noised(NamedTuple):
    """Components on the plane at one noise level, their log-densities in full."""

    means: Float[Array, "k 2"]
    precision: Float[Array, "k 3"]
    log_height: Float[Array, " k"]

    def log_joint(self, x: Float[Array, "2"]) -> Float[Array, " k"]:
        """Log of w_k N(x; alpha m_k, C_k)."""
        first, second = (x[i] - self.means[:, i] for i in range(2))
        own, both, other = self.precision.T
        square = own * first**2 + 2 * both * first * second + other * second**2
        return self.log_height - 0.5 * square


def _noised(law: GaussianMixture, alpha: Array, sigma: Array) -> _Noised:
    values, _ = law.covariance.spectrum()
    shape, axes = law.means.shape, jnp.eye(2, dtype=law.means.dtype)
    inverse = 1 / (alpha**2 * values + sigma**2)
    first, second = (
        law.covariance.apply(inverse, jnp.broadcast_to(axis[None], shape))
        for axis in axes
    )
    precision = jnp.stack([first[:, 0], first[:, 1], second[:, 1]], axis=1)
    log_det = jnp.log(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    log_height = law.log_weights + 0.5 * log_det - LOG_TWO_PI
    return _Noised(alpha * law.means, precision, log_height)


def _over(axes: Float[Array, "2 side"], function: Callable[[Array], Any]) -> Any:
    """A function of a point, row by row."""
    row = lambda x: jax.vmap(lambda y: function(jnp.stack([x, y])))(axes[1])
    return jax.lax.map(row, axes[0])


def _ratio(log_joint: Array, inside: Bool[Array, " k"]) -> Float[Array, ""]:
    """Posterior of the components inside."""
    mass = jnp.exp(log_joint - jax.lax.stop_gradient(jnp.max(log_joint)))
    return jnp.sum(jnp.where(inside, mass, 0)) / jnp.sum(mass)


@eqx.filter_jit
def _clean(law: GaussianMixture, other: Array, axes: Array) -> tuple[Array, Array]:
    """The clean density and the posterior of the other set."""
    one, zero = jnp.ones((), axes.dtype), jnp.zeros((), axes.dtype)
    seen, inside = _noised(law, one, zero), other[law.labels]

    def at(x: Array) -> tuple[Array, Array]:
        log_joint = seen.log_joint(x)
        return jnp.sum(jnp.exp(log_joint)), _ratio(log_joint, inside)

    return _over(axes, at)


@eqx.filter_jit
def _convolved(
    law: GaussianMixture,
    initial: Array,
    alpha: Array,
    sigma: Array,
    axes: Array,
    low: Array,
    high: Array,
    side: int,
) -> tuple[Array, Array]:
    """E_z[r_S] on the clean grid, and on every second place of all grids."""
    margin, seen = REACH * sigma, _noised(law, alpha, sigma)
    noised = _axes(alpha * low - margin, alpha * high + margin, side)
    posterior = _over(noised, lambda y: _ratio(seen.log_joint(y), initial[law.labels]))
    kernel = lambda x, y: jax.nn.softmax(
        -0.5 * ((y[None] - alpha * x[:, None]) / sigma) ** 2, axis=1
    )

    def smooth(every: int) -> Array:
        first, second = (kernel(axes[i, ::every], noised[i, ::every]) for i in range(2))
        coarse = posterior[::every, ::every]
        along = jnp.matmul(coarse, second.T, precision="highest")
        return jnp.matmul(first, along, precision="highest")

    return smooth(1), smooth(2)


@eqx.filter_jit
def _small_noise(
    law: GaussianMixture, initial: Array, alpha: Array, sigma: Array, axes: Array
) -> Array:
    """E_z[r_S] on the clean grid where it is a polynomial over the noise."""
    nodes = jnp.asarray(NODES, axes.dtype)
    rule = jnp.asarray(WEIGHTS / WEIGHTS.sum(), axes.dtype)
    z = jnp.stack(jnp.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = (rule[:, None] * rule[None]).ravel()
    seen, inside = _noised(law, alpha, sigma), initial[law.labels]

    def average(x: Array) -> Array:
        at = lambda z: _ratio(seen.log_joint(alpha * x + sigma * z), inside)
        return jnp.sum(weights * jax.vmap(at)(z))

    return _over(axes, average)


@jax.jit
def _distance(
    density: Array, aim: Array, fine: Array, coarse: Array, axes: Array
) -> Float[Array, "2"]:
    first, second = axes[0, 1] - axes[0, 0], axes[1, 1] - axes[1, 0]
    apart = density * (fine - aim)
    half = density[::2, ::2] * (coarse - aim[::2, ::2])
    rows = absolute_plane(apart, (first, second))
    columns = absolute_plane(apart.T, (second, first))
    value = 0.25 * (rows + columns)
    off = jnp.abs(value - 0.5 * absolute_plane(half, (2 * first, 2 * second)))
    return jnp.stack([value, jnp.maximum(off, 0.5 * jnp.abs(rows - columns))])
