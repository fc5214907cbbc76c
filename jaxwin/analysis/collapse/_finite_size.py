"""Collapse at finite size: own weight and excess entropy by a law of log-weights.

L = log(weight of all others / own weight) of a noised point is, up to the fluctuations
of a random energy model near its condensation, log(n - 1) less the information density
i(x0; x) = log p(x | x0) / p(x): its mean is the mutual information I and its variance
is known, and i is taken as Gaussian.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis.collapse._arguments import (
    check_not_negative,
    check_positive,
    check_several,
    floats,
    spectrum,
)
from jaxwin.analysis.collapse._predicted import class_information_at
from jaxwin.analysis.speciation import disagreement
from jaxwin.io import field

# Trapezoid rule in standard deviations, for analytic integrands: the poles of log
# softplus and log logistic lie at i pi / sd.
REACH, STEPS = 12.0, 4001


class FiniteSize(eqx.Module):
    """The law at one noise level; names are those of `CollapseCurve`.

    excess / log n is f^e / alpha in the notation of the paper.
    """

    log_rest: Float[Array, "..."] = field((), "nats", "E[L] = log(n - 1) - I")
    variance: Float[Array, "..."] = field((), "nats^2", "Var[L], of i(x0; x)")
    own_weight: Float[Array, "..."] = field((), "probability", "phi_C")
    excess: Float[Array, "..."] = field((), "nats", "E log(1 + e^L) = d f^e")
    width: Float[Array, "..."] = field(
        (), "OU time", "standard deviation of L over the slope of its mean"
    )


def gaussian_finite_size(
    eigenvalues: Float[Array, " d"], num_points: ScalarLike, time: ScalarLike
) -> FiniteSize:
    """Own weight and excess entropy of n points of a Gaussian law at an OU time.

        L ~ N(log(n - 1) - I, V),  I = sum_i log(1 + S_i) / 2,
        V = sum_i S_i / (1 + S_i),  S_i = lambda_i e^{-2t} / Delta,
        phi_C = E[1 / (1 + e^L)],   excess = E[log(1 + e^L)].

    V: i(x0; x) = I + sum_i (y_i^2 - z_i^2) / 2, y the noised coordinate and z the noise
    in their own units, correlated by rho_i^2 = 1 / (1 + S_i); Var[y^2 - z^2] / 4 = 1 -
    rho^2 (derived, for any spectrum). The slope dI / dt is -V / Delta, so the width in
    t is Delta / sqrt(V): 1 / sqrt(2 log n) where collapse is at t >> 1, whatever d is.
    phi_C = 1/2 exactly where I = log(n - 1). Against simulation phi_C is up to 9 %
    low and the excess 15 % high at collapse, both within 2 % at later times.

    Raises:
        ValueError: Negative eigenvalues, n < 2, or `time` not > 0.

    References:
        Biroli et al., arXiv:2402.18491, section 3, for f^e and phi_C; the law is
        derived.
    """
    check_several(num_points)
    check_positive(time=time)
    spread, count, time = floats(spectrum(eigenvalues), num_points, time)
    spread = spread / jnp.expm1(2 * time)
    information = 0.5 * jnp.sum(jnp.log1p(spread))
    variance = jnp.sum(spread / (1 + spread))
    return _law(count, information, variance, variance, time)


def two_cluster_finite_size(
    separation_sq: ScalarLike,
    std: ScalarLike,
    dimension: ScalarLike,
    num_points: ScalarLike,
    time: ScalarLike,
    *,
    class_fluctuations: bool = False,
) -> FiniteSize:
    """The same for two equal clusters at +-m, the class information in I.

        I = d log(1 + S) / 2 + I_class(r),   V = d S / (1 + S),

    S = std^2 e^{-2t} / Delta: V is that within a cluster. With `class_fluctuations` it
    is the whole variance of i(x0; x),

        V = d w + Var[c] + w Cov[y^2, c],    w = S / (1 + S),

    c(y) = log 2 - log(1 + e^{-2 r^2 - 2 r y}), y ~ N(0, 1), the information density of
    the class, whose mean is I_class (derived: given y, half of y^2 - z^2 along m has
    mean w (y^2 - 1) / 2). Both terms vanish away from speciation.

    Args:
        separation_sq: |m|^2, >= 0.
        std: Standard deviation within a cluster, >= 0.
        dimension: d.
        num_points: n, at least 2.
        time: OU time, > 0.
        class_fluctuations: Whether V holds those of the class.

    Raises:
        ValueError: An argument out of range.
    """
    check_not_negative(separation_sq=separation_sq, std=std)
    check_positive(dimension=dimension, time=time)
    check_several(num_points)
    separation_sq, std, dimension, count, time = floats(
        separation_sq, std, dimension, num_points, time
    )
    noise = jnp.expm1(2 * time)
    spread = std**2 / noise
    square = separation_sq / (noise * (1 + spread))
    # Not the root of zero, whose slope is infinite.
    r = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    share = spread / (1 + spread)
    information = 0.5 * dimension * jnp.log1p(spread) + class_information_at(square)
    variance = within = dimension * share
    if class_fluctuations:
        y, weight = _grid(r.dtype)
        log_odds = jax.nn.softplus(-2 * r**2 - 2 * r * y)
        centred = log_odds - jnp.sum(weight * log_odds)
        of_class = jnp.sum(weight * (centred - share * (y**2 - 1)) * centred)
        variance = within + of_class
    # dI_class / d(r^2) = 1 - phi(r), and r^2 falls as -2 r^2 / ((1 + S) Delta).
    slope = within + 2 * disagreement(r) * square / (1 + spread)
    return _law(count, information, variance, slope, time)


def _law(
    count: Array, information: Array, variance: Array, slope: Array, time: Array
) -> FiniteSize:
    """The averages; -dI / dt = slope / Delta."""
    mean = jnp.log(count - 1) - information
    # log(1 + e^u) = e^u to rounding below -30; clipped, for the gradient's sake.
    log_softplus = lambda u: jnp.where(
        u < -30, u, jnp.log(jax.nn.softplus(jnp.maximum(u, -30)))
    )
    some = variance > 0
    spread = jnp.sqrt(jnp.where(some, variance, 1))
    ratio = spread / jnp.where(some, slope, 1)
    width = jnp.where(some, -jnp.expm1(-2 * time) * ratio, jnp.inf)
    return FiniteSize(
        log_rest=mean,
        variance=variance,
        own_weight=gaussian_mean(jax.nn.log_sigmoid, -mean, variance),
        excess=gaussian_mean(log_softplus, mean, variance),
        width=width,
    )


def gaussian_mean(
    log_function: Callable[[Array], Array], mean: Array, variance: Array
) -> Float[Array, ""]:
    """E[f(L)], L ~ N(mean, variance), for f like e^L far below 0 and slow far above.

    The Gaussian is tilted to where the mass is, by e^{h L} with h in [0, 1] that moves
    its mean to zero or as near as that goes: small averages keep their digits.
    """
    some = variance > 0
    variance = jnp.where(some, variance, 0)
    sd = jnp.where(some, jnp.sqrt(jnp.where(some, variance, 1)), 0)
    tilt = jnp.clip(-mean / jnp.where(some, variance, 1), 0, 1)
    # An identity in the tilt: nothing depends on it.
    tilt = jax.lax.stop_gradient(jnp.where(some, tilt, 0))
    y, weight = _grid(mean.dtype)
    moved = mean + tilt * variance + sd * y
    terms = jnp.log(weight) + log_function(moved) - tilt * moved
    shift = tilt * mean + 0.5 * tilt**2 * variance
    return jnp.exp(jax.nn.logsumexp(terms) + shift)


def _grid(dtype: jnp.dtype) -> tuple[Array, Array]:
    """Places and weights of E[f(y)], y ~ N(0, 1)."""
    y = jnp.linspace(-REACH, REACH, STEPS, dtype=dtype)
    weight = jnp.exp(-0.5 * y**2)
    return y, weight / jnp.sum(weight)
