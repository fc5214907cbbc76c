"""The training loop: chunks of steps in one program, checkpoints, a guard on NaN."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._checks import BadInput
from jaxwin._files import PathLike, check_place, repair
from jaxwin._typing import Key
from jaxwin.execution import Progress, Status
from jaxwin.learned._checkpoint import (
    plain,
    read_about,
    read_arrays,
    read_notes,
    write_arrays,
)
from jaxwin.learned._config import Training

# A function of (parameters, key, sharding) to a loss and a record, a callable pytree.
Loss = Callable[..., tuple[Float[Array, ""], Float[Array, "..."]]]
# Seconds between checkpoints: what a kill costs at most.
EVERY = 30.0
_AXIS = "batch"


@dataclasses.dataclass
class Watch:
    """What is looked at on the way: `look(step, value)`, of JSON, at some steps.

    `value` is the averaged parameters, or in `train` the denoiser with them. Looks are
    kept with checkpoints, in `found`: a resumed run has them all. They are taken at the
    end of the chunk in which a step of `at` lies.
    """

    at: Sequence[int]
    look: Callable[[int, Any], Any]
    found: list[Any] = dataclasses.field(default_factory=list)

    def passed(self, start: int, done: int, value: Any) -> None:
        """Look, where one of the steps lies in (start, done]."""
        if any(start < step <= done for step in self.at):
            self.found.append(self.look(done, value))


class Course(eqx.Module):
    """All that a run carries from chunk to chunk: what is kept to go on exactly.

    average: the averaged parameters. memory: of the optimizer. failures: how often the
    run went back, each time to half the rate. losses: sums of the loss and of its
    square over the steps of each chunk; records: sums of what the loss records.
    """

    params: PyTree[Array]
    average: PyTree[Array]
    memory: PyTree[Array]
    step: Int[Array, ""]
    failures: Int[Array, ""]
    finite: Bool[Array, ""]
    losses: Float[Array, "chunks 2"]
    records: Float[Array, "chunks ..."]


def fit(
    loss: Loss,
    params: PyTree[Array],
    training: Training,
    *,
    about: dict[str, Any],
    folder: PathLike | None = None,
    resume: bool = False,
    every: float = EVERY,
    progress: Progress | None = None,
    devices: Sequence[Any] | None = None,
    watch: Watch | None = None,
) -> Course:
    """Minimise a stochastic loss by Adam with a warm-up and a cosine to zero.

    Step i draws from the root key folded by the failures so far and by i: a course is a
    function of its configuration alone, however often it was killed and resumed, on
    the same devices. A chunk that ends in NaN or infinity is undone: the run goes on
    from before it with other random numbers at half the rate.

    Args:
        loss: `loss(params, key, sharding)`, a callable pytree: its arrays are traced.
        params: Where to begin.
        training: The configuration.
        about: What else a checkpoint must agree with to be gone on from.
        folder: Where checkpoints are kept; none if left out.
        resume: Go on from the last checkpoint in `folder`, if there is one.
        every: Seconds between checkpoints; the last state is always kept.
        progress: Called with a `Status` after each chunk: points, loss and its error.
        devices: The batch is spread over these; `batch_size` is a multiple of them.
        watch: What is looked at on the way.

    Raises:
        BadInput: A checkpoint that is corrupt or of another run; a place that cannot be
            written; a batch that devices cannot share.
        FloatingPointError: The loss became NaN more than `training.retries` times.
    """
    spread, whole = _shardings(training.batch_size, devices)
    place = None if folder is None else Path(folder)
    if place is not None:
        check_place(place, "folder")
        # After a kill between the renames the last checkpoint is aside.
        repair(place, "folder")
    key = jr.key(training.seed)
    course = _begun(loss, params, training, key)
    if place is not None and resume and place.is_dir():
        if read_about(place) != plain(about):
            raise BadInput(
                f"`folder` is {str(folder)!r}, a checkpoint of another run (network, "
                f"training, data or devices differ); start afresh, without resuming."
            )
        course = read_arrays(place, course)
        if watch is not None:
            watch.found[:] = read_notes(place)
    if whole is not None:
        course, loss, key = (
            eqx.combine(jax.device_put(eqx.filter(one, eqx.is_array), whole), one)
            for one in (course, loss, key)
        )
    started = saved = time.monotonic()
    first = int(course.step)
    total = training.chunks * training.chunk
    # A program serves every seed.
    rule = dataclasses.replace(training, seed=0)
    while int(course.step) < total:
        moved = advance(course, loss, key, rule, spread)
        if not bool(moved.finite):
            if int(course.failures) == training.retries and place is not None:
                _keep(place, course, about, total, watch)
            course = _undone(course, training, place)
            continue
        begun, course, now = int(course.step), moved, time.monotonic()
        done = int(course.step)
        if watch is not None:
            watch.passed(begun, done, course.average)
        if place is not None and (now - saved > every or done == total):
            _keep(place, course, about, total, watch)
            saved = time.monotonic()
        if progress is not None:
            rate = (done - first) * training.batch_size / (now - started)
            mean, error = loss_of_chunks(course, training)
            size, last = training.batch_size, done // training.chunk - 1
            progress(Status(done * size, total * size, rate, mean[last], error[last]))
    return course


def _keep(
    place: Path,
    course: Course,
    about: dict[str, Any],
    total: int,
    watch: Watch | None,
) -> None:
    notes = [] if watch is None else watch.found
    steps = int(course.step), total
    write_arrays(place, course, about, steps=steps, notes=notes)


def loss_of_chunks(
    course: Course, training: Training
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Mean loss of each chunk, and its standard error over the steps."""
    mean, square = np.asarray(course.losses, np.float64).T / training.chunk
    spread = np.maximum(square - mean**2, 0) / max(training.chunk - 1, 1)
    return mean, np.sqrt(spread)


def _begun(loss: Loss, params: PyTree, training: Training, key: Key) -> Course:
    record = jax.eval_shape(lambda p: loss(p, key, None)[1], params)
    chunks = training.chunks
    return Course(
        params=params,
        average=params,
        memory=_optimizer(training).init(params),
        step=jnp.zeros((), jnp.int32),
        failures=jnp.zeros((), jnp.int32),
        finite=jnp.ones((), bool),
        losses=jnp.zeros((chunks, 2), record.dtype),
        records=jnp.zeros((chunks, *record.shape), record.dtype),
    )


def _undone(course: Course, training: Training, place: Path | None) -> Course:
    """The state before a chunk that failed, to be gone on from at half the rate."""
    failures = int(course.failures) + 1
    if failures > training.retries:
        where = "" if place is None else os.path.relpath(place)
        kept = "" if place is None else f"; the last checkpoint is in {where!r}"
        raise FloatingPointError(
            f"the loss became NaN or infinite {failures} times, last after step "
            f"{int(course.step)}, where the last good state is{kept}; lower "
            f"`learning_rate`, or look at the data."
        )
    return eqx.tree_at(lambda c: c.failures, course, course.failures + 1)


@functools.cache
def _optimizer(training: Training) -> optax.GradientTransformation:
    total = training.chunks * training.chunk
    rate = optax.warmup_cosine_decay_schedule(
        0.0, training.learning_rate, min(training.warmup, total // 2), total
    )
    return optax.chain(optax.clip_by_global_norm(training.clip), optax.adam(rate))


def advance(
    course: Course,
    loss: Loss,
    key: Key,
    training: Training,
    spread: jax.sharding.Sharding | None,
    steps: int | None = None,
) -> Course:
    """A chunk of steps, or so many; in all they must stay within one chunk.

    XLA's convolutions on CPU take 30 times as long inside a loop: one step is a
    program. It takes and gives plain lists, since to take trees of modules apart costs
    a third of a step of a small network.
    """
    arrays, rest = eqx.partition(loss, eqx.is_array)
    leaves, structure = jax.tree.flatten(course)
    given, of_loss = jax.tree.flatten(arrays)
    static = _Static(structure, of_loss, rest, training, spread)
    for _ in range(training.chunk if steps is None else steps):
        leaves = _step(leaves, given, key, static)
    return jax.tree.unflatten(structure, leaves)


class _Static:
    """What a step is compiled for, whose hash is taken once."""

    def __init__(self, *parts: Any):
        leaves, structure = jax.tree.flatten(parts[2])
        self.parts = parts
        self._known = parts[:2], tuple(leaves), structure, parts[3:]
        self._hash = hash(self._known)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, _Static) and self._known == other._known
        return self is other or same


@functools.partial(jax.jit, static_argnums=3)
def _step(leaves: list[Array], given: list[Array], key: Key, static: _Static) -> list:
    structure, of_loss, rest, training, spread = static.parts
    loss = eqx.combine(jax.tree.unflatten(of_loss, given), rest)
    course = jax.tree.unflatten(structure, leaves)
    return jax.tree.leaves(_moved(course, loss, key, training, spread))


def _moved(
    course: Course,
    loss: Loss,
    key: Key,
    training: Training,
    spread: jax.sharding.Sharding | None,
) -> Course:
    """One step."""
    key = jr.fold_in(jr.fold_in(key, course.failures), course.step)
    graded = jax.value_and_grad(loss, has_aux=True)
    (value, record), gradient = graded(course.params, key, spread)
    moves, memory = _optimizer(training).update(gradient, course.memory, course.params)
    slower = jnp.exp2(-course.failures.astype(value.dtype))
    params = jax.tree.map(
        lambda p, m: p + slower.astype(p.dtype) * m, course.params, moves
    )
    made = course.step.astype(value.dtype) + 1
    kept = jnp.minimum(training.ema, made / (made + 9))
    mix = lambda a, p: p + kept.astype(p.dtype) * (a - p)
    finite = [jnp.all(jnp.isfinite(p)) for p in jax.tree.leaves((params, value))]
    chunk = course.step // training.chunk
    return Course(
        params=params,
        average=jax.tree.map(mix, course.average, params),
        memory=memory,
        step=course.step + 1,
        failures=course.failures,
        finite=course.finite & jnp.all(jnp.stack(finite)),
        losses=course.losses.at[chunk].add(jnp.stack([value, value**2])),
        records=course.records.at[chunk].add(record),
    )


def _shardings(
    batch_size: int, devices: Sequence[Any] | None
) -> tuple[jax.sharding.Sharding | None, jax.sharding.Sharding | None]:
    """How a batch is spread over devices and how parameters are held by each."""
    if not devices:
        return None, None
    if batch_size % len(devices):
        raise BadInput(
            f"`batch_size` is {batch_size}, which {len(devices)} devices cannot share; "
            f"it must be a multiple."
        )
    mesh = jax.sharding.Mesh(np.asarray(devices), (_AXIS,))
    part = lambda *axes: jax.sharding.NamedSharding(
        mesh, jax.sharding.PartitionSpec(*axes)
    )
    return part(_AXIS), part()
