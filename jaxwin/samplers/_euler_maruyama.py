"""Euler-Maruyama on the reverse SDE."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points, coefficients


class EulerMaruyama(AbstractStep):
    """Euler-Maruyama on the reverse SDE dx = (f x - g^2 score) dt + g dW.

        x_s = x_t - h (f x_t - g^2 score(x_t, t)) + g sqrt(h) z,    h = t - s,

    f and g^2 at t. Weak and strong order 1 (the noise is additive). One evaluation and
    one Gaussian vector a step.

    References:
        Anderson (1982); Song et al. (2021), arXiv:2011.13456, equation 6;
        Kloeden & Platen (1992), section 10.2.
    """

    @property
    def draws(self) -> int:
        """One Gaussian vector a step."""
        return 1

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
        del key
        f, rate = coefficients(score, x, t)
        h = jnp.asarray(t - s, x.dtype)
        drift = f * x - rate * score(x, t)
        return x - h * drift + jnp.sqrt(rate * h) * z[0], mem
