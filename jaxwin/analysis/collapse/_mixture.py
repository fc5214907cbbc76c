"""Information of mixtures that are not Gaussian in one direction only."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis._line import component_cuts, gauss_legendre
from jaxwin.analysis.collapse._arguments import (
    check_not_negative,
    check_positive,
    check_several,
    floats,
)
from jaxwin.analysis.collapse._solve import time_at
from jaxwin.targets import GaussianMixture, reduce

# Variance and dimension of what is orthogonal; means, variances and log-weights on the
# line.
Law = tuple[Array, ...]


def mixture_information(
    mixture: GaussianMixture, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, ""]:
    """Mutual information I(x0; x) of a mixture and its noised point, in nats.

        I = (d - 1) log(1 + s^2 v) / 2 + sum_k w_k log(1 + s^2 v_k) / 2 + I_component,
        I_component = H(w) - E[H(p(k | x))],   s = alpha / sigma,

    the last by quadrature on the line in which the means differ, v_k the variances
    there and v that of all else (`targets.reduce` to one dimension, or d = 1).

    Raises:
        ValueError: The mixture does not reduce to one dimension (a traced one is taken
            to, and must be isotropic); `sigma` is not > 0, `alpha` negative.
    """
    law = _line(mixture)
    check_not_negative(alpha=alpha)
    check_positive(sigma=sigma)
    alpha, sigma, *law = floats(alpha, sigma, *law)
    return _information(alpha / sigma, tuple(law))


def mixture_time(mixture: GaussianMixture, num_points: ScalarLike) -> Crossing:
    """Where the exact information of a mixture reaches log n, in OU time.

    Not found where the mixture is of points and n is more than e^{H(w)}.

    Raises:
        ValueError: As `mixture_information`, or n < 2.
    """
    check_several(num_points)
    *law, count = floats(*_line(mixture), num_points)
    return time_at(_at_log_snr, tuple(law), jnp.log(count))


def _line(mixture: GaussianMixture) -> Law:
    if mixture.dimension > 1 and not is_concrete(mixture):
        return _traced_line(mixture)
    reduction = None if mixture.dimension == 1 else reduce(mixture)
    target = mixture if reduction is None else reduction.target
    if target.dimension != 1:
        raise ValueError(
            f"`mixture` has {mixture.dimension} dimensions and does not reduce to one; "
            f"its means must lie on a line, and components differ in variance along it "
            f"only: measure the information instead (`analysis.information`)."
        )
    rest = jnp.zeros_like(target.means[0, 0])
    variance = rest if reduction is None else reduction.variance
    variances, _ = target.covariance.spectrum()
    variances = jnp.broadcast_to(variances[:, 0], target.log_weights.shape)
    count = rest + (mixture.dimension - 1)
    return variance, count, target.means[:, 0], variances, target.log_weights


def _traced_line(mixture: GaussianMixture) -> Law:
    """A traced mixture, whose means are taken to lie on a line and widths to be one."""
    variances, _ = mixture.covariance.spectrum()
    if variances.shape[1] != 1:
        raise ValueError(
            "`mixture` is traced; then its components must be isotropic, of one "
            "variance, with means on a line: use `GaussianMixture.isotropic`."
        )
    apart = mixture.means - mixture.means[:1]
    furthest = apart[jnp.argmax(jnp.sum(apart**2, axis=1))]
    length = jnp.sum(furthest**2)
    some = length > 0
    # The slope of a norm at zero is none.
    direction = furthest / jnp.sqrt(jnp.where(some, length, 1))
    places = jnp.matmul(apart, direction, precision="highest")
    count = jnp.full_like(length, mixture.dimension - 1)
    return variances[0, 0], count, places, variances[:, 0], mixture.log_weights


def _at_log_snr(log_snr: Array, law: Law) -> Array:
    return _information(jnp.exp(0.5 * log_snr), law)


@jax.jit
def _information(signal: Array, law: Law) -> Array:
    """I at signal = alpha / sigma."""
    rest, count, means, variances, log_weights = law
    snr = signal**2
    weights = jnp.exp(log_weights)
    within = jnp.sum(weights * jnp.log1p(snr * variances))
    return 0.5 * (count * jnp.log1p(snr * rest) + within) + _components(
        means, variances, log_weights, signal
    )


def _components(
    means: Array, variances: Array, log_weights: Array, signal: Array
) -> Float[Array, ""]:
    """H(w) - E[H(p(k | x))], in units of the widest noised component."""
    widths = jnp.sqrt(1 + signal**2 * variances)
    unit = jnp.max(widths)
    centres, widths = means * signal / unit, widths / unit
    x, rule = gauss_legendre(component_cuts(centres, widths))
    y = (x[None] - centres[:, None, None]) / widths[:, None, None]
    log_scale = log_weights - jnp.log(widths) - 0.5 * jnp.log(2 * jnp.pi)
    log_joint = log_scale[:, None, None] - 0.5 * y**2
    # A weight of zero: 0 log 0 = 0, and its gradient.
    entropy = lambda log_p: (
        -jnp.sum(jnp.exp(log_p) * jnp.where(log_p > -jnp.inf, log_p, 0), axis=0)
    )
    left = jnp.exp(jax.nn.logsumexp(log_joint, axis=0)) * entropy(
        jax.nn.log_softmax(log_joint, axis=0)
    )
    return entropy(log_weights) - jnp.sum(rule * left)
