"""Labels of a law on a line at one noise level: places, and changes of sign."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._numerics import LOG_TWO_PI, segment_logsumexp
from jaxwin._typing import ScalarLike
from jaxwin.analysis._line import (
    NODES as LINE,
    LawOnALine,
    component_cuts,
    gauss_legendre,
)
from jaxwin.analysis.windows._absolute import absolute_integral
from jaxwin.analysis.windows._directions import Seen
from jaxwin.targets import AbstractLabelledTarget

# Pieces are halved for changes of sign, and each part takes four rules of so many
# nodes: Gaussians on a width, cut where their difference or its slope vanishes.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(10)
# Bisections for a slope, which only parts two roots, and for a root: integrals depend
# on the place of a root to second order.
SLOPE_STEPS, ROOT_STEPS = 14, 22


class OnLine(NamedTuple):
    """A law on a line: log p(label), where to cut it, log p(component, x) at one place.

    `labels` are those of the components; of a law without components, its labels.
    `costly` where it takes an integral to know the density at a place.
    """

    log_prior: Float[Array, " c"]
    cuts: Float[Array, " m"]
    labels: Int[Array, " k"]
    log_each: Callable[[Float[Array, ""]], Float[Array, " k"]]
    costly: bool = False

    def log_joint(self, x: Float[Array, ""]) -> Float[Array, " c"]:
        """Log p(label, x)."""
        return segment_logsumexp(self.log_each(x), self.labels, self.log_prior.size)

    def log_density(
        self, x: Float[Array, ""], mask: Bool[Array, " c"]
    ) -> Float[Array, ""]:
        """Log-density of the sub-mixture of some labels."""
        inside = jax.nn.logsumexp(self.log_each(x), where=mask[self.labels])
        return inside - jax.nn.logsumexp(self.log_prior, where=mask)


def components_on_line(found: Seen, num_labels: int) -> OnLine:
    """Gaussian components in one direction."""
    centres, widths = found.centres[:, 0], jnp.sqrt(found.covariances[:, 0, 0])
    scale = found.log_weights - jnp.log(widths) - 0.5 * LOG_TWO_PI

    def log_each(x: Array) -> Array:
        return scale - 0.5 * ((x - centres) / widths) ** 2

    log_prior = segment_logsumexp(found.log_weights, found.labels, num_labels)
    return OnLine(log_prior, component_cuts(centres, widths), found.labels, log_each)


def law_on_line(
    law: AbstractLabelledTarget, alpha: ScalarLike, sigma: ScalarLike
) -> OnLine:
    """A law of one dimension that says where to cut the line (`LawOnALine`)."""
    assert isinstance(law, LawOnALine)
    cuts, log_prior = law.quadrature_cuts(alpha, sigma), law.log_label_prior()

    def log_each(x: Array) -> Array:
        log_p = law.label_log_posterior(x[None], alpha, sigma)
        return log_p + law.log_density(x[None], alpha, sigma)

    return OnLine(log_prior, cuts, jnp.arange(log_prior.size), log_each, costly=True)


def line_places(
    line: OnLine, nodes: int = LINE.size
) -> tuple[Float[Array, " m"], Float[Array, "m c"]]:
    """Weights and log label posteriors, for averages over the noised law."""
    places, rule = gauss_legendre(jax.lax.stop_gradient(line.cuts), nodes)
    joint = jax.vmap(line.log_joint)(places.ravel())
    return rule.ravel() * jnp.exp(jax.nn.logsumexp(joint, axis=1)), jax.nn.log_softmax(
        joint, axis=1
    )


class Apart(NamedTuple):
    """TV of two sub-mixtures, and what they share, 1 - TV, with its own digits."""

    variation: Float[Array, ""]
    overlap: Float[Array, ""]


def line_apart(
    line: OnLine, first: Bool[Array, " c"], second: Bool[Array, " c"]
) -> Apart:
    """Half the integral of |p_A - p_B|, and that of the smaller one.

    Both are cut where the two densities are equal.

    The places are searched for with the densities themselves, or where these are costly
    with the polynomials through their values.

    Args:
        line: The law.
        first: The labels of A, with weight.
        second: The labels of B.
    """
    if line.costly:

        def apart(x: Array) -> Array:
            return jnp.exp(line.log_density(x, first)) - jnp.exp(
                line.log_density(x, second)
            )

        places, rule = gauss_legendre(jax.lax.stop_gradient(line.cuts))
        values = jax.vmap(apart)(places.ravel()).reshape(places.shape)
        variation = 0.5 * absolute_integral(values, 0.5 * jnp.sum(rule, axis=1))
        return Apart(variation, 1 - variation)

    def log_ratio(x: Array) -> Array:
        return line.log_density(x, first) - line.log_density(x, second)

    edges = jnp.sort(jax.lax.stop_gradient(line.cuts))
    edges = jnp.sort(jnp.concatenate([edges, 0.5 * (edges[:-1] + edges[1:])]))
    ratio, slope = jax.vmap(log_ratio), jax.vmap(jax.grad(log_ratio))
    # Where the slope keeps its sign there is one root at most.
    top = _bisected(slope, edges[:-1], edges[1:], SLOPE_STEPS)
    low = jnp.concatenate([edges[:-1], top])
    high = jnp.concatenate([top, edges[1:]])
    root = _bisected(ratio, low, high, ROOT_STEPS)
    ends = jax.lax.stop_gradient(jnp.stack([low, root, high]))
    half, middle = 0.5 * (ends[1:] - ends[:-1]), 0.5 * (ends[1:] + ends[:-1])
    nodes, rule = jnp.asarray(NODES, half.dtype), jnp.asarray(WEIGHTS, half.dtype)
    places = middle[..., None] + half[..., None] * nodes[None, None]

    def masses(mask: Array) -> Float[Array, "two pieces"]:
        density = lambda x: jnp.exp(line.log_density(x, mask))
        values = jax.vmap(density)(places.ravel()).reshape(places.shape)
        return half * jnp.sum(values * rule[None, None], axis=2)

    return compared(masses(first), masses(second))


def compared(first: Float[Array, "*p"], second: Float[Array, "*p"]) -> Apart:
    """From the masses of A and B in pieces on each of which one of them is larger."""
    variation = 0.5 * jnp.sum(jnp.abs(first - second))
    return Apart(variation, jnp.sum(jnp.minimum(first, second)))


def line_chi2(
    found: Seen, num_labels: int, first: Bool[Array, " c"], second: Bool[Array, " c"]
) -> Float[Array, ""]:
    """Chi-square distance int (p_A)^2 / p_B - 1; its mass may lie outside of both.

    p_i^2 / p_j is a Gaussian again, about which the line is cut too. Infinite where a
    component of A is wider than sqrt(2) times the widest of B.
    """
    line = components_on_line(found, num_labels)
    centres, squares = found.centres[:, 0], found.covariances[:, 0, 0]
    precision = 2 / squares[:, None] - 1 / squares[None]
    some = precision > 0
    precision = jnp.where(some, precision, 1 / squares[:, None])
    pull = 2 * (centres / squares)[:, None] - (centres / squares)[None]
    middle = jnp.where(some, pull / precision, centres[:, None])
    widths = 1 / jnp.sqrt(precision)
    beyond = component_cuts(middle.ravel(), widths.ravel())
    cuts = jax.lax.stop_gradient(jnp.concatenate([line.cuts, beyond]))
    places, rule = gauss_legendre(cuts)

    def value(x: Array) -> Array:
        return jnp.exp(2 * line.log_density(x, first) - line.log_density(x, second))

    total = jnp.sum(rule.ravel() * jax.vmap(value)(places.ravel()))
    widest = jnp.max(jnp.where(second[found.labels], squares, 0))
    finite = jnp.all(~first[found.labels] | (squares < 2 * widest))
    return jnp.where(finite, total - 1, jnp.inf)


def _bisected(
    function: Callable[[Array], Array],
    low: Float[Array, " p"],
    high: Float[Array, " p"],
    steps: int,
) -> Float[Array, " p"]:
    """Where a function changes its sign; at one of the ends where it does not."""
    first = jnp.sign(function(low))

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        same: Bool[Array, " p"] = jnp.sign(function(middle)) == first
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    return jax.lax.fori_loop(0, steps, halve, (low, high))[1]
