"""Frechet distance of Gaussians, between moments of samples or of a law."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, is_concrete
from jaxwin._typing import AnyArray
from jaxwin.metrics._metric import Metric, mean_variance, measured
from jaxwin.metrics._samples import as_pair, as_samples, finite_array, same_type


def frechet(
    x: AnyArray,
    y: AnyArray | None = None,
    *,
    mean: AnyArray | None = None,
    covariance: AnyArray | None = None,
) -> Metric:
    """Squared Frechet distance: W_2^2 between Gaussians of the same moments.

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)

    Covariances of samples divide by n - 1. Biased upwards by O(1/n), the more the
    higher the dimension: compare at equal n. The standard error is that of the
    first-order variation 2 (m1 - m2) . z + z^T (I - T) z over the samples z = x - m1, T
    the optimal map C1^-1/2 (C1^1/2 C2 C1^1/2)^1/2 C1^-1/2; where the moments agree the
    distance is not normal and the error somewhat too large. Work O((n + m) d^2 + d^3)
    by symmetric eigendecompositions, memory O((n + m) d + d^2).

    Differentiable, with finite derivatives at equal and at zero eigenvalues (there, of
    the part within the directions that both laws reach).

    Args:
        x: n samples, (n, d).
        y: m samples, (m, d).
        mean: In place of `y`, the exact mean of a law, (d,).
        covariance: And its exact covariance, (d, d).

    Raises:
        ValueError: Shapes, fewer than 2 samples, entries not finite, neither or both of
            sample and law, a covariance that is not symmetric and positive.

    References:
        Dowson & Landau (1982), J. Multivariate Analysis 12. Heusel et al. (2017),
        arXiv:1706.08500. Chong & Forsyth (2019), arXiv:1911.07023: the bias.
    """
    if (y is None) != (mean is not None and covariance is not None) or (
        y is not None and (mean is not None or covariance is not None)
    ):
        raise BadInput("Give either `y` or both `mean` and `covariance`.")
    if y is not None:
        first, second = as_pair(x, y)
        # Moved, not only centred: the means then lose nothing to a large offset.
        offset = first.mean(0)
        first, second = first - offset[None], second - offset[None]
        m1, c1, z1 = _moments(first)
        m2, c2, z2 = _moments(second)
    else:
        assert mean is not None
        assert covariance is not None
        first = as_samples(x, "x")
        m2, c2 = _law(mean, covariance, first.shape[1])
        first, m2 = same_type(first, m2)
        m2, c2 = same_type(m2, c2)
        first = first.astype(m2.dtype) - m2[None]
        m1, c1, z1 = _moments(first)
        m2, z2 = jnp.zeros_like(m2), None
    gap = m1 - m2
    # Rounding may take the sum below zero where the covariances agree.
    spread = jnp.maximum(jnp.trace(c1) + jnp.trace(c2) - 2 * fidelity(c1, c2), 0)
    _, forward, backward = jax.lax.stop_gradient(_maps(c1, c2))
    variance = mean_variance(_variation(z1, gap, forward))
    if z2 is not None:
        variance = variance + mean_variance(_variation(z2, -gap, backward))
    return measured(jnp.sum(gap**2) + spread, variance)


@jax.custom_jvp
def fidelity(a: Float[Array, "d d"], b: Float[Array, "d d"]) -> Float[Array, ""]:
    """Trace of (a^1/2 b a^1/2)^1/2 of covariances.

    Its derivative is a rule of its own, tr(T da + T^-1 db) / 2 with the optimal map T:
    that of eigenvectors does not exist where eigenvalues meet.
    """
    return _maps(a, b)[0]


@fidelity.defjvp
def _fidelity_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]):
    value, forward, backward = _maps(*primals)
    da, db = tangents
    return value, (jnp.sum(forward * da) + jnp.sum(backward * db)) / 2


def _maps(a: Float[Array, "d d"], b: Float[Array, "d d"]) -> tuple[Array, Array, Array]:
    """The fidelity, the optimal map from a to b, and the one back.

    Singular values of a^1/2 b^1/2 are the roots of the eigenvalues of a^1/2 b a^1/2,
    without squaring: a zero is good to eps, not to its root.
    """
    root_a, inverse_a = _roots(a)
    root_b, inverse_b = _roots(b)
    left, values, right = jnp.linalg.svd(_product(root_a, root_b))
    forward = _product(inverse_a, left * values[None], left.T, inverse_a)
    backward = _product(inverse_b, right.T * values[None], right, inverse_b)
    return values.sum(), forward, backward


def _roots(a: Float[Array, "d d"]) -> tuple[Float[Array, "d d"], Float[Array, "d d"]]:
    """Symmetric root and its pseudo-inverse."""
    values, vectors = jnp.linalg.eigh((a + a.T) / 2)
    floor = len(a) * float(jnp.finfo(a.dtype).eps) * values[-1]
    # Compared so that NaN stays.
    none = values <= floor
    root = jnp.where(none, 0, jnp.sqrt(jnp.where(none, 1, values)))
    inverse = jnp.where(none, 0, 1 / jnp.where(none, 1, root))
    rebuilt = lambda v: _product(vectors * v[None], vectors.T)
    return rebuilt(root), rebuilt(inverse)


def _product(*factors: Float[Array, "_ _"]) -> Float[Array, "_ _"]:
    product = factors[0]
    for factor in factors[1:]:
        product = jnp.matmul(product, factor, precision="highest")
    return product


def _moments(x: Float[Array, "n d"]) -> tuple[Array, Array, Array]:
    """Mean, covariance and the centred samples."""
    mean = x.mean(0)
    z = x - mean[None]
    return mean, _product(z.T, z) / (len(x) - 1), z


def _variation(
    z: Float[Array, "n d"], gap: Float[Array, " d"], optimal_map: Float[Array, "d d"]
) -> Float[Array, " n"]:
    """First-order variation of the distance with the weight of each sample."""
    moved = z - _product(z, optimal_map) + 2 * gap[None]
    return jnp.sum(moved * z, axis=1)


def _law(mean: AnyArray, covariance: AnyArray, d: int) -> tuple[Array, Array]:
    """Exact moments, checked."""
    m = finite_array(mean, "mean")
    c = finite_array(covariance, "covariance")
    if m.shape != (d,) or c.shape != (d, d):
        raise BadInput(
            f"`mean` has shape {m.shape} and `covariance` {c.shape}; samples in {d} "
            f"dimensions need ({d},) and ({d}, {d})."
        )
    if is_concrete(c):
        dense = np.asarray(c, np.float64)
        slack = 16 * d * float(jnp.finfo(c.dtype).eps) * np.abs(dense).max()
        if np.abs(dense - dense.T).max() > slack:
            raise BadInput("`covariance` is not symmetric: hand over (c + c.T) / 2.")
        if np.linalg.eigvalsh(dense)[0] < -slack:
            raise BadInput("`covariance` has a negative eigenvalue: it must have none.")
    return m, c
