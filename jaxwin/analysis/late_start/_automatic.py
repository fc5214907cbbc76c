"""The latest start that a stated bound on the weight error admits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import (
    Crossing,
    exact,
    not_reached,
)
from jaxwin.analysis.late_start._elbow import elbow
from jaxwin.analysis.late_start._kinds import checked_times
from jaxwin.analysis.late_start._law import StartLaw, law
from jaxwin.analysis.late_start._misplaced import LEVEL
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractLabelledTarget, AbstractTarget

RULES = ("both", "weights", "variation", "pinsker")
# What may lie elsewhere than under p_t. At ten steps of DDIM the best start by energy
# distance has a total variation of 0.1 to 0.2 on laws of two to ten classes (measured).
VARIATION = 0.15
# Standard errors that are added to a bound which is drawn: 97.5 %, one-sided.
SURE = 1.96
# Log-SNR between the last time that breaks a bound and the start, exactly and by draws,
# and how often it is looked at more closely.
NEAR, ROUNDS = (1e-6, 1e-2), 5
# Log-SNR, over the data's variance, at which they are clean to 2 %.
CLEAN = 8.0
# Times on which the bound is known if none are given, and where they end on a clock
# without a noisy end: exp(-12) of the signal's power over the noise's.
COUNT, LOWEST_LOG_SNR = 100, -12.0
SAID = {
    "weights": "the exact late-start law misplaces at most {0:g} of the class weight",
    "variation": "the total variation from p_t, which bounds every weight error and "
    "that of the clean laws, is at most {0:g}",
    "pinsker": "sqrt(KL(p_t | start) / 2), which bounds the total variation from p_t "
    "and so every weight error, is at most {0:g}",
}


class AutomaticStart(eqx.Module):
    """The latest admissible start, its bound, and the elbow beside it.

    start: not found where `always` (every time asked admits) or where even the
    noisiest does not; `time` is then the earliest time, or the noisiest. weight_bound
    and variation_bound: on the weight error (None without labels), by the late-start
    law itself and by the distance of laws; what is drawn includes its error. bound: the
    smaller one at `time`. elbow: where the error of the vanilla start bends most, which
    promises nothing.
    """

    start: Crossing
    time: float = eqx.field(static=True)
    bound: float = eqx.field(static=True)
    always: bool = eqx.field(static=True)
    level: float = eqx.field(static=True)
    variation: float = eqx.field(static=True)
    rule: str = eqx.field(static=True)
    said: str = eqx.field(static=True)
    elbow: Crossing
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    weight_bound: Float[np.ndarray, " t"] | None = field(("noise",), "probability")
    variation_bound: Float[np.ndarray, " t"] = field(("noise",), "probability")


def automatic(
    target: AbstractTarget,
    process: AbstractProcess,
    *,
    level: float = LEVEL,
    variation: float = VARIATION,
    rule: str = "both",
    start: str = "gaussian",
    times: AnyArray | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    **options: Any,
) -> AutomaticStart:
    """Choose a start: the latest from which on stated bounds hold.

        weights    (1/2) sum_c |E p(c | x_t) - w_c| <= level, x_t from the start: just
                   what is misplaced under exact continuation
        variation  TV(p_t, start) <= variation; it bounds the weight error, and the TV
                   of the clean laws
        pinsker    sqrt(KL(p_t | start) / 2) <= variation, a bound on TV

    "both" asks for the first (where there are labels) and the second: weights alone say
    nothing of shapes, and of a symmetric law every start keeps them. They hold at the
    start and at every noisier time; the last two never rise with t (data processing),
    the first may cross more than once, and the noisiest crossing counts. Where a bound
    is drawn, 1.96 of its standard errors are added first. Without labels a weight error
    of at most `level` is certified by variation = level. The errors of a sampler's own
    steps are in none of them: fewer steps would rather start later, more earlier.

    Args:
        target: The clean law.
        process: The clock.
        level: The class weight that may be misplaced, in (0, 1).
        variation: The total variation that is allowed, in (0, 1).
        rule: "both", or one of the three alone.
        start: "gaussian" or "vanilla".
        times: Where bounds are computed, at least 4, increasing; equal steps along the
            clock if left out, as the elbow needs them (it is else not found).
        num_replicas: Draws, where there are any.
        key: Random key.
        options: Those of `law`.

    Raises:
        BadInput: A level outside (0, 1), an unknown rule, "weights" without labels, or
            what `law` refuses.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693; Cover & Thomas (2006), lemma 11.6.1.
    """
    for name, value in (("level", level), ("variation", variation)):
        if not 0 < value < 1:
            raise BadInput(
                f"`{name}` is {value}; it must lie strictly between 0 and 1."
            )
    check_one_of(rule, RULES, "rule")
    if rule == "weights" and not isinstance(target, AbstractLabelledTarget):
        raise BadInput(
            "`rule` is 'weights' and `target` has no labels: take 'variation'."
        )
    by_default = times is None
    times = default_times(process) if times is None else times
    times = checked_times(process, times, "times")
    if times.size < 4:
        raise BadInput(f"`times` holds {times.size} times; a start needs at least 4.")
    options = {"num_replicas": num_replicas, "key": key} | options
    begun = lambda at, kind=start: law(target, process, at, start=kind, **options)
    ask = lambda at: _bounds(begun(at), rule, level, variation)
    own = begun(times)
    found = _bounds(own, rule, level, variation)
    vanilla = own if start == "vanilla" else begun(times, "vanilla")
    error = vanilla.variation if vanilla.classes is None else vanilla.classes.error
    noise = times
    if by_default and np.all(found.share <= 1):
        # The clock is made for wider data than these.
        early = _earlier(target, process, float(times[0]))
        found, noise = _joined(ask(early), found), np.append(early, times)
    crossing, time, bound = _latest(process, noise, found, ask)
    names = {"both": ("weights", "variation")}.get(rule, (rule,))
    allowed = {"weights": level}
    said = [
        SAID[name].format(allowed.get(name, variation))
        for name in names
        if name != "weights" or found.weights is not None
    ]
    reached = "From here on, and at every larger noise, "
    never = "Not even at the largest noise does it hold that "
    return AutomaticStart(
        start=crossing,
        time=time,
        bound=bound,
        always=bool(np.all(found.share <= 1)),
        level=level,
        variation=variation,
        rule=rule,
        said=(reached if found.share[-1] <= 1 else never) + ", and ".join(said) + ".",
        elbow=_elbow(times, error),
        noise=noise,
        weight_bound=found.weights,
        variation_bound=found.laws,
    )


class _Bounds(NamedTuple):
    """At each time; share: the largest, of what is allowed."""

    share: Float[np.ndarray, " t"]
    weights: Float[np.ndarray, " t"] | None
    laws: Float[np.ndarray, " t"]
    drawn: bool

    def least(self, i: int) -> float:
        """Bound on the weight error: the smaller one of those that are known."""
        laws = float(self.laws[i])
        return laws if self.weights is None else min(laws, float(self.weights[i]))


def _bounds(found: StartLaw, rule: str, level: float, variation: float) -> _Bounds:
    weights, laws = _weight_bound(found), _law_bound(found, rule == "pinsker")
    shares = []
    if weights is not None and rule in ("both", "weights"):
        shares.append(weights / level)
    if rule != "weights":
        shares.append(laws / variation)
    drawn = found.method != "quadrature"
    return _Bounds(np.max(shares, axis=0), weights, laws, drawn)


def _joined(first: _Bounds, then: _Bounds) -> _Bounds:
    weights = None
    if first.weights is not None and then.weights is not None:
        weights = np.append(first.weights, then.weights)
    share, laws = (
        np.append(a, b) for a, b in ((first.share, then.share), (first.laws, then.laws))
    )
    return _Bounds(share, weights, laws, then.drawn)


def default_times(process: AbstractProcess) -> Float[np.ndarray, " t"]:
    """Equal steps along a clock, both ends of which may hold no start."""
    low, high = map(float, process.domain)
    if not np.isfinite(high):
        high = float(process.time(LOWEST_LOG_SNR))
    times = np.linspace(low, high, COUNT + 1)[1:]
    return times[np.asarray(process.alpha(jnp.asarray(times))) > 0]


def _weight_bound(found: StartLaw) -> Float[np.ndarray, " t"] | None:
    if found.classes is None:
        return None
    return found.classes.error + SURE * found.classes.error_stderr


def _law_bound(found: StartLaw, pinsker: bool) -> Float[np.ndarray, " t"]:
    if pinsker:
        kl = np.maximum(found.divergence, 0) + SURE * found.divergence_stderr
        return np.sqrt(kl / 2)
    return found.variation + SURE * found.variation_stderr


def _latest(
    process: AbstractProcess,
    times: Float[np.ndarray, " t"],
    found: _Bounds,
    ask: Callable[[Float[np.ndarray, " t"]], _Bounds],
) -> tuple[Crossing, float, float]:
    """The latest start and its bound: from here on what is allowed holds.

    Between two times of the grid as many are asked again, until they are near: what is
    returned is a time at which it was found to hold.
    """
    broken = np.flatnonzero(~(found.share <= 1))
    if not broken.size:
        return not_reached(times), float(times[0]), found.least(0)
    last = int(broken[-1])
    if last == len(times) - 1:
        return not_reached(times), float(times[-1]), found.least(-1)
    low, time, bound = times[last], float(times[last + 1]), found.least(last + 1)
    for _ in range(ROUNDS):
        ends = -np.asarray(process.log_snr(jnp.asarray([low, time])))
        if ends[1] - ends[0] < NEAR[found.drawn]:
            break
        inside = np.linspace(ends[0], ends[1], len(times) + 1)[1:]
        at = np.append(np.asarray(process.time(jnp.asarray(-inside[:-1]))), time)
        finer = ask(at)
        broken = np.flatnonzero(~(finer.share <= 1))
        last = int(broken[-1]) if broken.size else -1
        if last == len(at) - 1:
            break
        low = low if last < 0 else at[last]
        time, bound = float(at[last + 1]), finer.least(last + 1)
    return exact(time), time, bound


def _earlier(
    target: AbstractTarget, process: AbstractProcess, last: float
) -> Float[np.ndarray, " t"]:
    """Times before `last`, from where little of the data's spread is noise."""
    moments = target.moments()
    mean_variance = moments.total_variance() / moments.mean.size
    end = process.log_snr(jnp.asarray(last))
    begin = jnp.maximum(CLEAN - jnp.log(mean_variance), end + 1)
    times = process.time(jnp.linspace(begin, end, COUNT + 1)[:-1])
    return np.unique(np.asarray(times))


def _elbow(times: Float[np.ndarray, " t"], error: np.ndarray) -> Crossing:
    steps = np.diff(times)
    if not np.allclose(steps, steps[0], rtol=1e-6):
        return not_reached(times)
    return elbow(times, error)
