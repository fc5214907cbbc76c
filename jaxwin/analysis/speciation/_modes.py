"""Clone agreement of many equidistant modes, by one-dimensional quadrature."""

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
from jaxtyping import Array, Float

from jaxwin._checks import (
    check,
    fraction,
    not_negative,
    positive,
)
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, ScalarLike, TimesLike
from jaxwin.analysis.speciation._agreement import agreement

# Trapezoid rules: the outer one in v, the inner ones in a Gaussian z or a Gumbel tau,
# whose integrands are analytic in a strip of half-width pi / 2 or more.
OUTER, STEP, GAUSSIAN_REACH, GUMBEL_LOW, GUMBEL_HIGH = 480, 0.25, 10.0, -76.0, 5.0
# Separations beyond it leave a disagreement below the smallest float64.
FURTHEST = 60.0


def modes_agreement(s: ScalarLike, weights: AnyArray | int) -> Float[Array, ""]:
    """Clone agreement phi of Gaussian modes of one variance at equal mutual distances.

    phi = E[sum_k p_k^2] for means of one norm |m|, orthogonal to each other, any number
    of them and any weights; error below 1e-12 in float64.

    Args:
        s: |m| alpha / sqrt(alpha^2 v + sigma^2), >= 0: the noised means' norm in noised
            widths, sqrt(2) times the `separation` of a pair. Two modes have agreement
            `agreement(s / sqrt(2), w)`.
        weights: (k,) weights, > 0, normalised here; or the number of equal modes, any.

    References:
        Derived. phi = sum_k w_k E_k[p_k], and 1 / sum_j b_j = int_0^inf e^{-u sum b} du
        with b_j = w_j e^{s y_j} factorises over modes; u = e^v.
    """
    return 1 - modes_disagreement(s, weights)


def modes_disagreement(s: ScalarLike, weights: AnyArray | int) -> Float[Array, ""]:
    """1 - phi of `modes_agreement`, to relative precision down to 1e-100.

        1 - phi = sum_k w_k sum_{j != k} int dv G(v_j) L(v_k + s^2) prod_l L(v_l)
                                              / (L(v_j) L(v_k)),
        L(v) = E[exp(-e^{v + s z})],  G = -L',  v_l = v + log w_l,  z ~ N(0, 1).

    Args:
        s: As in `modes_agreement`.
        weights: As in `modes_agreement`.

    Raises:
        ValueError: Fewer than two modes, a weight that is not positive, s < 0.
    """
    check(s, not_negative, "s", "finite and >= 0")
    s = as_float(s)
    if isinstance(weights, int):
        check(weights, lambda k: k >= 2, "weights", "two modes or more")
        log_weights = jnp.full((1,), -jnp.log(weights), s.dtype)
        counts = jnp.full((1,), weights, s.dtype)
    else:
        weights = as_float(weights).astype(s.dtype)
        if weights.ndim != 1 or weights.size < 2:
            raise ValueError(
                f"`weights` has shape {weights.shape}; it must be a list of at least "
                f"two: phi of one mode is one."
            )
        check(weights, positive, "weights", "positive; leave out an empty mode")
        log_weights = jnp.log(weights) - jnp.log(jnp.sum(weights))
        counts = jnp.ones_like(weights)
    return _disagreement(s, log_weights, counts)


def nested_agreement(
    separations: Float[Array, " l"], weights: TimesLike = 0.5
) -> Float[Array, " l"]:
    """Clone agreement of classes at every level of independent two-way splits.

    For clusters at +-m_1 +-m_2 ... with orthogonal m_l and one variance, the noised law
    is a product over l: posteriors multiply, and so do purities,

        phi_l = phi(r_1) phi(r_2) ... phi(r_l):

    the coarse classes are told by the first split, those of level l by the first l.

    Args:
        separations: r_l = |m_l| alpha / sqrt(alpha^2 v + sigma^2), coarse first.
        weights: Weight of the + side of each split, one for all or (l,).

    References:
        Derived from Biroli et al., arXiv:2402.18491, section 2, split by split.
    """
    check(separations, not_negative, "separations", "finite and >= 0")
    check(weights, fraction, "weights", "in (0, 1); leave out a split of one side")
    each = jnp.broadcast_to(as_float(weights), separations.shape)
    return jnp.cumprod(jax.vmap(agreement)(separations, each))


@jax.jit
def _disagreement(s: Array, log_weights: Array, counts: Array) -> Array:
    s = jnp.minimum(s, FURTHEST)
    rarest = jnp.max(log_weights)
    # Left of it e^{v + s^2 / 2} has vanished beside 1 - phi > e^{-s^2 / 4}, right of it
    # the largest mode's L has.
    v = jnp.linspace(-0.75 * s**2 - 40, 10 + 9 * s - rarest, OUTER)
    at = v[None] + log_weights[:, None]
    log_survival, log_rate = jax.lax.map(lambda u: _laplace(u, s), at)
    shifted, _ = jax.lax.map(lambda u: _laplace(u, s), at + s**2)
    total = jnp.sum(counts[:, None] * log_survival, axis=0)
    first = (log_weights + jnp.log(counts))[:, None] + shifted - log_survival
    others = counts[None] - jnp.eye(counts.size, dtype=s.dtype)
    hazard = (log_rate - log_survival)[None]
    # log of a safe value: an absent pair must not send NaN into a gradient.
    present = others > 0
    log_others = jnp.where(present, jnp.log(jnp.where(present, others, 1)), -jnp.inf)
    second = jsp.logsumexp(hazard + log_others[:, :, None], axis=1)
    log_terms = total + jsp.logsumexp(first + second, axis=0)
    return (v[1] - v[0]) * jnp.sum(jnp.exp(log_terms))


def _laplace(v: Array, s: Array) -> tuple[Array, Array]:
    """Logs of L and -L' at each v: averages over z for s < 1, else over tau.

    e^{-e^x} is the probability that a Gumbel variable tau, of density e^{tau - e^tau},
    lies above x: L(v) = E_tau[Phi((tau - v) / s)], smooth where s is large.
    """
    return jax.lax.cond(s < 1, _over_gaussian, _over_gumbel, v, s)


def _over_gaussian(v: Array, s: Array) -> tuple[Array, Array]:
    z = jnp.arange(-GAUSSIAN_REACH, GAUSSIAN_REACH + STEP, STEP, dtype=v.dtype)
    log_mass = -0.5 * z**2 - 0.5 * jnp.log(2 * jnp.pi) + jnp.log(STEP)
    x = v[None] + s * z[:, None]
    below = jnp.sum(jnp.exp(log_mass)[:, None] * -jnp.expm1(-jnp.exp(x)), axis=0)
    log_survival = jsp.logsumexp(log_mass[:, None] - jnp.exp(x), axis=0)
    log_rate = jsp.logsumexp(log_mass[:, None] + x - jnp.exp(x), axis=0)
    return _precise(log_survival, below), log_rate


def _over_gumbel(v: Array, s: Array) -> tuple[Array, Array]:
    tau = jnp.arange(GUMBEL_LOW, GUMBEL_HIGH, STEP, dtype=v.dtype)
    log_mass = tau - jnp.exp(tau) + jnp.log(STEP)
    x = (tau[:, None] - v[None]) / s
    below = jnp.sum(jnp.exp(log_mass)[:, None] * jsp.ndtr(-x), axis=0)
    log_survival = jsp.logsumexp(log_mass[:, None] + jsp.log_ndtr(x), axis=0)
    log_density = -0.5 * x**2 - 0.5 * jnp.log(2 * jnp.pi) - jnp.log(s)
    return _precise(log_survival, below), jsp.logsumexp(
        log_mass[:, None] + log_density, axis=0
    )


def _precise(log_survival: Array, below: Array) -> Array:
    """Log of L, from 1 - L where that is the smaller."""
    small = below < 0.5
    return jnp.where(small, jnp.log1p(-jnp.where(small, below, 0)), log_survival)
