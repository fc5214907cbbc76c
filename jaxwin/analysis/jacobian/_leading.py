"""Leading eigenvalues of the score's Jacobian, without the matrix.

B = I + sigma^2 J = (alpha^2 / sigma^2) Cov[x0 | x] is what is iterated: its large
eigenvalues are the wide directions of the posterior, and noise alone is 0.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import check_positive, is_concrete
from jaxwin._numerics import as_float
from jaxwin._typing import Key, Point, ScalarLike, TimesLike
from jaxwin.io import field
from jaxwin.targets import AbstractDenoiser, AbstractTarget

# Below this dimension the dense matrix is cheaper.
DENSE = 256
# Vectors beside those asked for: they settle the last ones and show their multiplicity.
GUARD = 4
# Blocks in the basis before it is begun again from its best two, and products at most.
BLOCKS, STEPS = 10, 200

Held: TypeAlias = tuple[AbstractDenoiser, Point, Array, Array]


class Leading(eqx.Module):
    """Leading eigenvalues of the score's Jacobian J at one point, largest first.

    normalised: those of -sigma^2 J, smallest first; variance: of x0 given x along each
    direction, (sigma^2 / alpha^2) (1 - normalised). Eigenvalues that agree to within
    their error form a cluster, in which only the span of the directions means anything;
    `more` says whether the last cluster goes on beyond what was asked for.

    `residual` = |B v - beta v|, with v the direction and beta = 1 - normalised: an
    eigenvalue lies that near. It does not vanish for a network whose Jacobian is not
    symmetric: eigenvalues are then Rayleigh quotients, and `converged` is false.
    """

    eigenvalues: Float[Array, " c"] = field(
        ("direction",), "1 / data units squared", "of J"
    )
    normalised: Float[Array, " c"] = field(("direction",), "", "of -sigma^2 J")
    variance: Float[Array, " c"] = field(
        ("direction",), "data units squared", "of x0 given x"
    )
    directions: Float[Array, "d c"] = field(("coordinate", "direction"), "")
    residual: Float[Array, " c"] = field(("direction",), "", "|B v - beta v|")
    cluster: Int[Array, " c"] = field(("direction",), "", "number of its cluster")
    more: Bool[Array, ""] = field((), "", "whether the last cluster goes on")
    converged: Bool[Array, ""] = field((), "", "whether all residuals are small")


def leading(
    denoiser: AbstractDenoiser,
    x: Point,
    alpha: ScalarLike,
    sigma: ScalarLike,
    count: int,
    *,
    key: Key | None = None,
) -> Leading:
    """The `count` largest eigenvalues of the score's Jacobian, with multiplicity.

    Block Krylov iteration on B = I + sigma^2 J, from a random block of count + 4: each
    step adds the residuals of the best vectors so far to the basis (Rayleigh-Ritz);
    after 10 blocks it is begun again from the best two. It ends when residuals are
    below max(eps^(2/3) beta_1, 64 eps), beta the eigenvalues of B, or fall no more, or
    after 200 steps; a step costs count + 4 products with the Jacobian. Memory is
    20 (count + 4) vectors. The block finds an eigenvalue as often as it occurs. In
    small dimensions the dense matrix is decomposed.

    The eigenvalues are differentiable in `x`, `alpha`, `sigma` and the denoiser (to
    first order v^T dJ v; in a cluster that is right for the sum).

    Args:
        denoiser: Any; only its products with the Jacobian are used.
        x: A noised point.
        alpha: Signal, > 0.
        sigma: Noise, > 0.
        count: How many, 1 to d.
        key: Of the first block; `jax.random.key(0)` if left out.

    Raises:
        ValueError: `alpha` or `sigma` not positive, `count` out of range.

    References:
        Musco & Musco (2015), arXiv:1504.05477 (block Krylov iteration).
        Ventura et al. (2024), arXiv:2410.05898 (what the spectrum tells).
    """
    x = as_float(x)
    check_levels(alpha, sigma)
    if not 1 <= count <= x.size:
        raise ValueError(
            f"`count` is {count}; a point in {x.size} dimensions has between 1 and "
            f"{x.size} eigenvalues."
        )
    key = jr.key(0) if key is None else key
    alpha, sigma = jnp.asarray(alpha, x.dtype), jnp.asarray(sigma, x.dtype)
    return _leading(denoiser, x, alpha, sigma, count, key)


@eqx.filter_jit
def _leading(
    denoiser: AbstractDenoiser, x: Point, alpha: Array, sigma: Array, count: int, key
) -> Leading:
    block = min(count + GUARD, x.size)
    held = _held((denoiser, x, alpha, sigma))
    if x.size <= max(DENSE, block * BLOCKS):
        found = _dense(spread_matrix(*held))
    else:
        apply = lambda vectors: spread_product(*held, vectors)
        found = _krylov(apply, x, block, key)
    vectors = jax.lax.stop_gradient(found.vectors[:, :count])
    products = spread_product(denoiser, x, alpha, sigma, vectors)
    # The quotient of fixed vectors has the derivative of the eigenvalue.
    beta = jnp.sum(vectors * products, axis=0)
    off = products - vectors * beta[None]
    residual = jax.lax.stop_gradient(jnp.linalg.norm(off, axis=0))
    error = _allowed(found.values[0])
    # Values err by less than residuals, whose tolerance tells them apart.
    apart = -jnp.diff(found.values) > 2 * error
    start = jnp.zeros(1, jnp.int32)
    cluster = jnp.concatenate([start, jnp.cumsum(apart, dtype=jnp.int32)])
    more = count < block and cluster[min(count, block - 1)] == cluster[count - 1]
    return Leading(
        eigenvalues=(beta - 1) / sigma**2,
        normalised=1 - beta,
        variance=beta * (sigma / alpha) ** 2,
        directions=vectors,
        residual=residual,
        cluster=cluster[:count],
        more=jnp.asarray(more),
        converged=jnp.all(residual <= error),
    )


def check_levels(alpha: TimesLike, sigma: TimesLike) -> None:
    """Raise ValueError unless concrete noise levels are finite and positive."""
    for value, name in ((alpha, "alpha"), (sigma, "sigma")):
        if is_concrete(value):
            for number in np.ravel(np.asarray(value)):
                check_positive(float(number), name)


def spread_product(
    denoiser: AbstractDenoiser, x: Point, alpha: Array, sigma: Array, vectors: Array
) -> Float[Array, "d b"]:
    """Products of I + sigma^2 J with the columns of a matrix."""
    product = lambda v: denoiser.jacobian_product(x, v, alpha, sigma)
    return vectors + sigma**2 * jax.vmap(product, in_axes=1, out_axes=1)(vectors)


def spread_matrix(
    denoiser: AbstractDenoiser, x: Point, alpha: Array, sigma: Array
) -> Float[Array, "d d"]:
    """The symmetric part of I + sigma^2 J."""
    identity = jnp.eye(x.size, dtype=x.dtype)
    if isinstance(denoiser, AbstractTarget):
        matrix = identity + sigma**2 * denoiser.score_jacobian(x, alpha, sigma)
    else:
        matrix = spread_product(denoiser, x, alpha, sigma, identity)
    return (matrix + matrix.T) / 2


class _Ritz(NamedTuple):
    """Approximate eigenvalues, largest first, and orthonormal eigenvectors."""

    values: Float[Array, " b"]
    vectors: Float[Array, "d b"]


def _dense(matrix: Float[Array, "d d"]) -> _Ritz:
    values, vectors = jnp.linalg.eigh(matrix)
    return _Ritz(values[::-1], vectors[:, ::-1])


class _Search(NamedTuple):
    """A basis of `filled` blocks, its images under B, and what it has found.

    ahead: what the basis grows by next. residual: the largest; last: at the restart.
    """

    basis: Float[Array, "d m"]
    images: Float[Array, "d m"]
    filled: Int[Array, ""]
    found: _Ritz
    ahead: Float[Array, "d b"]
    residual: Float[Array, ""]
    last: Float[Array, ""]
    steps: Int[Array, ""]
    done: Bool[Array, ""]


def _krylov(apply: Callable[[Array], Array], x: Point, block: int, key: Key) -> _Ritz:
    """Rayleigh-Ritz in a block Krylov space, grown by residuals, thickly restarted."""
    size = block * BLOCKS
    put = lambda into, part, j: jax.lax.dynamic_update_slice(
        into, part, (jnp.zeros_like(j), j * block)
    )

    def grow(at: _Search) -> _Search:
        vectors = at.ahead
        # Again: what QR makes of columns of rounding size lies anywhere at first.
        for _ in range(2):
            inside = jnp.matmul(at.basis.T, vectors, precision="highest")
            vectors -= jnp.matmul(at.basis, inside, precision="highest")
            vectors = jnp.linalg.qr(vectors)[0]
        basis = put(at.basis, vectors, at.filled)
        images = put(at.images, apply(vectors), at.filled)
        filled = at.filled + 1
        small = jnp.matmul(basis.T, images, precision="highest")
        # Columns still empty come last.
        empty = jnp.arange(size, dtype=filled.dtype) >= filled * block
        floor = -2 * jnp.linalg.norm(small) - 1
        small = (small + small.T) / 2 + jnp.diag(jnp.where(empty, floor, 0))
        values, turn = _dense(small)
        # Of a full basis two blocks are kept.
        full = filled == BLOCKS
        turned = lambda m: jnp.matmul(m, turn[:, : 2 * block], precision="highest")
        pairs, pair_images = turned(basis), turned(images)
        found = _Ritz(values[:block], pairs[:, :block])
        off = pair_images[:, :block] - found.vectors * found.values[None]
        # Guards need not settle.
        residual = jnp.max(jnp.linalg.norm(off, axis=0)[: block - GUARD])
        alone = lambda part: jnp.zeros_like(basis).at[:, : 2 * block].set(part)
        # A residual that does not fall any more is that of an asymmetric Jacobian.
        stays = full & (residual > 0.7 * at.last)
        steps = at.steps + 1
        return _Search(
            basis=jnp.where(full, alone(pairs), basis),
            images=jnp.where(full, alone(pair_images), images),
            filled=jnp.where(full, 2, filled),
            found=found,
            ahead=off,
            residual=residual,
            last=jnp.where(full, residual, at.last),
            steps=steps,
            done=(residual <= _allowed(values[0])) | stays | (steps == STEPS),
        )

    empty = jnp.zeros((x.size, size), x.dtype)
    zero, never = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, x.dtype)
    start = jr.normal(key, (x.size, block), x.dtype)
    begin = _Search(
        basis=empty,
        images=empty,
        filled=zero,
        found=_Ritz(jnp.zeros(block, x.dtype), start),
        ahead=start,
        residual=never,
        last=never,
        steps=zero,
        done=jnp.zeros((), bool),
    )
    return jax.lax.while_loop(lambda at: ~at.done, grow, begin).found


def _held(arguments: Held) -> Held:
    """The same without derivatives: an iteration cannot be run backwards."""
    arrays, rest = eqx.partition(arguments, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def _allowed(top: Float[Array, ""]) -> Float[Array, ""]:
    """Residual that is small, given the largest eigenvalue of B; I has rounding too."""
    eps = float(jnp.finfo(top.dtype).eps)
    return jnp.maximum(eps ** (2 / 3) * jnp.abs(top), 64 * eps)
