"""The collapse time, predicted: when noised data remember which point they came from.

With n points the memory is complete where the mutual information I(x0; x_t) of the
population reaches log n (the condensation of a random energy model). Three forms of I:
isotropic clusters at leading order, two clusters exactly, any Gaussian spectrum.
All are solved for the SNR s^2 = alpha^2 / sigma^2 and stated in OU time,
e^{2t} = 1 + 1 / s^2.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float

from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.speciation import class_information

# Share of the float type's range of log-SNR that is searched for a root.
SEARCHED = 0.9


def leading_time(rate: ScalarLike, std: ScalarLike) -> Float[Array, ""]:
    """Collapse time of isotropic clusters at leading order in d, in OU time.

    t_C = log(1 + std^2 / (e^{2 rate} - 1)) / 2 with rate = log(n) / d; differentiable.

    Args:
        rate: log(n) / d, > 0.
        std: Standard deviation of a cluster in one coordinate, > 0.

    References:
        Biroli et al., arXiv:2402.18491, section 3 (random energy model).
    """
    return 0.5 * jnp.log1p(as_float(std) ** 2 / jnp.expm1(2 * as_float(rate)))


def gaussian_time(eigenvalues: Float[Array, " d"], num_points: ScalarLike) -> Crossing:
    """Where sum_i log(1 + s^2 lambda_i) / 2 = log n: t_gauss, in OU time.

    The population is taken as Gaussian with covariance eigenvalues lambda_i; no
    sampling. Not found where no direction varies, where n < 2, or where the SNR would
    leave the range of the float type.
    """
    return _solve(_gaussian_information, eigenvalues, _log(num_points, eigenvalues))


def gaussian_points(eigenvalues: Float[np.ndarray, " d"], time: float) -> float | None:
    """The n whose t_gauss is `time`: exp(sum_i log(1 + s^2 lambda_i) / 2).

    None where that is no time, or more than 10^15.
    """
    if not time > 0:
        return None
    log_n = 0.5 * np.sum(np.log1p(np.clip(eigenvalues, 0, None) / np.expm1(2 * time)))
    return float(np.exp(log_n)) if log_n < np.log(1e15) else None


def two_cluster_time(
    separation_sq: ScalarLike, std: ScalarLike, dimension: int, num_points: ScalarLike
) -> Crossing:
    """Where the exact information of two equal clusters reaches log n, in OU time.

    I = (d / 2) log(1 + s^2 std^2) + I_class(r), r^2 = |m|^2 s^2 / (1 + s^2 std^2).

    Args:
        separation_sq: |m|^2 of the clusters at +-m.
        std: Standard deviation within a cluster.
        dimension: d.
        num_points: n.
    """

    def information(log_snr: Array, law: Array) -> Array:
        snr = jnp.exp(log_snr)
        wide = 1 + snr * law[1] ** 2
        r = jnp.sqrt(law[0] * snr / wide)
        return dimension / 2 * jnp.log(wide) + class_information(r)

    law = jnp.stack([as_float(separation_sq), as_float(std)])
    return _solve(information, law, _log(num_points, law))


def _gaussian_information(log_snr: Array, spread: Array) -> Array:
    return 0.5 * jnp.sum(jnp.log1p(jnp.exp(log_snr) * spread))


def _log(num_points: ScalarLike, law: Array) -> Array:
    return jnp.log(as_float(num_points)).astype(law.dtype)


@eqx.filter_jit
def _solve(
    information: Callable[[Array, Array], Array], law: Array, level: Array
) -> Crossing:
    """The OU time at which information(log_snr, law) = level = log n, by bisection.

    Differentiable in `law` and n by the implicit function theorem.
    """
    gap = lambda log_snr, args: information(log_snr, args[0]) - args[1]
    highest = SEARCHED * jnp.log(jnp.asarray(jnp.finfo(law.dtype).max, law.dtype))
    lowest = -highest
    args = law, level
    found = (gap(lowest, args) < 0) & (gap(highest, args) > 0)
    # Where nothing crosses, solve something that does: a masked branch stays finite.
    safe = lambda log_snr, args: jnp.where(found, gap(log_snr, args), log_snr)
    solver = optx.Bisection(rtol=1e-14, atol=1e-14)
    bracket = dict(lower=lowest, upper=highest)
    start = jnp.zeros_like(lowest)
    root = optx.root_find(
        safe, solver, start, args, bracket, max_steps=256, throw=False
    )
    return exact(0.5 * jnp.log1p(jnp.exp(-root.value)), found)
