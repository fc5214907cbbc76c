"""Scores s(x, t): where a denoiser meets a clock."""

import abc

import equinox as eqx

from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess


class AbstractScore(eqx.Module):
    """A score function that knows its process: `score(x, t)` for one point."""

    process: eqx.AbstractVar[AbstractProcess]

    @abc.abstractmethod
    def __call__(self, x: Point, t: ScalarLike) -> Point:
        """Score at the point `x` and the time `t` of the process."""
