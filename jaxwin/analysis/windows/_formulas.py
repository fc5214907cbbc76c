"""Thresholds of Gaussian mixtures in closed form: printed, corrected and sufficient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check, not_negative, positive
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.analysis.windows._sets import Labels, nested, weight
from jaxwin.analysis.windows._theorem import told_apart, told_together, tolerance
from jaxwin.io import field
from jaxwin.targets import GaussianMixture
from jaxwin.targets._covariance import Diagonal, Isotropic


def separation_time(
    distance: ScalarLike, separation: ScalarLike, variance: ScalarLike = 1.0
) -> Crossing:
    """Where two means stand `separation` noised widths apart, in OU time.

        D e^{-t} / sqrt(e^{-2t} v + 1 - e^{-2t}) = c,   t = ln(D^2 / c^2 + 1 - v) / 2.

    Total variation, Bhattacharyya coefficient and divergences of two Gaussians of one
    isotropic covariance depend on the left side alone. Not found where they are closer
    without any noise, D < c sqrt(v).

    Args:
        distance: D of the means, >= 0.
        separation: c, > 0.
        variance: v, >= 0.

    Raises:
        ValueError: D or v below zero, c not above it.

    References:
        Derived.
    """
    check(distance, not_negative, "distance", "finite and >= 0")
    check(separation, positive, "separation", "finite and > 0")
    check(variance, not_negative, "variance", "finite and >= 0")
    distance, separation, variance = floats(distance, separation, variance)
    excess = (distance / separation) ** 2 - variance
    found = excess >= 0
    return exact(0.5 * jnp.log1p(jnp.where(found, excess, 0)), found)


class TwoComponents(eqx.Module):
    """Closed forms for N(+-mu, I) at equal weights, in OU time.

    `end` is T_end of one component within both and `end_pair` that of the pair, `start`
    is T_start of one component. `before_printed` and `after_printed` are the source's.

    Three forms of T_after, which differ in what they promise:

        after_printed   ln|mu| - ln ln(1 / 2 eps^2)       TV >= 1 - eps^2 if eps < .3056
        after_leak      ln|mu| - ln ln(1 / 2 eps^2) / 2   BC = sqrt(2) eps, so that
                                                          Leak <= eps / sqrt(2)
        after_apart     ln|mu| - ln(4 ln(1 / eps)) / 2    TV >= 1 - eps^2 for every eps

    What the source proves is `after_leak`, all that its theorem needs; it lies after
    `start`. A time that would be negative is not found, or zero for an end.
    """

    end: Crossing = field((), "OU time")
    end_pair: Crossing = field((), "OU time")
    start: Crossing = field((), "OU time")
    before_printed: Crossing = field((), "OU time")
    after_printed: Crossing = field((), "OU time")
    after_leak: Crossing = field((), "OU time")
    after_apart: Crossing = field((), "OU time")


def two_components(norm: ScalarLike, epsilon: ScalarLike) -> TwoComponents:
    """Thresholds of two components at +-mu of identity covariance and equal weights.

        TV(p+, p-) = erf(m / sqrt 2),  TV(p+, p) half of it,  m = |mu| e^{-t}.

    Args:
        norm: |mu|, > 0.
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: `epsilon` outside (0, 1).
        ValueError: |mu| not above zero.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Example 1 (`before_printed`,
        `after_printed`; its proof gives `after_leak`); the others derived.
    """
    check(norm, positive, "norm", "finite and > 0")
    norm, epsilon = floats(norm, tolerance(epsilon))
    log_norm = jnp.log(norm)
    # TV(p+, p) never exceeds 1/2: with more tolerance there is nothing to tell.
    half = epsilon < 0.5
    within = told_together(2 * jnp.where(half, epsilon, 0.25)) / 2
    # ln(1 / 2 eps^2) > 0 only then.
    some = 2 * epsilon**2 < 1
    gap = jnp.log(-jnp.log(2 * jnp.where(some, epsilon, 0.5) ** 2))
    never = -jnp.inf
    return TwoComponents(
        end=_end(jnp.where(half, log_norm - jnp.log(within), never)),
        end_pair=_end(log_norm - jnp.log(told_together(epsilon) / 2)),
        start=_start(log_norm - jnp.log(told_apart(epsilon) / 2)),
        before_printed=_end(log_norm + np.log(2) - jnp.log(epsilon)),
        after_printed=_start(jnp.where(some, log_norm - gap, never)),
        after_leak=_start(jnp.where(some, log_norm - 0.5 * gap, never)),
        after_apart=_start(log_norm - 0.5 * jnp.log(-4 * jnp.log(epsilon))),
    )


class OneOfMany(eqx.Module):
    """The window of one component among many, by Example 2's closed forms.

    `after` is where the Bhattacharyya coefficient with the nearest mean is eps / K: a
    bound on the leak, not the TV >= 1 - eps^2 of Definition 4, which `window` solves
    and which is another number. `width` = before - after stays finite as d grows.
    """

    after: Crossing = field((), "OU time")
    before: Crossing = field((), "OU time")
    width: Float[Array, ""] = field((), "OU time", nullable=True)


def one_of_many(
    nearest: ScalarLike, furthest: ScalarLike, count: int, epsilon: ScalarLike
) -> OneOfMany:
    """Window of one of K components of identity covariance, from two distances.

        before = ln D_max + ln(1 / eps),   after = ln D_min - ln(8 ln(K / eps)) / 2.

    Args:
        nearest: Distance D_min to the nearest other mean.
        furthest: Distance D_max to the furthest.
        count: Number K of components, >= 2.
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: `epsilon` outside (0, 1).
        ValueError: A distance not above zero, or fewer than two components.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Example 2.
    """
    check(nearest, positive, "nearest", "finite and > 0")
    check(furthest, positive, "furthest", "finite and > 0")
    check(count, lambda k: k >= 2, "count", "two components or more")
    nearest, furthest, epsilon = floats(nearest, furthest, tolerance(epsilon))
    before = _end(jnp.log(furthest) - jnp.log(epsilon))
    leak = 8 * (np.log(count) - jnp.log(epsilon))
    after = _start(jnp.log(nearest) - 0.5 * jnp.log(leak))
    return OneOfMany(after, before, before.time - after.time)


def random_means_width(count: int, epsilon: ScalarLike) -> Float[Array, ""]:
    """Width ln(1 / eps) + ln(8 ln(K / eps)) / 2 of `one_of_many` as d grows.

    Distances of K means drawn from N(0, I_d) become equal; the window then lies at
    ln(2 d) / 2, and its width in OU time depends on neither.

    Raises:
        BadInput: `epsilon` outside (0, 1).
    """
    check(count, lambda k: k >= 2, "count", "two components or more")
    log = jnp.log(tolerance(epsilon))
    return -log + 0.5 * jnp.log(8 * (np.log(count) - log))


class SufficientTimes(eqx.Module):
    """Times that suffice for any covariances: explicit, and not the earliest possible.

    From `lower` on TV(p^{init}, p^{targ}) <= eps; up to `upper` the leak out of the
    target is <= eps. `means` and `covariances` are the two parts of `lower`: what means
    tell ends near ln|difference|, what covariances tell near half the logarithm of
    their difference; neither is found where a covariance is singular. `upper` is not
    found where two means coincide across the border, and infinite where weights alone
    keep the leak below eps (also if there is no rest).
    """

    lower: Crossing = field((), "OU time")
    upper: Crossing = field((), "OU time")
    means: Crossing = field((), "OU time")
    covariances: Crossing = field((), "OU time")


def sufficient_times(
    law: GaussianMixture, initial: Labels, target: Labels, epsilon: ScalarLike
) -> SufficientTimes:
    """Explicit T_lower and T_upper of a mixture of any covariances.

    With l <= Sigma_i <= L, l' = min(1, l), L' = max(1, L), and over pairs i in the
    initial and j in the target set, or i in the target and j outside:

        TV_ij^2 <= (e^{-2t} |m_i - m_j|^2 / l' + e^{-4t} |S_i - S_j|_F^2 / 2 l'^2) / 4,
        lower = max(ln(|m_i - m_j| / (eps sqrt(2 l'))),
                    ln(|S_i - S_j|_F / (2 l' eps)) / 2),
        Leak <= kappa max exp(-e^{-2t} |m_i - m_j|^2 / 8 L'),
        upper = min ln|m_i - m_j| - ln(8 L' ln(kappa / eps)) / 2,
        kappa = sum sqrt(w_i w_j) / (2 w_targ).

    Args:
        law: A mixture.
        initial: Labels of the set that is noised.
        target: Labels of the set that is to be reached, the initial ones included.
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: `epsilon` outside (0, 1); empty sets, or the initial one not inside
            the target.

    References:
        Derived (Pinsker's inequality and Jeffreys divergences); the role of the
        well-conditioned corollary of Li & Chen, arXiv:2403.01633.
    """
    inner, outer = nested(initial, target, law.log_label_prior())
    epsilon = tolerance(epsilon).astype(law.means.dtype)
    some = law.log_weights > -jnp.inf
    first, second = inner[law.labels] & some, outer[law.labels] & some
    rest = ~outer[law.labels] & some
    spectrum = jnp.where(some[:, None], law.covariance.spectrum()[0], 1)
    smallest, largest = jnp.min(spectrum), jnp.max(spectrum)
    # A singular covariance leaves nothing to divide by: no such time is found.
    flat = smallest <= 0
    smallest = jnp.where(flat, 1, jnp.where(smallest < 1, smallest, 1))
    largest = jnp.where(largest > 1, largest, 1)
    apart = _safe_root(_squares(law.means))
    spread = _safe_root(covariance_gaps(law))

    pairs = first[:, None] & second[None]
    log_largest = lambda of: _log(jnp.max(jnp.where(pairs, of, 0)))
    log_scale = jnp.log(2 * smallest)
    end = lambda time: _end(jnp.where(flat, jnp.inf, time))
    means = log_largest(apart) - jnp.log(epsilon) - 0.5 * log_scale
    covariances = 0.5 * (log_largest(spread) - log_scale - jnp.log(epsilon))

    across = second[:, None] & rest[None]
    nearest = _log(jnp.min(jnp.where(across, apart, jnp.inf)))
    log_pair = 0.5 * (law.log_weights[:, None] + law.log_weights[None])
    total = jnp.sum(jnp.where(across, jnp.exp(log_pair), 0))
    kappa = total / (2 * weight(law.log_label_prior(), outer))
    # With so little weight across the border the leak is below eps at any noise.
    always = kappa <= epsilon
    excess = jnp.log(jnp.where(always, 2 * epsilon, kappa) / epsilon)
    upper = nearest - 0.5 * jnp.log(8 * largest * excess)
    return SufficientTimes(
        lower=end(jnp.maximum(means, covariances)),
        upper=_start(jnp.where(always, jnp.inf, upper)),
        means=end(means),
        covariances=end(covariances),
    )


def covariance_gaps(law: GaussianMixture) -> Float[Array, "k k"]:
    """Squared Frobenius norms |Sigma_i - Sigma_j|_F^2 of all pairs of components."""
    covariance = law.covariance
    if isinstance(covariance, Isotropic):
        variances = covariance.spectrum()[0]
        return covariance.dimension * _squares(variances)
    if isinstance(covariance, Diagonal):
        return _squares(covariance.variances)

    def dense(k: Array) -> Array:
        one = covariance.component(k)
        return one.dense_sum(one.spectrum()[0]).reshape(-1)

    rows = jax.vmap(dense)(jnp.arange(law.log_weights.size))
    # Row by row: all pairs at once would hold k^2 matrices.
    return jax.lax.map(lambda row: jnp.sum((rows - row[None]) ** 2, axis=1), rows)


def _squares(rows: Float[Array, "k d"]) -> Float[Array, "k k"]:
    """Squared distances of all pairs of rows, differences first."""
    gaps = lambda row: jnp.sum((rows - row[None]) ** 2, axis=1)
    return jax.lax.map(gaps, rows)


def _safe_root(square: Array) -> Array:
    """The root, with slope zero at zero."""
    some = square > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, square, 1)), 0)


def _log(value: Array) -> Array:
    """The logarithm, -inf at zero without a slope there."""
    some = value > 0
    return jnp.where(some, jnp.log(jnp.where(some, value, 1)), -jnp.inf)


def _end(time: Array) -> Crossing:
    """From here on: zero where it holds without noise, not found at infinity."""
    return exact(jnp.where(time > 0, time, 0), time < jnp.inf)


def _start(time: Array) -> Crossing:
    """Up to here: not found where it does not hold without noise."""
    return exact(time, time >= 0)
