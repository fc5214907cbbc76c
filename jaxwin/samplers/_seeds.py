"""SEEDS: exponential integrators of the reverse SDE on the noise prediction."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import Move, halfway, move, noise


class SEEDS(AbstractStep):
    """The reverse SDE with the noise prediction frozen, the rest exact.

        order 1   x_s = alpha_s/alpha_t x_t - 2 alpha_s (rho_t - rho_s) eps(x_t, t)
                        + alpha_s sqrt(rho_t^2 - rho_s^2) z,    rho = sigma / alpha
        order 2   eps at the first-order point halfway in log-SNR, whose noise is the
                  first part of that of the step

    Weak order 1 and 2 in the step of log-SNR. `order` evaluations and as many Gaussian
    vectors a step. Order 2 ends at sigma > 0.

    Raises:
        ValueError: `order` is not 1 or 2.

    References:
        Gonzalez et al. (2023), arXiv:2305.14267, algorithms 1 and 2.
    """

    order: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        if self.order not in (1, 2):
            raise ValueError(f"`order` is {self.order}; it must be 1 or 2.")

    @property
    def draws(self) -> int:
        """As many Gaussian vectors as the order."""
        return self.order

    def evaluations(self, num_steps: int) -> int:
        """As many scores a step as the order."""
        return self.order * num_steps

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
        to, eps = move(score, x, t, s), noise(score, x, t)
        if self.order == 1:
            return _pushed(to, x, eps) + to.linear_noise() * z[0], mem
        middle = halfway(score, t, s)
        half, rest = move(score, x, t, middle), move(score, x, middle, s)
        early = half.linear_noise() * z[0]
        eps = noise(score, _pushed(half, x, eps) + early, middle)
        late = rest.grown() * early + rest.linear_noise() * z[1]
        return _pushed(to, x, eps) + late, mem


def _pushed(to: Move, x: Points, eps: Points) -> Points:
    """The drift of the reverse SDE at a frozen noise prediction."""
    return to.grown() * (x + 2 * to.sigma_t * jnp.expm1(-to.h) * eps)
