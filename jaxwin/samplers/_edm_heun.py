"""EDM's sampler: Heun's method in rho = sigma / alpha, with churn."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import denoised, unless_clean


class EDMHeun(AbstractStep):
    r"""Raise the noise a little, then Heun's method on dy/drho = (y - D) / rho.

        rho' = (1 + churn) rho_t,
        y' = x_t / alpha_t + noise sqrt(rho'^2 - rho_t^2) z,
        d = (y' - D(y', rho')) / rho',    y'' = y' + (rho_s - rho') d,
        y_s = y' + (rho_s - rho') (d + (y'' - D(y'', rho_s)) / rho_s) / 2,

    y = x / alpha, on any clock; Euler's step alone where s is clean. Without churn the
    method is deterministic, of order 2 in rho. With it only the limit is known: the
    right law for noise = 1. Two evaluations a step, one less where the grid ends
    clean, and one Gaussian vector where there is churn.

    Attributes:
        churn: Share by which the noise is raised, S_churn / N of the paper, between 0
            and sqrt(2) - 1.
        noise: S_noise, the standard deviation of the new noise.
        low, high: Churn only where rho_t lies between them (S_tmin, S_tmax).

    Raises:
        ValueError: `churn` or `noise` out of range.

    References:
        Karras et al. (2022), arXiv:2206.00364, algorithm 2.
    """

    churn: float = eqx.field(static=True, default=0.0)
    noise: float = eqx.field(static=True, default=1.0)
    low: float = eqx.field(static=True, default=0.0)
    high: float = eqx.field(static=True, default=float("inf"))

    def __check_init__(self):
        if not 0 <= self.churn <= 2**0.5 - 1 + 1e-12:
            raise ValueError(
                f"`churn` is {self.churn}; it must be between 0 and sqrt(2) - 1."
            )
        if not self.low <= self.high:
            raise ValueError(
                f"`low` is {self.low} and `high` is {self.high}; churn lies between "
                f"them: low <= high."
            )
        if not 0 < self.noise < float("inf"):
            raise ValueError(f"`noise` is {self.noise}; it must be positive.")

    @property
    def draws(self) -> int:
        """One Gaussian vector a step where there is churn."""
        return int(self.churn > 0)

    def evaluations(self, num_steps: int) -> int:
        """Two scores a step (one less where the grid ends clean)."""
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
        process = score.process
        as_like = lambda value: jnp.asarray(value, x.dtype)
        rho_t, rho_s = (as_like(jnp.exp(-process.log_snr(u) / 2)) for u in (t, s))
        y, rho = x / as_like(process.alpha(t)), rho_t
        if self.draws:
            inside = (rho_t >= self.low) & (rho_t <= self.high)
            raised = jnp.where(inside, self.churn, 0.0)
            rho = rho_t * (1 + as_like(raised))
            spread = rho_t * jnp.sqrt(as_like(raised * (2 + raised)))
            y = y + self.noise * spread * z[0]
            t = process.time(process.log_snr(t) - 2 * jnp.log1p(raised))
        slope = (y - denoised(score, as_like(process.alpha(t)) * y, t)) / rho
        euler = y + (rho_s - rho) * slope

        def heun() -> Points:
            data = denoised(score, as_like(process.alpha(s)) * euler, s)
            return euler + (rho_s - rho) / 2 * ((euler - data) / rho_s - slope)

        return as_like(process.alpha(s)) * unless_clean(rho_s, heun, euler), mem
