"""What a study of symmetry breaking costs, told by a pilot of its parts."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax.random as jr

from jaxwin.analysis import late_start
from jaxwin.analysis.symmetry._branch import END
from jaxwin.analysis.symmetry._follow import POINTS, follow_branch
from jaxwin.analysis.symmetry._minima import FINE, WIDE, settle
from jaxwin.analysis.symmetry._starts import Search
from jaxwin.report._measuring import Measuring
from jaxwin.report._plan import about, peak_memory
from jaxwin.report._symmetry_result import Subject
from jaxwin.report._symmetry_starts import start_times
from jaxwin.targets import AbstractTarget

# Branches of a transition that the search follows, and those that are drawn.
FOLLOWED, DRAWN = 3, 4
# Draws of the pilot of the late start, of two starts at every time; laws of a study.
PILOT, LAWS = 128, 3
# Seconds that figures, files and programs that the pilot does not run take.
REST = 10.0


@dataclasses.dataclass(frozen=True)
class SymmetryPlan:
    """What a study would cost.

    seconds: wall time, programs compiled as in the pilot. levels: of noise at which
    minima are looked for. transitions: at most; fewer cost less. bytes: peak resident
    memory of the pilot, None where the system does not tell.
    """

    seconds: float
    levels: int
    starts: int
    transitions: int
    directions: int
    num_points: int | None
    draws: int
    bytes: int | None
    reached: bool = True

    def __str__(self) -> str:
        points = "" if self.num_points is None else f" of {self.num_points:,} points"
        return (
            f"{self.starts} starts in {self.directions} directions{points} at some "
            f"{self.levels} noises, {self.transitions} transitions at most, "
            f"{self.draws:,} draws: {about(self.seconds, self.bytes)}"
        )


def planned(
    subject: Subject, place: Search, most: int, shown: int, measuring: Measuring
) -> SymmetryPlan:
    """Time a level of the search, a branch, and some draws of the late start."""
    begin = time.perf_counter()
    if measuring.stage is not None:
        measuring.stage("pilot")
    system, low, high = place.system, place.low, place.high
    settled = settle(system, place.starts, low)[0]
    level = _seconds(lambda: settle(system, settled, low + WIDE))
    # A second pass in short steps goes over the noisy half.
    levels = int((high - low) / WIDE + (high - low) / FINE / 2)
    ends = low, high
    follow = lambda: follow_branch(system, settled[0], low, 1.0, ends, END, POINTS)
    follow()
    branch = _seconds(follow)
    start = _start_seconds(subject, float(system.scale))
    spent = time.perf_counter() - begin
    transitions = min(most, len(place.starts) - 1)
    followed = FOLLOWED * transitions + DRAWN * min(shown, transitions)
    # Minima become fewer with the noise, by half on the way.
    seconds = spent + levels * level / 2 + followed * branch
    seconds += LAWS * measuring.count / PILOT * start + REST
    return SymmetryPlan(
        seconds=seconds,
        levels=levels,
        starts=len(place.starts),
        transitions=transitions,
        directions=subject.directions,
        num_points=subject.num_points,
        draws=measuring.count,
        bytes=peak_memory(),
    )


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _start_seconds(subject: Subject, spread: float) -> float:
    """Of the pilot's draws of a late start, its programs compiled."""
    target = subject.denoiser
    if not isinstance(target, AbstractTarget):
        return 0.0
    times = start_times(subject.process, spread)
    run = lambda number: late_start.law(
        target,
        subject.process,
        times,
        num_replicas=PILOT,
        key=jr.key(number),
    )
    run(0)
    return _seconds(lambda: run(1))
