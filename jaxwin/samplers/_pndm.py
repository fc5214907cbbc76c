"""PNDM: pseudo Runge-Kutta to begin with, then a pseudo linear multistep method."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import move, noise
from jaxwin.samplers._multistep import History

ADAMS = (55 / 24, -59 / 24, 37 / 24, -9 / 24)


class PNDM(AbstractStep):
    """The transfer of DDIM with a better noise prediction in place of eps(x_t, t).

        first three steps  (e1 + 2 e2 + 2 e3 + e4) / 6, classical Runge-Kutta stages in
                           t, moved by the transfer (four evaluations a step)
        afterwards         (55 e_0 - 59 e_1 + 37 e_2 - 9 e_3) / 24, e_i from i steps
                           before (one evaluation)

    The weights are those of equal steps in t; on other grids, and wherever rho =
    sigma / alpha is not linear in t, order 2 at most. The first three steps evaluate at
    their ends: these lie at sigma > 0. No noise.

    References:
        Liu, Ren, Lin, Zhao (2022), arXiv:2202.09778, equations 9 to 12 and algorithm 2
        (F-PNDM).
    """

    @property
    def draws(self) -> int:
        """No Gaussian vectors."""
        return 0

    def evaluations(self, num_steps: int) -> int:
        """Four scores in each of the first three steps, then one."""
        return 4 * min(num_steps, 3) + max(num_steps - 3, 0)

    def init(self, score: AnyScore, x: Points, t: ScalarLike) -> History:
        """No noise prediction remembered."""
        return History.empty(x, 4)

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
        mem = mem.push(noise(score, x, t), jnp.zeros((), x.dtype))

        def adams() -> Points:
            return mem.combined(jnp.asarray(ADAMS, x.dtype))

        def runge_kutta() -> Points:
            middle, e1 = (t + s) / 2, mem.values[0]
            e2 = noise(score, _transfer(score, x, e1, t, middle), middle)
            e3 = noise(score, _transfer(score, x, e2, t, middle), middle)
            e4 = noise(score, _transfer(score, x, e3, t, s), s)
            return (e1 + 2 * e2 + 2 * e3 + e4) / 6

        better = jax.lax.cond(mem.count > 3, adams, runge_kutta)
        return _transfer(score, x, better, t, s), mem


def _transfer(
    score: AnyScore, x: Points, eps: Points, t: ScalarLike, s: ScalarLike
) -> Points:
    """The flow at a frozen noise: alpha_s (x / alpha_t - (rho_t - rho_s) eps)."""
    to = move(score, x, t, s)
    return to.grown() * (x + to.sigma_t * jnp.expm1(-to.h) * eps)
