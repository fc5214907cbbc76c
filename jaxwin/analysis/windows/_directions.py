"""Directions in which components of a mixture differ, and the mixture seen in them."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._numerics import channel_variance
from jaxwin._typing import ScalarLike
from jaxwin.targets import GaussianMixture
from jaxwin.targets._covariance import Diagonal, Full, Isotropic, LowRank

# What is smaller, relative to the largest, is rounding.
ROUNDING = 1e-12


class Directions(eqx.Module):
    """Components of a mixture and the span B of all in which they differ.

    With B spanning the differences of means and the ranges of the differences of
    covariances, B^T C_0^-1 x says all about which component x is from, C_0 being the
    noised covariance of the first: r numbers, r the rank of B, at every noise level.
    Whitening at one level is exact, since each level is whitened for itself.
    """

    components: Int[Array, " k"]
    basis: Float[Array, "d r"]
    one_covariance: bool = eqx.field(static=True)

    @property
    def dimension(self) -> int:
        """Number r of directions."""
        return self.basis.shape[1]

    def turned(self, angle: float) -> "Directions":
        """Other axes of the same plane; nothing but quadrature depends on them."""
        cos, sin = np.cos(angle), np.sin(angle)
        turn = jnp.asarray([[cos, -sin], [sin, cos]], self.basis.dtype)
        basis = jnp.matmul(self.basis, turn, precision="highest")
        return Directions(self.components, basis, self.one_covariance)


class Seen(NamedTuple):
    """Components in r dimensions at one noise level, their weights of sum one.

    Labels are those of the law.
    """

    log_weights: Float[Array, " k"]
    labels: Int[Array, " k"]
    centres: Float[Array, "k r"]
    covariances: Float[Array, "k r r"]


def directions(
    law: GaussianMixture, labels: Bool[np.ndarray, " c"] | None = None
) -> Directions:
    """Where the components of some labels differ (all labels if left out).

    Components without weight are left out. To be found once, outside of what is
    compiled; a gradient with respect to the law is exact with the directions held
    fixed: a distance seen along them is at most the distance, and equal to it here.

    Raises:
        ValueError: The mixture is traced and its directions cannot be told: more than
            two dimensions, unless it is isotropic of one variance and at most three
            components.
    """
    if not is_concrete(law):
        return _traced(law)
    present = np.asarray(law.log_weights) > -np.inf
    if labels is not None:
        present &= np.asarray(labels)[np.asarray(law.labels)]
    chosen = np.flatnonzero(present)
    basis, one_covariance = _basis(law, chosen)
    return Directions(
        jnp.asarray(chosen.astype(np.int32)),
        jnp.asarray(basis, law.means.dtype),
        one_covariance,
    )


def reduced_dimension(law: GaussianMixture) -> int:
    """Dimensions that are left where the label of a noised point depends on no more.

    Raises:
        ValueError: The mixture is traced.
    """
    return directions(law).dimension


def seen(
    law: GaussianMixture, within: Directions, alpha: ScalarLike, sigma: ScalarLike
) -> Seen:
    """The components in their directions, the first one whitened, about its mean."""
    covariance, basis = law.covariance, within.basis
    first = within.components[0]
    own = covariance.component(first)
    noise = channel_variance(sigma)
    noised = alpha**2 * own.spectrum()[0] + noise
    lifted = jax.vmap(lambda b: own.apply(1 / noised, b[None])[0])(basis.T)
    product = lambda a, b: jnp.matmul(a, b, precision="highest")
    form = product(lifted, basis)
    factor = jnp.linalg.cholesky((form + form.T) / 2)
    rows = jsl.solve_triangular(factor, lifted, lower=True)
    means = law.means[within.components]
    apart = means - law.means[first][None]
    eigenvalues = covariance.spectrum()[0]
    every = lambda row: jnp.broadcast_to(row[None], law.means.shape)
    between = jax.vmap(
        lambda a: jax.vmap(
            lambda b: covariance.bilinear(eigenvalues, every(a), every(b))
        )(rows)
    )(rows)
    clean = jnp.moveaxis(between, 2, 0)[within.components]
    # Summed, not one plus a difference: a narrow component keeps its digits.
    covariances = alpha**2 * clean + (noise * product(rows, rows.T))[None]
    return Seen(
        jax.nn.log_softmax(law.log_weights[within.components]),
        law.labels[within.components],
        alpha * product(apart, rows.T),
        covariances,
    )


def _traced(law: GaussianMixture) -> Directions:
    count, dimension = law.means.shape
    every = jnp.arange(count, dtype=jnp.int32)
    covariance, dtype = law.covariance, law.means.dtype
    shared = isinstance(covariance, Isotropic) and covariance.variances.size == 1
    if count == 1:
        return Directions(every, jnp.eye(dimension, dtype=dtype)[:, :1], shared)
    if shared and count <= min(3, dimension):
        apart = jax.lax.stop_gradient(law.means[1:] - law.means[:1])
        # Singular vectors are orthonormal also where means coincide or lie on a line.
        basis = jnp.linalg.svd(apart.T, full_matrices=False)[0]
        return Directions(every, basis, True)
    if dimension <= 2:
        return Directions(every, jnp.eye(dimension, dtype=dtype), shared)
    raise ValueError(
        f"`law` is traced and has {dimension} dimensions; the directions in which its "
        f"components differ fix array shapes: find them outside of jit and grad by "
        f"`windows.directions(law)` and hand them over."
    )


def _basis(
    law: GaussianMixture, chosen: Int[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "d r"], bool]:
    """Orthonormal directions, at least one, and whether there is one covariance."""
    means = np.asarray(law.means, np.float64)[chosen]
    apart = (means - means[:1])[1:].T
    changes = _covariance_changes(law, chosen)
    if changes is None:
        return np.eye(law.dimension), False
    one_covariance = not changes.any()
    columns = [_scaled(apart), _scaled(changes)]
    some = np.concatenate(columns, axis=1)
    if not some.size:  # nothing differs
        return np.eye(law.dimension)[:, :1], one_covariance
    left, singular, _ = np.linalg.svd(some, full_matrices=False)
    return left[:, singular > ROUNDING * singular.max()], one_covariance


def _scaled(columns: Float[np.ndarray, "d n"]) -> Float[np.ndarray, "d m"]:
    """In units of the largest, for means and covariances have different ones."""
    size = np.abs(columns).max(initial=0)
    return columns / size if size > 0 else columns[:, :0]


def _covariance_changes(
    law: GaussianMixture, chosen: Int[np.ndarray, " k"]
) -> Float[np.ndarray, "d n"] | None:
    """Columns that span the ranges of Sigma_k - Sigma_0; None where that is all."""
    covariance, dimension = law.covariance, law.dimension
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(covariance)]
    if all(
        len(leaf) == 1 or np.all(leaf[chosen] == leaf[chosen[:1]]) for leaf in leaves
    ):
        return np.zeros((dimension, 0))
    if isinstance(covariance, Isotropic):
        return None
    if isinstance(covariance, Diagonal):
        variances = np.asarray(covariance.variances, np.float64)[chosen]
        return np.eye(dimension)[:, np.any(variances != variances[:1], axis=0)]
    if isinstance(covariance, LowRank):
        floor = np.asarray(covariance.floor, np.float64)[chosen]
        if np.any(floor != floor[0]):
            return None
        raised = np.asarray(covariance.spikes, np.float64)[chosen] - floor[:, None]
        axes = np.asarray(covariance.basis, np.float64)[chosen]
        span, _ = np.linalg.qr(np.moveaxis(axes, 0, 1).reshape(dimension, -1))
        inside = np.einsum("kdr,ds->krs", axes, span)
        dense = np.einsum("krs,kr,krt->kst", inside, raised, inside)
        return span @ np.concatenate(list(dense[1:] - dense[:1]), axis=1)
    assert isinstance(covariance, Full)
    axes = np.asarray(covariance.basis, np.float64)[chosen]
    values = np.asarray(covariance.eigenvalues, np.float64)[chosen]
    dense = np.einsum("kir,kr,kjr->kij", axes, values, axes)
    return np.concatenate(list(dense[1:] - dense[:1]), axis=1)
