"""What training costs, told by a few steps of it."""

import dataclasses
import time
from typing import Any

from jaxwin.datasets import Data
from jaxwin.execution import Status
from jaxwin.learned import train
from jaxwin.report._measuring import Measuring, Stage
from jaxwin.report._plan import peak_memory
from jaxwin.report._train_source import network_for, source_of, training_for
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
        memory = "" if self.bytes is None else f" and {self.bytes / 2**30:.1f} GiB"
        return (
            f"{self.parameters:,} parameters, {self.steps:,} steps, {self.points:,} "
            f"points: about {self.seconds:,.0f} s{memory}"
        )


def plan_train(
    source: AbstractTarget | Data,
    *,
    name: str = "law",
    network: str | None = None,
    width: int | None = None,
    depth: int | None = None,
    conditional: bool = False,
    bfloat16: bool = False,
    steps: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    quick: bool = False,
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
    of_data = "held_out", "classes", "num_points", "normalize", "pca", "shape"
    kept = {key: asked.get(key) for key in of_data}
    chosen = source_of(source, name=name, seed=seed, **kept)
    sizes = network_for(chosen, network, width, depth, conditional, bfloat16)
    how = training_for(sizes.kind, steps, batch, learning_rate, seed, quick)
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
        labels=None if split is None or not conditional else split.labels,
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
