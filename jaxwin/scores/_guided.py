"""Guidance at constant strength."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import finite, is_concrete, require
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess
from jaxwin.scores._base import AbstractScore


class Guided(AbstractScore):
    """s + w (s_c - s): w = 0 is the score, 1 the conditional one, more overshoots.

    On mixtures the conditional score is that of `target.restrict(mask)`.

    References:
        Ho & Salimans (2022), arXiv:2207.12598, equation 6, whose w counts from the
        conditional score: theirs is ours minus 1.
    """

    score: AbstractScore
    conditional: AbstractScore
    process: AbstractProcess
    strength: Float[Array, ""]

    def __init__(
        self, score: AbstractScore, conditional: AbstractScore, strength: ScalarLike
    ):
        """Join two scores on one clock.

        Args:
            score: Unconditional score s.
            conditional: Conditional score s_c.
            strength: w, finite; negative values lead away from the condition.

        Raises:
            ValueError: The scores know different clocks, or `strength` is not finite.
        """
        clocks = score.process, conditional.process
        same = type(clocks[0]) is type(clocks[1])
        if same and is_concrete(clocks):
            same = bool(eqx.tree_equal(*clocks))
        if not same:
            raise ValueError(
                f"`score` is on {clocks[0]}, `conditional` on {clocks[1]}; they must "
                f"be on one clock."
            )
        self.score, self.conditional, self.process = score, conditional, clocks[0]
        message = "`strength` must be a finite number."
        self.strength = require(jnp.asarray(strength, float), finite, message)

    def __call__(self, x: Point, t: ScalarLike) -> Point:
        """Guided score at the point x and the time t."""
        return self._between(self.score(x, t), self.conditional(x, t))

    def many(self, xs: Float[Array, "b d"], t: ScalarLike) -> Float[Array, "b d"]:
        """Guided scores of a block, each through its own `many`."""
        return self._between(self.score.many(xs, t), self.conditional.many(xs, t))

    def _between(self, plain: Array, conditional: Array) -> Array:
        return plain + self.strength.astype(plain.dtype) * (conditional - plain)
