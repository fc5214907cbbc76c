"""Pairs of components at every noise level at once: one decomposition for all."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
from jaxtyping import Array, Float

from jaxwin._numerics import channel_variance
from jaxwin.targets import GaussianMixture
from jaxwin.targets._covariance import Diagonal, Full, Isotropic, LowRank


class PairGeometry(eqx.Module):
    """What overlaps of noised components need, without the level.

    (C_i + C_j) / 2 = alpha^2 S_ij + sigma^2 I with S_ij = (Sigma_i + Sigma_j) / 2, so
    that one decomposition of S_ij serves every level: `axes` are its eigenvalues,
    `along` the squared coordinates of m_i - m_j, `count` how often an axis occurs. A
    level then costs O(K^2 m), m = 1 (isotropic), d (diagonal, full) or 2 r + 1 (low
    rank). `shared`: all components have one covariance by construction.

    Meant for sweeps over many laws and levels; `pair_table` is differentiable where
    decompositions are not (coinciding eigenvalues).
    """

    axes: Float[Array, "k k m"]
    along: Float[Array, "k k m"]
    count: Float[Array, " m"]
    own_axes: Float[Array, "k q"]
    own_count: Float[Array, " q"]
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
        count = self.count[None, None]
        middle = jnp.sum(count * jnp.log(alpha2 * self.axes + noise), axis=2)
        own = alpha2 * self.own_axes[:, None] + noise
        other = alpha2 * self.own_axes[None] + noise
        often = self.own_count[None, None]
        each = jnp.sum(often * (jnp.log(own) + jnp.log(other)), axis=2)
        # Rounding must not make two equal components more than equal.
        return jnp.minimum(0.25 * each - 0.5 * middle, 0) - shift

    def variation_bounds(
        self, alpha: Array, sigma: Array
    ) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
        """Lower and upper bounds of total variation, 1 - BC and sqrt(1 - BC^2).

        Equal to each other, and exact, where all covariances are one.
        """
        if self.shared:
            exact = jsp.erf(jnp.sqrt(self.distance_sq(alpha, sigma) / 8))
            return exact, exact
        log = self.log_overlap(alpha, sigma)
        return -jnp.expm1(log), jnp.sqrt(-jnp.expm1(2 * log))


def pair_geometry(law: GaussianMixture) -> PairGeometry:
    """Decompose the pairs of a mixture; traceable, to be mapped over laws.

    Costs O(K^2 d) (isotropic, diagonal), O(K^2 (d r^2 + r^3)) (rank r) or O(K^2 d^3).
    """
    covariance, means = law.covariance, law.means
    near = means - means.mean(axis=0)[None]
    apart = near[:, None] - near[None]
    own_axes, own_count = covariance.spectrum()
    shared = isinstance(covariance, Isotropic) and covariance.variances.size == 1
    if isinstance(covariance, Isotropic):
        along = jnp.sum(apart**2, axis=2, keepdims=True)
        axes = _middles(own_axes)
        count = own_count[0]
    elif isinstance(covariance, Diagonal):
        along, axes = apart**2, _middles(own_axes)
        count = own_count[0]
    elif isinstance(covariance, LowRank):
        axes, along, count = _low_rank(covariance, apart)
    else:
        assert isinstance(covariance, Full)
        axes, along, count = _full(covariance, apart)
    return PairGeometry(axes, along, count, own_axes, own_count[0], shared)


def _levels(alpha: Array, sigma: Array) -> tuple[Array, Array]:
    spread = lambda level: level if level.ndim == 0 else level[..., None]
    return spread(alpha**2), spread(channel_variance(sigma))


def _middles(values: Float[Array, "k m"]) -> Float[Array, "k k m"]:
    return (values[:, None] + values[None]) / 2


def _low_rank(
    covariance: LowRank, apart: Float[Array, "k k d"]
) -> tuple[Array, Array, Array]:
    """S_ij = f I + W diag(a) W^T, W = [U_i, U_j]: eigenvalues in the span of W.

    Those of R^T diag R for W^T W = V diag(g) V^T: with W = Q diag(sqrt g) V^T the form
    is Q (diag(sqrt g) V^T diag(a) V diag(sqrt g)) Q^T. Directions that both share
    (g = 0) leave an axis of the floor without any coordinate.
    """
    product = lambda form, *arrays: jnp.einsum(form, *arrays, precision="highest")
    basis, floor = covariance.basis, covariance.floor
    count, size, rank = basis.shape
    raised = (covariance.spikes - floor[:, None]) / 2
    cross = product("kdr,lds->klrs", basis, basis)
    inside = product("kld,kdr->klr", apart, basis)
    inside = jnp.concatenate([inside, -jnp.swapaxes(inside, 0, 1)], axis=2)
    values = jnp.concatenate(
        [
            jnp.broadcast_to(raised[:, None], (count, count, rank)),
            jnp.broadcast_to(raised[None], (count, count, rank)),
        ],
        axis=2,
    )
    same = jnp.broadcast_to(jnp.eye(rank, dtype=basis.dtype), cross.shape)
    gram = jnp.concatenate(
        [
            jnp.concatenate([same, cross], axis=3),
            jnp.concatenate([jnp.swapaxes(cross, 2, 3), same], axis=3),
        ],
        axis=2,
    )
    squares, turn = jnp.linalg.eigh(gram)
    # Inner products of unit vectors: less than rounding is no direction.
    some = squares > 64 * jnp.finfo(basis.dtype).eps
    root = jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1)), 0)
    half = turn * root[..., None, :]
    form = product("klmr,klm,klms->klrs", half, values, half)
    added, axes = jnp.linalg.eigh(form)
    # Coordinates Q^T u = diag(1 / sqrt g) V^T W^T u.
    within = product("klmr,klm->klr", turn, inside)
    within = jnp.where(some, within / jnp.where(some, root, 1), 0)
    coordinates = product("klrs,klr->kls", axes, within)
    middle = (floor[:, None] + floor[None]) / 2
    length = jnp.sum(apart**2, axis=2) - jnp.sum(coordinates**2, axis=2)
    along = jnp.concatenate([coordinates**2, jnp.clip(length, 0)[..., None]], axis=2)
    axes = jnp.concatenate([middle[..., None] + added, middle[..., None]], axis=2)
    often = jnp.append(
        jnp.ones(2 * rank, basis.dtype), jnp.asarray(size - 2 * rank, basis.dtype)
    )
    return axes, along, often


def _full(covariance: Full, apart: Float[Array, "k k d"]) -> tuple[Array, Array, Array]:
    product = lambda form, *arrays: jnp.einsum(form, *arrays, precision="highest")
    scaled = covariance.basis * covariance.eigenvalues[:, None, :]
    matrices = product("kir,kjr->kij", scaled, covariance.basis)

    def row(own: tuple[Array, Array]) -> tuple[Array, Array]:
        matrix, shifts = own
        values, turn = jnp.linalg.eigh((matrix[None] + matrices) / 2)
        return jnp.clip(values, 0), product("kdr,kd->kr", turn, shifts) ** 2

    axes, along = jax.lax.map(row, (matrices, apart))
    return axes, along, jnp.ones_like(axes[0, 0])
