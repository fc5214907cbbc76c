"""Euler's and Heun's methods on the probability-flow ODE."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points, coefficients


class EulerFlow(AbstractStep):
    """Euler's method on the probability flow dx/dt = f x - g^2 score / 2.

        x_s = x_t - h v(x_t, t),    h = t - s.

    Order 1. One evaluation a step, no noise. The grid starts where f is finite (not at
    u = 1 of the interpolant).

    References:
        Song et al. (2021), arXiv:2011.13456, equation 13.
    """

    @property
    def draws(self) -> int:
        """No Gaussian vectors."""
        return 0

    def evaluations(self, num_steps: int) -> int:
        """One score a step."""
        return num_steps

    def step(
        self,
        score: AnyScore,
        x: Points,
        t: ScalarLike,
        s: ScalarLike,
        z: Float[Array, "draws *b d"],
        key: Keys,
        mem: None,
    ) -> tuple[Points, None]:
        """Move from t to s < t."""
        del z, key
        return x - jnp.asarray(t - s, x.dtype) * _velocity(score, x, t), mem


class HeunFlow(AbstractStep):
    """Heun's method (the explicit trapezoid) on dx/dt = f x - g^2 score / 2.

        x' = x_t - h v(x_t, t),    x_s = x_t - h (v(x_t, t) + v(x', s)) / 2.

    Order 2. Two evaluations a step, no noise. The score is evaluated at the last time
    too: end at sigma > 0, unless the clean law has a density.

    References:
        Karras et al. (2022), arXiv:2206.00364, algorithm 1.
    """

    @property
    def draws(self) -> int:
        """No Gaussian vectors."""
        return 0

    def evaluations(self, num_steps: int) -> int:
        """Two scores a step."""
        return 2 * num_steps

    def step(
        self,
        score: AnyScore,
        x: Points,
        t: ScalarLike,
        s: ScalarLike,
        z: Float[Array, "draws *b d"],
        key: Keys,
        mem: None,
    ) -> tuple[Points, None]:
        """Move from t to s < t."""
        del z, key
        h = jnp.asarray(t - s, x.dtype)
        first = _velocity(score, x, t)
        second = _velocity(score, x - h * first, s)
        return x - h / 2 * (first + second), mem


def _velocity(score: AnyScore, x: Points, t: ScalarLike) -> Points:
    f, rate = coefficients(score, x, t)
    return f * x - rate / 2 * score(x, t)
