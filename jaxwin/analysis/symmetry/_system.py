"""The fixed points of a drift as those of one map, in units of the data."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from jaxwin._typing import Point
from jaxwin.analysis.symmetry._drift import Drift, drift_ratio
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractDenoiser


class System(eqx.Module):
    """The map y -> E[x0 | x = kappa alpha x0(y)], whose fixed points are the drift's.

    Places y are clean points about a centre in units of a scale, x0 = centre + scale y,
    and the noise is nu = -log-SNR of the clock. The map is the gradient of a convex
    function: iterated, it never raises the potential (an EM step of mean shift), and
    its Jacobian

        kappa (alpha^2 / sigma^2) Cov[x0 | x]

    is symmetric; a fixed point is a minimum of u where all its eigenvalues are below 1.
    """

    denoiser: AbstractDenoiser
    process: AbstractProcess
    drift: Drift
    centre: Point
    scale: Float[Array, ""]

    def time(self, noise: Float[Array, "..."]) -> Float[Array, "..."]:
        """Time of the clock at nu."""
        return self.process.time(-noise)

    def levels(
        self, noise: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """alpha, sigma and the gain kappa at nu."""
        t = self.time(noise)
        alpha, sigma = self.process.levels(t, self.centre.dtype)
        ratio = drift_ratio(self.process, t).astype(sigma.dtype)
        return alpha, sigma, self.drift.gain(sigma, ratio)

    def noised(self, y: Point, noise: Float[Array, ""]) -> Point:
        """The point x of the drift at the place y."""
        alpha, _, gain = self.levels(noise)
        return gain * alpha * self.clean(y)

    def clean(self, y: Point) -> Point:
        """The clean point x0 at the place y."""
        return self.centre + self.scale * y

    def image(self, y: Point, noise: Float[Array, ""]) -> Point:
        """Where the map takes y."""
        alpha, sigma, gain = self.levels(noise)
        mean = self.denoiser.denoise(gain * alpha * self.clean(y), alpha, sigma)
        return (mean - self.centre) / self.scale

    def residual(self, y: Point, noise: Float[Array, ""]) -> Point:
        """Zero at fixed points."""
        return y - self.image(y, noise)

    def slope(self, y: Point, noise: Float[Array, ""]) -> Float[Array, "d d"]:
        """The (symmetric) Jacobian of the map, by d products."""
        matrix = jax.jacfwd(self.image)(y, noise)
        return (matrix + matrix.T) / 2
