"""Moves between the steps: Langevin correction, and restart. They wrap any step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.samplers._base import AbstractStep, AnyScore, Keys, Memory, Points
from jaxwin.samplers._move import move


class AbstractAround(AbstractStep):
    """A step with moves of its own between those of `inner`; otherwise as that is."""

    inner: eqx.AbstractVar[AbstractStep]

    @property
    def linear(self) -> bool:
        """As the step."""
        return self.inner.linear

    @property
    def from_pure_noise(self) -> bool:
        """As the step."""
        return self.inner.from_pure_noise

    @property
    def rises(self) -> bool:
        """As the step."""
        return self.inner.rises

    def init(self, score: AnyScore, x: Points, t: ScalarLike) -> Memory:
        """What the step remembers."""
        return self.inner.init(score, x, t)

    def displaced(self, mem: Memory) -> Memory:
        """As the step."""
        return self.inner.displaced(mem)


class Corrected(AbstractAround):
    """A step, then `moves` steps of Langevin dynamics at the time where it arrived.

        x <- x + delta score(x, s) + sqrt(2 delta) z,    delta = size sigma_s^2.

    Their law tends to p_s with error O(size) as they go on, so a corrector mends what
    the step got wrong and adds a bias of its own. Nothing is done at sigma = 0. `moves`
    evaluations and Gaussian vectors more a step.

    Raises:
        ValueError: `moves` below 1, `size` not between 0 and 1.

    References:
        Song et al. (2021), arXiv:2011.13456, algorithm 4 (there delta follows the norm
        of the score).
    """

    inner: AbstractStep
    moves: int = eqx.field(static=True, default=1)
    size: float = eqx.field(static=True, default=0.05)

    def __check_init__(self):
        if self.moves < 1:
            raise ValueError(f"`moves` is {self.moves}; it must be at least 1.")
        if not 0 < self.size < 1:
            raise ValueError(f"`size` is {self.size}; it must be between 0 and 1.")

    @property
    def draws(self) -> int:
        """Those of the step, and one a move."""
        return self.inner.draws + self.moves

    def evaluations(self, num_steps: int) -> int:
        """Those of the step, and one a move."""
        return self.inner.evaluations(num_steps) + self.moves * num_steps

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
        """Move from t to s < t, then stay."""
        x, mem = self.inner.step(score, x, t, s, z[: self.inner.draws], key, mem)
        sigma = jnp.asarray(score.process.sigma(s), x.dtype)
        delta = self.size * sigma**2

        def langevin(x: Points) -> Points:
            for w in z[self.inner.draws :]:
                x = x + delta * score(x, s) + jnp.sqrt(2 * delta) * w
            return x

        moved = jax.lax.cond(sigma > 0, langevin, lambda x: x, x)
        return moved, self.inner.displaced(mem)


class Restarting(AbstractAround):
    """A step on times that go up again: there the forward process puts noise back.

        times[0], ..., times[low], times[high], ..., times[low], ..., times[-1]
        s > t:    x_s = alpha_s/alpha_t x_t + sqrt(sigma_s^2 - (alpha_s sigma_t
                        / alpha_t)^2) z,

    the way from `high` down to index `low` taken `repeats` times more; `times` makes
    them of a grid. Upwards exactly in law, without an evaluation, after which the step
    remembers nothing and begins anew.

    Raises:
        ValueError: Not 0 <= high < low, or `repeats` below 1.

    References:
        Xu et al. (2023), arXiv:2306.14878, algorithm 1.
    """

    inner: AbstractStep
    low: int = eqx.field(static=True)
    high: int = eqx.field(static=True)
    repeats: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if not 0 <= self.high < self.low:
            raise ValueError(
                f"`low` is {self.low} and `high` is {self.high}; they are indices of "
                f"times, 0 <= high < low."
            )
        if self.repeats < 1:
            raise ValueError(f"`repeats` is {self.repeats}; it must be at least 1.")

    def times(self, times: Float[Array, " t"]) -> Float[Array, " m"]:
        """The times to run along, of falling ones.

        Raises:
            ValueError: `low` is not the index of a time before the last.
        """
        if self.low >= times.size - 1:
            raise ValueError(
                f"`low` is {self.low}; it must be below {times.size - 1}: {times.size} "
                f"times have one step less, and the last is not for a restart."
            )
        again = [np.arange(self.high, self.low + 1)] * self.repeats
        order = [np.arange(self.low + 1), *again, np.arange(self.low + 1, times.size)]
        return times[np.concatenate(order)]

    @property
    def draws(self) -> int:
        """Those of the step, at least one."""
        return max(self.inner.draws, 1)

    @property
    def rises(self) -> bool:
        """Times may go up."""
        return True

    def evaluations(self, num_steps: int) -> int:
        """Those of every way down, each from its own beginning."""
        ways, loop = [self.low], self.low - self.high
        ways += [loop] * (self.repeats - 1)
        ways.append(num_steps - self.repeats - sum(ways))
        return sum(self.inner.evaluations(way) for way in ways)

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
        """Move from t down or up to s."""

        def down(x: Points) -> tuple[Points, Memory]:
            return self.inner.step(score, x, t, s, z[: self.inner.draws], key, mem)

        def up(x: Points) -> tuple[Points, Memory]:
            back = move(score, x, s, t)
            kept = back.alpha_t / back.alpha_s
            spread = back.sigma_t * jnp.sqrt(-jnp.expm1(-2 * back.h))
            moved = kept * x + spread * z[0]
            return moved, self.inner.init(score, moved, s)

        return jax.lax.cond(jnp.asarray(s > t), up, down, x)
