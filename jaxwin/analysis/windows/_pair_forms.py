"""Quadratic forms and determinants of all pairs of noised covariances, kind by kind."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jaxtyping import Array, Bool, Float

from jaxwin._numerics import channel_variance
from jaxwin._typing import ScalarLike
from jaxwin.analysis.speciation._differences import log_excess
from jaxwin.targets import GaussianMixture
from jaxwin.targets._covariance import Diagonal, Full, Isotropic, LowRank


class PairForms(NamedTuple):
    """Of components i and j, with C = alpha^2 Sigma + sigma^2 I, u = alpha (m_i - m_j).

    distance_sq: u . C_j^-1 u. middle_sq: u . ((C_i + C_j) / 2)^-1 u. outer_sq:
    u . (2 C_j - C_i)^-1 u. log_overlap: log (|C_i| |C_j|)^1/4 / |(C_i + C_j) / 2|^1/2.
    excess: tr(C_j^-1 C_i) - d - log(|C_i| / |C_j|). log_growth: log of
    |C_j| / (|C_i| |2 C_j - C_i|)^1/2. definite: whether 2 C_j - C_i is positive; where
    it is not, outer_sq and log_growth mean nothing. equal: whether C_i = C_j.
    """

    distance_sq: Float[Array, "k k"]
    middle_sq: Float[Array, "k k"]
    outer_sq: Float[Array, "k k"]
    log_overlap: Float[Array, "k k"]
    excess: Float[Array, "k k"]
    log_growth: Float[Array, "k k"]
    definite: Bool[Array, "k k"]
    equal: Bool[Array, "k k"]


def pair_forms(law: GaussianMixture, alpha: ScalarLike, sigma: ScalarLike) -> PairForms:
    """The forms of every pair of components: O(K^2) after what does not know the level.

    Full covariances are factorised anew for every pair and level, O(K^2 d^3).
    """
    covariance = law.covariance
    if isinstance(covariance, Isotropic | Diagonal):
        rows = _along_axes(law, alpha, sigma)
    elif isinstance(covariance, LowRank):
        rows = _low_rank(law.means, covariance, alpha, sigma)
    else:
        assert isinstance(covariance, Full)
        rows = _dense(law.means, covariance, alpha, sigma)
    return PairForms(*rows, equal=equal_covariances(law))


def equal_covariances(law: GaussianMixture) -> Bool[Array, "k k"]:
    """Which components have one covariance, to the last bit."""
    count, covariance = law.log_weights.size, law.covariance
    if isinstance(covariance, Isotropic) and covariance.variances.size == 1:
        return jnp.ones((count, count), bool)
    leaves = [leaf.reshape(count, -1) for leaf in jax.tree.leaves(covariance)]
    flat = jnp.concatenate(leaves, axis=1)
    return jax.lax.map(lambda row: jnp.all(flat == row[None], axis=1), flat)


def _along_axes(law: GaussianMixture, alpha: ScalarLike, sigma: ScalarLike) -> tuple:
    """Covariances with common axes: sums over them of what one dimension has."""
    eigenvalues, count = law.covariance.spectrum()
    noised = alpha**2 * eigenvalues + channel_variance(sigma)
    isotropic = isinstance(law.covariance, Isotropic)

    def row(own: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        mean, eigenvalue, n = own
        square = (mean[None] - law.means) ** 2
        if isotropic:
            square = jnp.sum(square, axis=1, keepdims=True)
        square = alpha**2 * square
        # Differences of eigenvalues before the noise is added: none cancels.
        gap = alpha**2 * (eigenvalue[None] - eigenvalues)
        middle, x = n[None] + noised, gap / noised
        inside = x < 1
        outer = jnp.where(inside, noised - gap, 1)
        growth = jnp.log1p(-(jnp.where(inside, x, 0) ** 2))
        return (
            jnp.sum(square / noised, axis=1),
            jnp.sum(2 * square / middle, axis=1),
            jnp.sum(square / outer, axis=1),
            0.25 * jnp.sum(count * jnp.log1p(-((gap / middle) ** 2)), axis=1),
            jnp.sum(count * log_excess(x), axis=1),
            -0.5 * jnp.sum(count * growth, axis=1),
            jnp.all(inside, axis=1),
        )

    return jax.lax.map(row, (law.means, eigenvalues, noised))


def _dense(
    means: Float[Array, "k d"],
    covariance: Full,
    alpha: ScalarLike,
    sigma: ScalarLike,
) -> tuple:
    noised = alpha**2 * covariance.eigenvalues + channel_variance(sigma)
    scaled = covariance.basis * noised[:, None, :]
    matrices = jnp.einsum("kir,kjr->kij", scaled, covariance.basis, precision="highest")
    factors = jnp.linalg.cholesky(matrices)
    log_dets = jnp.sum(jnp.log(noised), axis=1)
    shifts = alpha * (means[:, None] - means[None])
    size = means.shape[1]

    def square(factor: Array, shift: Array) -> Array:
        return jnp.sum(jsl.solve_triangular(factor, shift, lower=True) ** 2)

    def pair(own: tuple, other: tuple, shift: Array) -> tuple[Array, ...]:
        matrix, factor, log_det = own
        other_matrix, other_factor, other_log_det = other
        middle = jnp.linalg.cholesky((matrix + other_matrix) / 2)
        outer = 2 * other_matrix - matrix
        definite = jnp.all(jnp.isfinite(jnp.linalg.cholesky(outer)))
        # A factor of what is not positive is NaN, and so would be every gradient.
        outer = jnp.linalg.cholesky(
            jnp.where(definite, outer, jnp.eye(size, dtype=outer.dtype))
        )
        turned = jsl.solve_triangular(other_factor, factor, lower=True)
        return (
            square(other_factor, shift),
            square(middle, shift),
            square(outer, shift),
            0.25 * (log_det + other_log_det) - 0.5 * _log_det(middle),
            jnp.sum(turned**2) - size - (log_det - other_log_det),
            other_log_det - 0.5 * (log_det + _log_det(outer)),
            definite,
        )

    every = matrices, factors, log_dets
    # A row of pairs at a time: all at once would take K^2 d^2 numbers a level.
    row = lambda own: jax.vmap(pair, (None, 0, 0))(own[0], every, own[1])
    return jax.lax.map(row, (every, shifts))


def _log_det(factor: Float[Array, "d d"]) -> Float[Array, ""]:
    return 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))


def _low_rank(
    means: Float[Array, "k d"],
    covariance: LowRank,
    alpha: ScalarLike,
    sigma: ScalarLike,
) -> tuple:
    """C_k = f_k I + U_k diag(s_k) U_k^T, by identities of Woodbury and Sylvester."""
    basis, size = covariance.basis, means.shape[1]
    product = lambda form, *arrays: jnp.einsum(form, *arrays, precision="highest")
    cross = product("kdr,lds->klrs", basis, basis)
    near = means - means.mean(axis=0)[None]
    apart = near[:, None] - near[None]
    length = alpha**2 * jnp.sum(apart**2, axis=2)
    along = alpha * product("klm,kmr->klr", apart, basis)
    noise = channel_variance(sigma)
    floors = alpha**2 * covariance.floor + noise
    raised = alpha**2 * (covariance.spikes - covariance.floor[:, None])
    spikes = alpha**2 * covariance.spikes + noise
    rank = raised.shape[1]
    log_dets = jnp.sum(jnp.log(spikes), axis=1) + (size - rank) * jnp.log(floors)

    def one(i: Array, j: Array) -> tuple[Array, ...]:
        gram = jnp.eye(2 * rank, dtype=means.dtype)
        gram = gram.at[:rank, rank:].set(cross[i, j])
        gram = gram.at[rank:, :rank].set(cross[i, j].T)
        # U_j^T (m_i - m_j) = -U_j^T (m_j - m_i).
        inside = jnp.concatenate([along[i, j], -along[j, i]])

        def combined(a: float, b: float, safe: Array | bool = True) -> tuple:
            """Log-determinant and inverse form of a C_i + b C_j."""
            floor = a * floors[i] + b * floors[j]
            values = jnp.concatenate([a * raised[i], b * raised[j]])
            floor = jnp.where(safe, floor, 1)
            values = jnp.where(safe, values, 0)
            identity = jnp.eye(2 * rank, dtype=gram.dtype)
            matrix = floor * identity + values[:, None] * gram
            solved = jnp.linalg.solve(matrix, values * inside)
            square = (length[i, j] - jnp.sum(inside * solved)) / floor
            log_det = jnp.linalg.slogdet(matrix)[1]
            return log_det + (size - 2 * rank) * jnp.log(floor), square

        definite = _is_definite(
            2 * floors[j] - floors[i],
            jnp.concatenate([-raised[i], 2 * raised[j]]),
            gram,
        )
        middle, middle_sq = combined(0.5, 0.5)
        outer, outer_sq = combined(-1.0, 2.0, definite)
        own = inside[rank:]
        lost = jnp.sum(own**2 * raised[j] / spikes[j])
        distance_sq = (length[i, j] - lost) / floors[j]
        within = jnp.sum(1 / spikes[j]) + (size - rank) / floors[j]
        share = jnp.sum(cross[i, j] ** 2 * (raised[j] / spikes[j])[None], axis=1)
        trace = floors[i] * within + jnp.sum(raised[i] * (1 - share)) / floors[j]
        return (
            distance_sq,
            middle_sq,
            outer_sq,
            0.25 * (log_dets[i] + log_dets[j]) - 0.5 * middle,
            trace - size - (log_dets[i] - log_dets[j]),
            log_dets[j] - 0.5 * (log_dets[i] + outer),
            definite,
        )

    index = jnp.arange(means.shape[0])
    return jax.vmap(lambda i: jax.vmap(lambda j: one(i, j))(index))(index)


def _is_definite(
    floor: Array, values: Float[Array, " r"], gram: Float[Array, "r r"]
) -> Bool[Array, ""]:
    """Whether floor I + W diag(values) W^T > 0, gram = W^T W."""
    floor, values, gram = jax.lax.stop_gradient((floor, values, gram))
    squares, axes = jnp.linalg.eigh(gram)
    root = axes * jnp.sqrt(jnp.clip(squares, 0))[None]
    form = jnp.matmul(root.T * values[None], root, precision="highest")
    return (floor > 0) & jnp.all(jnp.linalg.eigvalsh(form) + floor > 0)
