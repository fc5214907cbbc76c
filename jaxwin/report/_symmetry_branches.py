"""Branches around each transition, and the potential between what it tells apart."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin.analysis import symmetry
from jaxwin.analysis.symmetry._drift import drift_ratio
from jaxwin.report._symmetry_result import Branches, Subject, stacked_branches

# Log-SNR between a transition and where its branches are begun.
ASIDE = 0.02
# Noises at which the potential is drawn, about the first transition: minus log-SNR.
AROUND = (0.5, 0.2, 0.0, -0.2, -0.5)
# The line goes beyond the new minimum by so much, and has so many places.
BEYOND, PLACES = 1.3, 61
# Points of a branch at most.
COUNT = 100


class Setting(NamedTuple):
    """What every branch is followed by: its law and clock, its range and its unit."""

    subject: Subject
    times: tuple[float, float]
    spread: float

    def branch(
        self, clean: Any, t: float, towards_noise: bool
    ) -> symmetry.FixedBranch | None:
        """The branch through a fixed point near `clean`, where there is one."""
        subject = self.subject
        try:
            return symmetry.branch(
                subject.denoiser,
                subject.process,
                clean,
                t,
                drift=subject.drift,
                times=self.times,
                count=COUNT,
                towards_noise=towards_noise,
                scale=self.spread,
            )
        except BadInput:
            return None

    def shifted(self, t: float, noise: float) -> float:
        """The time at which minus the log-SNR is larger by `noise`, on the clock."""
        process = self.subject.process
        log_snr = process.log_snr(jnp.asarray(t)) - noise
        return float(np.clip(float(process.time(log_snr)), *self.times))


def branches_of(
    setting: Setting,
    found: symmetry.CriticalTimes,
    centre: Float[np.ndarray, " d"],
    most: int,
) -> Branches | None:
    """The branches that meet at the noisiest transitions, `most` of them at most."""
    rows: list[tuple[int, bool, symmetry.FixedBranch]] = []
    for number in range(min(most, len(found.transitions.multiplicity))):
        rows += [(number, True, one) for one in _of_parent(setting, found, number)]
        rows += [(number, False, one) for one in _of_child(setting, found, number)]
    if found.none and found.minima[-1]:
        central = setting.branch(centre, float(found.time[-1]), False)
        rows += [] if central is None else [(-1, True, central)]
    return stacked_branches(rows)


def _of_parent(
    setting: Setting, found: symmetry.CriticalTimes, number: int
) -> list[symmetry.FixedBranch]:
    """The parent, both ways from just above the transition."""
    time = float(found.transitions.time.time[number])
    begin = setting.shifted(time, ASIDE)
    clean = found.transitions.parent[number]
    ways = [setting.branch(clean, begin, noisier) for noisier in (True, False)]
    return [way for way in ways if way is not None]


def _of_child(
    setting: Setting, found: symmetry.CriticalTimes, number: int
) -> list[symmetry.FixedBranch]:
    """A new minimum, both ways: up to its turn and beyond, and towards the data.

    A pitchfork's was seen one or two levels of noise below it; a spinodal's is its
    turn, and is begun from just below.
    """
    transitions = found.transitions
    time = float(transitions.time.time[number])
    parent, child = transitions.parent[number], transitions.child[number]
    apart = np.linalg.norm(child - parent)
    if bool(transitions.second_order[number]):
        guesses = [(child, t) for t in found.time[found.time < time][-1:-4:-1]]
    else:
        shares, t = (0.05, 0.0, 0.1), setting.shifted(time, -ASIDE)
        guesses = [(child + share * (child - parent), t) for share in shares]
    for clean, t in guesses:
        down = setting.branch(clean, float(t), False)
        if down is None or not down.stable[0]:
            continue
        if np.linalg.norm(down.clean[0] - child) < 0.5 * apart:
            up = setting.branch(down.clean[0], float(down.time[0]), True)
            return [down] if up is None else [down, up]
    return []


def direction_of(
    transitions: symmetry.Transitions, number: int
) -> Float[np.ndarray, " d"]:
    """Unit direction from the parent to a new minimum."""
    way = transitions.child[number] - transitions.parent[number]
    return way / np.linalg.norm(way)


def profile_of(
    setting: Setting, found: symmetry.CriticalTimes, branches: Branches | None
) -> symmetry.Profile | None:
    """The potential about the first transition, along the line parent to child.

    At each time along x = kappa alpha (parent + place direction), places in units of
    the data, above its value at the parent of the transition.
    """
    if found.none:
        return None
    transitions, subject = found.transitions, setting.subject
    parent, way = transitions.parent[0], direction_of(transitions, 0)
    time = float(transitions.time.time[0])
    reach = BEYOND * _reach(setting, found, branches)
    # A pitchfork is seen on both sides, a spinodal on the one of the new minimum.
    least = -reach if bool(transitions.second_order[0]) else -reach / 2
    places = np.linspace(least, reach, PLACES)
    here = int(np.argmin(abs(places)))
    values = []
    times = _times(setting, transitions, time)
    for t in times:
        alpha, sigma = subject.process.levels(jnp.asarray(t))
        ratio = drift_ratio(subject.process, jnp.asarray(t))
        unit = np.asarray(subject.drift.gain(sigma, ratio) * alpha)
        first, last = (jnp.asarray(unit * (parent + r * way)) for r in (least, reach))
        line = symmetry.along_line(
            subject.denoiser,
            subject.process,
            first,
            last,
            np.array([t]),
            (places - least) / (reach - least),
            subject.drift,
        )
        values.append(line.value[0] - line.value[0, here])
    return symmetry.Profile(place=places, value=np.array(values), time=times)


def _times(
    setting: Setting, transitions: symmetry.Transitions, time: float
) -> Float[np.ndarray, " t"]:
    """Times about a transition, the spinodal's own times among them."""
    if bool(transitions.second_order[0]):
        around = [setting.shifted(time, noise) for noise in AROUND]
    else:
        around = [setting.shifted(time, AROUND[1]), time]
        others = transitions.coexistence, transitions.instability
        known = [float(t.time[0]) for t in others if bool(t.found[0])]
        around += known
        around.append(setting.shifted(min([time, *known]), AROUND[-2]))
    return np.unique(np.array(around))


def _reach(
    setting: Setting, found: symmetry.CriticalTimes, branches: Branches | None
) -> float:
    """How far the new minimum gets in the times that are drawn."""
    transitions = found.transitions
    parent, way = transitions.parent[0], direction_of(transitions, 0)
    least = float(np.linalg.norm(transitions.child[0] - parent))
    if branches is None:
        return least
    first = _times(setting, transitions, float(transitions.time.time[0]))[0]
    for row in branches.rows(0, of_parent=False):
        count = branches.length(row)
        near = branches.time[row, :count] >= first
        along = abs((branches.clean[row, :count] - parent) @ way)[near]
        least = max(least, float(along.max(initial=0.0)))
    return least
