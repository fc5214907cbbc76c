"""How label posteriors change with the noised point: gaps between scores.

With r_i = p(i | x), grad log r_i = s_i - s: the score of label i less that of the law.
For a set S, grad log r_S = s_S - s is the average of these over r_i / r_S.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin._numerics import channel_variance
from jaxwin._typing import Point, ScalarLike
from jaxwin.analysis._line import LawOnALine, gauss_legendre
from jaxwin.analysis.windows._directions import Directions, directions
from jaxwin.analysis.windows._on_line import OnLine
from jaxwin.analysis.windows._view import checked_view, view
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture


class LabelSlopes(NamedTuple):
    """Log label posteriors at places of a noised law, and their gradients s_i - s.

    weight: of the places, of sum one. Gradients along the line that the labels depend
    on, in units of the data space.
    """

    weight: Float[Array, " m"]
    log_posterior: Float[Array, "m c"]
    gradient: Float[Array, "m c 1"]


def law_of(source: AbstractLabelledTarget | Observed) -> AbstractLabelledTarget:
    """The law, whether bare or seen through the Gaussian channel on OU time.

    Raises:
        ValueError: Another channel, or another clock.
    """
    if not isinstance(source, Observed):
        return source
    clock = getattr(source.channel, "process", None)
    if not (isinstance(source.channel, Gaussian) and clock == OrnsteinUhlenbeck()):
        raise ValueError(
            "`source` is not seen through the Gaussian channel in OU time; hand over "
            "its law."
        )
    return source.law


def line_of(law: AbstractLabelledTarget) -> tuple[bool, Directions | None]:
    """Whether the labels of a concrete law depend on one direction, and on which."""
    if isinstance(law, GaussianMixture):
        within = directions(law) if is_concrete(law) or law.dimension == 1 else None
        return within is not None and within.dimension == 1, within
    return law.dimension == 1 and isinstance(law, LawOnALine), None


def slopes_on_line(
    law: AbstractLabelledTarget,
    within: Directions | None,
    alpha: ScalarLike,
    sigma: ScalarLike,
) -> LabelSlopes:
    """Quadrature over the line: averages of smooth functions to 1e-12.

    Raises:
        ValueError: As `windows.expectation`.
    """
    line = view(law, *checked_view(law, alpha, sigma, within))
    assert isinstance(line, OnLine)
    places, rule = gauss_legendre(jax.lax.stop_gradient(line.cuts))

    def at(y: Float[Array, ""]) -> tuple[Array, Array, Array]:
        log_joint = lambda y: line.log_joint(y)
        joint, slope = jax.jvp(log_joint, (y,), (jnp.ones_like(y),))
        log_p = jax.nn.log_softmax(joint)
        # A label without weight has no slope of its own.
        slope = jnp.where(jnp.isfinite(log_p), slope, 0)
        return jax.nn.logsumexp(joint), log_p, slope - jnp.sum(jnp.exp(log_p) * slope)

    log_density, log_posterior, slope = jax.vmap(at)(places.ravel())
    scale = jnp.sqrt(_metric(law, within, alpha, sigma))
    weight = rule.ravel() * jnp.exp(log_density)
    return LabelSlopes(weight, log_posterior, scale * slope[:, :, None])


def _metric(
    law: AbstractLabelledTarget,
    within: Directions | None,
    alpha: ScalarLike,
    sigma: ScalarLike,
) -> Float[Array, ""] | float:
    """|grad y|^2 of the whitened coordinate y = b^T C_0^-1 x / |b|_{C_0^-1}."""
    if within is None:
        return 1.0
    assert isinstance(law, GaussianMixture)
    own = law.covariance.component(within.components[0])
    noised = alpha**2 * own.spectrum()[0] + channel_variance(sigma)
    direction = within.basis[:, 0]
    lifted = own.apply(1 / noised, direction[None])[0]
    return jnp.sum(lifted**2) / jnp.sum(direction * lifted)


def slopes_at(
    law: AbstractLabelledTarget, x: Point, alpha: ScalarLike, sigma: ScalarLike
) -> tuple[Float[Array, " c"], Float[Array, "c d"]]:
    """Log label posterior and its gradients at one noised point."""
    log_posterior = lambda x: law.label_log_posterior(x, alpha, sigma)
    by_rows = law.num_labels < law.dimension
    derivative = jax.jacrev if by_rows else jax.jacfwd
    return log_posterior(x), derivative(log_posterior)(x)


def mean_gap(
    log_posterior: Float[Array, " c"], gradient: Float[Array, "c d"]
) -> Float[Array, ""]:
    """Sum_i r_i |s_i - s|^2."""
    square = jnp.sum(gradient**2, axis=1)
    return jnp.sum(jnp.exp(log_posterior) * square)


def set_gap(
    log_posterior: Float[Array, " c"],
    gradient: Float[Array, "c d"],
    mask: Bool[Array, " c"],
) -> Float[Array, ""]:
    """|s_S - s|^2 of the labels in `mask`."""
    share = jax.nn.softmax(jnp.where(mask, log_posterior, -jnp.inf))
    return jnp.sum(jnp.matmul(share, gradient, precision="highest") ** 2)


@eqx.filter_jit
def class_gap_on_line(
    law: AbstractLabelledTarget, within: Directions | None, time: Float[Array, ""]
) -> Float[Array, ""]:
    """Sum_i w_i E|s_i - s|^2 at one OU time."""
    alpha, sigma = OrnsteinUhlenbeck().levels(time)
    found = slopes_on_line(law, within, alpha, sigma)
    return jnp.sum(
        found.weight * jax.vmap(mean_gap)(found.log_posterior, found.gradient)
    )
