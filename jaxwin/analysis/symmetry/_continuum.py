"""What breaks across a continuum of minima, where none merge."""

import numpy as np

from jaxwin.analysis.symmetry._branch import MARGIN, UNSTABLE
from jaxwin.analysis.symmetry._follow import follow_branch
from jaxwin.analysis.symmetry._meeting import marked
from jaxwin.analysis.symmetry._merges import (
    SAME_NOISE,
    Found,
    branch_end,
    flat,
    marginal_variance,
)
from jaxwin.analysis.symmetry._minima import FINE, settle
from jaxwin.analysis.symmetry._system import System

# How far aside of a place that has become unstable a new minimum is looked for.
ASIDE = 0.05


def across_continua(system: System, found: list[Found], low: float) -> list[Found]:
    """Losses of stability of minima that are a continuum, as nu falls to `low`.

    Minima found on a continuum lie anywhere on it: where they break across it, each has
    a parent of its own, and no two merge. So the branch of one of them is followed down
    to where a slope that is not marginal by symmetry passes 1, then that of what is
    next to it. Those that are listed already, by a spinodal, are not listed again.
    """
    more: list[Found] = []
    for one in found:
        current: Found | None = one
        while current is not None and current.zero_modes:
            current = _next(system, current, low)
            known = [*found, *more]
            if current is not None and not any(_same(current, old) for old in known):
                more.append(current)
    return more


def _same(one: Found, other: Found) -> bool:
    lost = other.instability
    return lost is not None and abs(lost - one.noise) < SAME_NOISE


def _next(system: System, one: Found, low: float) -> Found | None:
    """The pitchfork at which the new minima of a transition become unstable."""
    noise = one.noise - FINE
    if noise <= low:
        return None
    places, settled = settle(system, one.child[None], noise)
    if not settled[0]:
        return None
    down = follow_branch(system, places[0], noise, -1.0, (low, noise), UNSTABLE)
    lost = branch_end(system, down)
    if lost is None:
        return None
    # A little further the marginal directions stand before those of the continuum.
    last = down.points[-1]
    beyond = marked(system, last[:-1], float(last[-1]))
    marginal = int(np.sum(beyond.slopes - 1 > (beyond.slopes[0] - 1) / 2))
    start = beyond.place + ASIDE * beyond.directions[:, 0]
    children, settled = settle(system, start[None], beyond.noise)
    if not settled[0] or beyond.slopes[0] < 1 + MARGIN:
        return None
    child = marked(system, children[0], beyond.noise)
    return Found(
        noise=lost.noise,
        coexistence=None,
        instability=lost.noise,
        second_order=True,
        zero_modes=flat(child.slopes),
        copies=one.copies,
        of_parents=one.copies,
        variance=marginal_variance(system, lost),
        parent=lost.place,
        child=child.place,
        eigenvectors=beyond.directions[:, :marginal],
    )
