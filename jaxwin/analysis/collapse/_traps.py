"""Traps: when a data point's own basin opens, and how large it is.

Seen from x at distance rho sqrt(d Delta) of a data point's image, that point weighs
e^{-d rho^2 / 2}, all others as the random energy model says. At the centre, rho = 0,
the point begins to win at the onset t_o, before it does so for typical noised points,
rho = 1, at the collapse time t_C < t_o.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis.collapse._arguments import (
    check_positive,
    check_several,
    floats,
    spectrum,
)
from jaxwin.analysis.collapse._solve import time_at


def onset_time(rate: ScalarLike, variance: ScalarLike) -> Crossing:
    """When a trap opens at the centre of each data point, in OU time.

    rate = log(Gamma / Delta) / 2 + s / (2 Gamma),  s = variance e^{-2t}: derived, with
    R = s at the centre the weight of the others is e^{d (rate + g(1))} against 1.

    Args:
        rate: log(n) / D, D the number of directions that vary: of N ambient ones a
            share alpha_D = D / N, and rate = log(n) / (N alpha_D).
        variance: lambda, in each of these directions, > 0.

    Raises:
        ValueError: `rate` or `variance` is not > 0.

    References:
        Achilli et al., arXiv:2502.09578, name the onset; the formula is derived.
    """
    check_positive(rate=rate, variance=variance)
    rate, variance = floats(rate, variance)
    return time_at(_onset, variance[None], rate)


def gaussian_onset_time(
    eigenvalues: Float[Array, " d"], num_points: ScalarLike
) -> Crossing:
    """`onset_time` of any Gaussian spectrum, in OU time.

    log n = sum_i [log(1 + S_i) + S_i / (1 + S_i)] / 2,  S_i = lambda_i e^{-2t} / Delta:
    the average over data points of the weight of all others at a point's image.

    Raises:
        ValueError: Negative eigenvalues, or n < 2.
    """
    check_several(num_points)
    eigenvalues, count = floats(spectrum(eigenvalues), num_points)
    return time_at(_onset, eigenvalues, jnp.log(count))


def basin_radius(
    time: ScalarLike, rate: ScalarLike, variance: ScalarLike
) -> Float[Array, ""]:
    """Radius rho* of a data point's basin in units of sqrt(d Delta); 0 where none is.

        t > t_C:   rho*^2 = 1 + (2 Gamma / s) (log(Gamma / Delta) / 2 - rate)
        t < t_C:   rho*^2 = s / (Delta (e^{2 rate} - 1))

    1 at t_C and 0 from the onset on. Below t_C the others seen from the basin's edge
    are condensed: the edge is where the nearest of them is as near, that is where noise
    of variance rho^2 Delta collapses (derived: lambda s / Delta = s / (rho^2 Delta) at
    the saddle, and f(epsilon*) = log(1 + s / (rho^2 Delta)) / 2).

    Args:
        time: OU time, > 0.
        rate: As in `onset_time`.
        variance: As in `onset_time`.

    Raises:
        ValueError: An argument is not > 0.
    """
    check_positive(time=time, rate=rate, variance=variance)
    time, rate, variance = floats(time, rate, variance)
    spread = variance / jnp.expm1(2 * time)
    margin = 0.5 * jnp.log1p(spread) - rate
    # e^{2 rate} itself would overflow.
    frozen = spread * jnp.exp(-2 * rate) / -jnp.expm1(-2 * rate)
    square = jnp.where(margin > 0, frozen, 1 + 2 * margin * (1 + 1 / spread))
    open_ = square > 0
    return jnp.where(open_, jnp.sqrt(jnp.where(open_, square, 1)), 0)


def _onset(log_snr: Array, eigenvalues: Array) -> Array:
    spread = jnp.exp(log_snr) * eigenvalues
    return 0.5 * jnp.sum(jnp.log1p(spread) + spread / (1 + spread))
