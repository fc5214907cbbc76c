"""Paths and pairs of paths: trajectories, U-turns and clones of one replica."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._numerics import as_float
from jaxwin._random import choice_key, normals
from jaxwin._typing import Index, Key, Point
from jaxwin.samplers._base import AbstractStep, check_times
from jaxwin.samplers._drive import finished, intervals, sample
from jaxwin.scores import AbstractScore


def trajectory(
    step: AbstractStep,
    score: AbstractScore,
    x: Point,
    times: Float[Array, " t"],
    key: Key,
    replica: Index = 0,
    *,
    at: Sequence[int] | None = None,
    first_step: Index = 0,
) -> Float[Array, "m d"]:
    """The path of `sample`, at chosen times.

    Memory is that of the points kept, however many steps there are.

    Args:
        step: How to move from one time to the next.
        score: The score, which knows its process.
        x: The point at `times[0]`.
        times: Times, strictly decreasing.
        key: Root key of the run; the path is that of `sample`.
        replica: Which replica this is.
        at: Indices into `times`, increasing; all times if left out.
        first_step: Number of the first step.

    Returns:
        The points at `times[at]`.

    Raises:
        ValueError: Indices that do not increase or do not exist, or times as in
            `sample`.
        FloatingPointError: A point is not finite (under a trace it is returned).
    """
    x, times = as_float(x), as_float(times)
    check_times(step, score.process, times)
    kept = np.arange(times.size) if at is None else np.asarray(at, int)
    whole = at is None or np.array_equal(kept, np.asarray(at))
    inside = whole and kept.ndim == 1 and kept.size > 0 and kept[0] >= 0
    if not (inside and kept[-1] < times.size and np.all(np.diff(kept) > 0)):
        raise ValueError(
            f"`at` is {at}; it must hold increasing indices from 0 to {times.size - 1}."
        )
    # Where the point after i steps goes: into the next kept place, which later points
    # overwrite until its own has come.
    place = jnp.asarray(np.searchsorted(kept, np.arange(times.size)), jnp.int32)
    replica = jnp.asarray(replica, jnp.int32)

    def body(carry, interval):
        (x, mem, points), (i, t, s), slot = carry, *interval
        z = normals(key, replica, i, step.draws, x.size, x.dtype)
        x, mem = step.step(score, x, t, s, z, choice_key(key, replica, i), mem)
        return (x, mem, points.at[slot].set(x, mode="drop")), None

    points = jnp.zeros((kept.size, x.size), x.dtype).at[0].set(x)
    start = x, step.init(score, x, times[0]), points
    moves = intervals(step, times, first_step), place[1:]
    return finished(jax.lax.scan(body, start, moves)[0][2])


def forward_backward(
    step: AbstractStep,
    score: AbstractScore,
    x0: Point,
    times: Float[Array, " t"],
    key: Key,
    replica: Index = 0,
) -> Point:
    """A U-turn: noise a clean point to times[0], then run back along `times`.

    Args:
        step: How to move from one time to the next.
        score: The score, which knows its process.
        x0: A clean point.
        times: Times, strictly decreasing; the first says how far the turn goes.
        key: Root key.
        replica: Which replica this is.

    Returns:
        The point at `times[-1]`.

    Raises:
        ValueError, FloatingPointError: As in `sample`.
    """
    x0, times = as_float(x0), as_float(times)
    noise_key, path_key = jr.split(key)
    z = normals(noise_key, replica, 0, 1, x0.size, x0.dtype)[0]
    alpha, sigma = score.levels(x0, times[0])
    return sample(step, score, alpha * x0 + sigma * z, times, path_key, replica)


def clones(
    step: AbstractStep,
    score: AbstractScore,
    x: Point,
    times: Float[Array, " t"],
    key: Key,
    replica: Index = 0,
    *,
    branch: int,
    count: int = 2,
) -> Float[Array, "m d"]:
    """Paths that are one until times[branch], and independent from there.

    The shared part is run once. A clone's index is folded into its root key. What the
    step remembers begins anew at the branch.

    Args:
        step: How to move from one time to the next.
        score: The score, which knows its process.
        x: The point at `times[0]`.
        times: Times, strictly decreasing.
        key: Root key; the shared part is the path of `sample`.
        replica: Which replica this is.
        branch: Index of the time at which the paths part; 0 for no shared part.
        count: How many clones.

    Returns:
        The points of the clones at `times[-1]`.

    Raises:
        ValueError: `branch` is not the index of a time before the last, `count` below
            1, or as in `sample`.
        FloatingPointError: As in `sample`.
    """
    times = as_float(times)
    if not 0 <= branch < times.size - 1:
        raise ValueError(
            f"`branch` is {branch}; it must be an index from 0 to {times.size - 2}: "
            f"clones need a step of their own."
        )
    if count < 1:
        raise ValueError(f"`count` is {count}; it must be at least 1.")
    if branch > 0:
        x = sample(step, score, x, times[: branch + 1], key, replica)

    def one(clone: Array) -> Point:
        own = jr.fold_in(key, clone)
        rest = times[branch:]
        return sample(step, score, x, rest, own, replica, first_step=branch)

    return jax.vmap(one)(jnp.arange(count, dtype=jnp.int32))
