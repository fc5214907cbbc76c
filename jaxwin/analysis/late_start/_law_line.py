"""The law of a late start where one direction says it all: by quadrature."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._numerics import LOG_TWO_PI
from jaxwin._typing import ScalarLike
from jaxwin.analysis._line import LawOnALine, component_cuts, gauss_legendre
from jaxwin.analysis.windows._absolute import absolute_integral
from jaxwin.targets import (
    AbstractLabelledTarget,
    AbstractTarget,
    GaussianMixture,
    reduce,
)


class Line(NamedTuple):
    """A law on a line; what is orthogonal to it is N(alpha centre, alpha^2 v I)."""

    law: AbstractLabelledTarget
    along: float
    across: float
    variance: float
    extra: int


def on_line(target: AbstractTarget) -> Line | None:
    """The one direction in which a law is not Gaussian, or None.

    along, across: the size of the centre of that law in the direction, and orthogonal
    to it; variance: in each of the `extra` orthogonal directions.
    """
    if target.dimension == 1:
        known = isinstance(target, GaussianMixture | LawOnALine)
        if known and isinstance(target, AbstractLabelledTarget):
            return Line(target, 0.0, 0.0, 0.0, 0)
        return None
    if not isinstance(target, GaussianMixture):
        return None
    found = reduce(target)
    if found is None or found.target.dimension > 1:
        return None
    centre, basis = np.asarray(found.centre), np.asarray(found.basis)[:, 0]
    along = float(centre @ basis)
    across = float(np.sqrt(max(centre @ centre - along**2, 0.0)))
    extra = target.dimension - 1
    return Line(found.target, along, across, float(found.variance), extra)


class Integrals(NamedTuple):
    """Excess of the class weights, KL(p | q) and TV(p, q) along the line."""

    excess: Float[Array, " c"]
    divergence: Float[Array, ""]
    variation: Float[Array, ""]


@eqx.filter_jit
def line_integrals(
    law: AbstractLabelledTarget,
    means: Float[Array, " t"],
    stds: Float[Array, " t"],
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
) -> Integrals:
    """Integrals against a start q = N(mean, std^2) on the line, at each noise.

        excess = int (q - p) p(c | x),    KL = int p log(p / q) - p + q,
        TV = (1/2) int |p - q|

    none of which cancels where q is nearly p.
    """

    def at(args: tuple[Array, Array, Array, Array]) -> Integrals:
        mean, std, alpha, sigma = args
        own = component_cuts(mean[None], std[None])
        cuts = jnp.concatenate([_cuts(law, alpha, sigma), own])
        places, rule = gauss_legendre(cuts)
        x = places.ravel()
        log_q = -0.5 * ((x - mean) / std) ** 2 - jnp.log(std) - 0.5 * LOG_TWO_PI
        seen = lambda y: law.log_density(y[None], alpha, sigma)
        log_p = jax.vmap(seen)(x)
        label = lambda y: law.label_log_posterior(y[None], alpha, sigma)
        posterior = jnp.exp(jax.vmap(label)(x))
        ratio = log_q - log_p
        p = jnp.exp(log_p)
        # Where q is far above p the difference is q itself.
        gap = jnp.where(ratio < 1, p * jnp.expm1(jnp.minimum(ratio, 1)), 0)
        gap = jnp.where(ratio < 1, gap, jnp.exp(log_q) - p)
        weight = rule.ravel()
        excess = jnp.matmul(weight * gap, posterior, precision="highest")
        divergence = jnp.sum(weight * (gap - p * ratio))
        half = 0.5 * jnp.sum(rule, axis=1)
        values = gap.reshape(places.shape)
        return Integrals(excess, divergence, 0.5 * absolute_integral(values, half))

    return jax.lax.map(at, (means, stds, alphas, sigmas))


def _cuts(
    law: AbstractLabelledTarget, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, " m"]:
    if isinstance(law, GaussianMixture):
        variances = law.covariance.spectrum()[0][:, 0]
        variances = jnp.broadcast_to(variances, law.log_weights.shape)
        widths = jnp.sqrt(alpha**2 * variances + sigma**2)
        return component_cuts(alpha * law.means[:, 0], widths)
    assert isinstance(law, LawOnALine)
    return law.quadrature_cuts(alpha, sigma)
