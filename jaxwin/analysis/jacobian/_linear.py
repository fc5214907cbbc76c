"""Linear manifolds in closed form: eigenvalues of the score's Jacobian, and their gaps.

A Gaussian with covariance eigenvalues lambda, seen at noise-to-signal ratio
u = sigma^2 / alpha^2 (the variance of the VE clock, e^{2t} - 1 in OU time), has

    -sigma^2 J  with eigenvalues  u / (u + lambda):

near 0 along the data, 1 across. The same everywhere in space.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_positive, require
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.io import field


class WidestGap(eqx.Module):
    """Where the gap between two groups of eigenvalues is widest, and how wide.

    Without a gap (the first group does not lie above the second) `time.found` is false
    and `ratio` and `height` are NaN.
    """

    time: Crossing
    ratio: Float[Array, ""] = field(
        (), "data units squared", "u = sigma^2 / alpha^2", nullable=True
    )
    height: Float[Array, ""] = field((), "", "of the gap, 0 to 1", nullable=True)


def ou_time(ratio: TimesLike) -> Float[Array, "..."]:
    """OU time t = log(1 + u) / 2 at the noise-to-signal ratio u = sigma^2 / alpha^2.

    Raises:
        ValueError: A concrete `ratio` is not finite and positive.
    """
    return 0.5 * jnp.log1p(_positive(ratio, "ratio"))


def normalised(ratio: TimesLike, variances: TimesLike) -> Float[Array, "..."]:
    """Eigenvalues u / (u + lambda) of -sigma^2 J, shapes as they broadcast.

    Args:
        ratio: u = sigma^2 / alpha^2, > 0.
        variances: Eigenvalues lambda >= 0 of the covariance of the clean law.

    Raises:
        ValueError: Concrete values out of range.

    References:
        Ventura et al. (2024), arXiv:2410.05898; derived: J = -(alpha^2 C + sigma^2)^-1.
    """
    u = _positive(ratio, "ratio")
    return u / (u + _not_negative(variances, "variances").astype(u.dtype))


def degrees_of_freedom(ratio: TimesLike, variances: TimesLike) -> Float[Array, "..."]:
    """Directions sum_i lambda_i / (u + lambda_i) along which the data vary freely.

    The trace of I + sigma^2 J, over the last axis of `variances`: each direction counts
    by the share of the noised point's variance that is not noise.

    Args:
        ratio: u = sigma^2 / alpha^2, > 0, one number.
        variances: Eigenvalues (..., d), >= 0.

    Raises:
        ValueError: Concrete values out of range.
    """
    u = _positive(ratio, "ratio")
    spread = _not_negative(variances, "variances").astype(u.dtype)
    return jnp.sum(spread / (u + spread), axis=-1)


def gap(ratio: TimesLike, upper: TimesLike, lower: TimesLike) -> Float[Array, "..."]:
    """Gap between the eigenvalues of two groups of directions at u = sigma^2 / alpha^2.

        gap(u) = u / (u + g2) - u / (u + g1) = u (g1 - g2) / ((u + g1) (u + g2))

    Args:
        ratio: u, > 0.
        upper: g1, the smallest variance of the wide group, > 0.
        lower: g2, the largest variance of the narrow group, >= 0.

    Raises:
        ValueError: Concrete values out of range.

    References:
        Ventura et al. (2024), arXiv:2410.05898 (spectral gaps); derived.
    """
    u = _positive(ratio, "ratio")
    g1 = _positive(upper, "upper").astype(u.dtype)
    g2 = _not_negative(lower, "lower").astype(u.dtype)
    # Two factors of order one: the product of the denominators may overflow.
    return (g1 - g2) / (u + g1) * (u / (u + g2))


def widest_gap(upper: ScalarLike, lower: ScalarLike) -> WidestGap:
    """The u = sqrt(g1 g2) at which `gap` is widest, and its height there.

        height = (sqrt(g1) - sqrt(g2)) / (sqrt(g1) + sqrt(g2)),

    derived: the gap in log u is symmetric about log(g1 g2) / 2. With g2 = 0 the gap
    widens to 1 as u -> 0. Not found where g1 <= g2.

    Args:
        upper: g1, the smallest variance of the wide group, > 0.
        lower: g2, the largest variance of the narrow group, >= 0.

    Raises:
        ValueError: Concrete values out of range.
    """
    g1 = _positive(upper, "upper")
    g2 = _not_negative(lower, "lower").astype(g1.dtype)
    found = g1 > g2
    # Roots of safe values: a masked branch must not send NaN into a gradient.
    wide = jnp.sqrt(jnp.where(found, g1, 1))
    narrow = jnp.sqrt(jnp.where(found, g2, 0.25))
    ratio = wide * narrow
    # The difference of roots without cancellation.
    height = jnp.where(found, g1 - g2, 0.75) / (wide + narrow) ** 2
    none = lambda value: jnp.where(found, value, jnp.nan)
    return WidestGap(exact(0.5 * jnp.log1p(ratio), found), none(ratio), none(height))


def marchenko_pastur_edges(
    std: ScalarLike, dimension: int, columns: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Edges std^2 (1 -+ sqrt(d / m))^2 of the nonzero spectrum of F F^T.

    F is (d, m) with independent entries of variance std^2 / m; d, m -> infinity.

    Raises:
        ValueError: `std` not positive, `dimension` or `columns` < 1.

    References:
        Marchenko & Pastur (1967), Math. USSR-Sbornik 1 (4), 457.
    """
    for value, name in ((dimension, "dimension"), (columns, "columns")):
        check_positive(float(value), name)
    variance = _positive(std, "std") ** 2
    root = float(np.sqrt(dimension / columns))
    return variance * (1 - root) ** 2, variance * (1 + root) ** 2


def frame_gap(
    large: ScalarLike, small: ScalarLike, dimension: int, columns: int
) -> WidestGap:
    """The widest gap of a Gaussian frame with two scales, `columns` of each.

    Between the lower Marchenko-Pastur edge of the large scale and the upper one of the
    small scale, as if either were alone (the two groups of columns are not orthogonal:
    an approximation).

    Args:
        large: Standard deviation of the large scale (see `marchenko_pastur_edges`).
        small: That of the small scale.
        dimension: d.
        columns: Columns m of each scale.

    Raises:
        ValueError: As `marchenko_pastur_edges`; as many columns as dimensions, where
            the lower edge is 0.

    References:
        Ventura et al. (2024), arXiv:2410.05898 (random linear manifolds).
    """
    upper = marchenko_pastur_edges(large, dimension, columns)[0]
    return widest_gap(upper, marchenko_pastur_edges(small, dimension, columns)[1])


def _positive(value: Any, name: str) -> Array:
    test = lambda value: (value > 0) & (value < np.inf)
    return require(as_float(value), test, f"`{name}` must be finite and positive.")


def _not_negative(value: Any, name: str) -> Array:
    test = lambda value: (value >= 0) & (value < np.inf)
    message = f"`{name}` must be finite and >= 0: clip the rounding of an eigensolver."
    return require(as_float(value), test, message)
