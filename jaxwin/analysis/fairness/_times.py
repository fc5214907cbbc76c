"""Times read off curves of destinations, and the gap between groups in OU time."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats
from jaxtyping import Float

from jaxwin.analysis._crossing import (
    Crossing,
    crossing_place,
    exact,
    not_reached,
    read_off,
    stack,
)
from jaxwin.analysis.fairness._cross import Curves, measured
from jaxwin.analysis.fairness._flow_line import FlowLine
from jaxwin.analysis.fairness._line import LinePair
from jaxwin.analysis.fairness._partition import Partition
from jaxwin.channels import AbstractObserved, Gaussian
from jaxwin.processes import OrnsteinUhlenbeck, convert


class Reader(NamedTuple):
    """What it takes to read a time: the clock, the curves, and how they were made."""

    observed: AbstractObserved
    noises: Float[np.ndarray, " t"]
    groups: Partition
    curves: Curves
    line: LinePair | FlowLine | None
    null: bool

    def crossing(self, pick: Float[np.ndarray, "h h"], level: float) -> Crossing:
        """Where sum_gh pick_gh A_gh passes a level for the last time."""
        curve, blocks = self._curve(pick)
        if self.line is None:
            assert blocks is not None
            assert self.curves.counts is not None
            parts = self.coordinate, curve, blocks, self.curves.counts
            return read_off(*parts, level, self.observed.noise_at)
        above = curve >= level
        changes = np.flatnonzero(above[1:] != above[:-1])
        if not changes.size:
            return not_reached(self.noises)
        low, high = (float(t) for t in self.noises[changes[-1] :][:2])
        value = self.line.curve(self.groups, pick, self.null)
        apart = lambda noise: value(noise) - level
        root = scipy.optimize.brentq(apart, low, high, xtol=1e-13)
        return exact(jnp.asarray(root))

    def gap(
        self,
        picks: list[Float[np.ndarray, "h h"]],
        levels: list[float],
        times: Crossing,
    ) -> Crossing:
        """The latest of several crossings less the earliest, in OU time.

        Blocks move a crossing by what they move the curve there, over its slope; those
        of both crossings are of the same draws.
        """
        found = np.asarray(times.found)
        if found.size < 2 or not found.all():
            return not_reached(self.noises)
        ou = self._ou()
        moments = np.asarray(ou(times.time))
        last, first = int(np.argmax(moments)), int(np.argmin(moments))
        apart = moments[last] - moments[first]
        if self.line is not None or self.curves.counts is None:
            return _difference(apart, 0.0, 0.0)
        moved = [self._moved(picks[i], levels[i], ou) for i in (last, first)]
        blocks = apart + moved[0] - moved[1]
        counts = self.curves.counts
        # About their own mean: the place of a crossing is interpolated.
        centre = np.asarray(np.average(blocks, weights=counts))
        error = float(measured(centre, blocks, counts).stderr)
        wide = float(scipy.stats.t.ppf(0.975, counts.size - 1)) * error
        return _difference(apart, error, wide)

    @property
    def coordinate(self) -> Float[np.ndarray, " t"]:
        """Where the curves are smooth."""
        at = self.observed.coordinate(jnp.asarray(self.noises))
        return np.asarray(at, np.float64)

    def _curve(self, pick: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        value = lambda table: np.einsum("gh,...gh->...", pick, table)
        blocks = self.curves.blocks
        return value(self.curves.mean), None if blocks is None else value(blocks)

    def _moved(self, pick: np.ndarray, level: float, ou: Any) -> np.ndarray:
        """By how much each block moves a crossing, in OU time."""
        curve, blocks = self._curve(pick)
        assert blocks is not None
        inside = np.isfinite(self.coordinate)
        at, curve, blocks = self.coordinate[inside], curve[inside], blocks[:, inside]
        place = crossing_place(at, curve, level)
        step = 0.5 * np.min(np.diff(at))
        ahead, behind = np.interp([place + step, place - step], at, curve)
        there = np.array([np.interp(place, at, row - curve) for row in blocks])
        clock = lambda place: ou(self.observed.noise_at(place))
        _, rate = jax.jvp(clock, (jnp.asarray(place),), (jnp.ones(()),))
        return -there * 2 * step / (ahead - behind) * float(rate)

    def _ou(self) -> Any:
        """From the noise of the channel to OU time, where there is such a time."""
        channel = getattr(self.observed, "channel", None)
        if not isinstance(channel, Gaussian):
            return lambda noise: noise
        return lambda noise: convert(noise, channel.process, OrnsteinUhlenbeck())[0]


def single(row: int, column: int, size: int) -> Float[np.ndarray, "h h"]:
    """Picks one entry of a table."""
    pick = np.zeros((size, size))
    pick[row, column] = 1
    return pick


def each(
    reader: Reader, picks: list[Float[np.ndarray, "h h"]], levels: list[float]
) -> Crossing:
    """The crossings of several curves, stacked."""
    pairs = zip(picks, levels, strict=True)
    return stack([reader.crossing(pick, level) for pick, level in pairs])


def _difference(value: float, error: float, wide: float) -> Crossing:
    number = lambda value: jnp.asarray(value, float)
    low, high = number(value - wide), number(value + wide)
    return Crossing(number(value), number(error), low, high, jnp.asarray(True))
