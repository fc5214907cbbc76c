"""What a study costs, told by a small one before the run."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from jaxwin.execution import Progress, Status, next_look
from jaxwin.report._diagnose import Diagnosis, diagnose, largest_error
from jaxwin.report._measuring import MOST, Measuring, Stage
from jaxwin.report._study import Study

# Replicas in a block, and blocks before errors are looked at, in every stage.
BLOCK, MIN_BLOCKS = 64, 32
# Blocks of the pilot, and rounds of blocks where devices are many.
PILOT, ROUNDS = 16, 4
# Peak memory grows by so many arrays of the label weights that a pass keeps: measured
# on digits, from 1,024 to 8,192 noised points.
COPIES = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a study would cost.

    noised_points: of the pass over the data. seconds: wall time of `diagnose`, programs
    compiled as in the pilot; a page takes some seconds more. bytes: peak resident
    memory of the process, None where the system does not tell. stderr: the largest
    standard error of the curves of probabilities to expect. until_stderr: the one that
    is wanted, if any.
    """

    noised_points: int
    seconds: float
    bytes: int | None
    stderr: float
    until_stderr: float | None

    @property
    def reached(self) -> bool:
        """Whether the error that is wanted can be expected."""
        return self.until_stderr is None or self.stderr <= self.until_stderr

    def __str__(self) -> str:
        line = (
            f"{self.noised_points:,} noised points: {about(self.seconds, self.bytes)} "
            f"for a largest error of {self.stderr:.2g}"
        )
        if self.reached:
            return line
        return f"{line}, the most that are made: {self.until_stderr:g} is not reached"


def about(seconds: float, size: int | None) -> str:
    """Seconds in words, and bytes where they are known."""
    memory = "" if size is None else f" and {size / 2**30:.1f} GiB"
    return f"about {seconds:,.0f} s{memory}"


@dataclasses.dataclass
class _Pace:
    """When how many replicas of a stage were done, and the worst error at the last."""

    times: list[float] = dataclasses.field(default_factory=list)
    done: list[int] = dataclasses.field(default_factory=list)
    stderr: float = 0.0

    def told(self, show: Progress | None) -> Progress:
        """A callback that takes the time and hands on."""

        def watch(status: Status) -> None:
            self.times.append(time.perf_counter())
            self.done.append(status.done)
            self.stderr = status.stderr
            if show is not None:
                show(status)

        return watch

    @property
    def seconds_each(self) -> float:
        """Seconds a replica after the second block: by then all is compiled."""
        if len(self.times) < 3:
            return 0.0
        return (self.times[-1] - self.times[1]) / (self.done[-1] - self.done[1])


def plan(
    points: Any,
    labels: Any = None,
    *,
    until_stderr: float | None = None,
    quick: bool = False,
    num_replicas: int | None = None,
    stage: Stage | None = None,
    **options: Any,
) -> Plan:
    """Tell what `diagnose` costs, by a pilot: the same on 1,024 noised points.

    What it takes to read curves is left as in the pilot: on digits 35 s are told, 41 s
    taken, 1.3 GiB told, 1.2 GiB taken. With `until_stderr` the run looks at errors that
    are noisy themselves, the largest of many: it may stop a look or two away.

    Args:
        points: As in `diagnose`.
        labels: As in `diagnose`.
        until_stderr: The error that is wanted; the cost of the plain run if left out.
        quick: As in `diagnose`.
        num_replicas: As in `diagnose`.
        stage: As in `diagnose`, for the pilot.
        options: The options of `diagnose` that say what the data are.

    Raises:
        BadInput: Data that cannot be diagnosed; one line that says what to do.
    """

    def run(**measuring: Any) -> tuple[float, int]:
        found = diagnose(points, labels, **measuring, **options)
        # Point by point, errors are known better than from the batches of a run.
        return largest_error(found), _kept(found)

    return _plan(run, until_stderr, quick, num_replicas, stage)


def plan_study(
    study: Callable[..., Study],
    *,
    until_stderr: float | None = None,
    quick: bool = False,
    num_replicas: int | None = None,
    stage: Stage | None = None,
) -> Plan:
    """Tell what a study costs, as `plan` does for `diagnose`.

    Args:
        study: Called with the options of `Measuring`.
        until_stderr: The error that is wanted; the cost of the plain run if left out.
        quick: A fourth of the replicas.
        num_replicas: Replicas of the plain run.
        stage: For the pilot.

    Raises:
        BadInput: What the study refuses.
    """

    def run(**measuring: Any) -> tuple[float, int]:
        found = study(**measuring)
        return found.largest_error, found.kept

    return _plan(run, until_stderr, quick, num_replicas, stage)


def _plan(
    run: Callable[..., tuple[float, int]],
    until_stderr: float | None,
    quick: bool,
    num_replicas: int | None,
    stage: Stage | None,
) -> Plan:
    """An error s at N_0 replicas becomes u at N = N_0 (s / u)^2.

    Up to the next look at the errors (`execution.run`); each stage takes the time of
    its blocks. `run` returns the largest error and the bytes kept of a replica.
    """
    measuring = Measuring(
        until_stderr=until_stderr, quick=quick, num_replicas=num_replicas
    )
    count = measuring.count
    pilot = min(count, BLOCK * max(PILOT, ROUNDS * jax.local_device_count()))
    paces: dict[str, _Pace] = {}

    def watched(name: str) -> Progress:
        paces[name] = _Pace()
        return paces[name].told(None if stage is None else stage(name))

    start = time.perf_counter()
    worst, kept = run(num_replicas=pilot, stage=watched)
    seconds = time.perf_counter() - start
    needed = lambda stderr: _replicas(stderr, pilot, count, until_stderr)
    noised = needed(worst)
    for i, pace in enumerate(paces.values()):
        more = (noised if i == 0 else needed(pace.stderr)) - pilot
        seconds += pace.seconds_each * more
    resident = peak_memory()
    return Plan(
        noised_points=noised,
        seconds=seconds,
        bytes=None if resident is None else resident + kept * (noised - pilot),
        stderr=worst * math.sqrt(pilot / noised),
        until_stderr=until_stderr,
    )


def _replicas(stderr: float, pilot: int, count: int, until: float | None) -> int:
    """Replicas after which a run stops whose error is `stderr` after `pilot`."""
    if until is None:
        return count
    blocks = math.ceil(pilot * (stderr / until) ** 2 / BLOCK)
    return min(BLOCK * next_look(blocks, MIN_BLOCKS), MOST * count)


def _kept(found: Diagnosis) -> int:
    """Bytes by which memory grows with a noised point more."""
    joint = math.prod(len(feature.classes) for feature in found.features)
    return 8 * COPIES * found.collapse.noise.size * min(joint, found.n)


def peak_memory() -> int | None:
    """Most resident memory of this process so far."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
