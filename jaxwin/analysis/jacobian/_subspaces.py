"""How many directions of given subspaces a posterior still knows: lost dimensions.

Memory does not come all at once: as data become scarce, the empirical posterior loses
the directions of a manifold at different noises, the wide ones not always last.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._numerics import as_float
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.analysis.jacobian._leading import check_levels, spread_product
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractDenoiser, Empirical


class LostDimensions(eqx.Module):
    """Mean effective dimension of subspaces under the empirical score.

    degrees: sum of the shares of `subspace_shares`, each cut at 1; what the population
    has, and the data lose. participation: (sum of shares)^2 / sum of their squares, how
    many directions share what is left.
    """

    points: Int[np.ndarray, " n"] = field(("points",), "", "data points")
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    degrees: Float[np.ndarray, "n t s"] = field(
        ("points", "noise", "subspace"), "directions"
    )
    degrees_stderr: Float[np.ndarray, "n t s"] = field(
        ("points", "noise", "subspace"), "directions", "given these data"
    )
    participation: Float[np.ndarray, "n t s"] = field(
        ("points", "noise", "subspace"), "directions"
    )
    participation_stderr: Float[np.ndarray, "n t s"] = field(
        ("points", "noise", "subspace"), "directions", "given these data"
    )
    count: Int[np.ndarray, " n"] = field(("points",), "", "noised points")


def subspace_shares(
    denoiser: AbstractDenoiser,
    x: Point,
    alpha: ScalarLike,
    sigma: ScalarLike,
    frame: Float[Array, "_ r"],
) -> Float[Array, " r"]:
    """Eigenvalues of (alpha^2 / sigma^2) F^T Cov[x0 | x] F, largest first.

    For a Gaussian in its own directions lambda / (lambda + u), u = sigma^2 / alpha^2:
    1 where the data are much wider than the noise, 0 where they do not vary, or where
    one data point is left. Larger than 1 between the modes of a posterior.

    Args:
        denoiser: Any.
        x: A noised point.
        alpha: Signal, > 0.
        sigma: Noise, > 0.
        frame: Orthonormal columns of the subspace.

    Raises:
        ValueError: Levels not positive, a frame of another dimension or not orthonormal
            (where it is concrete).
    """
    x = as_float(x)
    check_levels(alpha, sigma)
    frame = checked_frame(frame, x.size).astype(x.dtype)
    alpha, sigma = jnp.asarray(alpha, x.dtype), jnp.asarray(sigma, x.dtype)
    return _shares(denoiser, x, alpha, sigma, frame)


def participation(shares: Float[Array, "*t r"]) -> Float[Array, "*t"]:
    """Participation ratio (sum s)^2 / sum s^2 along the last axis; 0 for all zeros."""
    top = jnp.max(jnp.abs(shares), axis=-1, keepdims=True)
    # In units of the largest: squares must stay in range.
    unit = shares / jnp.where(top > 0, top, 1)
    square = jnp.sum(unit**2, axis=-1)
    return jnp.sum(unit, axis=-1) ** 2 / jnp.where(square > 0, square, 1)


def lost_dimensions(
    points: Float[Array, "n d"],
    frames: Sequence[Float[Array, "_ _"]],
    counts: Sequence[int],
    times: ArrayLike | Sequence[float],
    *,
    process: AbstractProcess | None = None,
    num_replicas: int = 128,
    key: Key | None = None,
    block_size: int = 8,
    **options: Any,
) -> LostDimensions:
    """Effective dimension of subspaces against the number of points and the noise.

    One replica is one data point with one noise, seen at every time: where the reverse
    process of the empirical score would be. The first m points make the smaller data
    sets.

    Args:
        points: The data.
        frames: Orthonormal columns of each subspace, (d, r) with their own r.
        counts: Data points of each set, 2 to n.
        times: Times of `process`, sigma > 0.
        process: The clock; OU if left out.
        num_replicas: Noised points for each number of data points.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; memory grows with it times d times r.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: No frames, frames that are not orthonormal, counts out of range,
            times at which sigma = 0.

    References:
        Achilli et al. (2024), arXiv:2410.08727 (geometric memorisation).
    """
    process = OrnsteinUhlenbeck() if process is None else process
    key = jr.key(0) if key is None else key
    points, times = as_float(points), np.asarray(times)
    if not frames:
        raise ValueError("`frames` is empty; give the columns of at least 1 subspace.")
    dtype, dimension = points.dtype, points.shape[1]
    frames = tuple(checked_frame(frame, dimension).astype(dtype) for frame in frames)
    for count in counts:
        if not 2 <= count <= len(points):
            raise ValueError(
                f"`counts` holds {count}; it must hold numbers between 2 and the "
                f"{len(points)} data points."
            )
    alphas, sigmas = process.levels(jnp.asarray(times), dtype)
    check_levels(alphas, sigmas)
    found, replicas = [], []
    for count in counts:
        replica = eqx.Partial(
            _dimensions, Empirical(points[:count]), frames, alphas, sigmas
        )
        estimate = run(replica, num_replicas, key, block_size=block_size, **options)
        found.append((*estimate.mean, *estimate.stderr))
        replicas.append(estimate.count)
    curves = (np.stack(parts) for parts in zip(*found, strict=True))
    degrees, ratio, degrees_stderr, ratio_stderr = curves
    return LostDimensions(
        points=np.asarray(counts),
        noise=times,
        degrees=degrees,
        degrees_stderr=degrees_stderr,
        participation=ratio,
        participation_stderr=ratio_stderr,
        count=np.asarray(replicas),
    )


def checked_frame(frame: Float[Array, "_ r"], dimension: int) -> Float[Array, "d r"]:
    """A frame of so many rows; concrete columns must be orthonormal."""
    frame = as_float(frame)
    if frame.ndim != 2 or frame.shape[0] != dimension or not frame.shape[1]:
        raise ValueError(
            f"`frame` has shape {frame.shape}; it must be ({dimension}, r): one column "
            f"for each direction."
        )
    if is_concrete(frame):
        columns = np.asarray(frame, np.float64)
        error = np.abs(columns.T @ columns - np.eye(frame.shape[1])).max()
        if not error < np.sqrt(np.finfo(frame.dtype).eps):
            raise ValueError(
                f"`frame` has columns whose products differ from the identity by "
                f"{error:.2g}; they must be orthonormal: take `jnp.linalg.qr`."
            )
    return frame


@eqx.filter_jit
def _shares(
    denoiser: AbstractDenoiser, x: Point, alpha: Array, sigma: Array, frame: Array
) -> Float[Array, " r"]:
    products = spread_product(denoiser, x, alpha, sigma, frame)
    inside = jnp.matmul(frame.T, products, precision="highest")
    return jnp.linalg.eigvalsh((inside + inside.T) / 2)[::-1]


def _dimensions(
    law: Empirical,
    frames: tuple[Array, ...],
    alphas: Array,
    sigmas: Array,
    key: Key,
    replica: Array,
) -> tuple[Float[Array, "t s"], Float[Array, "t s"]]:
    """Degrees of freedom and participation of each subspace at every noise level."""
    index, z = law.draw_own(jr.fold_in(key, replica))
    own = law.blocks.points.reshape(-1, law.dimension)[index]

    def at(level: tuple[Array, Array]) -> tuple[Array, Array]:
        alpha, sigma = level
        args = law, alpha * own + sigma * z, alpha, sigma
        # Rounding may leave shares slightly below zero.
        shares = [jnp.maximum(_shares(*args, frame), 0) for frame in frames]
        degrees = jnp.stack([jnp.sum(jnp.minimum(s, 1)) for s in shares])
        return degrees, jnp.stack([participation(s) for s in shares])

    # A batch of noise levels would evaluate every form of the log-weights.
    return jax.lax.map(at, (alphas, sigmas))
