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
    `along` the squared coordinates of m_i - m_j, `first` and `second` the eigenvalues
    of Sigma_i and Sigma_j. All axes but the last occur once, the last as often as
    `size` = d needs. A level then costs O(m) a pair, m = 1 (isotropic), d (diagonal,
    full) or 2 r + 1 (low rank): sums over the first dimension, since vector code runs
    along the last. `shared`: all components have one covariance by
    construction.

    Levels and pairs broadcast: (p,) and (1,) or (p,), or levels along a last dimension,
    (p, 1) and (1, t).

    Meant for sweeps over many laws and levels; `pair_table` is differentiable where
    decompositions are not (coinciding eigenvalues).
    """

    axes: Float[Array, "m ..."]
    along: Float[Array, "m ..."]
    first: Float[Array, "q ..."]
    second: Float[Array, "q ..."]
    size: int = eqx.field(static=True)
    shared: bool = eqx.field(static=True)

    def distance_sq(self, alpha: Array, sigma: Array) -> Float[Array, "..."]:
        """U . ((C_i + C_j) / 2)^{-1} u of the noised means, u = alpha (m_i - m_j)."""
        alpha2, noise = alpha**2, channel_variance(sigma)
        noised = alpha2[None] * self.axes + noise[None]
        return jnp.sum(alpha2[None] * self.along / noised, axis=0)

    def log_overlap(self, alpha: Array, sigma: Array) -> Float[Array, "..."]:
        """Log of the Bhattacharyya coefficients."""
        shift = self.distance_sq(alpha, sigma) / 8
        if self.shared:
            return -shift
        alpha2, noise = alpha**2, channel_variance(sigma)
        noised = lambda axes: alpha2[None] * axes + noise[None]
        middle, first, second = map(noised, (self.axes, self.first, self.second))
        # Relative to the last axis of each, of which there may be many.
        last = first[-1] / middle[-1] * (second[-1] / middle[-1])
        each = _log_volume(first) + _log_volume(second) + self.size * jnp.log(last)
        # Rounding must not make two equal components more than equal.
        return jnp.minimum(0.25 * each - 0.5 * _log_volume(middle), 0) - shift

    def variation_bounds(
        self, alpha: Array, sigma: Array
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """Lower and upper bounds of total variation, 1 - BC and sqrt(1 - BC^2).

        Equal to each other, and exact, where all covariances are one.
        """
        if self.shared:
            exact = erf(jnp.sqrt(self.distance_sq(alpha, sigma) / 8))
            return exact, exact
        unlike = -jnp.expm1(self.log_overlap(alpha, sigma))
        return unlike, jnp.sqrt(unlike * (2 - unlike))


def pair_geometry(law: GaussianMixture) -> PairGeometry:
    """Decompose the pairs i < j of a mixture, in the order of `np.triu_indices`.

    Traceable, to be mapped over laws. Costs O(K^2 d) (isotropic, diagonal),
    O(K^2 (d r^2 + r^3)) (rank r) or O(K^2 d^3).
    """
    covariance, means = law.covariance, law.means
    i, j = np.triu_indices(means.shape[0], 1)
    apart = means[i] - means[j]
    own = covariance.spectrum()[0]
    own = jnp.broadcast_to(own, (means.shape[0], own.shape[1]))
    middle = (own[i] + own[j]) / 2
    if isinstance(covariance, Isotropic):
        axes, along = middle, jnp.sum(apart**2, axis=1, keepdims=True)
    elif isinstance(covariance, Diagonal):
        axes, along = middle, apart**2
    elif isinstance(covariance, LowRank):
        axes, along = _low_rank(covariance, apart, i, j)
    else:
        assert isinstance(covariance, Full)
        axes, along = _full(covariance, apart, i, j)
    shared = isinstance(covariance, Isotropic) and covariance.variances.size == 1
    size = means.shape[1]
    return PairGeometry(axes.T, along.T, own[i].T, own[j].T, size, shared)


def _log_volume(noised: Float[Array, "m ..."]) -> Float[Array, "..."]:
    """Sum of the logs of axes over the last one, two to a logarithm."""
    most = float(jnp.finfo(noised.dtype).max) ** 0.48
    ratios = jnp.minimum(noised[:-1] / noised[-1:], most)
    half = ratios.shape[0] // 2
    twice = ratios[:half] * ratios[half : 2 * half]
    return jnp.sum(jnp.log(twice), axis=0) + jnp.sum(jnp.log(ratios[2 * half :]), 0)


def _low_rank(
    covariance: LowRank, apart: Float[Array, "p d"], i: np.ndarray, j: np.ndarray
) -> tuple[Float[Array, "p m"], Float[Array, "p m"]]:
    """S_ij = f I + W W^T, W = [B_i, B_j], B = U sqrt((spikes - floor) / 2).

    With W^T W = V diag(g) V^T the axes are f + g and f, and the coordinates in the
    directions W V diag(1 / sqrt g). Directions that both share leave g = 0: an axis of
    the floor without any coordinate.
    """
    product = lambda form, *arrays: jnp.einsum(form, *arrays, precision="highest")
    floor = covariance.floor
    raised = jnp.clip((covariance.spikes - floor[:, None]) / 2, 0)
    basis = covariance.basis * jnp.sqrt(raised)[:, None]
    gram = product("kdr,lds->klrs", basis, basis)
    upper = jnp.concatenate([gram[i, i], gram[i, j]], axis=2)
    lower = jnp.concatenate([gram[j, i], gram[j, j]], axis=2)
    squares, turn = jnp.linalg.eigh(jnp.concatenate([upper, lower], axis=1))
    squares = jnp.clip(squares, 0)
    inside = [product("pd,pdr->pr", apart, basis[k]) for k in (i, j)]
    within = product("pmr,pm->pr", turn, jnp.concatenate(inside, axis=1))
    # Less than the rounding of the largest is no direction.
    some = squares > 64 * jnp.finfo(basis.dtype).eps * squares[:, -1:]
    along = jnp.where(some, within**2 / jnp.where(some, squares, 1), 0)
    rest = jnp.clip(jnp.sum(apart**2, axis=1) - jnp.sum(along, axis=1), 0)
    middle = ((floor[i] + floor[j]) / 2)[:, None]
    along = jnp.concatenate([along, rest[:, None]], axis=1)
    return jnp.concatenate([middle + squares, middle], axis=1), along


def _full(
    covariance: Full, apart: Float[Array, "p d"], i: np.ndarray, j: np.ndarray
) -> tuple[Float[Array, "p d"], Float[Array, "p d"]]:
    product = lambda form, *arrays: jnp.einsum(form, *arrays, precision="highest")
    scaled = covariance.basis * covariance.eigenvalues[:, None, :]
    matrices = product("kir,kjr->kij", scaled, covariance.basis)

    def one(pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        i, j, shift = pair
        values, turn = jnp.linalg.eigh((matrices[i] + matrices[j]) / 2)
        return jnp.clip(values, 0), product("dr,d->r", turn, shift) ** 2

    return jax.lax.map(one, (jnp.asarray(i), jnp.asarray(j), apart))
