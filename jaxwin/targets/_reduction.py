"""Exact reduction of a mixture to the few directions in which it is not Gaussian."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import Point, ScalarLike
from jaxwin.targets._covariance import Full, Isotropic, LowRank
from jaxwin.targets._gaussian_mixture import GaussianMixture


class Reduction(eqx.Module):
    """A law in d dimensions as a law in r dimensions times an isotropic Gaussian.

    x = centre + basis y + (what is orthogonal), y distributed by `target`, the rest an
    independent N(0, variance I). Labels, responsibilities and every label observable of
    x are those of y = `project(x)` at the same noise level, at cost O(r) whatever d.
    """

    target: GaussianMixture
    basis: Float[Array, "d r"]
    centre: Float[Array, " d"]
    variance: Float[Array, ""]

    def project(self, x: Point, alpha: ScalarLike) -> Float[Array, " r"]:
        """Coordinates y of a noised point x = alpha x0 + sigma z in the subspace."""
        return jnp.matmul(x - alpha * self.centre, self.basis, precision="highest")

    def lift(
        self, y: Float[Array, " r"], z: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """The noised point in d dimensions, given y and a Gaussian z: exact in law."""
        inside = jnp.matmul(z, self.basis, precision="highest")
        spread = jnp.sqrt(alpha**2 * self.variance + jnp.asarray(sigma) ** 2)
        return alpha * self.centre + self._embed(y - spread * inside) + spread * z

    def _embed(self, y: Float[Array, " r"]) -> Point:
        return jnp.matmul(y, self.basis.T, precision="highest")


def reduce(target: GaussianMixture) -> Reduction | None:
    """The reduced law, or None for a mixture of another form than these two.

    It exists where all components share the variance of the directions that neither
    their means nor their factors span: isotropic with one variance (r <= K - 1), or
    low rank over one variance (r <= K - 1 + the summed ranks).

    Raises:
        ValueError: The mixture is traced; its rank fixes array shapes.
    """
    if not is_concrete(target):
        raise ValueError("`target` must be concrete: build its reduction outside jit.")
    covariance = target.covariance
    if isinstance(covariance, Isotropic):
        floor = np.asarray(covariance.variances)
        factors = np.zeros((target.dimension, 0))
    elif isinstance(covariance, LowRank):
        floor = np.asarray(covariance.floor)
        raised = np.asarray(covariance.spikes) - floor[:, None]
        columns = (
            np.asarray(covariance.basis) * np.sqrt(np.clip(raised, 0, None))[:, None]
        )
        factors = np.moveaxis(columns, 0, 1).reshape(target.dimension, -1)
    else:
        return None
    if not np.all(floor == floor[0]):
        return None
    weights = np.exp(np.asarray(target.log_weights, np.float64))
    means = np.asarray(target.means, np.float64)
    # Rounded weights that miss 1 would add the direction of the mean to the span.
    centre = (weights / weights.sum()) @ means
    basis = _span(np.concatenate([(means - centre).T, factors], axis=1))
    if basis.shape[1] >= target.dimension:
        return None
    dtype = target.means.dtype
    # `project` subtracts the rounded centre: means are relative to that one.
    centre = centre.astype(dtype)
    inner = jnp.asarray((means - centre) @ basis, dtype)
    if isinstance(covariance, LowRank):
        inside = np.einsum("kdr,ds->krs", np.asarray(covariance.basis), basis)
        extra = np.asarray(covariance.spikes, np.float64) - floor[:, None]
        dense = np.einsum("krs,kr,krt->kst", inside, extra, inside)
        eigenvalues, vectors = np.linalg.eigh(dense)
        spread = np.clip(eigenvalues, 0, None) + floor[:, None]
        reduced = Full(jnp.asarray(vectors, dtype), jnp.asarray(spread, dtype))
    else:
        reduced = Isotropic(covariance.variances[:1], basis.shape[1], len(means))
    law = GaussianMixture(
        inner, reduced, target.log_weights, target.labels, target.num_labels
    )
    as_array = lambda value: jnp.asarray(value, dtype)
    return Reduction(law, as_array(basis), as_array(centre), as_array(floor[0]))


def _span(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the column space, at least one direction."""
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    rank = int(np.sum(singular > 1e-12 * max(singular.max(initial=0), 1e-300)))
    return left[:, : max(rank, 1)]
