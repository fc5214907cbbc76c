"""The Gaussian with the moments of a law, drawn clean once for every noise."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.samplers import FromMoments
from jaxwin.targets import AbstractTarget


def start_law(
    target: AbstractTarget, t: ScalarLike, process: AbstractProcess | None = None
) -> FromMoments:
    """The law of a late start at t: N(alpha m, alpha^2 C + sigma^2 I).

    m and C are the exact mean and covariance of the clean law; nothing is estimated
    from noised points.

    Args:
        target: The clean law.
        t: Time of `process`.
        process: The clock; OU if left out.

    Raises:
        ValueError: A time off the clock, or where the covariance is singular.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693 (Gaussian late start).
    """
    return FromMoments(target, OrnsteinUhlenbeck() if process is None else process, t)


class GaussianClean(eqx.Module):
    """The law N(m, C) of clean points, C = root root^T + variance I.

    Noised, its draws are those of a late start at every noise, by the same numbers.
    directions: orthonormal, leading eigenvectors of C, with their eigenvalues.
    """

    mean: Float[Array, " d"]
    root: Float[Array, "d r"]
    variance: Float[Array, ""]
    directions: Float[Array, "d k"]
    eigenvalues: Float[Array, " k"]

    def draw(self, key: Key) -> Point:
        """A clean point."""
        along, across = jr.split(key)
        dtype = self.mean.dtype
        u = jr.normal(along, (self.root.shape[1],), dtype)
        rest = jnp.sqrt(self.variance) * jr.normal(across, self.mean.shape, dtype)
        return self.mean + jnp.matmul(self.root, u, precision="highest") + rest

    def whitened(
        self,
        y: Point,
        z: Point,
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> Float[Array, "t k"]:
        """Leading coordinates of alpha y + sigma z in units of their own width.

        Independent standard Gaussians at every noise, if y is a draw.
        """
        along = lambda v: jnp.matmul(v, self.directions, precision="highest")[None]
        alphas, sigmas = alphas[:, None], sigmas[:, None]
        width = jnp.sqrt(alphas**2 * self.eigenvalues[None] + sigmas**2)
        return (alphas * along(y - self.mean) + sigmas * along(z)) / width


def gaussian_clean(target: AbstractTarget, num_directions: int) -> GaussianClean:
    """The Gaussian with the moments of a law, and at most so many leading directions.

    Directions are those in which the law is wider than its isotropic part.
    """
    mean, variance, eigenvalues, directions = _leading(target)
    spread = np.asarray(eigenvalues - variance)
    # Directions of rounding size are not orthonormal.
    some = spread > spread[:1].sum() * 16 * np.finfo(spread.dtype).eps * spread.size
    rank, wanted = int(some.sum()), min(num_directions, int(some.sum()))
    # No sign is left to chance: the largest entry of a direction is positive.
    largest = jnp.take_along_axis(
        directions, jnp.argmax(jnp.abs(directions), axis=0)[None], axis=0
    )
    directions = directions * jnp.where(largest < 0, -1, 1).astype(directions.dtype)
    root = directions[:, :rank] * jnp.sqrt(jnp.asarray(spread[:rank]))[None]
    return GaussianClean(
        mean=mean,
        root=root,
        variance=variance,
        directions=directions[:, :wanted],
        eigenvalues=eigenvalues[:wanted],
    )


@eqx.filter_jit
def _leading(target: AbstractTarget) -> tuple[Array, Array, Array, Array]:
    """Mean, isotropic part, eigenvalues and directions; compiled, for large data."""
    moments = target.moments()
    leading = moments.leading(min(moments.factor.shape))
    return moments.mean, moments.variance, *leading
