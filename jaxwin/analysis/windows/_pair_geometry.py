"""Pairs of components at every noise level at once: one decomposition for all."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._numerics import channel_variance, erf
from jaxwin.targets import GaussianMixture
from jaxwin.targets._covariance import Diagonal, Full, Isotropic, LowRank


class PairGeometry(eqx.Module):
    """What overlaps of noised components need, without the level.

    (C_i + C_j) / 2 = alpha^2 S_ij + sigma^2 I with S_ij = (Sigma_i + Sigma_j) / 2, so
    that one decomposition of S_ij serves every level: `axes` are its eigenvalues,
    `along` the squared coordinates of m_i - m_j, `own_axes` the eigenvalues of Sigma_i.
    All axes but the last occur once, the last as often as `size` = d needs. A level
    then costs O(K^2 m), m = 1 (isotropic), d (diagonal, full) or 2 r + 1 (low rank).
    `shared`: all components have one covariance by construction.

    Meant for sweeps over many laws and levels; `pair_table` is differentiable where
    decompositions are not (coinciding eigenvalues).
    """

    axes: Float[Array, "k k m"]
    along: Float[Array, "k k m"]
    own_axes: Float[Array, "k q"]
    size: int = eqx.field(static=True)
    shared: bool = eqx.field(static=True)

    def distance_sq(self, alpha: Array, sigma: Array) -> Float[Array, "k k"]:
        """U . ((C_i + C_j) / 2)^{-1} u of the noised means, u = alpha (m_i - m_j).

        Levels are one for all pairs, or (k, k): one a pair.
        """
        alpha2, noise = _levels(alpha, sigma)
        return jnp.sum(alpha2 * self.along / (alpha2 * self.axes + noise), axis=2)

    def log_overlap(self, alpha: Array, sigma: Array) -> Float[Array, "k k"]:
        """Log of the Bhattacharyya coefficients; levels as in `distance_sq`."""
        shift = self.distance_sq(alpha, sigma) / 8
        if self.shared:
            return -shift
        alpha2, noise = _levels(alpha, sigma)
        middle = alpha2 * self.axes + noise
        own = alpha2 * self.own_axes[:, None] + noise
        other = alpha2 * self.own_axes[None] + noise
        # Relative to the last axis of each, of which there may be many.
        last = own[..., -1] / middle[..., -1] * (other[..., -1] / middle[..., -1])
        each = _log_volume(own) + _log_volume(other) + self.size * jnp.log(last)
        # Rounding must not make two equal components more than equal.
        return jnp.minimum(0.25 * each - 0.5 * _log_volume(middle), 0) - shift

    def variation_bounds(
        self, alpha: Array, sigma: Array
    ) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
        """Lower and upper bounds of total variation, 1 - BC and sqrt(1 - BC^2).

        Equal to each other, and exact, where all covariances are one.
        """
        if self.shared:
            exact = erf(jnp.sqrt(self.distance_sq(alpha, sigma) / 8))
            return exact, exact
        unlike = -jnp.expm1(self.log_overlap(alpha, sigma))
        return unlike, jnp.sqrt(unlike * (2 - unlike))


def pair_geometry(law: GaussianMixture) -> PairGeometry:
    """Decompose the pairs of a mixture; traceable, to be mapped over laws.

    Costs O(K^2 d) (isotropic, diagonal), O(K^2 (d r^2 + r^3)) (rank r) or O(K^2 d^3).
    """
    covariance, means = law.covariance, law.means
    near = means - means.mean(axis=0)[None]
    apart = near[:, None] - near[None]
    own_axes, _ = covariance.spectrum()
    shared = isinstance(covariance, Isotropic) and covariance.variances.size == 1
    if isinstance(covariance, Isotropic):
        along = jnp.sum(apart**2, axis=2, keepdims=True)
        axes = _middles(own_axes)
    elif isinstance(covariance, Diagonal):
        along, axes = apart**2, _middles(own_axes)
    elif isinstance(covariance, LowRank):
        axes, along = _low_rank(covariance, apart)
    else:
        assert isinstance(covariance, Full)
        axes, along = _full(covariance, apart)
    return PairGeometry(axes, along, own_axes, means.shape[1], shared)


def _log_volume(noised: Float[Array, "*p m"]) -> Float[Array, " *p"]:
    """Sum of the logs of axes over the last one, two to a logarithm."""
    most = float(jnp.finfo(noised.dtype).max) ** 0.48
    ratios = jnp.minimum(noised[..., :-1] / noised[..., -1:], most)
    half = ratios.shape[-1] // 2
    pairs = ratios[..., :half] * ratios[..., half : 2 * half]
    return jnp.sum(jnp.log(pairs), axis=-1) + jnp.sum(
        jnp.log(ratios[..., 2 * half :]), axis=-1
    )


def _levels(alpha: Array, sigma: Array) -> tuple[Array, Array]:
    spread = lambda level: level if level.ndim == 0 else level[..., None]
    return spread(alpha**2), spread(jnp.vectorize(channel_variance)(sigma))


def _middles(values: Float[Array, "k m"]) -> Float[Array, "k k m"]:
    return (values[:, None] + values[None]) / 2


def _low_rank(
    covariance: LowRank, apart: Float[Array, "k k d"]
) -> tuple[Array, Array]:
    """S_ij = f I + W W^T, W = [B_i, B_j], B = U sqrt((spikes - floor) / 2).

    With W^T W = V diag(g) V^T the axes are f + g and f, and the coordinates in the
    directions W V diag(1 / sqrt g). Directions that both share leave g = 0: an axis of
    the floor without any coordinate. W^T W is decomposed once a pair, i < j.
    """
    product = lambda form, *arrays: jnp.einsum(form, *arrays, precision="highest")
    floor = covariance.floor
    count, _, rank = covariance.basis.shape
    raised = jnp.clip((covariance.spikes - floor[:, None]) / 2, 0)
    basis = covariance.basis * jnp.sqrt(raised)[:, None]
    gram = product("kdr,lds->klrs", basis, basis)
    inside = product("kld,kdr->klr", apart, basis)
    i, j = np.triu_indices(count, 1)
    upper = jnp.concatenate([gram[i, i], gram[i, j]], axis=2)
    lower = jnp.concatenate([gram[j, i], gram[j, j]], axis=2)
    squares, turn = jnp.linalg.eigh(jnp.concatenate([upper, lower], axis=1))
    squares = jnp.clip(squares, 0)
    within = jnp.concatenate([inside[i, j], -inside[j, i]], axis=1)
    within = product("pmr,pm->pr", turn, within)
    # Less than the rounding of the largest is no direction.
    some = squares > 64 * jnp.finfo(basis.dtype).eps * squares[:, -1:]
    along = jnp.where(some, within**2 / jnp.where(some, squares, 1), 0)
    alone = jnp.concatenate([2 * raised, jnp.zeros_like(raised)], axis=1)
    pair = np.zeros((count, count), int)
    pair[i, j] = pair[j, i] = np.arange(i.size)
    pair[np.diag_indices(count)] = i.size + np.arange(count)
    added = jnp.concatenate([squares, alone])[pair]
    along = jnp.concatenate([along, jnp.zeros_like(alone)])[pair]
    middle = _middles(floor[:, None])
    length = jnp.sum(apart**2, axis=2) - jnp.sum(along, axis=2)
    along = jnp.concatenate([along, jnp.clip(length, 0)[..., None]], axis=2)
    axes = jnp.concatenate([middle + added, middle], axis=2)
    return axes, along


def _full(covariance: Full, apart: Float[Array, "k k d"]) -> tuple[Array, Array]:
    product = lambda form, *arrays: jnp.einsum(form, *arrays, precision="highest")
    scaled = covariance.basis * covariance.eigenvalues[:, None, :]
    matrices = product("kir,kjr->kij", scaled, covariance.basis)

    def row(own: tuple[Array, Array]) -> tuple[Array, Array]:
        matrix, shifts = own
        values, turn = jnp.linalg.eigh((matrix[None] + matrices) / 2)
        return jnp.clip(values, 0), product("kdr,kd->kr", turn, shifts) ** 2

    return jax.lax.map(row, (matrices, apart))
