"""DEIS: a polynomial through past noise predictions, integrated exactly."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import move, noise
from jaxwin.samplers._multistep import (
    History,
    falling_moments,
    interpolating_weights,
)


class DEIS(AbstractStep):
    r"""Exponential Adams-Bashforth on the noise prediction, polynomials in log rho.

        x_s / alpha_s = x_t / alpha_t - rho_t sum_k w_k eps_k,    rho = sigma / alpha,

    eps_k at t and at the times before; the weights integrate the polynomial through
    them against d rho exactly. Order 1 is DDIM. It begins with lower orders, and takes
    order 1 where s is clean. Orders 1, 2, 3 with exact starting values. One evaluation
    a step, no noise.

    Raises:
        ValueError: `order` is not 1, 2 or 3.

    References:
        Zhang & Chen (2022), arXiv:2204.13902, equations 14 and 15 and appendix (log
        rho).
    """

    order: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        if self.order not in (1, 2, 3):
            raise ValueError(f"`order` is {self.order}; it must be 1, 2 or 3.")

    @property
    def draws(self) -> int:
        """No Gaussian vectors."""
        return 0

    def evaluations(self, num_steps: int) -> int:
        """One score a step."""
        return num_steps

    def init(self, score: AnyScore, x: Points, t: ScalarLike) -> History:
        """No noise prediction remembered."""
        return History.empty(x, self.order)

    def step(
        self,
        score: AnyScore,
        x: Points,
        t: ScalarLike,
        s: ScalarLike,
        z: Float[Array, "draws *b d"],
        key: Keys,
        mem: History,
    ) -> tuple[Points, History]:
        """Move from t to s < t."""
        del z, key
        to, place = move(score, x, t, s), score.process.log_snr(t) / 2
        mem = mem.push(noise(score, x, t), place)
        finite = jnp.isfinite(to.h)
        h = jnp.where(finite, to.h, 1)
        nodes = (mem.places - mem.places[0]) / h
        count = jnp.where(finite, mem.count, 1)
        weights = interpolating_weights(nodes, count, falling_moments(h, self.order))
        # All of rho_t where rho_s = 0.
        weights = jnp.where(finite, weights, jnp.zeros_like(weights).at[0].set(1))
        change = to.sigma_t * mem.combined(weights)
        return to.grown() * (x - change), mem
