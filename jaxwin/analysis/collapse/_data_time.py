"""The Gaussian collapse time of data, differentiable in the data."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis.collapse._predicted import gaussian_time


def gaussian_time_of(
    points: Float[Array, "n d"], num_points: ScalarLike | None = None
) -> Crossing:
    """`gaussian_time` of the points' covariance, in OU time.

    Gradients in the points are finite where eigenvalues coincide or vanish: that of a
    symmetric function of eigenvalues needs no gap between them. The covariance divides
    by the number of rows; the smaller of it and the Gram matrix is decomposed.

    Args:
        points: Data as rows.
        num_points: n; the number of rows if left out.

    Raises:
        ValueError: Fewer than 2 rows.
    """
    rows, dimension = points.shape
    if rows < 2:
        raise BadInput(
            f"`points` has {rows} row(s); a covariance needs at least 2: take more."
        )
    a = (points - jnp.mean(points, axis=0)[None]) / rows**0.5
    a = a.T if rows > dimension else a
    eigenvalues = spectrum(jnp.matmul(a, a.T, precision="highest"))
    return gaussian_time(eigenvalues, rows if num_points is None else num_points)


@jax.custom_jvp
def spectrum(symmetric: Float[Array, "r r"]) -> Float[Array, " r"]:
    """Eigenvalues of a covariance, for use in functions symmetric in them.

    d lambda_i = v_i^T dC v_i; where eigenvalues coincide that of each depends on the
    basis, their symmetric functions do not.
    """
    # Rounding below zero taken off.
    return jnp.maximum(jnp.linalg.eigvalsh(symmetric), 0)


@spectrum.defjvp
def _spectrum_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    values, basis = jnp.linalg.eigh(primals[0])
    moved = jnp.matmul(tangents[0], basis, precision="highest")
    return jnp.maximum(values, 0), jnp.sum(basis * moved, axis=0)
