"""Collapse of data on a linear manifold of D = alpha_D N dimensions in N.

x0 = F z with unit variance per ambient coordinate, F an orthonormal frame times
1 / sqrt(alpha_D), or N x D entries N(0, 1 / D) (hidden manifold). Rates are log(n) / N.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.collapse._arguments import check_positive, floats
from jaxwin.analysis.collapse._predicted import leading_time
from jaxwin.analysis.collapse._solve import time_at
from jaxwin.analysis.collapse._traps import onset_time
from jaxwin.io import field


class FrameTimes(eqx.Module):
    """Times of an orthonormal manifold, t_onset > t_collapse > t_generalisation."""

    t_onset: Crossing = field((), "OU time")
    t_collapse: Crossing = field((), "OU time")
    t_generalisation: Crossing = field((), "OU time")


def frame_times(rate: ScalarLike, ratio: ScalarLike) -> FrameTimes:
    """Onset, collapse and best generalisation on an orthonormal frame, in OU time.

        t_c = log(1 + (1 / alpha_D) / (e^{2 rate / alpha_D} - 1)) / 2
        Delta_{t_g} = n^{-2/D}

    and `onset_time` at rate' = rate / alpha_D and variance 1 / alpha_D. t_g minimises
    the cross-entropy of the empirical P_t at clean points: seen from those the least
    |x - a e^{-t}|^2 / D is e^{-2 rate'} / alpha_D there, stationary in e^{-t}, and a
    Gaussian is best at its own width (derived; whatever alpha_D is, and at alpha_D = 1
    later times are as good).

    Args:
        rate: log(n) / N, > 0.
        ratio: alpha_D = D / N, in (0, 1].

    Raises:
        ValueError: An argument out of range.

    References:
        Achilli et al., arXiv:2502.09578, name the three times; formulas are derived.
    """
    check_positive(rate=rate, ratio=ratio)
    if is_concrete(ratio) and ratio > 1:
        raise ValueError(
            f"`ratio` is {ratio}; a frame of D <= N directions has it in (0, 1]: take "
            f"`factor_time` for more latent dimensions."
        )
    rate, ratio = floats(rate, ratio)
    within, variance = rate / ratio, 1 / ratio
    return FrameTimes(
        t_onset=onset_time(within, variance),
        t_collapse=exact(leading_time(within, jnp.sqrt(variance))),
        t_generalisation=exact(leading_time(within, 1.0)),
    )


def factor_time(rate: ScalarLike, ratio: ScalarLike) -> Crossing:
    """Collapse time with Gaussian factors F, in OU time.

    rate = alpha_D int rho(x) log(1 + x e^{-2t} / (alpha_D Delta)) dx / 2, rho the
    Marchenko-Pastur law (`marchenko_pastur`), integrated in closed form.

    Args:
        rate: log(n) / N, > 0.
        ratio: alpha_D = D / N, > 0; more latent than ambient dimensions are allowed.

    Raises:
        ValueError: An argument is not > 0.

    References:
        Achilli et al., arXiv:2502.09578 (the criterion is derived); Tulino & Verdu
        (2004), Random matrix theory and wireless communications, section 2.2.2.
    """
    check_positive(rate=rate, ratio=ratio)
    rate, ratio = floats(rate, ratio)
    return time_at(_factor_information, ratio, rate)


def factor_onset_time(rate: ScalarLike, ratio: ScalarLike) -> Crossing:
    """When a trap opens at each data point, with Gaussian factors F, in OU time.

    rate = alpha_D int rho(x) [log(1 + S x) + S x / (1 + S x)] dx / 2, S = e^{-2t} /
    (alpha_D Delta): `gaussian_onset_time` of the spectrum (derived).

    Args and Raises as in `factor_time`.
    """
    check_positive(rate=rate, ratio=ratio)
    rate, ratio = floats(rate, ratio)
    return time_at(_factor_onset, ratio, rate)


def marchenko_pastur(x: Float[Array, "..."], ratio: ScalarLike) -> Float[Array, "..."]:
    """Density of the eigenvalues of G^T G / N, G of N x D entries N(0, 1).

        rho(x) = sqrt((x_+ - x) (x - x_-)) / (2 pi a x),   x_+- = (1 +- sqrt(a))^2,

    a = D / N and mean 1. For a > 1 a share 1 - 1/a of eigenvalues is zero and not in
    this density. At a = 1 it is infinite at x = 0: integrate over theta in x = 1 + a -
    2 sqrt(a) cos(theta).

    Raises:
        ValueError: `ratio` is not > 0.

    References:
        Marchenko & Pastur (1967), Math. USSR Sbornik 1, 457.
    """
    check_positive(ratio=ratio)
    points, ratio = floats(x, ratio)
    low, high = (1 - jnp.sqrt(ratio)) ** 2, (1 + jnp.sqrt(ratio)) ** 2
    square = (high - points) * (points - low)
    inside = (square > 0) & (points > 0)
    height = jnp.sqrt(jnp.where(inside, square, 1))
    place = jnp.where(inside, points, 1)
    return jnp.where(inside, height / (2 * jnp.pi * ratio * place), 0)


def _factor_information(log_snr: Array, ratio: Array) -> Array:
    """Ratio / 2 times the Shannon transform of the law at gamma = snr / ratio."""
    gamma, latent, ambient, quarter = _transform(log_snr, ratio)
    return 0.5 * (ratio * jnp.log1p(latent) + jnp.log1p(ambient)) - 0.5 * (
        ratio * gamma * quarter
    )


def _factor_onset(log_snr: Array, ratio: Array) -> Array:
    """The same plus ratio / 2 int rho gamma x / (1 + gamma x), which is `quarter`."""
    _, latent, ambient, _ = _transform(log_snr, ratio)
    return 0.5 * (ratio * jnp.log1p(latent) + jnp.log1p(ambient))


def _transform(log_snr: Array, ratio: Array) -> tuple[Array, Array, Array, Array]:
    """gamma, gamma - F/4, ratio gamma - F/4 and F / (4 ratio gamma^2).

    F = (sqrt(gamma x_+ + 1) - sqrt(gamma x_- + 1))^2 and D its sum instead of the
    difference: F / 4 = 4 ratio gamma^2 / D, and what is left of gamma and ratio gamma
    is a sum of positive terms over D.
    """
    gamma = jnp.exp(log_snr) / ratio
    # Divided by 1 + gamma: squares of gamma itself would overflow.
    one, g = 1 / (1 + gamma), gamma / (1 + gamma)
    turn = jnp.sqrt(one**2 + 2 * one * g * (1 + ratio) + (g * (1 - ratio)) ** 2)
    apart = g * (1 - ratio)

    def plus(k: Array) -> Array:
        # turn + k = (turn^2 - k^2) / (turn - k), the form without a difference.
        above = k > 0
        product = one**2 + 2 * one * g * (1 + ratio)
        return jnp.where(above, turn + k, product / (turn - jnp.where(above, 0, k)))

    total = 2 * (one + g * (1 + ratio) + turn)
    latent = gamma * 2 * (one + plus(apart)) / total
    ambient = ratio * gamma * 2 * (one + plus(-apart)) / total
    return gamma, latent, ambient, 4 * one / total
