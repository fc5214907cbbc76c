"""Critical times: when the minima of a drift's potential appear, split and merge."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import Crossing, exact, not_reached, stack
from jaxwin.analysis.symmetry._continuum import across_continua
from jaxwin.analysis.symmetry._drift import DriftLike, named_drift
from jaxwin.analysis.symmetry._merges import Found, find_merges, follow
from jaxwin.analysis.symmetry._minima import extend, sweep
from jaxwin.analysis.symmetry._starts import OUTWARDS, search
from jaxwin.analysis.symmetry._system import System
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractDenoiser

# Eigenvectors that are kept of each transition.
MODES = 8


class Transitions(eqx.Module):
    """Critical times, the noisiest first; each array has one entry for each transition.

    time: where the new minima appear. second order (a pitchfork): they leave the parent
    there, which becomes unstable. First order: they appear at a distance, at a spinodal
    (a fold) or where a fixed point becomes stable; `coexistence` is where they lie as
    deep as the parent, `instability` where that becomes unstable, later in generation,
    if it does.

    eigenvectors: of the marginal eigenvalue (`multiplicity` times), zero beyond it and
    at most 8. zero_modes: directions along which the new minima are a continuum.
    copies: minima found that are images of each other; of_parents: of the parent.
    variance: of x0 given x, along the marginal direction.
    """

    time: Crossing = field(("transition",), "")
    coexistence: Crossing = field(("transition",), "")
    instability: Crossing = field(("transition",), "")
    second_order: Bool[np.ndarray, " k"] = field(("transition",), "", "a pitchfork")
    multiplicity: Int[np.ndarray, " k"] = field(("transition",), "", "marginal")
    zero_modes: Int[np.ndarray, " k"] = field(("transition",), "", "of the new minima")
    copies: Int[np.ndarray, " k"] = field(("transition",), "", "new minima")
    of_parents: Int[np.ndarray, " k"] = field(("transition",), "", "parents")
    variance: Float[np.ndarray, " k"] = field(
        ("transition",), "data units squared", "of x0 given x, marginal direction"
    )
    parent: Float[np.ndarray, "k d"] = field(
        ("transition", "coordinate"), "data units", "E[x0 | x] at the parent"
    )
    child: Float[np.ndarray, "k d"] = field(
        ("transition", "coordinate"), "data units", "E[x0 | x] at a new minimum"
    )
    eigenvectors: Float[np.ndarray, "k d m"] = field(
        ("transition", "coordinate", "mode"), "", "of the marginal eigenvalue"
    )


class CriticalTimes(eqx.Module):
    """When a backward dynamics breaks its symmetries: all that starts led to.

    symmetric: whether one minimum is left at the noisy end; where it is not, the clock
    begins in a broken phase, and what breaks beyond its end is not listed. minima: how
    many were found at each time. escape: below this time no minimum was found in the
    region; a potential that loses its minimum there is curvature without a decision.
    """

    drift: str = eqx.field(static=True)
    starts: int = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)
    complete: bool = eqx.field(static=True)
    transitions: Transitions
    escape: Crossing
    time: Float[np.ndarray, " t"] = field(("time",), "time of the process")
    minima: Int[np.ndarray, " t"] = field(("time",), "", "minima found")

    @property
    def none(self) -> bool:
        """Whether nothing breaks."""
        return not len(self.transitions.multiplicity)

    def __str__(self) -> str:
        searched = f"[{self.time[0]:.4g}, {self.time[-1]:.4g}]"
        if self.none:
            return f"no transition in {searched} ({self.drift})"
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """A line for each transition, and one where there may be more."""
        found = []
        for i, time in enumerate(np.asarray(self.transitions.time.time)):
            second = bool(self.transitions.second_order[i])
            order = "second order" if second else "first order"
            found.append(
                f"t = {time:.6g} ({self.drift}, {order}, "
                f"{self.transitions.multiplicity[i]} marginal)"
            )
        if not self.complete:
            found.append("and later ones, which were not followed: raise `most`")
        return found


def critical_times(
    denoiser: AbstractDenoiser,
    process: AbstractProcess | None = None,
    *,
    drift: DriftLike = "reverse_sde",
    times: tuple[float, float] | None = None,
    starts: AnyArray | int = 64,
    dimension: int | None = None,
    most: int = 16,
    key: Key | None = None,
) -> CriticalTimes:
    """All critical times that can be seen from starts, of any denoiser.

    1. Starts (clean points: draws of a law, means of a mixture, samples of a denoiser)
       settle in the minima of the least noise. The noise rises; minima merge, or end
       and fall into another place, from where the way back leads elsewhere.
    2. From each minimum that merges its branch is followed by pseudo-arclength to where
       it turns or becomes unstable; the branch of what it merges with is followed down
       to where it becomes unstable. Where both are one, it is a pitchfork, else a
       spinodal, or a place that becomes a minimum without others near it.
    3. Minima of a continuum merge with none: the branch of one is followed down to
       where it becomes unstable.
    4. Minima with equal slopes and distances are images of each other: one of them is
       followed.

    No place is told where to look, and nothing but `denoise` is asked for. What no
    start leads to is not found. Errors of times are those of rounding.

    Args:
        denoiser: A law, or any denoiser.
        process: The clock; OU if left out.
        drift: Which drift, see `named_drift`.
        times: Least and largest time searched; chosen by the spread of the data if left
            out: from where 3 % of it are resolved (of a mixture 0.2 %, where means are
            that near) to where the noise is 1.4 times it.
        starts: Clean points (s, d), or how many to draw.
        dimension: Of a point; needed for a denoiser that is no law.
        most: Transitions that are followed, the noisiest ones; `complete` says whether
            that was all.
        key: Of the draws; `jax.random.key(0)` if left out.

    Raises:
        BadInput: No start, or one of another dimension; times off the clock; `most`
            below 1; data without any spread.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, sections 3 and appendix.
        Allgower & Georg, Numerical Continuation Methods (1990), chapter 6.
    """
    if most < 1:
        raise BadInput(f"`most` is {most}; it must be at least 1.")
    process = OrnsteinUhlenbeck() if process is None else process
    key = jr.key(0) if key is None else key
    kind = named_drift(drift)
    plan = search(denoiser, process, kind, times, starts, dimension, key)
    swept = sweep(plan.system, plan.starts, plan.low, plan.high, most)
    while len(swept.places[-1]) > 1 and swept.noises[-1] < plan.last:
        further = min(swept.noises[-1] + OUTWARDS, plan.last)
        extend(swept, plan.system, plan.starts, further)
    merges = find_merges(plan.system, swept, most)
    found = [one for merge in merges for one in follow(plan.system, swept, merge)]
    found += across_continua(plan.system, found, swept.noises[0])
    found = sorted(found, key=lambda one: -one.noise)[:most]
    clock = np.asarray(plan.system.time(jnp.asarray(swept.noises)))
    counts = np.array([len(places) for places in swept.places])
    return CriticalTimes(
        drift=kind.name,
        starts=len(plan.starts),
        symmetric=bool(counts[-1] == 1),
        complete=len(found) < most,
        transitions=_stacked(plan.system, found),
        escape=_escape(clock, counts),
        time=clock,
        minima=counts,
    )


def _stacked(system: System, found: list[Found]) -> Transitions:
    """What was found, in the units of the data and the clock."""
    on_clock = lambda noise: _crossing(system, noise)
    size = system.centre.size
    column = lambda pick, kind: np.array([pick(one) for one in found], kind)
    clean = lambda pick: np.array(
        [np.asarray(system.clean(jnp.asarray(pick(one)))) for one in found]
    ).reshape(-1, size)
    modes = np.zeros((len(found), size, MODES))
    for i, one in enumerate(found):
        kept = one.eigenvectors[:, :MODES]
        modes[i, :, : kept.shape[1]] = kept
    return Transitions(
        time=stack([on_clock(one.noise) for one in found]),
        coexistence=stack([on_clock(one.coexistence) for one in found]),
        instability=stack([on_clock(one.instability) for one in found]),
        second_order=column(lambda one: one.second_order, bool),
        multiplicity=column(lambda one: one.eigenvectors.shape[1], int),
        zero_modes=column(lambda one: one.zero_modes, int),
        copies=column(lambda one: one.copies, int),
        of_parents=column(lambda one: one.of_parents, int),
        variance=column(lambda one: one.variance, float),
        parent=clean(lambda one: one.parent),
        child=clean(lambda one: one.child),
        eigenvectors=modes,
    )


def _crossing(system: System, noise: float | None) -> Crossing:
    """A nu on the clock; the whole clock where there is none."""
    if noise is None:
        low, high = (float(end) for end in system.process.domain)
        return not_reached(np.array([low, high]))
    return exact(system.time(jnp.asarray(noise, float)))


def _escape(times: Float[np.ndarray, " t"], counts: Int[np.ndarray, " t"]) -> Crossing:
    """The time below which nothing is found, between two neighbouring ones."""
    empty = np.flatnonzero(counts == 0)
    if not empty.size:
        return not_reached(times)
    last = empty[-1]
    low, high = times[last], times[min(last + 1, len(times) - 1)]
    middle, half = (low + high) / 2, (high - low) / 2
    number = lambda value: jnp.asarray(value, float)
    return Crossing(
        number(middle), number(half), number(low), number(high), jnp.asarray(True)
    )
