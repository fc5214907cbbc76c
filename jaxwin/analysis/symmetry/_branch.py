"""Branches of fixed points along the clock, by pseudo-arclength continuation."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import Point
from jaxwin.analysis import jacobian
from jaxwin.analysis.symmetry._system import System

# Arclength of a step in (y, nu): at first, and at most.
FIRST, LONGEST = 1e-2, 0.2
# Newton steps of a correction, and halvings of a step that fails.
NEWTON, HALVINGS = 8, 12
# Singular values below this share of the largest are symmetries (Goldstone modes).
SINGULAR = 1e-9
# Of a fixed point at a given noise: nothing is solved along marginal directions.
MARGINAL = 1e-5
# Where a branch stops: at the ends alone, beyond a turn, where it is unstable.
END, TURN, UNSTABLE = 0, 1, 2
# Slopes above 1 by this much are rounding along symmetries.
MARGIN = 1e-7
# From this dimension on Newton's equations are solved without a matrix.
DENSE = 256
# Slopes found there; fixed points that are solved for by one program.
LEADING, BLOCK = 8, 8


class Curve(NamedTuple):
    """Points (y, nu) of a branch in the units of its system.

    tangents: unit, along the branch; their last entry changes its sign at a turn.
    slopes: the largest eigenvalues of the map, 1 where a direction is marginal.
    valid: whether the point was reached.
    """

    points: Float[Array, "p m"]
    tangents: Float[Array, "p m"]
    slopes: Float[Array, "p k"]
    valid: Bool[Array, " p"]


class FixedPoints(NamedTuple):
    """Fixed points, their slopes (the largest first), and what each misses."""

    places: Float[np.ndarray, "n d"]
    slopes: Float[np.ndarray, "n k"]
    miss: Float[np.ndarray, " n"]


class _State(NamedTuple):
    at: Float[Array, " m"]
    tangent: Float[Array, " m"]
    length: Float[Array, ""]
    alive: Bool[Array, ""]


def fixed_points(
    system: System,
    guesses: Float[np.ndarray, "n d"],
    noises: float | Float[np.ndarray, " n"],
) -> FixedPoints:
    """The fixed points next to guesses, by Newton's method.

    A guess is kept along marginal directions: by symmetry a branch that does not turn
    has no component there, and rounding is not blown up.
    """
    noises = np.broadcast_to(np.asarray(noises, guesses.dtype), guesses.shape[:1])
    rows = np.concatenate([guesses, noises[:, None]], axis=1)
    found = in_blocks(lambda some: _fixed_points(system, some), rows)
    size = guesses.shape[1]
    return FixedPoints(found[:, :size], found[:, size + 1 :], found[:, size])


@eqx.filter_jit
def _fixed_points(
    system: System, rows: Float[Array, "n m"]
) -> Float[Array, "n m_plus_k"]:
    eps = float(jnp.finfo(rows.dtype).eps)
    linear = linear_solver(rows.shape[1] - 1, MARGINAL)
    solver = optx.Newton(rtol=0.0, atol=8 * eps, linear_solver=linear)
    slopes = number_of_slopes(system)

    def one(row: Array) -> Array:
        args = system, row[-1]
        solution = optx.root_find(
            _residual, solver, row[:-1], args, max_steps=4 * NEWTON, throw=False
        )
        found = solution.value
        miss = jnp.linalg.norm(_residual(found, args))
        leading = leading_slopes(system, found, row[-1], slopes)[0]
        return jnp.concatenate([found, miss[None], leading])

    return jax.lax.map(one, rows)


def _residual(y: Point, args: tuple[System, Array]) -> Point:
    return args[0].residual(y, args[1])


def number_of_slopes(system: System) -> int:
    """All slopes where a matrix is made anyway, else the largest 8."""
    size = system.centre.size
    return size if size <= DENSE else LEADING


def in_blocks(
    function: Callable[..., Array], *rows: Float[np.ndarray, "n _"]
) -> Float[np.ndarray, "n _"]:
    """A function of rows, so many at a time that one program serves all numbers."""
    count = len(rows[0])
    parts = []
    for first in range(0, count, BLOCK):
        some = [a[first : first + BLOCK] for a in rows]
        full = [np.concatenate([a, np.repeat(a[-1:], BLOCK - len(a), 0)]) for a in some]
        parts.append(np.asarray(function(*(jnp.asarray(a) for a in full))))
    return np.concatenate(parts)[:count]


def linear_solver(size: int, least: float = SINGULAR) -> lx.AbstractLinearSolver:
    """Of Newton's equations: the least-norm solution, for zero modes are no fault."""
    if size <= DENSE:
        return lx.SVD(rcond=least)
    return lx.GMRES(rtol=1e-10, atol=1e-12, restart=60, max_steps=600)


@eqx.filter_jit
def trace(
    system: System,
    y: Point,
    noise: Float[Array, ""],
    direction: Float[Array, ""],
    ends: tuple[Float[Array, ""], Float[Array, ""]],
    count: int,
    until: Int[Array, ""],
    longest: Float[Array, ""],
) -> Curve:
    """Follow the branch through a fixed point, around its turns.

    A predictor along the tangent, of unit length in (y, nu), and Newton's method in the
    plane across it. A step that fails, or that turns the tangent too far, is halved;
    one that succeeds makes the next longer. Error of a point: rounding; of the curve
    between points: second order in the step.

    Args:
        system: The drift.
        y: A fixed point.
        noise: Its nu.
        direction: +1 to begin towards more noise, -1 towards less.
        ends: Least and largest nu; the branch stops beyond them.
        count: Points, the first included.
        longest: Arclength of a step at most.
        until: TURN: stop at the first point beyond a turn; UNSTABLE: there or where a
            slope is above 1; END: go on.
    """
    towards = jnp.zeros(y.size + 1, y.dtype).at[-1].set(direction)
    at = jnp.append(y, noise)
    tangent = tangent_of(system, at, towards)
    first = jnp.minimum(jnp.asarray(FIRST, y.dtype), longest)
    leading = number_of_slopes(system)

    def step(state: _State, _: None) -> tuple[_State, tuple[Array, ...]]:
        slopes = jax.lax.cond(
            state.alive,
            lambda: leading_slopes(system, state.at[:-1], state.at[-1], leading)[0],
            lambda: jnp.zeros(leading, y.dtype),
        )
        new = _advance(system, state, longest)
        inside = (new.at[-1] >= ends[0]) & (new.at[-1] <= ends[1])
        stop = ~inside | ((until >= TURN) & (state.tangent[-1] * direction < 0))
        stop = stop | ((until >= UNSTABLE) & (slopes[0] > 1 + MARGIN))
        new = new._replace(alive=new.alive & ~stop)
        kept = jax.tree.map(lambda a, b: jnp.where(state.alive, a, b), new, state)
        return kept, (state.at, state.tangent, slopes, state.alive)

    start = _State(at, tangent, first, jnp.asarray(True))
    _, (ats, tangents, slopes, valid) = jax.lax.scan(step, start, None, length=count)
    return Curve(ats, tangents, slopes, valid)


def _advance(system: System, state: _State, longest: Array) -> _State:
    """One step along the branch, as short as it must be."""

    def attempt(carry: tuple[_State, Array, Array]) -> tuple[_State, Array, Array]:
        now, _, tries = carry
        found = correct(system, now.at + now.length * now.tangent, now.tangent)
        tangent = tangent_of(system, found, now.tangent)
        miss = jnp.linalg.norm(_bordered(found, (system, found, now.tangent))[:-1])
        moved = jnp.linalg.norm(found - now.at)
        good = (
            (miss < 1e3 * jnp.sqrt(jnp.finfo(found.dtype).eps) * SINGULAR**0.5)
            & (moved < 1.5 * now.length)
            & (jnp.sum(tangent * now.tangent) > 0.9)
        )
        longer = jnp.minimum(1.5 * now.length, longest)
        ahead = _State(found, tangent, longer, now.alive)
        back = now._replace(length=now.length / 2)
        new = jax.tree.map(lambda a, b: jnp.where(good, a, b), ahead, back)
        return new, good, tries + 1

    def going(carry: tuple[_State, Array, Array]) -> Array:
        _, good, tries = carry
        return ~good & (tries < HALVINGS)

    # A branch that has ended costs nothing.
    begin = state, ~state.alive, jnp.zeros((), jnp.int32)
    new, good, _ = jax.lax.while_loop(going, attempt, begin)
    return new._replace(alive=new.alive & good)


def correct(
    system: System, ahead: Float[Array, " m"], tangent: Float[Array, " m"]
) -> Float[Array, " m"]:
    """The point of the branch in the plane through `ahead` across the tangent."""
    eps = float(jnp.finfo(ahead.dtype).eps)
    solver = optx.Newton(
        rtol=0.0, atol=8 * eps, linear_solver=linear_solver(ahead.size)
    )
    args = system, ahead, tangent
    return optx.root_find(
        _bordered, solver, ahead, args, max_steps=NEWTON, throw=False
    ).value


@eqx.filter_jit
def stepped(
    system: System,
    at: Float[Array, " m"],
    tangent: Float[Array, " m"],
    length: Float[Array, ""],
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """The point of a branch a step further, and its tangent."""
    found = correct(system, at + length * tangent, tangent)
    return found, tangent_of(system, found, tangent)


def _bordered(
    at: Float[Array, " m"], args: tuple[System, Array, Array]
) -> Float[Array, " m"]:
    """The fixed-point equations, and the distance along the tangent."""
    system, ahead, tangent = args
    return jnp.append(system.residual(at[:-1], at[-1]), jnp.sum(tangent * (at - ahead)))


def tangent_of(
    system: System, at: Float[Array, " m"], towards: Float[Array, " m"]
) -> Float[Array, " m"]:
    """Unit tangent of the branch, on the side of `towards`."""
    operator = lx.JacobianLinearOperator(_bordered, at, (system, at, towards))
    one = jnp.zeros_like(at).at[-1].set(1)
    found = lx.linear_solve(operator, one, linear_solver(at.size), throw=False).value
    return found / jnp.linalg.norm(found)


def leading_slopes(
    system: System, y: Point, noise: Float[Array, ""], count: int
) -> tuple[Float[Array, " k"], Float[Array, "d k"]]:
    """The largest eigenvalues of the map's slope, descending, and their directions."""
    if y.size <= DENSE:
        values, vectors = jnp.linalg.eigh(system.slope(y, noise))
        return values[::-1][:count], vectors[:, ::-1][:, :count]
    alpha, sigma, gain = system.levels(noise)
    x = system.noised(y, noise)
    found = jacobian.leading(system.denoiser, x, alpha, sigma, count)
    return gain * (1 - found.normalised), found.directions
