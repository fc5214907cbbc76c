"""Scores s(x, t): where a denoiser meets a clock."""

import abc

import equinox as eqx
import jax
from jaxtyping import Array, Float

from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess


class AbstractScore(eqx.Module):
    """A score function that knows its process: `score(x, t)` for one point."""

    process: eqx.AbstractVar[AbstractProcess]

    @abc.abstractmethod
    def __call__(self, x: Point, t: ScalarLike) -> Point:
        """Score at the point `x` and the time `t` of the process."""

    def levels(
        self, x: Float[Array, "..."], t: ScalarLike
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Amplitudes (alpha, sigma) of the channel at t, in the type of x."""
        return self.process.levels(t, x.dtype)

    def many(self, xs: Float[Array, "b d"], t: ScalarLike) -> Float[Array, "b d"]:
        """Scores of a block of points at one time."""
        return jax.vmap(lambda x: self(x, t))(xs)

    @property
    def batched(self) -> "BatchedScore":
        """The same score for blocks: `score.batched(xs, t)` with xs (b, d)."""
        return BatchedScore(self)


class BatchedScore(eqx.Module):
    """A score called with a block of points, as a step calls it with one."""

    score: AbstractScore

    @property
    def process(self) -> AbstractProcess:
        """The clock of the score."""
        return self.score.process

    def __call__(self, xs: Float[Array, "b d"], t: ScalarLike) -> Float[Array, "b d"]:
        """Scores of the points at one time."""
        return self.score.many(xs, t)
