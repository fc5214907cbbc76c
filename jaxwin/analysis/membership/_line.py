"""Reconstruction in one dimension: an integral over the noise, by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._numerics import channel_variance
from jaxwin.analysis.membership._kernels import Kernels

# More points on a line are sampled: the cost of the rule grows with their square.
MOST = 64
# Cells of the Gaussian, in its widths, and of every change of the likeliest point, in
# units in which its log-odds change by one.
REACH = np.linspace(-10.0, 10.0, 21)
CHANGES = np.array([-40.0, -20.0, -10.0, -4.0, 0.0, 4.0, 10.0, 20.0, 40.0])
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


def line_reconstruction(
    kernels: Kernels,
    candidates: Float[np.ndarray, "m 1"],
    own_log_weight: Float[Array, " m"],
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
) -> dict[str, Float[np.ndarray, "t m"]]:
    """E|X' - x|^2 and the probability of the own kernel, over z exactly.

    The Gaussian is cut where the likeliest kernel changes: there responsibilities may
    jump within any fraction of its width.
    """
    order = jnp.argsort(kernels.points[:, 0])
    points, log_weights = kernels.points[order, 0], kernels.log_weights[order]
    some = np.asarray(log_weights) > -np.inf
    law = points[some], log_weights[some], kernels.bandwidth
    levels = jnp.asarray(alphas), jnp.asarray(sigmas)
    found = _integrals(law, jnp.asarray(candidates[:, 0]), own_log_weight, levels)
    return {name: np.asarray(value) for name, value in found.items()}


@jax.jit
def _integrals(
    law: tuple[Array, Array, Array],
    candidates: Float[Array, " m"],
    own_log_weights: Float[Array, " m"],
    levels: tuple[Array, Array],
) -> dict[str, Float[Array, "t m"]]:
    def at(level: tuple[Array, Array]) -> dict[str, Array]:
        one = lambda x, own: _integral(law, x, own, *level)
        return jax.vmap(one)(candidates, own_log_weights)

    return jax.lax.map(at, levels)


def _integral(
    law: tuple[Array, Array, Array], x: Array, own: Array, alpha: Array, sigma: Array
) -> dict[str, Array]:
    points, log_weights, bandwidth = law
    variance = alpha**2 * bandwidth**2 + channel_variance(sigma)
    gap = alpha * jnp.diff(points)
    some = gap > 0
    odds = -jnp.diff(log_weights)
    unit = variance / jnp.where(some, gap, 1)
    place = alpha * (points[1:] + points[:-1]) / 2 + unit * odds
    cuts = (place - alpha * x)[:, None] + unit[:, None] * CHANGES[None]
    cuts = jnp.where(some[:, None], cuts / sigma, 0)
    ends = jnp.asarray(REACH, points.dtype)
    edges = jnp.concatenate([ends, jnp.clip(cuts.ravel(), ends[0], ends[-1])])
    edges = jnp.sort(edges)
    half = 0.5 * jnp.diff(edges)[:, None]
    nodes, rule = (jnp.asarray(a, half.dtype)[None] for a in (NODES, WEIGHTS))
    z = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weight = (half * rule).ravel() * jnp.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    y = alpha * x + sigma * z
    log_p = -0.5 * (y[:, None] - alpha * points[None]) ** 2 / variance
    log_p = jax.nn.log_softmax(log_p + log_weights[None], axis=1)
    p = jnp.exp(log_p)
    shrink, gain = channel_variance(sigma) / variance, alpha * bandwidth**2 / variance
    centre = shrink * points[None] + gain * y[:, None]
    within = sigma**2 * bandwidth**2 / variance
    distance = jnp.sum(p * (centre - x) ** 2, axis=1) + within
    is_own = (points == x) & (own > -jnp.inf)
    returned = jnp.sum(jnp.where(is_own[None], p, 0), axis=1)
    return {
        "distance": jnp.sum(weight * distance),
        "returned": jnp.sum(weight * returned),
    }
