"""Drivers: one replica, or a block of them, along decreasing times.

The time loop stands inside, the replicas outside: the state of a block stays in cache.
Times, keys and replicas are traced, so new values do not recompile.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, Int, PyTree, Shaped

from jaxwin._checks import is_concrete
from jaxwin._numerics import as_float
from jaxwin._random import choice_key, normals, pair_normals, pair_uniforms
from jaxwin._typing import Index, Key, Point
from jaxwin.samplers._base import AbstractStep, check_times
from jaxwin.scores import AbstractScore

# Replicas whose Gaussians in full dimension stay in cache.
TILE = 128


def sample(
    step: AbstractStep,
    score: AbstractScore,
    x: Point,
    times: Float[Array, " t"],
    key: Key,
    replica: Index = 0,
    *,
    first_step: Index = 0,
) -> Point:
    """Run one replica along decreasing times of the score's clock.

    The noise of step i depends on (key, replica, first_step + i) alone: a run resumed
    at a later step follows the same path. What else uses `key` must fold or split it
    first.

    Args:
        step: How to move from one time to the next.
        score: The score, which knows its process.
        x: The point at `times[0]`.
        times: Times, strictly decreasing; the steps are the intervals between them.
        key: Root key of the run.
        replica: Which replica this is.
        first_step: Number of the first step.

    Returns:
        The point at `times[-1]`.

    Raises:
        ValueError: Times that do not decrease, leave the clock, reach sigma = 0 before
            the end or begin at alpha = 0 with a step that divides by it.
        FloatingPointError: The point is not finite. Under a trace it is returned, NaN
            also where traced times do not decrease, or a score is taken at sigma = 0 of
            a law with point masses; `execution.run` raises there.
    """
    x, times = as_float(x), as_float(times)
    check_times(step, score.process, times)
    replica = jnp.asarray(replica, jnp.int32)

    def body(carry, interval):
        (x, mem), (i, t, s) = carry, interval
        z = normals(key, replica, i, step.draws, x.size, x.dtype)
        return step.step(score, x, t, s, z, choice_key(key, replica, i), mem), None

    start = x, step.init(score, x, times[0])
    (x, _), _ = jax.lax.scan(body, start, intervals(step, times, first_step))
    return finished(x)


def sample_block(
    step: AbstractStep,
    score: AbstractScore,
    xs: Float[Array, "b d"],
    times: Float[Array, " t"],
    key: Key,
    first_replica: Index = 0,
    *,
    first_step: Index = 0,
) -> Float[Array, "b d"]:
    """Run replicas first_replica ... first_replica + b - 1 together.

    Every replica follows the path of `sample`, to the rounding of the score's matrix
    products. Even and odd replicas stay apart as two half-blocks, which share the words
    of random bits; those of a step are carried into it from the step before, so that no
    fusion repeats them. Twice as fast as `sample` under `vmap` on a CPU.

    Args:
        step: How to move from one time to the next.
        score: The score; blocks go through `score.batched`.
        xs: Points at `times[0]`; an even number of them.
        times: Times, strictly decreasing.
        key: Root key of the run.
        first_replica: An even number.
        first_step: Number of the first step.

    Returns:
        The points at `times[-1]`.

    Raises:
        ValueError: An odd number of points, or times as in `sample`.
        FloatingPointError: A point is not finite (under a trace it is returned).
    """
    xs, times = as_float(xs), as_float(times)
    check_times(step, score.process, times)
    count, dimension = xs.shape
    if is_concrete(first_replica) and int(first_replica) % 2:
        raise ValueError(
            f"`first_replica` is {first_replica}; a block begins at an even one."
        )
    if count % 2:
        raise ValueError(
            f"`xs` holds {count} points; a block takes an even number: pad it, or use "
            f"`sample` under vmap."
        )
    many = score.batched
    pairs = jnp.asarray(first_replica, jnp.int32) // 2 + jnp.arange(
        count // 2, dtype=jnp.int32
    )

    def uniforms(i: Array):
        shape = step.draws, dimension, xs.dtype
        of_pair = lambda pair: pair_uniforms(key, pair, i, *shape)
        return jax.vmap(of_pair, out_axes=1)(pairs)

    def body(carry, interval):
        (*halves, made), (i, t, s) = carry, interval
        moved = []
        for side, z in enumerate(pair_normals(made)):
            x, mem = halves[side]
            keys = jax.vmap(lambda pair, side=side: choice_key(key, 2 * pair + side, i))
            moved.append(step.step(many, x, t, s, z, keys(pairs), mem))
        return (*moved, uniforms(i + 1)), None

    starts = [(half, step.init(many, half, times[0])) for half in (xs[::2], xs[1::2])]
    moves = intervals(step, times, first_step)
    start = (*starts, uniforms(moves[0][0]))
    ((even, _), (odd, _), _), _ = jax.lax.scan(body, start, moves)
    return finished(weave(even, odd))


def finished(points: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """The points, unless they can be looked at and are not finite."""
    if is_concrete(points) and not np.all(np.isfinite(points)):
        raise FloatingPointError(
            "a run ended at NaN or infinity: its score is not finite on the way, or "
            "its steps are too long; take more steps, or end at sigma > 0."
        )
    return points


def with_normals(
    function: Callable[[PyTree[Array], Point], PyTree[Array]],
    inputs: PyTree[Shaped[Array, "b ..."]],
    key: Key,
    first_replica: Index,
    step: Index,
    dimension: int,
    dtype: DTypeLike,
) -> PyTree[Shaped[Array, "b ..."]]:
    """`function(input, z)` of consecutive replicas, z their Gaussians of one step.

    As in `sample_block` the two halves share words of random bits, which are carried
    from tile to tile; nothing of size (b, dimension) is held. `first_replica` is even.
    """
    count = jax.tree.leaves(inputs)[0].shape[0]
    tile = min(TILE, count + count % 2)
    fill = lambda a: jnp.pad(
        a, ((0, -count % tile),) + ((0, 0),) * (a.ndim - 1), mode="edge"
    )
    cut = lambda a: fill(a).reshape(-1, tile, *a.shape[1:])
    tiles = jax.tree.map(cut, inputs)
    pairs = jnp.asarray(first_replica, jnp.int32) // 2
    pairs = pairs + jnp.arange(tile // 2, dtype=jnp.int32)

    def uniforms(pairs: Array):
        of_pair = lambda pair: pair_uniforms(key, pair, step, 1, dimension, dtype)[0]
        return jax.vmap(of_pair)(pairs)

    def body(carry, now):
        made, pairs = carry
        halves = [jax.tree.map(lambda a, i=i: a[i::2], now) for i in (0, 1)]
        found = map(jax.vmap(function), halves, pair_normals(made))
        pairs = pairs + tile // 2
        return (uniforms(pairs), pairs), jax.tree.map(weave, *found)

    found = jax.lax.scan(body, (uniforms(pairs), pairs), tiles)[1]
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], found)


def weave(even: Array, odd: Array) -> Array:
    """One array of both halves, even replicas first."""
    return jnp.stack([even, odd], axis=1).reshape(-1, *even.shape[1:])


def intervals(
    step: AbstractStep, times: Float[Array, " t"], first_step: Index
) -> tuple[Int[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
    """Number, beginning and end of every step.

    Times known only at run time that do not fall make the run NaN, not a wrong one.
    """
    count = times.size - 1
    index = jnp.asarray(first_step, jnp.int32) + jnp.arange(count, dtype=jnp.int32)
    ends = times[1:]
    if not (step.rises or is_concrete(times)):
        ends = jnp.where(ends < times[:-1], ends, jnp.nan)
    return index, times[:-1], ends
