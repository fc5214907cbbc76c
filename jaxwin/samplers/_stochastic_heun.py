"""Heun's method on the reverse SDE, whose noise is additive."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points, coefficients


class StochasticHeun(AbstractStep):
    """Heun's method on dx = (f x - g^2 score) dt + g dW.

        x' = x_t - h a(x_t, t) + g_t sqrt(h) z,
        x_s = x_t - h (a(x_t, t) + a(x', s)) / 2 + (g_t + g_s) / 2 sqrt(h) z.

    Weak order 2, strong order 1. Two evaluations and one Gaussian vector a step. The
    score is evaluated at the last time too: end at sigma > 0, unless the clean law has
    a density.

    References:
        Kloeden & Platen (1992), section 15.1 (additive noise).
    """

    @property
    def draws(self) -> int:
        """One Gaussian vector a step, for both stages."""
        return 1

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
        del key
        h = jnp.asarray(t - s, x.dtype)
        first, g_t = _drift(score, x, t)
        w = jnp.sqrt(h) * z[0]
        second, g_s = _drift(score, x - h * first + g_t * w, s)
        return x - h / 2 * (first + second) + (g_t + g_s) / 2 * w, mem


def _drift(score: AnyScore, x: Points, t: ScalarLike) -> tuple[Points, Array]:
    f, rate = coefficients(score, x, t)
    return f * x - rate * score(x, t), jnp.sqrt(rate)
