"""The collapse time, predicted: when noised data remember which point they came from.

With n points the memory is complete where the mutual information I(x0; x_t) of the
population reaches log n (the condensation of a random energy model). Three forms of I:
isotropic clusters at leading order, two clusters exactly, any Gaussian spectrum.
All are solved for the SNR s^2 = alpha^2 / sigma^2 and stated in OU time,
e^{2t} = 1 + 1 / s^2.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis.collapse._arguments import (
    check_not_negative,
    check_positive,
    check_several,
    floats,
    spectrum,
)
from jaxwin.analysis.collapse._solve import time_at
from jaxwin.analysis.speciation import class_information, disagreement


def leading_time(rate: ScalarLike, std: ScalarLike) -> Float[Array, ""]:
    """Collapse time of isotropic clusters at leading order in d, in OU time.

    t_C = log(1 + std^2 / (e^{2 rate} - 1)) / 2 with rate = log(n) / d; differentiable.

    Args:
        rate: log(n) / d, > 0.
        std: Standard deviation of a cluster in one coordinate, > 0.

    Raises:
        ValueError: An argument is not > 0.

    References:
        Biroli et al., arXiv:2402.18491, section 3 (random energy model).
    """
    check_positive(rate=rate, std=std)
    rate, std = floats(rate, std)
    # e^{2 rate} itself would overflow.
    return 0.5 * jnp.log1p(std**2 * jnp.exp(-2 * rate) / -jnp.expm1(-2 * rate))


def leading_rate(time: ScalarLike, std: ScalarLike) -> Float[Array, ""]:
    """The log(n) / d whose leading collapse time is `time`: log(1 + S) / 2.

    S = std^2 / (e^{2t} - 1); the boundary of the phase diagram, condensed below it.

    Raises:
        ValueError: An argument is not > 0.
    """
    check_positive(time=time, std=std)
    time, std = floats(time, std)
    return 0.5 * jnp.log1p(std**2 / jnp.expm1(2 * time))


def gaussian_time(eigenvalues: Float[Array, " d"], num_points: ScalarLike) -> Crossing:
    """Where sum_i log(1 + s^2 lambda_i) / 2 = log n: t_gauss, in OU time.

    The population is taken as Gaussian with covariance eigenvalues lambda_i; no
    sampling. Not found where no direction varies, or where the SNR would leave the
    range of the float type.

    Raises:
        ValueError: A negative eigenvalue, or n < 2 (not found where n is traced).
    """
    check_several(num_points)
    eigenvalues, count = floats(spectrum(eigenvalues), num_points)
    return time_at(gaussian_information, eigenvalues, jnp.log(count))


def gaussian_points(eigenvalues: Float[np.ndarray, " d"], time: float) -> float | None:
    """The n whose t_gauss is `time`: exp(sum_i log(1 + s^2 lambda_i) / 2).

    None where that is no time, or more than 10^15.

    Raises:
        ValueError: A negative eigenvalue.
    """
    spread = np.asarray(spectrum(jnp.asarray(eigenvalues)))
    if not time > 0:
        return None
    log_n = 0.5 * np.sum(np.log1p(spread / np.expm1(2 * time)))
    return float(np.exp(log_n)) if log_n < np.log(1e15) else None


def two_cluster_time(
    separation_sq: ScalarLike,
    std: ScalarLike,
    dimension: ScalarLike,
    num_points: ScalarLike,
) -> Crossing:
    """Where the exact information of two equal clusters reaches log n, in OU time.

    I = (d / 2) log(1 + s^2 std^2) + I_class(r), r^2 = |m|^2 s^2 / (1 + s^2 std^2).

    Not found where the clusters are points and n is more than two of them.

    Args:
        separation_sq: |m|^2 of the clusters at +-m, >= 0.
        std: Standard deviation within a cluster, >= 0.
        dimension: d.
        num_points: n, at least 2.

    Raises:
        ValueError: An argument out of range.
    """
    check_not_negative(separation_sq=separation_sq, std=std)
    check_positive(dimension=dimension)
    check_several(num_points)
    law = floats(separation_sq, std, dimension, num_points)
    return time_at(two_cluster_information, tuple(law[:3]), jnp.log(law[3]))


def gaussian_information(log_snr: Array, eigenvalues: Array) -> Float[Array, ""]:
    """I(x0; x) of a Gaussian law, in nats."""
    return 0.5 * jnp.sum(jnp.log1p(jnp.exp(log_snr) * eigenvalues))


def two_cluster_information(
    log_snr: Array, law: tuple[Array, Array, Array]
) -> Float[Array, ""]:
    """I(x0; x) of two equal clusters (|m|^2, std, d), in nats."""
    separation_sq, std, dimension = law
    snr = jnp.exp(log_snr)
    wide = 1 + snr * std**2
    classes = class_information_at(separation_sq * snr / wide)
    return dimension / 2 * jnp.log1p(snr * std**2) + classes


@jax.custom_jvp
def class_information_at(square: Float[Array, ""]) -> Float[Array, ""]:
    """I_class as a function of r^2, whose slope 1 - phi is finite at zero too."""
    return class_information(jnp.sqrt(square))


@class_information_at.defjvp
def _class_information_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (square,), (moved,) = primals, tangents
    return class_information_at(square), disagreement(jnp.sqrt(square)) * moved
