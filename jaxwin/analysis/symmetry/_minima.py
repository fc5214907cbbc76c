"""Minima of a drift's potential: where starts settle, from little noise to much."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import Point
from jaxwin.analysis.symmetry._branch import fixed_points
from jaxwin.analysis.symmetry._system import System

# Places further than this from the centre, in units of the data, have escaped.
REGION = 100.0
# Steps of the map, at first and where Newton's method did not find a minimum; the
# change of a place at which it has settled; how far Newton's method may take it.
STEPS, SETTLED, NEARBY = (800, 4000), 1e-9, 0.2
# Steps in nu: far from a merge, and where minima merge.
WIDE, FINE = 0.12, 0.03
# Rows of a compiled program at least.
LEAST = 8
# Places nearer than this are one minimum; what moves further than `JUMP` between
# neighbouring noises is asked for its way back.
APART, JUMP = 1e-3, 1e-2
# A stable fixed point takes back a kick of this size, an unstable one is left: within
# those steps, unless its slope is above 1 by less than `SLOW`; at the next noise it is.
KICK, SLOW = 1e-4, 5e-3


class Swept(NamedTuple):
    """Minima at each noise, rising, and which one each becomes at the next.

    places[i] (m_i, d); parents[i] (m_i,) numbers of places[i + 1], -1 where it escapes.
    jumped[i] (m_i,): whether it gets there by no branch of minima.
    """

    noises: list[float]
    places: list[Float[np.ndarray, "_ d"]]
    parents: list[Int[np.ndarray, " _"]]
    jumped: list[Bool[np.ndarray, " _"]]


def sweep(
    system: System,
    starts: Float[np.ndarray, "s d"],
    low: float,
    high: float,
    most: int,
) -> Swept:
    """Where starts settle at nu = low, and what becomes of it as nu rises to `high`.

    What settles in one place moves on as one. Where all have escaped the starts are
    taken again. The noisiest `most` merges and jumps are gone through a second time in
    short steps, so that few minima merge between neighbouring noises.
    """
    swept = Swept([low], [_minima(system, starts, low)[0]], [], [])
    extend(swept, system, starts, high, WIDE)
    counts = np.array([len(places) for places in swept.places])
    jumps = np.array([one.any() for one in swept.jumped], bool)
    merging = np.flatnonzero((np.diff(counts) < 0) | jumps)
    if not merging.size:
        return swept
    several = np.flatnonzero(counts > most + 1)
    first = int(max(merging[0], several[-1] if several.size else 0))
    noises, places = swept.noises[: first + 1], swept.places[: first + 1]
    again = Swept(noises, places, swept.parents[:first], swept.jumped[:first])
    extend(again, system, starts, high, FINE)
    return again


def extend(
    swept: Swept,
    system: System,
    starts: Float[np.ndarray, "s d"],
    high: float,
    least: float = FINE,
) -> None:
    """Go on to a larger noise, in place; steps of `least` where minima merge."""
    step = WIDE
    while swept.noises[-1] < high:
        now, noise = swept.places[-1], swept.noises[-1]
        after = min(noise + step, high)
        again = not len(now)
        new, number = _minima(system, starts if again else now, after)
        # Starts taken again come from no minimum.
        number = np.zeros(0, int) if again else number
        jumped = _jumped(system, now, noise, new, number)
        changed = not again and (len(new) != len(now) or jumped.any())
        if changed and after - noise > 1.01 * least:
            step = max((after - noise) / 2, least)
            continue
        swept.parents.append(number)
        swept.jumped.append(jumped)
        swept.noises.append(after)
        swept.places.append(new)
        step = min(2 * step, WIDE)


def _jumped(
    system: System,
    now: Float[np.ndarray, "m d"],
    noise: float,
    new: Float[np.ndarray, "n d"],
    number: Int[np.ndarray, " m"],
) -> Bool[np.ndarray, " m"]:
    """Which minima have fallen off their branch: the way back leads elsewhere."""
    far = np.zeros(len(now), bool)
    kept = np.flatnonzero(number >= 0)
    far[kept] = np.linalg.norm(new[number[kept]] - now[kept], axis=1) > JUMP
    moved = np.flatnonzero(far)
    if moved.size:
        back, settled = settle(system, new[number[moved]], noise)
        home = np.linalg.norm(back - now[moved], axis=1) < APART
        far[moved[settled & home]] = False
    return far


def _minima(
    system: System, starts: Float[np.ndarray, "s d"], noise: float
) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " s"]]:
    """Minima in which starts settle, and the number of each start's; -1: escaped."""
    found, settled = settle(system, starts, noise)
    number = np.full(len(starts), -1)
    places, number[settled] = distinct(found[settled])
    return places, number


def settle(
    system: System, starts: Float[np.ndarray, "s d"], noise: float
) -> tuple[Float[np.ndarray, "s d"], Bool[np.ndarray, " s"]]:
    """Where starts settle at one noise, and whether they do within the region.

    The map goes downhill, slowly where a minimum is flat: what has not settled soon is
    solved for by Newton's method, and taken if that ends nearby in a minimum. Starts
    are kicked, or those on a symmetric point would stay where it is no minimum.
    """
    level = jnp.asarray(noise, starts.dtype)
    aside = np.random.default_rng(0).normal(size=starts.shape[1])
    places = starts + KICK * aside / np.linalg.norm(aside)
    settled = np.zeros(len(starts), bool)
    for steps in STEPS:
        left = np.flatnonzero(~settled)
        if not left.size:
            break
        count = jnp.asarray(steps, jnp.int32)
        # As many rows as a power of two: few programs are compiled.
        size = max(LEAST, 1 << (left.size - 1).bit_length())
        rows = jnp.asarray(places[np.resize(left, size)])
        found = np.asarray(_downhill(system, rows, level, count))[: left.size]
        moved, change = found[:, :-1], found[:, -1]
        inside = np.linalg.norm(moved, axis=1) < 0.99 * REGION
        places = places.copy()
        places[left] = moved
        settled[left[inside & (change < SETTLED)]] = True
        slow = inside & ~(change < SETTLED)
        if slow.any():
            near = fixed_points(system, moved[slow], noise)
            gone = np.linalg.norm(near.places - moved[slow], axis=1)
            good = (near.slopes[:, 0] < 1 + SLOW) & (near.miss < SETTLED)
            good &= gone < NEARBY
            places[left[slow][good]] = near.places[good]
            settled[left[slow][good]] = True
    return places, settled


@eqx.filter_jit
def _downhill(
    system: System, starts: Float[Array, "s d"], noise: Array, steps: Array
) -> Float[Array, "s d_plus_1"]:
    """So many steps of the map, fewer where all settle; how far the last one went."""

    def going(carry: tuple[Array, Array, Array]) -> Array:
        _, change, step = carry
        return jnp.any(change > SETTLED / 10) & (step < steps)

    def on(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        ys, _, step = carry
        new = jax.vmap(lambda y: _within(y, system, noise))(ys)
        return new, jnp.linalg.norm(new - ys, axis=1), step + 1

    never = jnp.full(len(starts), jnp.inf, starts.dtype)
    begin = starts, never, jnp.zeros((), jnp.int32)
    ys, change, _ = jax.lax.while_loop(going, on, begin)
    return jnp.concatenate([ys, change[:, None]], axis=1)


def _within(y: Point, system: System, noise: Array) -> Point:
    """The map, held within the region: what escapes settles on its edge."""
    image = system.image(y, noise)
    size = jnp.linalg.norm(image)
    held = image * jnp.minimum(1, REGION / jnp.where(size > 0, size, 1))
    edge = y * (REGION / jnp.maximum(jnp.linalg.norm(y), 1e-3))
    return jnp.where(jnp.all(jnp.isfinite(image)), held, edge)


def distinct(
    places: Float[np.ndarray, "s d"],
) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " s"]]:
    """One place of each minimum, and the number of that of each start."""
    number = np.full(len(places), -1)
    kept: list[int] = []
    for i, place in enumerate(places):
        if number[i] >= 0:
            continue
        near = np.linalg.norm(places - place, axis=1) < APART
        number[near & (number < 0)] = len(kept)
        kept.append(i)
    return places[kept], number
