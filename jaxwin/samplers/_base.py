"""What a reverse-time step is: noise handed in, never drawn inside."""

import abc
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxwin._typing import ScalarLike
from jaxwin.scores import AbstractScore, BatchedScore

Memory: TypeAlias = PyTree[Array]
# A score and the points it takes: one point, or a block of them at one time.
AnyScore: TypeAlias = AbstractScore | BatchedScore
Points: TypeAlias = Float[Array, "*b d"]
Keys: TypeAlias = Key[Array, "*b"]


class AbstractStep(eqx.Module):
    """One move from time t to an earlier time s < t.

    Formulas take one point (x `d`, z `draws d`, a score) or a block (x `b d`,
    z `draws b d`, `score.batched`) alike: the same noise serves coarse and fine grids,
    any generator, and the exact reduction.
    """

    @property
    @abc.abstractmethod
    def draws(self) -> int:
        """Gaussian vectors that a step takes."""

    @abc.abstractmethod
    def evaluations(self, num_steps: int) -> int:
        """Score evaluations of a run, warm-up included."""

    def init(self, score: AnyScore, x: Points, t: ScalarLike) -> Memory:
        """What the step remembers before the first move; nothing, unless it says so."""
        return None

    @abc.abstractmethod
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
        """Move from t to s < t; `key` serves discrete choices only."""


def coefficients(
    score: AnyScore, x: Points, t: ScalarLike
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Drift f and noise rate g^2 of the score's clock at t, in the dtype of x."""
    f, rate = score.process.drift_coefficient(t), score.process.diffusion_sq(t)
    return jnp.asarray(f, x.dtype), jnp.asarray(rate, x.dtype)
