"""What a reverse-time step is: noise handed in, never drawn inside."""

import abc
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from jaxwin._checks import check_decreasing, is_concrete
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes import AbstractProcess
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

    @property
    def linear(self) -> bool:
        """Whether a move is linear in point, score and noise: then it reduces."""
        return True

    @property
    def from_pure_noise(self) -> bool:
        """Whether a run may begin where alpha = 0."""
        return False

    @property
    def rises(self) -> bool:
        """Whether times may go up on the way: noise is then put back."""
        return False

    def init(self, score: AnyScore, x: Points, t: ScalarLike) -> Memory:
        """What the step remembers before the first move; nothing, unless it says so."""
        return None

    def displaced(self, mem: Memory) -> Memory:
        """What the step remembers once something else has moved the point."""
        return mem

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


def check_times(
    step: AbstractStep, process: AbstractProcess, times: Float[Array, " t"]
) -> None:
    """Raise ValueError for times that a step cannot run along, where they are concrete.

    They decrease, stay on the clock, and reach sigma = 0 at the end alone: a score is
    evaluated at all others. Where alpha = 0 most steps would divide by it.
    """
    check_grid(process, times, rises=step.rises)
    if not is_concrete(process, times):
        return
    with jax.ensure_compile_time_eval():  # constants of a caller's jit
        alpha, sigma = map(np.asarray, process.levels(times))
    if not np.all(sigma[:-1] > 0):
        raise ValueError(
            "`times` reach sigma = 0 before their end; there is no score there."
        )
    if not step.from_pure_noise and alpha[0] == 0:
        raise ValueError(
            f"`times` begin at {float(times[0]):g}, where alpha = 0, by which "
            f"{type(step).__name__} divides; begin a little below, or with "
            f"`ExactTransition`."
        )


def check_grid(
    process: AbstractProcess, times: Float[Array, " t"], *, rises: bool = False
) -> None:
    """Raise ValueError unless times are at least 2, decrease and stay on the clock.

    Values only where they are concrete; they may go up where `rises`.
    """
    if times.ndim != 1 or times.size < 2:
        raise ValueError(
            f"`times` has shape {times.shape}; it must be a list of at least 2 times, "
            f"the ends of one step."
        )
    if is_concrete(times) and not rises:
        check_decreasing(np.asarray(times), "times")
    check_on_clock(process, times, "times")


def check_on_clock(process: AbstractProcess, times: TimesLike, name: str) -> None:
    """Raise ValueError for concrete times off the clock."""
    if not is_concrete(process, times):
        return
    with jax.ensure_compile_time_eval():
        low, high = map(float, process.domain)
        numbers = np.atleast_1d(as_float(times))
    # Grids are made in floats: an end may be off by its rounding.
    slack = 8 * np.finfo(numbers.dtype).eps * max(abs(numbers).max(), 1)
    off = numbers[~((low - slack <= numbers) & (numbers <= high + slack))]
    if off.size:
        raise ValueError(
            f"`{name}` is {off[0]:g}{' at one place' * (numbers.size > 1)}; on this "
            f"clock it must lie between {low:g} and {high:g}."
        )
