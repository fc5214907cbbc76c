"""What training costs, told by a few steps of it."""

import dataclasses
import time
from typing import Any

from jaxwin.datasets import Data
from jaxwin.execution import Status
from jaxwin.learned import train
from jaxwin.report._measuring import Measuring, Stage
from jaxwin.report._plan import about, peak_memory
from jaxwin.report._train_source import configured
from jaxwin.targets import AbstractTarget

# Steps of the pilot, in chunks: the first one compiles.
CHUNK, CHUNKS = 5, 4
# Seconds that errors, samples, figures and files take.
REST = 30.0


@dataclasses.dataclass(frozen=True)
class TrainPlan:
    """What training would cost.

    seconds: wall time with compilation. bytes: peak resident memory of the pilot, None
    where the system does not tell.
    """

    steps: int
    points: int
    parameters: int
    seconds: float
    bytes: int | None
    reached: bool = True

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.steps:,} steps, {self.points:,} "
            f"points: {about(self.seconds, self.bytes)}"
        )


def plan_train(
    source: AbstractTarget | Data,
    *,
    seed: int = 0,
    until_stderr: float | None = None,
    stage: Stage | None = None,
    **asked: Any,
) -> TrainPlan:
    """Tell what `train_of` would cost, by 20 steps of it.

    Args: as `train_of`; what does not bear on the cost is left alone.

    Raises:
        BadInput: As `train_of`.
    """
    Measuring(seed=seed, until_stderr=until_stderr)
    free = {"levels", "clock", "weighting"}
    asked = {key: value for key, value in asked.items() if key not in free}
    chosen, sizes, how = configured(source, seed=seed, **asked)
    times = [time.monotonic()]
    if stage is not None:
        stage("pilot")

    def watch(status: Status) -> None:
        times.append(time.monotonic())

    split = chosen.split
    trained = train(
        chosen.law if split is None else split.train,
        sizes,
        dataclasses.replace(how, num_steps=CHUNK * CHUNKS, chunk=CHUNK),
        labels=split.labels if split is not None and sizes.num_labels else None,
        progress=watch,
    )
    each = (times[-1] - times[1]) / (CHUNK * (CHUNKS - 1))
    total = how.chunks * how.chunk
    return TrainPlan(
        steps=total,
        points=total * how.batch_size,
        parameters=trained.parameters,
        seconds=times[1] - times[0] + total * each + REST,
        bytes=peak_memory(),
    )
