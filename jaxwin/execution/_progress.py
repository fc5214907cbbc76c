"""What a person who waits wants to know."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Status:
    """How far a run is.

    done, total: replicas. rate: replicas per second since this start. mean, stderr: the
    entry of the (watched) result that is known worst so far.
    """

    done: int
    total: int
    rate: float
    mean: float
    stderr: float

    @property
    def remaining(self) -> float:
        """Seconds to go at this rate; infinite before there is one."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")


Progress = Callable[[Status], None]


def in_units(progress: Progress, size: int) -> Progress:
    """A callback that is told of units, of which a replica holds `size`."""

    def show(status: Status) -> None:
        done, total, rate = (
            size * number for number in (status.done, status.total, status.rate)
        )
        progress(dataclasses.replace(status, done=done, total=total, rate=rate))

    return show
