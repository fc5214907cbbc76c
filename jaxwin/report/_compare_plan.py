"""What a comparison costs, told by the pace of the model."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxwin.datasets import Data
from jaxwin.report._compare import full_of, subject_of
from jaxwin.report._compare_certificate import SHARE
from jaxwin.report._compare_points import BATCH, REPLICATES, STARTED, STARTS
from jaxwin.report._compare_subject import Subject
from jaxwin.report._measuring import Measuring, Stage
from jaxwin.report._plan import about, peak_memory
from jaxwin.report._train import LEVELS
from jaxwin.targets import AbstractDenoiser, AbstractTarget

# Blocks of the pilot after the one that compiles.
BLOCKS = 4
# Evaluations of information and of a sample; of a start by all rows of the table; of a
# path of a certificate.
INFORMATION, SAMPLE, ROWS, CERTIFICATE = 33, 49, 81, 64
# Seconds of compilation, of exact laws, figures and files; of a step of the classifier.
REST, EACH_STEP = 60.0, 0.02


@dataclasses.dataclass(frozen=True)
class ComparePlan:
    """What a comparison would cost.

    evaluations: of the model. seconds: wall time with compilation. bytes: peak resident
    memory of the pilot, None where the system does not tell.
    """

    evaluations: int
    seconds: float
    bytes: int | None
    reached: bool = True

    def __str__(self) -> str:
        return (
            f"{self.evaluations:,} evaluations of the model: "
            f"{about(self.seconds, self.bytes)}"
        )


def plan_compare(
    model: AbstractDenoiser | Callable[..., Any],
    source: AbstractTarget | Data,
    *,
    name: str = "law",
    model_name: str = "model",
    late_start: bool | None = None,
    num_points: int | None = None,
    seed: int = 0,
    quick: bool = False,
    until_stderr: float | None = None,
    stage: Stage | None = None,
    **asked: Any,
) -> ComparePlan:
    """Tell what `compare_of` would cost, by some evaluations of the model.

    Args: as `compare_of`. What `until_stderr` adds is not told.

    Raises:
        BadInput: As `compare_of`.
    """
    options = Measuring(
        full=full_of(source), seed=seed, quick=quick, until_stderr=until_stderr
    )
    of_data = isinstance(source, Data)
    subject = subject_of(
        model,
        source,
        options,
        name=name,
        model_name=model_name,
        num_points=num_points if of_data else None,
        **asked,
    )
    if stage is not None:
        stage("pilot")
    count = _evaluations(subject)
    several = of_data and len(subject.classes) > 1
    if several and (late_start or (late_start is None and not quick)):
        count += 2 * len(STARTS) * ROWS * STARTED * REPLICATES
    steps = subject.sizes.classifier if several else 0
    return ComparePlan(
        evaluations=count,
        seconds=count * _pace(subject) + EACH_STEP * steps + REST,
        bytes=peak_memory(),
    )


def _evaluations(subject: Subject) -> int:
    sizes, draws = subject.sizes, len(subject.source.draws())
    count = sizes.points * (LEVELS * draws + INFORMATION * draws // 2)
    if subject.labelled is not None:
        count += sizes.noises * sizes.steps * (2 * sizes.pairs + sizes.turns)
        if subject.bandwidth is None:
            count += CERTIFICATE * sizes.noises * sizes.points // SHARE
    return count + SAMPLE * sizes.samples


def _pace(subject: Subject) -> float:
    """Seconds an evaluation, in blocks."""
    points = jnp.zeros((BATCH, subject.source.dimension))
    half = jnp.asarray(0.5**0.5)
    ask = lambda: jax.block_until_ready(_scores(subject.model, points, half))
    ask()
    begin = time.perf_counter()
    for _ in range(BLOCKS):
        ask()
    return (time.perf_counter() - begin) / (BLOCKS * BATCH)


@eqx.filter_jit
def _scores(model: AbstractDenoiser, points: jax.Array, level: jax.Array) -> jax.Array:
    return model.score_many(points, level, level)
