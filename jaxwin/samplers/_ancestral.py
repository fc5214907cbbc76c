"""Ancestral sampling of DDPM, on any clock and any grid."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check_one_of
from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import denoised, move


class Ancestral(AbstractStep):
    """The Gaussian bridge to x0 = D(x_t, t), with one of two variances.

        x_s = sigma_s/sigma_t e^-h x_t + alpha_s (1 - e^-2h) D(x_t, t) + spread z,

        "posterior":  spread^2 = sigma_s^2 (1 - e^-2h), that of the bridge (fixed small)
        "forward":    spread^2 = sigma_t^2 (1 - e^-2h), that of the noising step from s
                      to t (fixed large); none on arriving at sigma = 0.

    Weak order 1 (reached slowly on grids uniform in OU time). One evaluation and one
    Gaussian vector a step.

    References:
        Ho, Jain, Abbeel (2020), arXiv:2006.11239, equation 7 and section 3.2.
    """

    variance: str = eqx.field(static=True, default="posterior")

    def __check_init__(self):
        check_one_of(self.variance, ("posterior", "forward"), "variance")

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
        to, w = move(score, x, t, s), z[0]
        if self.variance == "forward":
            w = jnp.where(to.sigma_s > 0, to.sigma_t / _nonzero(to.sigma_s), 0) * w
        return to.bridge(x, denoised(score, x, t), w), mem


def _nonzero(sigma: Array) -> Array:
    return jnp.where(sigma > 0, sigma, 1)
