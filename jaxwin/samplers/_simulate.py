"""Averages over many replicas of a backward run, reduced where the law allows it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PyTree

from jaxwin._random import normals
from jaxwin._typing import Index, Key, Point, ScalarLike
from jaxwin.execution import Estimate, run
from jaxwin.samplers._base import AbstractStep, check_times
from jaxwin.samplers._drive import sample, sample_block, with_normals
from jaxwin.samplers._reduced import ReducedScheme, reduce_scheme
from jaxwin.samplers._starts import FromLaw
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import AbstractLabelledTarget, AbstractTarget

Start = Callable[[Key], Point]
Observable = Callable[[Any, Point, ScalarLike], PyTree[Float[Array, "..."]]]


class Simulation(eqx.Module):
    """Averages of an observable of the endpoints, and what a replica cost.

    dimension: in which the scheme ran. saving: full dimension over that one, 1 where
    nothing was reduced. evaluations: scores a replica.
    """

    estimate: Estimate
    dimension: int = eqx.field(static=True)
    saving: float = eqx.field(static=True)
    evaluations: int = eqx.field(static=True)
    method: str = eqx.field(static=True)


def labels(score: ExactScore, x: Point, t: ScalarLike) -> Float[Array, " c"]:
    """Label probabilities of an endpoint: the posterior at the noise left at t."""
    law = score.target
    if not isinstance(law, AbstractLabelledTarget):
        raise ValueError("`score` is of a law without labels; give an `observable`.")
    return jnp.exp(law.label_log_posterior(x, *score.levels(x, t)))


def simulate(
    step: AbstractStep,
    score: AbstractScore,
    times: Float[Array, " t"],
    num_replicas: int,
    key: Key,
    *,
    observable: Observable = labels,
    lift: bool | None = None,
    start: Start | None = None,
    reduce: bool = True,
    block_size: int | None = None,
    **options: Any,
) -> Simulation:
    """Average an observable of the endpoints of a backward run.

    Only the observable is kept, never the samples. Where the law has few non-Gaussian
    directions the scheme runs in these (`reduce_scheme`): the same scheme, with its own
    discretisation error, at cost O(r) a step.

    Args:
        step: How to move from one time to the next.
        score: The score, which knows its process.
        times: Times, strictly decreasing.
        num_replicas: How many.
        key: Root key.
        observable: `observable(score, x, t)` of the endpoint x at t = times[-1]; label
            probabilities if left out.
        lift: Whether the observable needs the point in d dimensions. If not, it is
            given the reduced law and point, which have the same labels. Label
            probabilities do not need it; what else is given does unless you say so.
        start: `start(key)`, a point at times[0]; drawn from the exact law there if left
            out, for a target that can be sampled.
        reduce: Whether to reduce where that is possible; a `start` of your own is not.
        block_size: Replicas at once, even. Left out, 2^17 floats of state, which fit a
            cache, and 128 to 1024 replicas.
        options: Those of `execution.run` (progress, checkpoints, ...).

    Raises:
        ValueError: Times as in `sample`, no `start` and a score without a law to
            draw it from, or what `execution.run` refuses.
    """
    times = jnp.asarray(times)
    check_times(step, score.process, times)
    lift = observable is not labels if lift is None else lift
    scheme = reduce_scheme(step, score, times) if reduce and start is None else None
    replica = _Backward(step, score, times, scheme, observable, start, lift)
    point = jax.eval_shape(replica.start_point, key)
    size = block_size
    if size is None:
        size = min(max(2**17 // point.size, 128), 1024) // 2 * 2
    estimate = run(replica, num_replicas, key, block_size=size, **options)
    return Simulation(
        estimate=estimate,
        dimension=point.size,
        saving=1.0 if scheme is None else scheme.saving,
        evaluations=step.evaluations(times.size - 1),
        method=f"{type(step).__name__}, {times.size - 1} steps"
        + (", exact reduction" if scheme is not None else ""),
    )


class _Backward(eqx.Module):
    """One replica, or a block of them, from the noisy end to the observable."""

    step: AbstractStep
    score: AbstractScore
    times: Float[Array, " t"]
    scheme: ReducedScheme | None
    observable: Observable
    start: Start | None
    lift: bool = eqx.field(static=True)

    def __call__(self, key: Key, replica: Index) -> PyTree[Array]:
        """The observable of one replica."""
        start_key, path_key = jr.split(key)
        x = self.start_point(jr.fold_in(start_key, replica))
        end = sample(self.step, self._inner, x, self.times, path_key, replica)
        if self._lifts:
            z = normals(path_key, replica, self._after, 1, self._full, x.dtype)
            end = self._lifted(end, z[0])
        return self._observe(end)

    def many(self, key: Key, replicas: Int[Array, " b"]) -> PyTree[Array]:
        """The observables of consecutive replicas, of which the first is even."""
        start_key, path_key = jr.split(key)
        xs = jax.vmap(lambda r: self.start_point(jr.fold_in(start_key, r)))(replicas)
        ends = sample_block(
            self.step, self._inner, xs, self.times, path_key, replicas[0]
        )
        if not self._lifts:
            return jax.vmap(self._observe)(ends)
        seen = lambda end, z: self._observe(self._lifted(end, z))
        after = replicas[0], self._after, self._full, xs.dtype
        return with_normals(seen, ends, path_key, *after)

    @property
    def _inner(self) -> AbstractScore:
        return self.score if self.scheme is None else self.scheme.score

    @property
    def _lifts(self) -> bool:
        return self.lift and self.scheme is not None

    @property
    def _full(self) -> int:
        return _law(self.score).dimension

    @property
    def _after(self) -> int:
        """The step number after the last: free for the orthogonal part."""
        return self.times.size - 1

    def start_point(self, key: Key) -> Point:
        """A point at times[0], in the dimension of the run."""
        if self.start is not None:
            return self.start(key)
        return FromLaw(_law(self._inner), self.score.process, self.times[0])(key)

    def _lifted(self, end: Float[Array, " r"], z: Point) -> Point:
        """The endpoint with its orthogonal part, whose start is drawn along."""
        scheme = self.scheme
        assert scheme is not None
        return scheme.lift_from_law(end, z, *self.score.levels(end, self.times[0]))

    def _observe(self, end: Point) -> PyTree[Array]:
        score = self.score if self.lift else self._inner
        return self.observable(score, end, self.times[-1])


def _law(score: AbstractScore) -> AbstractTarget:
    target = getattr(score, "target", None)
    if isinstance(target, AbstractTarget):
        return target
    raise ValueError(
        "`start` is left out, and the score has no law to draw it from; give "
        "`start(key)`, a point at times[0]."
    )
