"""DDIM(eta): from the exact flow of a frozen prediction to ancestral sampling."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import denoised, move


class DDIM(AbstractStep):
    """Denoise, then put back what noise the next time has.

        x_s = alpha_s D + sqrt(sigma_s^2 - spread^2) (x_t - alpha_t D) / sigma_t
              + spread z,    spread = eta sigma_s sqrt(1 - e^-2h),

    eta = 0 is the probability flow at a frozen prediction, eta = 1 ancestral sampling
    with the bridge's variance. Order 1 (weak order 1 where eta > 0). One evaluation a
    step, and one Gaussian vector where eta > 0.

    Raises:
        ValueError: `eta` is not in [0, 1].

    References:
        Song, Meng, Ermon (2021), arXiv:2010.02502, equations 12 and 16.
    """

    eta: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        if not 0 <= self.eta <= 1:
            raise ValueError(f"`eta` is {self.eta}; it must be between 0 and 1.")

    @property
    def draws(self) -> int:
        """One Gaussian vector a step, none for eta = 0."""
        return int(self.eta > 0)

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
        to, data = move(score, x, t, s), denoised(score, x, t)
        if not self.draws:
            return to.transfer(x, data), mem
        share = self.eta**2 * -jnp.expm1(-2 * to.h)
        kept = jnp.sqrt(1 - share)
        # 1 - kept e^-h, without the cancellation of short steps.
        gain = -jnp.expm1(-to.h) + jnp.exp(-to.h) * share / (1 + kept)
        clean = to.alpha_s * gain * data
        spread = to.sigma_s * jnp.sqrt(share)
        return (to.sigma_s / to.sigma_t) * kept * x + clean + spread * z[0], mem
