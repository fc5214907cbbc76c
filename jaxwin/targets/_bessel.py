"""Modified Bessel functions of real order, free of overflow and of cancellation.

Averages of exp(w . u) over directions u, uniform on the unit sphere of R^d, depend on
the order nu = d/2 - 1 and on kappa = |w| alone:

    E[exp(w . u)] = F(kappa) = Gamma(nu + 1) (2 / kappa)^nu I_nu(kappa),
    A = d log F / d kappa = I_{nu+1}(kappa) / I_nu(kappa),    rho = A / kappa.

F, rho and A' are even and smooth in kappa: they are functions of kappa^2 here, of any
size whose square is a number. At an order N of at least some tens the uniform (Debye)
expansion is exact to rounding for every kappa; from there two-term recursions go down
to nu, in terms of one sign or nearly so.

References:
    DLMF 10.41(ii) (the expansion), 10.29 and 10.33 (recursions); Mardia & Jupp,
    Directional Statistics (2000), appendix 1 (A and its derivative).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike

# The lowest order at which the expansion is used, and its terms: the next one is below
# rounding at every kappa, and coefficients are still small enough to lose no digit.
# Steps down lose some at large kappa, and float32 takes fewer of them.
LOWEST, TERMS = 24, 16
LOWEST_FLOAT32, TERMS_FLOAT32 = 10, 8
# Coefficients below this change nothing: their variable is at most one.
NEGLIGIBLE = 1e-19


class Ratios(NamedTuple):
    """Functions of kappa^2 at order nu.

    rho: A / kappa, 1 / (2 nu + 2) at zero. gap: rho - rho at order nu + 1, so that
    d rho / d kappa = -kappa rho gap. slope: A' = 1 - A^2 - (2 nu + 1) rho, the variance
    of the cosine to w; like rho at zero, (nu + 1/2) / kappa^2 far out.
    """

    rho: Float[Array, ""]
    gap: Float[Array, ""]
    slope: Float[Array, ""]


def log_bessel(nu: float, kappa: ScalarLike) -> Float[Array, ""]:
    """Log of kappa^-nu I_nu(kappa), even in kappa; -nu log 2 - log Gamma(nu + 1) at 0.

    Args:
        nu: Order >= -1/2, static.
        kappa: Any number whose square is finite.

    Raises:
        ValueError: An order below -1/2.
    """
    constant = nu * math.log(2.0) + math.lgamma(nu + 1)
    return log_average(nu, as_float(kappa) ** 2) - constant


def log_average(nu: float, square: ScalarLike) -> Float[Array, ""]:
    """Log of E[exp(w . u)] at kappa^2 = |w|^2: zero at zero.

    Args and Raises as in `ratios`.
    """
    return _smooth_log_average(_checked(nu), as_float(square))


def log_scaled_average(nu: float, square: ScalarLike) -> Float[Array, ""]:
    """Log of E[exp(w . u - |w|)], right where it is small beside |w|.

    Not smooth at kappa^2 = 0: take derivatives of `log_average`.

    Args and Raises as in `ratios`.
    """
    return _log_average(_checked(nu), as_float(square), scaled=True)


def ratios(nu: float, square: ScalarLike) -> Ratios:
    """The ratio rho of neighbouring orders and what its derivatives need.

    Relative errors, kappa from 0 to 1e12 and d from 1 to 1e5: below 1e-15 (rho), 3e-15
    (gap) and 4e-13 (slope) in float64, 4e-7, 6e-7 and 2e-5 in float32.

    Args:
        nu: Order d/2 - 1 >= -1/2, static.
        square: kappa^2 >= 0, finite.

    Raises:
        ValueError: An order below -1/2.
    """
    return _ratios(_checked(nu), as_float(square))


def _checked(nu: float) -> float:
    if not -0.5 <= nu < np.inf:
        raise ValueError(
            f"`nu` is {nu}; it must be an order >= -1/2, d/2 - 1 in d dimensions."
        )
    return float(nu)


# Derivatives by the next function of the family: to differentiate the steps one by one
# takes the compiler many seconds.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _smooth_log_average(nu: float, square: Float[Array, ""]) -> Float[Array, ""]:
    return _log_average(nu, square, scaled=False)


@_smooth_log_average.defjvp
def _smooth_log_average_jvp(nu, primals, tangents):
    (square,), (change,) = primals, tangents
    return _smooth_log_average(nu, square), 0.5 * _rho(nu, square) * change


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _rho(nu: float, square: Float[Array, ""]) -> Float[Array, ""]:
    return _ratios(nu, square).rho


@_rho.defjvp
def _rho_jvp(nu, primals, tangents):
    (square,), (change,) = primals, tangents
    rho = _rho(nu, square)
    return rho, -0.5 * rho * _ratios(nu, square).gap * change


@functools.partial(jax.jit, static_argnames="nu")
def _ratios(nu: float, square: Float[Array, ""]) -> Ratios:
    steps = _steps(nu, square)
    rho, gap, slope = _top(nu + steps, square)
    for step in reversed(range(steps)):
        twice = 2 * (nu + step + 1)
        above, rho = rho, 1 / (twice + square * rho)
        # From the recursion of rho and its derivative in kappa.
        gap = rho * above * (2 - square * gap)
        slope = rho**2 * (twice - square * slope)
    if nu == -0.5:
        # 1 / cosh^2, of which a difference leaves nothing.
        far = square > 1
        decay = jnp.exp(-2 * jnp.sqrt(jnp.where(far, square, 1)))
        slope = jnp.where(far, 4 * decay / (1 + decay) ** 2, 1 - square * rho**2)
    return Ratios(rho, gap, slope)


@functools.partial(jax.jit, static_argnames=("nu", "scaled"))
def _log_average(
    nu: float, square: Float[Array, ""], *, scaled: bool
) -> Float[Array, ""]:
    steps = _steps(nu, square)
    order = nu + steps
    stretch, over, p = _stretch(order, square)
    if scaled:
        z = jnp.sqrt(square) / order
        exponent = -(over + z) / (stretch + z)
    else:
        exponent = over
    series = _series(order, square)[0]
    correction = jnp.log1p(_polynomial(series, p))
    # So that nothing is left at kappa = 0.
    at_zero = math.log1p(float(np.sum(series)))
    log_f = order * (exponent - jnp.log1p(0.5 * over)) - 0.5 * jnp.log1p(over)
    log_f = log_f + (correction - at_zero)
    rho = _top(order, square).rho
    for step in reversed(range(steps)):
        twice = 2 * (nu + step + 1)
        log_f = log_f + jnp.log1p(square * rho / twice)
        rho = 1 / (twice + square * rho)
    return log_f


def _steps(nu: float, square: Float[Array, ""]) -> int:
    """Orders between nu and the lowest at which the expansion holds."""
    lowest = LOWEST if square.dtype == jnp.float64 else LOWEST_FLOAT32
    return max(0, math.ceil(lowest - nu))


def _series(
    order: float, square: Float[Array, ""]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of U - 1, U' and U'' for numbers of this type."""
    return _debye(order, TERMS if square.dtype == jnp.float64 else TERMS_FLOAT32)


def _stretch(
    order: float, square: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """The stretch s = sqrt(1 + z^2) at z = kappa / order; s - 1; and 1 / s."""
    z_square = square / order**2
    stretch = jnp.sqrt(1 + z_square)
    return stretch, z_square / (1 + stretch), 1 / stretch


def _top(order: float, square: Float[Array, ""]) -> Ratios:
    r"""Ratios from the uniform expansion, N = `order`, p = 1 / s, U = sum u_k / N^k.

    The derivative of N (s - log(1 + s)) - log(s) / 2 + log U(p) in kappa, and of this
    one once more, with L = U' / U:

        N rho = 1 / (1 + s) - (p^2 / 2 + p^3 L) / N,
        N A'  = p / (1 + s) - (p^4 - p^2 / 2 + (3 p^5 - 2 p^3) L
                - (p^4 - p^6) L') / N,

    and gap = (rho - A') / (kappa^2 rho) without the difference.
    """
    stretch, _, p = _stretch(order, square)
    value, first, second = (_polynomial(c, p) for c in _series(order, square))
    # The first is U - 1, without its constant.
    log_slope = first / (1 + value)
    bend = second / (1 + value) - log_slope**2
    rho = (1 / (1 + stretch) - (p**2 / 2 + p**3 * log_slope) / order) / order
    lost = p**4 - p**2 / 2 + (3 * p**5 - 2 * p**3) * log_slope
    lost = lost - (p**4 - p**6) * bend
    slope = (p / (1 + stretch) - lost / order) / order
    inside = 1 / ((1 + stretch) * (1 + p))
    inside = inside - (p**2 + 3 * p**3 * log_slope + p**4 * bend) / order
    # In this order, so that nothing underflows far out.
    return Ratios(rho, p**2 * (inside / (order**3 * rho)), slope)


def _polynomial(coefficients: np.ndarray, p: Float[Array, ""]) -> Float[Array, ""]:
    """Horner's rule, unrolled: the coefficients are constants."""
    total = jnp.zeros_like(p)
    for coefficient in coefficients[::-1]:
        total = total * p + float(coefficient)
    return total


@functools.lru_cache(maxsize=256)
def _debye(order: float, terms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients in p of U - 1, U' and U'', U(p) = sum_k u_k(p) / order^k."""
    total = np.zeros(3 * terms + 1)
    for k, u in enumerate(_debye_polynomials()[:terms]):
        total[: u.size] += u / order ** (k + 1)
    large = np.flatnonzero(np.abs(total) > NEGLIGIBLE)
    total = total[: large[-1] + 1] if large.size else total[:1]
    powers = np.arange(total.size)
    first = (powers * total)[1:]
    return total, first, (powers[: first.size] * first)[1:]


@functools.cache
def _debye_polynomials() -> list[np.ndarray]:
    """u_1 ... of DLMF 10.41.9, ascending coefficients in p."""
    u, found = np.array([1.0]), []
    for _ in range(TERMS):
        slope = np.polynomial.polynomial.polyder(u)
        moving = np.polynomial.polynomial.polymul([0, 0, 0.5, 0, -0.5], slope)
        inside = np.polynomial.polynomial.polymul([0.125, 0, -0.625], u)
        u = np.polynomial.polynomial.polyadd(
            moving, np.polynomial.polynomial.polyint(inside)
        )
        found.append(u)
    return found
