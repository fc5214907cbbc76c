"""UniPC: a multistep predictor and a corrector that reuses the next evaluation."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Points
from jaxwin.samplers._move import Move, denoised, move
from jaxwin.samplers._multistep import (
    History,
    growing_moments,
    interpolating_weights,
)


class Memory(eqx.Module):
    """Denoisers before, and the last corrected point with its levels.

    correct: whether the point that comes next follows from it.
    """

    history: History
    point: Points
    correct: Bool[Array, ""]
    alpha: Float[Array, ""]
    sigma: Float[Array, ""]


class UniPC(AbstractStep):
    r"""UniPC-p on the denoiser, B(h) = e^h - 1, p = 1, 2 or 3.

        x_s = sigma_s/sigma_t x_t + alpha_s sum_k w_k D_k,

    D_k at t and at the p - 1 times before (predictor, UniP-p); once D at the new point
    is known, the same with that one too (corrector, UniC-p), before the next step goes
    on from there. The weights integrate the polynomial through the D_k against
    e^{-(lambda_s - lambda)} exactly, save UniP-2 and UniC-1, whose slope is weighted by
    (1 - e^-h) / 2 as published. The last point is not corrected; where s is clean,
    order 1.

    Order p + 1 in the step of log-SNR with exact starting values. One evaluation a
    step, no noise.

    Raises:
        ValueError: `order` is not 1, 2 or 3.

    References:
        Zhao et al. (2023), arXiv:2302.04867, algorithms 1 and 2 and appendix E.
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

    def init(self, score: AnyScore, x: Points, t: ScalarLike) -> Memory:
        """Nothing to correct yet."""
        one, none = jnp.ones((), x.dtype), jnp.zeros((), bool)
        return Memory(History.empty(x, self.order), x, none, one, one)

    def displaced(self, mem: Memory) -> Memory:
        """The denoisers; the point was moved away from what would be corrected."""
        return eqx.tree_at(lambda m: m.correct, mem, jnp.zeros((), bool))

    def step(
        self,
        score: AnyScore,
        x: Points,
        t: ScalarLike,
        s: ScalarLike,
        z: Float[Array, "draws *b d"],
        key: Keys,
        mem: Memory,
    ) -> tuple[Points, Memory]:
        """Move from t to s < t."""
        del z, key
        to, data = move(score, x, t, s), denoised(score, x, t)
        place = jnp.asarray(score.process.log_snr(t) / 2, x.dtype)
        before = mem.history
        since = Move(
            mem.alpha, mem.sigma, to.alpha_t, to.sigma_t, place - before.places[0]
        )
        corrected = _moved(since, mem.point, before, data)
        x, yes = jnp.where(mem.correct, corrected, x), jnp.ones((), bool)
        history = before.push(data, place)
        mem = Memory(history, x, yes, to.alpha_t, to.sigma_t)
        return _moved(to, x, history, None), mem


def _moved(to: Move, x: Points, known: History, new: Points | None) -> Points:
    """The step through the denoisers known before it, and the new one at its end."""
    finite = jnp.isfinite(to.h) & (to.h > 0)
    h = jnp.where(finite, to.h, 1)
    nodes = (known.places - known.places[0]) / h
    count = jnp.where(finite, known.count, 1)
    values, size = known.values, nodes.size
    if new is not None:
        # In front of those that may not be there yet.
        nodes = jnp.concatenate([jnp.ones(1, h.dtype), nodes])
        values, count, size = jnp.concatenate([new[None], values]), count + 1, size + 1
    moments = growing_moments(h, size)
    weights = interpolating_weights(nodes, count, moments)
    # The published exceptions, both of two values: half the weight of a constant.
    share = moments[0] / 2
    if new is not None:
        plain = jnp.zeros(size, h.dtype).at[:2].set(share)
    else:
        slope = share / jnp.where(count > 1, nodes[min(1, size - 1)], 1)
        plain = jnp.zeros(size, h.dtype).at[0].set(moments[0] - slope)
        plain = plain.at[min(1, size - 1)].add(slope)
    weights = jnp.where(count == 2, plain, weights)
    weights = jnp.where(finite, weights, jnp.zeros(size, h.dtype).at[0].set(1))
    terms = (w * value for w, value in zip(weights, values, strict=True))
    total = sum(terms, jnp.zeros_like(x))
    return (to.sigma_s / to.sigma_t) * x + to.alpha_s * total
