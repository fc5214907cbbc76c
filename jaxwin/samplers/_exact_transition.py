"""The exact reverse transition: a posterior draw, then the Gaussian bridge."""

import jax
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import move
from jaxwin.targets import AbstractTarget


class ExactTransition(AbstractStep):
    """x0 ~ p(x0 | x_t), then x_s ~ p(x_s | x_t, x0): no error on any grid.

        x_s = sigma_s/sigma_t e^-h x_t + alpha_s (1 - e^-2h) x0
              + sigma_s sqrt(1 - e^-2h) z,    h = (log-SNR(s) - log-SNR(t)) / 2.

    Exact in law, jointly along the grid, on every process; alpha_t = 0 is allowed, and
    at a clean s the point is x0 itself. The score gives the clock alone; a posterior
    draw costs what a score does, and an empirical law takes one uniform, not n.
    Conditioned on labels: `ExactTransition(target.restrict(mask))`.

    References:
        Anderson (1982); Ho, Jain, Abbeel (2020), arXiv:2006.11239, equation 6 (bridge).
    """

    target: AbstractTarget

    @property
    def draws(self) -> int:
        """Those of the posterior draw, and one for the bridge."""
        return self.target.posterior_draws + 1

    @property
    def linear(self) -> bool:
        """Not linear in the score: it draws."""
        return False

    @property
    def from_pure_noise(self) -> bool:
        """Nothing is divided by alpha."""
        return True

    def evaluations(self, num_steps: int) -> int:
        """One posterior draw a step."""
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
        to = move(score, x, t, s)

        def one(key, z, x):
            return self.target.posterior_draw(key, z[:-1], x, to.alpha_t, to.sigma_t)

        draw = one if x.ndim == 1 else jax.vmap(one, in_axes=(0, 1, 0))
        return to.bridge(x, draw(key, z, x), z[-1]), mem
