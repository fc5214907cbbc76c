"""Merging minima, followed along their branches to what they merge by."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxwin.analysis.symmetry._branch import LONGEST, MARGIN, UNSTABLE, fixed_points
from jaxwin.analysis.symmetry._follow import Branch, follow_branch
from jaxwin.analysis.symmetry._meeting import (
    Marked,
    coexistence,
    instability,
    places_at,
    turn,
)
from jaxwin.analysis.symmetry._minima import APART, Swept
from jaxwin.analysis.symmetry._system import System

# Slopes that agree so far are one cluster; minima whose slopes and distances agree so
# far are images of each other.
CLUSTER, IMAGE = 1e-6, 1e-3
# Slopes of a minimum that tell it from others.
SIGNS = 4
# A turn this near to a loss of stability, in nu and in place, is a pitchfork.
SAME_NOISE, SAME_PLACE = 1e-4, 2e-2
# Within a continuum of minima no merge is a transition that joins minima this near.
CONTINUUM = 2e-2
# A branch is followed so far beyond the level at which its minimum is gone.
NEXT, ROUNDING = 0.1, 1e-6


class Merge(NamedTuple):
    """Minima of one level that are one at the next, and how many such merges there are.

    A minimum that falls off its branch is one too, were nothing there before.

    children: one for each kind, with the number of its images.
    """

    level: int
    parent: int
    children: list[tuple[int, int]]
    images: int


class Found(NamedTuple):
    """A transition, in the units of its system."""

    noise: float
    coexistence: float | None
    instability: float | None
    second_order: bool
    zero_modes: int
    copies: int
    of_parents: int
    variance: float
    parent: Float[np.ndarray, " d"]
    child: Float[np.ndarray, " d"]
    eigenvectors: Float[np.ndarray, "d m"]


def find_merges(system: System, swept: Swept, most: int) -> list[Merge]:
    """The noisiest merges, images counted once."""
    found: list[Merge] = []
    # Symmetries fix the one minimum of the noisy end, not the mean of some starts.
    last = swept.places[-1]
    centre = last[0] if len(last) == 1 else np.zeros_like(system.centre)
    for level in reversed(range(len(swept.parents))):
        parents = swept.parents[level]
        counts = np.bincount(parents[parents >= 0], minlength=1)
        fallen = parents[swept.jumped[level] & (parents >= 0)]
        several = np.union1d(np.flatnonzero(counts > 1), fallen)
        if not several.size:
            continue
        above = swept.places[level + 1][several]
        signs = _signs(system, above, swept.noises[level + 1], above - centre)
        for group in _images(signs):
            parent = int(several[group[0]])
            members = np.flatnonzero(parents == parent)
            places = swept.places[level][members]
            away = places - swept.places[level + 1][parent]
            flat = abs(signs[group[0], :-1] - 1) < CLUSTER
            if flat.any() and np.linalg.norm(away, axis=1).max() < CONTINUUM:
                continue
            kinds = _images(_signs(system, places, swept.noises[level], away))
            children = [(int(members[kind[0]]), len(kind)) for kind in kinds]
            found.append(Merge(level, parent, children, len(group)))
        if len(found) >= most:
            break
    return found


def follow(system: System, swept: Swept, merge: Merge) -> list[Found]:
    """The transitions by which minima merge: of each kind that does not survive."""
    noise = swept.noises[merge.level + 1]
    ends = swept.noises[0], noise + NEXT
    place = swept.places[merge.level + 1][merge.parent]
    found = []
    for child, copies in merge.children:
        level, number = _before(swept, merge.level, child)
        begin = swept.places[level][number]
        near, origin, unit = _nearby(system, place, begin)
        begin = (begin - origin) / unit, swept.noises[level]
        up = follow_branch(near, *begin, 1.0, ends, UNSTABLE)
        turned = branch_end(near, up)
        # A minimum that ends later, or not at all, has survived.
        if turned is None or turned.noise > noise + ROUNDING:
            continue
        down = follow_branch(near, (place - origin) / unit, noise, -1.0, ends, UNSTABLE)
        lost = branch_end(near, down)
        zero = min(flat(up.slopes[0]), _flat_at_last(system, swept, level, number))
        parts = _Parts(begin, up, turned, down, lost, zero)
        one = _transition(near, merge, copies, parts, ends)
        parent, child_place = (origin + unit * y for y in (one.parent, one.child))
        found.append(one._replace(parent=parent, child=child_place))
    return found


def _nearby(
    system: System, place: Float[np.ndarray, " d"], other: Float[np.ndarray, " d"]
) -> tuple[System, Float[np.ndarray, " d"], float]:
    """A system whose unit is not far above the distance of two places.

    A fork of width w turns within w^2: in units in which it is small every step along
    it would pass the turn by. Places y of `system` are (y - origin) / unit of this one.
    """
    unit = max(float(np.linalg.norm(other - place)), APART) / LONGEST
    if unit >= 1:
        return system, np.zeros_like(place), 1.0
    frame = system.clean(jnp.asarray(place)), unit * system.scale
    near = eqx.tree_at(lambda s: (s.centre, s.scale), system, frame)
    return near, place, unit


class _Parts(NamedTuple):
    """What a transition is made of: a minimum, its branch up to its end, the parent's.

    turned: where the branch turns, or is one of minima no more; lost: where the
    parent's is. zero: directions that are marginal at the minimum, and stay so.
    """

    begin: tuple[Float[np.ndarray, " d"], float]
    up: Branch
    turned: Marked
    down: Branch
    lost: Marked | None
    zero: int


def _transition(
    system: System,
    merge: Merge,
    copies: int,
    parts: _Parts,
    ends: tuple[float, float],
) -> Found:
    """A pitchfork where the turn is the parent's loss of stability, else a spinodal."""
    turned, lost = parts.turned, parts.lost
    second = lost is not None and _same(lost, turned)
    at = lost if second and lost is not None else turned
    top = at.slopes[0]
    marginal = int(np.sum(abs(at.slopes - top) < CLUSTER * max(1.0, top)))
    zero = parts.zero
    parent, equal, child = at.place, None, parts.begin[0]
    if not second:
        marginal, child = max(marginal - zero, 1), turned.place
        above = _rising(parts.down)
        parent = places_at(system, above, np.array([at.noise]))[0]
        below = follow_branch(system, *parts.begin, -1.0, ends, UNSTABLE)
        whole = np.concatenate([_rising(below), _rising(parts.up)[1:]])
        least = max(above[0, -1], ends[0] if lost is None else lost.noise)
        equal = coexistence(system, whole, above, least, at.noise)
    return Found(
        noise=at.noise,
        coexistence=equal,
        instability=None if lost is None else lost.noise,
        second_order=second,
        zero_modes=zero,
        copies=copies * merge.images,
        of_parents=merge.images,
        variance=marginal_variance(system, at),
        parent=parent,
        child=child,
        eigenvectors=at.directions[:, :marginal],
    )


def marginal_variance(system: System, at: Marked) -> float:
    """Variance of x0 given x along the direction of the largest slope."""
    alpha, sigma, gain = map(float, system.levels(jnp.asarray(at.noise)))
    return float(at.slopes[0] / gain * (sigma / alpha) ** 2)


def _same(lost: Marked, turned: Marked) -> bool:
    near = np.linalg.norm(lost.place - turned.place) < SAME_PLACE
    return abs(lost.noise - turned.noise) < SAME_NOISE and bool(near)


def branch_end(system: System, branch: Branch) -> Marked | None:
    """Where a branch that was followed from a minimum turns or becomes unstable."""
    way = branch.tangents[:, -1]
    turns = way * way[0] < 0
    past = np.flatnonzero((branch.slopes[:, 0] > 1 + MARGIN) | turns)
    if not past.size or past[0] == 0:
        return None
    i = int(past[0]) - 1
    if turns[i + 1]:
        return _turn_after(system, branch, i)
    zero = flat(branch.slopes[0])
    return instability(system, branch.points[i], branch.points[i + 1], zero)


def flat(slopes: Float[np.ndarray, " k"]) -> int:
    """Directions that are marginal."""
    return int(np.sum(abs(slopes - 1) < CLUSTER))


def _flat_at_last(system: System, swept: Swept, level: int, number: int) -> int:
    """Those of what a minimum becomes at the least noise.

    A continuum is one at any noise; many minima on a circle are nearly one where they
    have just appeared.
    """
    while level:
        same = np.flatnonzero(swept.parents[level - 1] == number)
        if not same.size:
            break
        level, number = level - 1, int(same[0])
    place = swept.places[level][number][None]
    return flat(fixed_points(system, place, swept.noises[level]).slopes[0])


def _turn_after(system: System, branch: Branch, i: int) -> Marked:
    step = branch.points[i + 1] - branch.points[i]
    length = float(step @ branch.tangents[i])
    return turn(system, branch.points[i], branch.tangents[i], length)


def _rising(branch: Branch) -> Float[np.ndarray, "p m"]:
    """Points of a branch before its turn, nu rising."""
    way = branch.tangents[:, -1]
    kept = branch.points[way * way[0] > 0]
    return kept[np.argsort(kept[:, -1])]


def _before(swept: Swept, level: int, child: int) -> tuple[int, int]:
    """The same minimum one level earlier, where it has settled for certain."""
    if level:
        same = np.flatnonzero(swept.parents[level - 1] == child)
        if same.size == 1:
            return level - 1, int(same[0])
    return level, child


def _signs(
    system: System,
    places: Float[np.ndarray, "m d"],
    noise: float,
    away: Float[np.ndarray, "m d"],
) -> Float[np.ndarray, "m s"]:
    """What images have in common: leading slopes, and the distance from a place."""
    slopes = fixed_points(system, places, noise).slopes[:, :SIGNS]
    distance = np.linalg.norm(away, axis=1)
    return np.concatenate([slopes, distance[:, None]], axis=1)


def _images(signs: Float[np.ndarray, "m s"]) -> list[Int[np.ndarray, " _"]]:
    """Groups of equal signs."""
    groups: list[list[int]] = []
    for i, sign in enumerate(signs):
        for group in groups:
            if np.allclose(sign, signs[group[0]], rtol=IMAGE, atol=IMAGE):
                group.append(i)
                break
        else:
            groups.append([i])
    return [np.array(group) for group in groups]
