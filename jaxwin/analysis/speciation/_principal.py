"""A data set in its principal axes: the coordinates in which all is computed."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxwin._checks import BadInput
from jaxwin.analysis.speciation._times import Spectrum

# Coordinates of a smaller standard deviation, relative to the largest, are rounding.
ROUNDING = 1e-13


class Principal(NamedTuple):
    """Points in their principal axes, ordered by their distance to the mean.

    The axes and the order turn with the data, so that what is drawn by index and noised
    by coordinate does not depend on the order of the points, on their origin, or on a
    rotation. coordinates: (n, r), r the rank, or fewer. order: which point each row is.
    eigenvalues: all of the covariance (over n - 1) that are not zero, descending.
    kept: the share of the variance that the coordinates hold, 1 unless cut.
    """

    coordinates: Float[np.ndarray, "n r"]
    order: Int[np.ndarray, " n"]
    eigenvalues: Float[np.ndarray, " m"]
    spectrum: Spectrum
    kept: float


def principal(
    centred: Float[np.ndarray, "n d"], rank: int | None = None, count: int = 10
) -> Principal:
    """Principal axes by the covariance, or by the Gram matrix where d > n.

    In float64 on the host, O(n d min(n, d)). All distances between points are kept,
    unless `rank` cuts them down to those in the leading subspace.

    Args:
        centred: Points about their mean.
        rank: Leading directions to keep; all if left out.
        count: Leading eigenvalues and directions of the `spectrum`.

    Raises:
        BadInput: `rank` is not between 1 and the rank of the data.
    """
    n, d = centred.shape
    wide = d > n
    square = centred @ centred.T if wide else centred.T @ centred
    values, vectors = np.linalg.eigh(square)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    least = ROUNDING**2 * values[0]
    if wide:
        full = int(np.sum(values > max(least, n * np.finfo(float).eps * values[0])))
        coordinates = vectors[:, :full] * np.sqrt(values[:full])
    else:
        coordinates = centred @ vectors
        size = np.einsum("nd,nd->d", coordinates, coordinates)
        full = int(np.flatnonzero(size > least)[-1]) + 1
    if rank is not None and not 1 <= rank <= full:
        raise BadInput(
            f"`pca` is {rank}; it must lie between 1 and {full}, the rank of the data."
        )
    cut = full if rank is None else rank
    coordinates = np.ascontiguousarray(coordinates[:, :cut])
    # An axis points to where the third moment is positive: no sign is left to chance.
    sign = np.where(np.einsum("nr,nr,nr->r", *[coordinates] * 3) < 0, -1.0, 1.0)
    coordinates *= sign
    order = np.argsort(np.einsum("nr,nr->n", coordinates, coordinates), kind="stable")
    shown = min(count, cut)
    directions = vectors[:, :shown] * sign[:shown]
    if wide:
        directions = centred.T @ directions / np.sqrt(values[:shown])
    top = values[0] / n
    fourth = np.mean((coordinates[:, 0] ** 2 / top) ** 2)
    stderr = top * np.sqrt(max(fourth - 1, 0) / n)
    pad = min(count, d) - shown
    spectrum = Spectrum(
        jnp.asarray(np.pad(values[:shown] / (n - 1), (0, pad))),
        jnp.asarray(np.pad(directions, ((0, 0), (0, pad)))),
        jnp.asarray(stderr),
    )
    return Principal(
        coordinates=coordinates[order],
        order=order,
        eigenvalues=values[:full] / (n - 1),
        spectrum=spectrum,
        kept=float(values[:cut].sum() / values[:full].sum()),
    )
