"""Equal memories in general position: orthogonal patterns and the regular simplex."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from jaxwin._checks import finite, require
from jaxwin._numerics import as_float
from jaxwin.targets._gaussian_mixture import GaussianMixture


def orthogonal_patterns(
    count: int,
    dimension: int | None = None,
    radius: ArrayLike = 1.0,
    variance: ArrayLike = 0.0,
) -> GaussianMixture:
    """N patterns r e_j along the first axes of R^d, equal weights, a label each.

    Their covariance has the eigenvalue lambda = r^2 / N in the N - 1 directions that
    tell patterns apart and none elsewhere (`variance` adds to each). Fixed points of
    the denoising map obey the mean-field Potts model of N states; for N >= 3 its
    transition is of first order.

    Args:
        count: Number of patterns N >= 1.
        dimension: d >= N; N if left out.
        radius: Length r > 0 of every pattern.
        variance: Width v >= 0 of each, N(r e_j, v I); zero makes point masses.

    Raises:
        ValueError: Fewer dimensions than patterns, no pattern, a radius that is not
            positive, a negative variance.

    References:
        Raya & Ambrogioni, arXiv:2305.19693; Ambrogioni, arXiv:2309.17290.
    """
    _check_whole(count, "count", 1, "patterns")
    dimension = count if dimension is None else dimension
    _check_whole(dimension, "dimension", count, f"dimensions of {count} patterns")
    return _law(np.eye(count, dimension), radius, variance)


def simplex(
    count: int,
    dimension: int | None = None,
    radius: ArrayLike = 1.0,
    variance: ArrayLike = 0.0,
) -> GaussianMixture:
    """The centred regular simplex r (e_j - mean), equal weights, a label each.

    N points of mean zero at equal distances r sqrt(2), each of length
    r sqrt(1 - 1/N): it is r times the simplex of `orthogonal_patterns`, moved to the
    centre, and `radius` is the r of both. The covariance has the eigenvalue
    lambda = r^2 / N, N - 1 times. For points of length R take r = R / sqrt(1 - 1/N).

    Args:
        count: Number of points N >= 2.
        dimension: N - 1 gives the coordinates of their hyperplane (a turn of it); N, if
            left out, those of R^N; more are zeros.
        radius: r > 0.
        variance: Width v >= 0 of each; zero makes point masses.

    Raises:
        ValueError: Fewer than N - 1 dimensions or two points, a radius that is not
            positive, a negative variance.

    References:
        Raya & Ambrogioni, arXiv:2305.19693.
    """
    _check_whole(count, "count", 2, "points")
    dimension = count if dimension is None else dimension
    _check_whole(dimension, "dimension", count - 1, f"dimensions of {count} points")
    if dimension == count - 1:
        return _law(_helmert(count).T, radius, variance)
    points = np.eye(count, dimension)
    return _law(points - points.mean(axis=0), radius, variance)


def _law(points: np.ndarray, radius: ArrayLike, variance: ArrayLike) -> GaussianMixture:
    message = f"`radius` is {radius}; it must be one finite number > 0."
    radius = require(as_float(radius), lambda r: finite(r) & (r > 0), message)
    if radius.shape:
        raise ValueError(message)
    return GaussianMixture.isotropic(
        radius * jnp.asarray(points, radius.dtype), variance
    )


def _helmert(count: int) -> np.ndarray:
    """Orthonormal rows (N - 1, N), all orthogonal to (1 ... 1)."""
    rows = np.arange(1, count)[:, None]
    columns = np.arange(count)[None]
    entries = np.where(columns < rows, 1.0, np.where(columns == rows, -rows, 0.0))
    return entries / np.sqrt(rows * (rows + 1.0))


def _check_whole(value: int, name: str, least: int, of: str) -> None:
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(
            f"`{name}` is {value}; it must be a whole number >= {least}: {of}."
        )
