"""A branch on the host: the points that were reached, as plain arrays."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis.symmetry._branch import LONGEST, fixed_points, trace
from jaxwin.analysis.symmetry._system import System

# Points of a branch at most.
POINTS = 100


class Branch(NamedTuple):
    """Points (y, nu) of a branch, unit tangents, and the largest slopes at each."""

    points: Float[np.ndarray, "p m"]
    tangents: Float[np.ndarray, "p m"]
    slopes: Float[np.ndarray, "p k"]


def follow_branch(
    system: System,
    place: Float[np.ndarray, " d"],
    noise: float,
    direction: float,
    ends: tuple[float, float],
    until: int,
    count: int = POINTS,
    longest: float = LONGEST,
) -> Branch:
    """The branch through the fixed point next to a place; see `trace`."""
    begin = fixed_points(system, place[None], noise).places[0]
    number = lambda value: jnp.asarray(value, system.centre.dtype)
    curve = trace(
        system,
        jnp.asarray(begin),
        number(noise),
        number(direction),
        (number(ends[0]), number(ends[1])),
        count,
        jnp.asarray(until, jnp.int32),
        number(longest),
    )
    valid = np.asarray(curve.valid)
    return Branch(*(np.asarray(part)[valid] for part in curve[:3]))
