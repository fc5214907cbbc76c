"""Exponential integrators of the reverse SDE: the linear part is exact."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_one_of
from jaxwin._typing import ScalarLike
from jaxwin.processes import AbstractProcess, AbstractVariancePreserving
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import Move, denoised, move, unless_clean

# Nodes of the quadrature over one step, where the clock has no closed form.
NODES = 32


class ExponentialEuler(AbstractStep):
    """The reverse SDE with score or denoiser frozen over a step, the rest exact.

    Frozen score, with w = alpha_s int_s^t g^2 / alpha du (on variance-preserving clocks
    2 (alpha_s / alpha_t - 1), else by quadrature):

        x_s = alpha_s/alpha_t x_t + w score(x_t, t) + alpha_s sqrt(rho_t^2 - rho_s^2) z.

    Frozen denoiser: the Gaussian bridge to x0 = D(x_t, t), that is ancestral sampling.
    With `order` 2 the frozen term becomes a line through its values at t and at the
    first-order point at s, in the variable w or log-SNR; the noise stays the same.

    Weak order 1 or 2. `order` evaluations and one Gaussian vector a step.
    Frozen score of order 2 evaluates it at the last time too: end at sigma > 0, unless
    the clean law has a density. The frozen denoiser of order 2 takes order 1 there.

    References:
        Chen, Chewi et al. (2022), arXiv:2209.11215, section 3 (frozen score, order 1);
        Hochbruck & Ostermann (2010), section 2 (order 2); Gonzalez et al. (2023),
        arXiv:2305.14267.
    """

    frozen: str = eqx.field(static=True, default="score")
    order: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        check_one_of(self.frozen, ("score", "denoiser"), "frozen")
        if self.order not in (1, 2):
            raise ValueError(f"`order` is {self.order}; it must be 1 or 2.")

    @property
    def draws(self) -> int:
        """One Gaussian vector a step, for both stages."""
        return 1

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
        to = move(score, x, t, s)
        if self.frozen == "score":
            weight = score_weight(score.process, t, s, to)
            slope = score(x, t)
            first = to.grown() * x + weight * slope + to.linear_noise() * z[0]
            if self.order == 1:
                return first, mem
            return first + weight / 2 * (score(first, s) - slope), mem
        data = denoised(score, x, t)
        first = to.bridge(x, data, z[0])
        if self.order == 1:
            return first, mem
        weight = 1 + jnp.expm1(-2 * to.h) / (2 * to.h)

        def better() -> Points:
            change = denoised(score, first, s) - data
            return first + to.alpha_s * weight * change

        return unless_clean(to.sigma_s, better, first), mem


def score_weight(
    process: AbstractProcess, t: ScalarLike, s: ScalarLike, to: Move
) -> Float[Array, ""]:
    """Weight alpha_s int_s^t g^2 / alpha du = alpha_s int alpha d(rho^2)."""
    dtype = to.h.dtype
    if isinstance(process, AbstractVariancePreserving):
        gap = process.log_alpha(s) - process.log_alpha(t)
        return 2 * jnp.expm1(jnp.asarray(gap, dtype))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    # In half the log-SNR, past which a share e^-40 is left: smooth on every clock, as
    # near to pure noise as one likes.
    half = jnp.minimum(to.h, 20) / 2
    gained = half * jnp.asarray(1 + nodes, dtype)
    start = process.log_snr(t)
    alpha = lambda gain: process.alpha(process.time(start + 2 * gain))
    rho_sq = (to.sigma_t / to.alpha_t) ** 2 * jnp.exp(-2 * gained)
    values = 2 * jax.vmap(alpha)(gained).astype(dtype) * rho_sq
    return to.alpha_s * half * jnp.sum(jnp.asarray(weights, dtype) * values)
