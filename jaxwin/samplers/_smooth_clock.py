"""A backward run's ends, on a clock whose rates do not jump."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess, DiscreteDDPM, OrnsteinUhlenbeck
from jaxwin.scores import AbstractScore, ExactScore


class Run(NamedTuple):
    """A score and two times of its process; `falls` where start > end was asked for."""

    score: AbstractScore
    start: Float[Array, ""]
    end: Float[Array, ""]
    falls: Bool[Array, ""]


def smooth_run(
    score: AbstractScore, x: Point, start: ScalarLike, end: ScalarLike
) -> Run:
    """Read a table on the Ornstein-Uhlenbeck clock, and every other process as it is.

    The rates of a table jump at every index, and an index belongs to one side only, so
    that a high-order step across it, or up to it, errs at first order whatever its
    tolerance. Between the same (alpha, sigma) the flow and the law of the SDE are the
    same on any clock, and those of a table lie on the curve of OU.

    Times that turn out to rise when run are replaced by some that fall.

    Raises:
        ValueError: Concrete times with not start > end.
    """
    if is_concrete(start, end) and not np.asarray(start) > np.asarray(end):
        raise ValueError(
            f"`start` is {float(start):g} and `end` is {float(end):g}; a backward run "
            f"needs start > end: exchange them."
        )
    start, end = jnp.asarray(start, x.dtype), jnp.asarray(end, x.dtype)
    falls = start > end
    process = score.process
    if isinstance(process, DiscreteDDPM):
        clock = OrnsteinUhlenbeck()
        start, end = -process.log_alpha(start), -process.log_alpha(end)
        if isinstance(score, ExactScore):
            score = ExactScore(score.target, clock)
        else:
            score = _OnOU(table=score, process=clock)
    return Run(score, start, jnp.where(falls, end, start - 1), falls)


class _OnOU(AbstractScore):
    """The score of a table, asked at times of the Ornstein-Uhlenbeck clock."""

    table: AbstractScore
    process: AbstractProcess

    def __call__(self, x: Point, t: ScalarLike) -> Point:
        """Score at the (fractional) index of equal alpha."""
        table = self.table.process
        assert isinstance(table, DiscreteDDPM)
        return self.table(x, table.time_of_log_alpha(-t))
