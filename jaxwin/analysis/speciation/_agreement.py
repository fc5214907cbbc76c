"""Two classes in closed form: clone agreement and class information, by quadrature.

Both classes Gaussian with one covariance, everything depends on one number,

    r = |m_1 - m_2| alpha / (2 sqrt(alpha^2 v + sigma^2)),

half the distance of the noised means in units of the noised width.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check, fraction, not_negative
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis._root import bracketed_root

# Trapezoid rule for analytic, decaying integrands: its error falls like
# exp(-2 pi a / step), a the distance of the nearest pole (pi / 2 below).
REACH, STEPS = 40.0, 1601


def separation(
    distance: ScalarLike, variance: ScalarLike, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, ""]:
    """Separation r of two classes whose means are `distance` apart.

    Raises:
        ValueError: One of them is negative.
    """
    given = dict(distance=distance, variance=variance, alpha=alpha, sigma=sigma)
    for name, value in given.items():
        check(value, not_negative, name, "finite and >= 0")
    alpha, sigma = as_float(alpha), as_float(sigma)
    return distance / 2 * alpha / jnp.sqrt(alpha**2 * variance + sigma**2)


def agreement(r: ScalarLike, weight: ScalarLike = 0.5) -> Float[Array, ""]:
    r"""Probability phi that two clones of a noised point end in one class.

    phi = E[p^2 + (1 - p)^2], p the posterior of class 1,

        1 - phi = sqrt(w (1 - w)) e^{-r^2 / 2} E_y[sech(r y + b)],
        b = log(w / (1 - w)) / 2,  y ~ N(0, 1),

    whose right-hand side keeps its digits where phi -> 1. Float64 error below 1e-13.

    Args:
        r: Half the distance of the noised means in noised widths, >= 0.
        weight: Weight w of class 1, in (0, 1).

    Raises:
        ValueError: r < 0, or a weight that is none.

    References:
        Biroli et al., arXiv:2402.18491, section 2 (w = 1/2).
    """
    return 1 - disagreement(r, weight)


def disagreement(r: ScalarLike, weight: ScalarLike = 0.5) -> Float[Array, ""]:
    """1 - phi, with full relative precision where it is small, for weights > 1e-30.

    Raises:
        ValueError: As `agreement`.
    """
    _checked(r, weight)
    return _tilted(lambda u: 1 / jnp.cosh(u), r, weight)


def class_information(r: ScalarLike, weight: ScalarLike = 0.5) -> Float[Array, ""]:
    """Mutual information of class and noised point, in nats.

    I = H(w) - E[h(p)], h the binary entropy of the posterior;
    dI / d(r^2) = 1 - phi(r) at every weight.

    Raises:
        ValueError: As `agreement`.
    """

    def entropy(u: Array) -> Array:
        # 2 cosh(u) h(logistic(2 u)), written so that neither factor overflows.
        q = jnp.exp(-2 * jnp.abs(u))
        rest = (1 + q) * jnp.log1p(q) / jnp.where(q > 0, q, 1)
        return jnp.exp(-jnp.abs(u)) * (jnp.where(q > 0, rest, 1) + 2 * jnp.abs(u))

    _checked(r, weight)
    w = as_float(weight)
    prior = -w * jnp.log(w) - (1 - w) * jnp.log1p(-w)
    return prior - _tilted(entropy, r, weight)


def separation_at(phi: ScalarLike) -> Float[Array, ""]:
    """The r at which two equal classes have clone agreement `phi` in (1/2, 1).

    Differentiable in `phi` by the implicit function theorem.

    Raises:
        ValueError: `phi` is not between 1/2 and 1.
    """
    check(phi, lambda phi: (phi > 0.5) & (phi < 1), "phi", "in (1/2, 1)")
    target = jnp.log1p(-as_float(phi))
    low, high = (jnp.full((), end, target.dtype) for end in (-20.0, 4.0))
    return jnp.exp(bracketed_root(_shortfall, low, high, target))


def _shortfall(log_r: Array, target: Array) -> Array:
    return target - jnp.log(disagreement(jnp.exp(log_r)))


def _checked(r: ScalarLike, weight: ScalarLike) -> None:
    check(r, lambda r: r >= 0, "r", ">= 0")
    check(weight, fraction, "weight", "in (0, 1): leave out an empty class")


def _tilted(g, r: ScalarLike, weight: ScalarLike) -> Float[Array, ""]:
    """sqrt(w (1 - w)) e^{-r^2 / 2} E_y[g(r y + b)] for y ~ N(0, 1).

    The grid is uniform in y for r < 1 and in u = r y + b beyond, where g is the
    narrower factor.
    """
    r, w = as_float(r), as_float(weight)
    w = w.astype(r.dtype)
    bias = 0.5 * (jnp.log(w) - jnp.log1p(-w))
    grid = jnp.linspace(-REACH, REACH, STEPS, dtype=r.dtype)
    # Not `maximum`, whose gradient at r = 1 would be shared between the two grids.
    wide = jnp.where(r > 1, r, 1)
    y = jnp.where(r > 1, (grid - bias) / wide, grid)
    u = jnp.where(r > 1, grid, r * grid + bias)
    log_weight = -0.5 * y**2 - 0.5 * r**2 - 0.5 * jnp.log(2 * jnp.pi) - jnp.log(wide)
    step = 2 * REACH / (STEPS - 1)
    return jnp.sqrt(w * (1 - w)) * step * jnp.sum(jnp.exp(log_weight) * g(u))
