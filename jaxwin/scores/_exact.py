"""The score of a target on a clock, and every other form of the same knowledge."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess
from jaxwin.scores._base import AbstractScore
from jaxwin.targets import AbstractDenoiser


class ExactScore(AbstractScore):
    """score(x, t) = grad log p_t(x) of a target on a process.

    The other forms are computed from whichever of score and denoiser is well
    conditioned, so that each is finite at both ends of time where its limit is (at
    sigma = 0 the score itself is refused, or infinite under a trace).
    """

    target: AbstractDenoiser
    process: AbstractProcess

    def __init__(self, target: AbstractDenoiser, process: AbstractProcess):
        """Join a target (any denoiser) and a process."""
        self.target, self.process = target, process

    def __call__(self, x: Point, t: ScalarLike) -> Point:
        """Score grad log p_t(x)."""
        return self.target.score(x, *self.levels(x, t))

    def many(self, xs: Float[Array, "b d"], t: ScalarLike) -> Float[Array, "b d"]:
        """Scores of a block at one time, through the target's `score_many`."""
        return self.target.score_many(xs, *self.levels(xs, t))

    def denoised(self, x: Point, t: ScalarLike) -> Point:
        """Posterior mean E[x0 | x_t = x]."""
        return self.target.denoise(x, *self.levels(x, t))

    def noise(self, x: Point, t: ScalarLike) -> Point:
        """Noise prediction E[z | x_t = x] = -sigma score, zero at sigma = 0."""
        return -self._times_score(x, t, self.levels(x, t)[1])

    def v_prediction(self, x: Point, t: ScalarLike) -> Point:
        """Prediction v = alpha E[z | x] - sigma E[x0 | x] (arXiv:2202.00512)."""
        alpha, sigma = self.levels(x, t)
        return alpha * self.noise(x, t) - sigma * self.denoised(x, t)

    def velocity(self, x: Point, t: ScalarLike) -> Point:
        """Velocity dx/dt of the probability flow, alpha' E[x0 | x] - (sigma^2)' s / 2.

        Equal to f x - g^2 score / 2, and finite where f is not (the interpolant's end).
        """
        alpha_rate = jnp.asarray(self.process.alpha_rate(t), x.dtype)
        variance_rate = jnp.asarray(self.process.variance_rate(t), x.dtype)
        pushed = self._times_score(x, t, variance_rate / 2)
        return alpha_rate * self.denoised(x, t) - pushed

    def _times_score(self, x: Point, t: ScalarLike, factor: Array) -> Point:
        """The score times a factor; zero where that is, also where no score exists."""
        if is_concrete(factor):
            return factor * self(x, t) if bool(factor != 0) else jnp.zeros_like(x)
        alpha, sigma = self.levels(x, t)
        some = factor != 0
        # A score exists at sigma = 1: neither value nor derivative is NaN.
        score = self.target.score(x, alpha, jnp.where(some, sigma, 1))
        return jnp.where(some, factor * score, 0)
