"""Kernel density estimates of Gaussian data in high dimension: which bandwidth.

The estimate at a typical x is a random energy model with s = R = 1 and Delta = h^2, in
units of the data's width. Its sum over n = e^{alpha d} kernels has three regimes:
central limit for h > h_CLT, stable laws for h_G < h < h_CLT, the nearest few points for
h < h_G.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._arguments import check_positive, floats
from jaxwin.analysis.collapse._random_energy import log_less_share
from jaxwin.io import field


class Bandwidths(eqx.Module):
    """Bandwidths of a Gaussian kernel, in units of the data's standard deviation."""

    condensation: Float[Array, "..."] = field((), "data widths", "h_G")
    central_limit: Float[Array, "..."] = field((), "data widths", "h_CLT")
    optimal: Float[Array, "..."] = field((), "data widths", "h_opt, of least KL")
    divergence: Float[Array, "..."] = field((), "nats", "KL / d at h_opt")


def bandwidths(rate: ScalarLike) -> Bandwidths:
    """Thresholds and the best bandwidth for n = e^{rate d} standard Gaussian points.

        rate = log(1 + u) / 2 - u / (2 (1 + u)^2),   h_G^2 = 1 / u,   h_CLT^2 = 2 / u,
        h_opt^2 = p + p^2,   KL / d = rate + log h_opt,   p = 1 / (1 + u).

    h_G: the saddle lambda = 1 condenses. h_CLT: lambda = 2 does, from where on the sum
    has a variance. Below h_G the divergence is rate + log h - 1/2 + q / (2 h^2) with q
    the least |x - y|^2 / d in the sample, so h_opt^2 = q (derived): q = s / (1 + u) + R
    / (1 + u)^2 at f(epsilon*) = rate, whose u is that of h_G. Data of standard
    deviation c: all bandwidths times c.

    Raises:
        ValueError: `rate` is not > 0.

    References:
        Biroli & Mezard, Kernel density estimators in large dimensions,
        arXiv:2408.05807, for the regimes; the formulas are derived.
    """
    check_positive(rate=rate)
    (rate,) = floats(rate)
    log_u = _condensation(rate)
    p = jax.nn.sigmoid(-log_u)
    # rate + log h_opt without the cancellation at large rates.
    divergence = 0.5 * (log_less_share(p) + p**3 / (1 + p))
    condensation = jnp.exp(-0.5 * log_u)
    return Bandwidths(
        condensation=condensation,
        central_limit=2**0.5 * condensation,
        optimal=jnp.sqrt(p + p**2),
        divergence=divergence,
    )


def kernel_divergence(rate: ScalarLike, bandwidth: ScalarLike) -> Float[Array, ""]:
    """KL / d from a standard Gaussian to its kernel estimate, at any bandwidth.

        h > h_G:   [log(1 + h^2) - h^2 / (1 + h^2)] / 2
        h < h_G:   rate + log h - 1/2 + h_opt^2 / (2 h^2)

    The first is the divergence to the smoothed law, the second is owed to the nearest
    point alone.

    Raises:
        ValueError: An argument is not > 0.
    """
    check_positive(rate=rate, bandwidth=bandwidth)
    rate, bandwidth = floats(rate, bandwidth)
    log_u, log_h = _condensation(rate), jnp.log(bandwidth)
    p = jax.nn.sigmoid(-log_u)
    smooth = 0.5 * log_less_share(bandwidth**2)
    frozen = rate + log_h - 0.5 + 0.5 * (p + p**2) / bandwidth**2
    return jnp.where(log_h > -0.5 * log_u, smooth, frozen)


def _condensation(rate: Array) -> Array:
    """Log u at f(epsilon*(1)) = rate, s = R = 1."""
    # From log(1 + u) - w (1 - w) <= 3 u^2 / 2 and >= log u - 1/4.
    lowest = 0.5 * (jnp.log(rate) + jnp.log(4 / 3)) - 1
    return bracketed_root(_excess_rate, lowest, 2 * rate + 1, rate)


def _excess_rate(log_u: Array, rate: Array) -> Array:
    # log(1 + u) - w (1 - w) with w = u / (1 + u), written as two positive terms.
    w = jax.nn.sigmoid(log_u)
    large = jax.nn.softplus(log_u) - w
    small = log_less_share(jnp.exp(jnp.minimum(log_u, 0)))
    return 0.5 * (jnp.where(log_u < 0, small, large) + w**2) - rate
