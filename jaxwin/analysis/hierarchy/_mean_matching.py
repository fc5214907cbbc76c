"""Noise matched by its mean: the eps at which leaves believe as much as at an SNR."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check, not_negative, positive
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.analysis.hierarchy._rules import check_noise

# Trapezoid rules: places of the largest variable, Gumbel and Gaussian variables.
PLACES = 512
GUMBEL_STEP, GUMBEL_RANGE = 0.25, (-4.0, 60.0)
GAUSSIAN_STEP, GAUSSIAN_REACH = 0.25, 10.0
# Ranges of log SNR in which a noise is looked for: eps falls like exp(-snr / 4).
LOG_SNR_RANGE = math.log(1e-12), math.log(2800.0)


def matched_belief(snr: ScalarLike, v: ScalarLike) -> Float[Array, ""]:
    """Mean belief p_0 in the true symbol of a one-hot leaf seen at an SNR.

        p_0 = E[X / (X + sum_{a=2..v} e^{sqrt(g) n_a})],    X = e^{g + sqrt(g) n_1},

    with g the SNR and n_a standard Gaussians; 1 / v at zero SNR. See `matched_noise`
    for how, for its accuracy and for what it must not be used for.

    Args:
        snr: g = abar / (1 - abar), finite and >= 0, of one-hots as they are; centred
            ones of unit norm have g / (1 - 1 / v).
        v: Symbols, at least 2.

    Raises:
        ValueError: An argument out of range.
    """
    return 1 - _missing(*_arguments(snr, v))


def matched_noise(snr: ScalarLike, v: ScalarLike) -> Float[Array, ""]:
    """Noise eps = (1 - p_0) / (1 - 1 / v) of the same mean belief as a Gaussian SNR.

    A QUALITATIVE DEVICE, wrong for thresholds: random beliefs are now and then sure of
    the wrong symbol, those of the eps-process never. At v = 32, m = 8, s = 2 it has the
    class lost at g = 3.564; by exact belief propagation it is long gone there, and lost
    at g = 6.75. Each channel has a threshold of its own.

    With Gumbel variables, p_0 is the probability that g + sqrt(g) n_1 + G_1 is largest:

        1 - p_0 = int h(x - g) (1 - H(x)^(v-1)) dx,   H, h the law of sqrt(g) n + G,

    by trapezoid rules for analytic integrands, H and h by one over n (g < 1) or over G
    (g >= 1), so that every term is positive. In float64 the relative error of eps is
    below 1e-11 for g from 0 to 2500 and v from 2 to 1000 (measured); above, eps leaves
    the range of a float. Differentiable at g > 0.

    Args:
        snr: g, finite and >= 0.
        v: Symbols, at least 2.

    Raises:
        ValueError: An argument out of range.

    References:
        Sclocchi, Favero & Wyart, arXiv:2402.16991 (the map); quadrature derived.
    """
    snr, v = _arguments(snr, v)
    return _missing(snr, v) * v / (v - 1)


def matched_snr(noise: ScalarLike, v: ScalarLike) -> Float[Array, ""]:
    """The SNR at which `matched_noise` is this noise, by bisection.

    Zero at noise 1 and infinite at noise 0. Differentiable in between. The same warning
    holds: a device for pictures, not for thresholds.

    Args:
        noise: eps in [0, 1].
        v: Symbols, at least 2.

    Raises:
        ValueError: An argument out of range.
    """
    check_noise(noise)
    _check_symbols(v)
    noise, v = floats(noise, v)
    inside = (noise > 0) & (noise < 1)
    low, high = (jnp.asarray(end, noise.dtype) for end in LOG_SNR_RANGE)
    args = jnp.where(inside, noise, 0.5), v
    root = jnp.exp(bracketed_root(_too_clean, low, high, args))
    return jnp.where(inside, root, jnp.where(noise > 0, 0, jnp.inf))


def snr_to_alpha_bar(snr: TimesLike) -> Float[Array, "..."]:
    """Return abar = g / (1 + g) of the SNR g."""
    check(snr, not_negative, "snr", "finite and >= 0")
    (snr,) = floats(snr)
    return snr / (1 + snr)


def alpha_bar_to_snr(alpha_bar: TimesLike) -> Float[Array, "..."]:
    """Return g = abar / (1 - abar), for abar in [0, 1)."""
    test = lambda value: (value >= 0) & (value < 1)
    check(alpha_bar, test, "alpha_bar", "in [0, 1): at 1 there is no noise")
    (alpha_bar,) = floats(alpha_bar)
    return alpha_bar / (1 - alpha_bar)


def snr_to_ou_time(snr: TimesLike) -> Float[Array, "..."]:
    """OU time t = ln(1 + 1 / g) / 2, at which abar = e^{-2t}."""
    check(snr, positive, "snr", "finite and > 0")
    (snr,) = floats(snr)
    return 0.5 * jnp.log1p(1 / snr)


def _check_symbols(v: ScalarLike) -> None:
    check(v, lambda v: (v >= 2) & (v < np.inf), "v", "a number of symbols, at least 2")


def _arguments(snr: ScalarLike, v: ScalarLike) -> tuple[Array, Array]:
    check(snr, not_negative, "snr", "finite and >= 0")
    _check_symbols(v)
    snr, v = floats(snr, v)
    return snr, v


def _too_clean(log_snr: Array, args: tuple[Array, Array]) -> Array:
    """Positive where the SNR has less noise than asked for."""
    noise, v = args
    there = _missing(jnp.exp(log_snr), v) * v / (v - 1)
    return jnp.log(noise) - jnp.log(jnp.maximum(there, jnp.finfo(noise.dtype).tiny))


@jax.jit
def _missing(snr: Array, v: Array) -> Float[Array, ""]:
    """1 - p_0."""
    std = jnp.sqrt(snr)
    # The product of both laws is centred between 0 and g.
    low, high = snr / 2 - 9 * std - 5, snr + 9 * std + 40
    share = jnp.linspace(0, 1, PLACES, dtype=snr.dtype)
    x = low + (high - low) * share
    # Both forms are computed: neither may see what makes it infinite.
    wide = std > 1
    some = jnp.where(wide, std, 1), jnp.where(wide, 1, std)
    _, above = _law(x, wide, *some)
    density, _ = _law(x - snr, wide, *some)
    # The largest number below one: log(0) has no slope.
    above = jnp.minimum(above, 1 - jnp.finfo(x.dtype).epsneg)
    beaten = -jnp.expm1((v - 1) * jnp.log1p(-above))
    return (high - low) / (PLACES - 1) * jnp.sum(density * beaten)


def _law(
    x: Float[Array, " x"], wide: Array, over_gumbel: Array, over_gauss: Array
) -> tuple[Float[Array, " x"], Float[Array, " x"]]:
    """Density of std n + G at x, and the probability of more than x."""
    g = jnp.arange(*GUMBEL_RANGE, GUMBEL_STEP, dtype=x.dtype)
    weight = GUMBEL_STEP * jnp.exp(-g - jnp.exp(-g))
    z = (x[:, None] - g[None, :]) / over_gumbel
    normal = jnp.exp(-0.5 * z**2) / (math.sqrt(2 * math.pi) * over_gumbel)
    tail = 0.5 * jax.lax.erfc(z / math.sqrt(2))
    n = jnp.arange(-GAUSSIAN_REACH, GAUSSIAN_REACH, GAUSSIAN_STEP, dtype=x.dtype)
    gauss = GAUSSIAN_STEP / math.sqrt(2 * math.pi) * jnp.exp(-0.5 * n**2)
    y = jnp.where(wide, 0, x[:, None] - over_gauss * n[None, :])
    gumbel, beyond = jnp.exp(-y - jnp.exp(-y)), -jnp.expm1(-jnp.exp(-y))
    average = lambda values, weight: jnp.sum(values * weight[None, :], axis=1)
    return (
        jnp.where(wide, average(normal, weight), average(gumbel, gauss)),
        jnp.where(wide, average(tail, weight), average(beyond, gauss)),
    )
