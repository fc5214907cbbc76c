"""Where branches turn, lose their stability, and lie equally deep."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import root_scalar

from jaxwin.analysis.symmetry._branch import (
    fixed_points,
    in_blocks,
    leading_slopes,
    number_of_slopes,
    stepped,
)
from jaxwin.analysis.symmetry._potential import difference
from jaxwin.analysis.symmetry._system import System


class Marked(NamedTuple):
    """A marked fixed point: its place, its nu, leading slopes and their directions."""

    place: Float[np.ndarray, " d"]
    noise: float
    slopes: Float[np.ndarray, " k"]
    directions: Float[np.ndarray, "d k"]


def turn(
    system: System,
    at: Float[np.ndarray, " m"],
    tangent: Float[np.ndarray, " m"],
    length: float,
) -> Marked:
    """The turn of a branch between `at` and a step of `length` further.

    nu is stationary there: an error of the place enters by its square alone.
    """
    begin, way = jnp.asarray(at), jnp.asarray(tangent)
    go = lambda step: stepped(system, begin, way, jnp.asarray(step, begin.dtype))
    step = _root(lambda step: float(go(step)[1][-1]), 0.0, length)
    found = np.asarray(go(step)[0])
    return marked(system, found[:-1], float(found[-1]))


def instability(
    system: System,
    stable: Float[np.ndarray, " m"],
    unstable: Float[np.ndarray, " m"],
    zero: int = 0,
) -> Marked:
    """Where the largest slope of a branch passes 1, between two of its points (y, nu).

    The branch does not turn between them. zero: slopes that are 1 all along it.
    """

    def solve(share: float):
        guess = (stable + share * (unstable - stable))[None]
        return fixed_points(system, guess[:, :-1], guess[:, -1])

    # Slopes are in order: those that are always 1 stand first, then second.
    above = lambda share: float(np.sum(solve(share).slopes[0, : zero + 1] - 1))
    share = _root(above, 0.0, 1.0)
    noise = stable[-1] + share * (unstable[-1] - stable[-1])
    return marked(system, solve(share).places[0], float(noise))


def marked(system: System, place: Float[np.ndarray, " d"], noise: float) -> Marked:
    """A fixed point with its slopes and directions."""
    level = jnp.asarray(noise, place.dtype)
    slopes, directions = _slopes(system, jnp.asarray(place), level)
    return Marked(place, noise, np.asarray(slopes), np.asarray(directions))


def coexistence(
    system: System,
    child: Float[np.ndarray, "p m"],
    parent: Float[np.ndarray, "q m"],
    least: float,
    most: float,
) -> float | None:
    """The nu at which two branches (points (y, nu), nu rising) lie equally deep.

    Between `least` and `most`, the largest if several; `child` lies higher at `most`.
    None where it does all along.
    """

    def higher(noises: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        pair = (places_at(system, branch, noises) for branch in (child, parent))
        rows = [np.column_stack([places, noises]) for places in pair]
        return in_blocks(lambda *some: _depths(system, *some)[:, None], *rows)[:, 0]

    inside = child[(child[:, -1] > least) & (child[:, -1] < most), -1]
    noises = np.unique(np.append(inside, [least + 1e-6 * (most - least)]))
    if not len(inside):
        return None
    above = higher(noises) > 0
    change = np.flatnonzero(~above[:-1] & above[1:])
    if not change.size:
        return None
    low, high = (float(noises[change[-1] + i]) for i in (0, 1))
    return _root(lambda noise: float(higher(np.array([noise]))[0]), low, high)


def places_at(
    system: System, branch: Float[np.ndarray, "p m"], noises: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n d"]:
    """Places of a branch, given by points (y, nu) with nu rising, at other noises."""
    columns = [np.interp(noises, branch[:, -1], column) for column in branch.T[:-1]]
    return fixed_points(system, np.stack(columns, axis=1), noises).places


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    # To rounding: the tolerances of Brent's method are at least 4 eps.
    return float(root_scalar(function, bracket=(low, high), xtol=1e-15).root)


@eqx.filter_jit
def _slopes(system: System, place: Array, noise: Array) -> tuple[Array, Array]:
    return leading_slopes(system, place, noise, number_of_slopes(system))


@eqx.filter_jit
def _depths(
    system: System, points: Float[Array, "n m"], others: Float[Array, "n m"]
) -> Float[Array, " n"]:
    """Potential u / g^2 at points (y, nu), above that at others of the same nu."""

    def one(pair: tuple[Array, Array]) -> Array:
        noise = pair[0][-1]
        last, first = (system.noised(at[:-1], noise) for at in pair)
        time, drift = system.time(noise), system.drift
        return difference(system.denoiser, system.process, first, last, time, drift)

    return jax.lax.map(one, (points, others))
