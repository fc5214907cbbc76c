"""Gaussian latent variables seen through a linear frame: x0 = mean + F z."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxwin._checks import finite, require
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, Key
from jaxwin.targets._covariance import decompose_factors
from jaxwin.targets._gaussian_mixture import GaussianMixture


class HiddenManifold:
    """Laws on a linear manifold: x0 = m_k + F z, z ~ N(0, I_r), F a (d, r) frame.

    Each is an exact `GaussianMixture` of covariance F F^T + floor I, one component of
    zero mean unless `means` are given. Seen at noise level (alpha, sigma) an eigenvalue
    lambda of F F^T is one of the score's Jacobian, -1 / (alpha^2 lambda + sigma^2), so
    that directions open one scale after the other.

    References:
        Ventura et al., arXiv:2410.05898; Achilli et al., arXiv:2502.09578 (hidden
        manifold model).
    """

    @staticmethod
    def linear(
        frame: AnyArray,
        *,
        means: AnyArray | None = None,
        weights: AnyArray | None = None,
        labels: AnyArray | None = None,
        floor: ArrayLike = 0.0,
    ) -> GaussianMixture:
        """The law of a given frame F, of any number of columns.

        Args:
            frame: (d, r) matrix.
            means: (K, d) positions of classes that share the frame.
            weights: (K,) probabilities; equal if left out.
            labels: (K,) class of each component; each its own if left out.
            floor: Variance >= 0 of every direction, across the manifold too.

        Raises:
            ValueError: A frame that is no matrix or not finite; means of another
                dimension; a negative floor.
        """
        frame = as_float(frame)
        if frame.ndim != 2 or 0 in frame.shape:
            raise ValueError(
                f"`frame` has shape {frame.shape}; it must be (d, r), one column a "
                f"latent variable."
            )
        frame = require(frame, finite, "`frame` must be finite everywhere.")
        dimension, rank = frame.shape
        if rank > dimension:
            # F F^T has d directions: more columns than that say nothing more.
            basis, singular = decompose_factors(frame[None])
            frame = basis[0] * singular
        means = np.zeros((1, dimension), frame.dtype) if means is None else means
        return GaussianMixture.low_rank(means, frame, floor, weights, labels=labels)

    @staticmethod
    def orthonormal(
        key: Key,
        dimension: int,
        ranks: AnyArray,
        variances: AnyArray,
        **options: Any,
    ) -> GaussianMixture:
        """Orthogonal subspaces, uniform in their direction: each a variance and a rank.

        F F^T has the eigenvalue variances[k] ranks[k] times and zero for the rest.

        Args:
            key: Draws the frame.
            dimension: Dimension d of space.
            ranks: Dimension m_k of each subspace, in all at most d.
            variances: Variance s_k^2 >= 0 of a latent variable of each.
            options: `means`, `weights`, `labels` and `floor`: see `linear`.

        Raises:
            ValueError: Ranks below one or beyond d in all, negative variances.
        """
        sizes, columns = _scales(dimension, ranks, variances)
        if columns.size > dimension:
            raise ValueError(
                f"`ranks` sum to {columns.size} in dimension {dimension}; orthogonal "
                f"directions are at most d: take fewer, or `gaussian`."
            )
        gaussian = jr.normal(key, (dimension, columns.size), sizes.dtype)
        frame = jnp.linalg.qr(gaussian)[0] * sizes[columns][None]
        return HiddenManifold.linear(frame, **options)

    @staticmethod
    def gaussian(
        key: Key,
        dimension: int,
        ranks: AnyArray,
        variances: AnyArray,
        **options: Any,
    ) -> GaussianMixture:
        """Independent Gaussian frames: m_k columns of entries of variance s_k^2 / m_k.

        Each scale adds variance s_k^2 to every coordinate on average, and for many
        dimensions its eigenvalues follow Marchenko and Pastur's law between
        s_k^2 (1 - sqrt(d / m_k))^2 and s_k^2 (1 + sqrt(d / m_k))^2.

        Args:
            key: Draws the frame.
            dimension: Dimension d of space.
            ranks: Columns m_k of each scale, any number.
            variances: Variance s_k^2 >= 0 that each scale adds.
            options: `means`, `weights`, `labels` and `floor`: see `linear`.

        Raises:
            ValueError: Ranks below one, negative variances.
        """
        sizes, columns = _scales(dimension, ranks, variances)
        count = np.bincount(columns)[columns]
        entries = jr.normal(key, (dimension, columns.size), sizes.dtype)
        spread = sizes[columns] / jnp.sqrt(jnp.asarray(count, sizes.dtype))
        return HiddenManifold.linear(entries * spread[None], **options)


def _scales(
    dimension: int, ranks: AnyArray, variances: AnyArray
) -> tuple[Float[Array, " k"], np.ndarray]:
    """Standard deviation of each scale, and the scale of each column."""
    ranks, variances = np.atleast_1d(ranks), jnp.atleast_1d(as_float(variances))
    if dimension < 1:
        raise ValueError(f"`dimension` is {dimension}; it must be at least 1.")
    if ranks.dtype.kind not in "iu" or ranks.ndim != 1 or not np.all(ranks >= 1):
        raise ValueError(
            f"`ranks` is {ranks.tolist()}; it must list whole numbers >= 1, one a "
            f"scale."
        )
    if variances.shape != ranks.shape:
        raise ValueError(
            f"`variances` has shape {variances.shape} and `ranks` {ranks.shape}; give "
            f"one variance a rank."
        )
    message = "`variances` must be finite and >= 0 everywhere."
    variances = require(variances, lambda v: finite(v) & (v >= 0), message)
    return jnp.sqrt(variances), np.repeat(np.arange(ranks.size), ranks)
