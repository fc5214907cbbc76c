"""When a sub-mixture is no longer told apart from a larger one, or from the rest."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, is_concrete
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.windows._directions import Directions
from jaxwin.analysis.windows._sets import Labels, nested, rest_odds
from jaxwin.analysis.windows._theorem import theorem_bound, tolerance
from jaxwin.analysis.windows._threshold_roots import (
    Pairs,
    end_time,
    largest_pair,
    less_overlap,
    less_overlap_of_pairs,
    sets,
    start_time,
    variation,
)
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck, convert
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture


class Thresholds(eqx.Module):
    """T_end and T_start of two nested sets of labels, in OU time.

        end    inf{t : TV(p_t^{init}, p_t^{targ}) <= eps}
        start  sup{t : TV(p_t^{targ}, p_t^{rest}) >= 1 - eps^2}

    At every T in [end, start] a U-turn from the initial set ends in the target's law up
    to `bound` in total variation. `answer` says which case it is:

        "interval"   start is not before end
        "empty"      it is, or the target is never told from the rest
        "vacuous"    the target is all, nothing is to be told from it: any T >= end
        "not resolvable above t_max"  the two sets are still told apart where the clock
                     ends: on it the feature is never undecided
        "not reached"  they are so at the last noise that was looked at, in the range of
                     `end`, on a clock that goes on
    """

    method: str = eqx.field(static=True)
    vacuous: bool = eqx.field(static=True)
    end: Crossing = field((), "OU time", "T_end")
    start: Crossing = field((), "OU time", "T_start")
    epsilon: Float[Array, ""] = field((), "", "tolerance")
    weight_ratio: Float[Array, ""] = field((), "", "W = w_rest / w_targ")
    bound: Float[Array, ""] = field((), "probability", "the theorem's bound")
    t_max: Float[Array, ""] = field(
        (), "OU time", "end of the clock; NaN if it has none", nullable=True
    )

    @property
    def answer(self) -> str:
        """Which case it is, of thresholds that are not traced."""
        if not bool(self.end.found):
            return unreached(float(self.t_max))
        if self.vacuous:
            return "vacuous"
        if not bool(self.start.found) or bool(self.end.time > self.start.time):
            return "empty"
        return "interval"

    def on(self, process: AbstractProcess) -> "Thresholds":
        """The same thresholds in the time of another clock, at equal log-SNR."""
        clock = on_clock(process)
        return eqx.tree_at(
            lambda t: (t.end, t.start, t.t_max),
            self,
            (self.end.read_on(clock), self.start.read_on(clock), clock(self.t_max)),
        )


class Window(eqx.Module):
    """The window in which it is decided which of the larger set a sample is, OU time.

        before  inf{t : TV(p_t^{after}, p_t^{before}) <= eps and
                        TV(p_t^{before}, p_t^{rest of before}) >= 1 - eps^2}
        after   sup{t : TV(p_t^{after}, p_t^{rest of after}) >= 1 - eps^2}

    Below `after` a U-turn stays in the smaller set, at `before` it spreads over the
    larger one. The second condition is void where the larger set is all. `answer`:

        "window"     after is not later than before
        "empty"      it is: little of the larger set is outside the smaller one
        "no window"  one of the two times does not exist
        "vacuous"    the smaller set is all
        "not resolvable above t_max"  the sets are still told apart where the clock ends
        "not reached"  they are so at the last noise that was looked at, on a clock that
                       goes on

    References:
        Li, Karan & Chen, arXiv:2502.00921, Definition 4.
    """

    method: str = eqx.field(static=True)
    vacuous: bool = eqx.field(static=True)
    after: Crossing = field((), "OU time", "T_after")
    before: Crossing = field((), "OU time", "T_before")
    epsilon: Float[Array, ""] = field((), "", "tolerance")
    t_max: Float[Array, ""] = field(
        (), "OU time", "end of the clock; NaN if it has none", nullable=True
    )
    reached: Bool[Array, ""] = field((), "", "whether TV(after, before) falls to eps")

    @property
    def answer(self) -> str:
        """Which case it is, of a window that is not traced."""
        if not bool(self.reached):
            return unreached(float(self.t_max))
        if self.vacuous:
            return "vacuous"
        if not (bool(self.before.found) and bool(self.after.found)):
            return "no window"
        return "empty" if bool(self.after.time > self.before.time) else "window"

    def on(self, process: AbstractProcess) -> "Window":
        """The same window in the time of another clock, at equal log-SNR."""
        clock = on_clock(process)
        return eqx.tree_at(
            lambda w: (w.after, w.before, w.t_max),
            self,
            (self.after.read_on(clock), self.before.read_on(clock), clock(self.t_max)),
        )


def thresholds(
    law: AbstractLabelledTarget,
    initial: Labels,
    target: Labels,
    epsilon: ScalarLike,
    *,
    pairs: bool = False,
    process: AbstractProcess | None = None,
    t_max: ScalarLike | None = None,
    within: Directions | None = None,
) -> Thresholds:
    """T_end and T_start of two nested sets of labels.

    By bisection of total variations that are exact to 1e-10 (quadrature), to the last
    bit of OU time, and differentiable in the law and in `epsilon`.

    Args:
        law: A mixture whose labels differ in few directions (`reduced_dimension`), or a
            law of one dimension with `quadrature_cuts`.
        initial: Labels of the set that is noised.
        target: Labels of the set that is to be reached, the initial ones included.
        epsilon: Tolerance, in (0, 1).
        pairs: Take pairs of components instead: for `end` the largest TV between one of
            the initial and one of the target set, for `start` the smallest between one
            of the target and one of the rest (arXiv:2403.01633). Any dimension, O(K^2);
            where covariances differ by bounds, so that `end` is no earlier and `start`
            no later than those of pairs.
        process: Clock whose last log-SNR ends the search (`end` beyond it is not found,
            `start` beyond it is its end); results stay in OU time, see `on`.
        t_max: OU time that ends the search, in place of a process.
        within: `directions(law)`, found outside, where the law is traced and of more
            than two dimensions.

    Raises:
        BadInput: `epsilon` outside (0, 1); an empty set, or an initial one not inside
            the target; `pairs` of a law that is no mixture of Gaussians.
        ValueError: More directions than quadrature takes: use `pairs`, or
            `sampled_thresholds`.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Theorem 2; Li & Chen, arXiv:2403.01633.
    """
    inner, outer = nested(initial, target, law.log_label_prior())
    epsilon = _tolerance(epsilon, law)
    last = last_time(process, t_max, epsilon)
    end = _end(law, inner, outer, epsilon, pairs, within)
    start = _start(law, outer, epsilon, pairs, within)
    ratio = rest_odds(law.log_label_prior(), outer)
    return Thresholds(
        end=_resolved(end, last),
        start=_held(start, last),
        epsilon=epsilon,
        weight_ratio=ratio,
        bound=theorem_bound(epsilon, ratio),
        t_max=jnp.where(jnp.isinf(last), jnp.nan, last),
        vacuous=_is_all(outer, law),
        method="pairs" if pairs else "quadrature",
    )


def window(
    law: AbstractLabelledTarget,
    after: Labels,
    before: Labels,
    epsilon: ScalarLike,
    *,
    pairs: bool = False,
    process: AbstractProcess | None = None,
    t_max: ScalarLike | None = None,
    within: Directions | None = None,
) -> Window:
    """The critical window in which `before` narrows to `after`, by Definition 4.

    Args:
        law: As in `thresholds`.
        after: Labels of the smaller set.
        before: Labels of the larger one, those of `after` included.
        epsilon: Tolerance, in (0, 1).
        pairs: As in `thresholds`.
        process: As in `thresholds`.
        t_max: As in `thresholds`.
        within: As in `thresholds`.

    Raises:
        BadInput: As `thresholds`.
        ValueError: As `thresholds`.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Definition 4.
    """
    log_prior = law.log_label_prior()
    inner, outer = nested(after, before, log_prior, ("after", "before"))
    epsilon = _tolerance(epsilon, law)
    last = last_time(process, t_max, epsilon)
    end = _resolved(_end(law, inner, outer, epsilon, pairs, within), last)
    opening = _held(_start(law, inner, epsilon, pairs, within), last)
    holds = end.found
    if not _is_all(outer, law):
        hold = _start(law, outer, epsilon, pairs, within)
        holds = end.found & hold.found & (end.time <= hold.time)
    return Window(
        after=opening,
        before=limited(end, holds, last),
        epsilon=epsilon,
        t_max=jnp.where(jnp.isinf(last), jnp.nan, last),
        reached=end.found,
        vacuous=_is_all(inner, law),
        method="pairs" if pairs else "quadrature",
    )


def unreached(t_max: float) -> str:
    """The answer where sets are told apart at all noises that were looked at."""
    return "not resolvable above t_max" if np.isfinite(t_max) else "not reached"


def on_clock(process: AbstractProcess):
    """The map from OU time to the time of a process, the nearest where it ends."""
    return lambda time: convert(time, OrnsteinUhlenbeck(), process)[0]


def _tolerance(epsilon: ScalarLike, law: AbstractLabelledTarget) -> Float[Array, ""]:
    return tolerance(epsilon).astype(law.log_label_prior().dtype)


def _end(
    law: AbstractLabelledTarget,
    inner: Bool[np.ndarray, " c"],
    outer: Bool[np.ndarray, " c"],
    epsilon: Array,
    pairs: bool,
    within: Directions | None,
) -> Crossing:
    """From where on the inner set is not told from the outer one."""
    if np.array_equal(inner, outer):
        return exact(jnp.zeros_like(epsilon))
    if pairs:
        return end_time(largest_pair, _pairs(law, inner, outer), epsilon)
    return end_time(variation, sets(law, inner, outer, within), epsilon)


def _start(
    law: AbstractLabelledTarget,
    mask: Bool[np.ndarray, " c"],
    epsilon: Array,
    pairs: bool,
    within: Directions | None,
) -> Crossing:
    """Up to where a set is told from its rest; not found where there is no rest."""
    if _is_all(mask, law):
        return exact(jnp.zeros_like(epsilon), False)
    # 1 - TV <= eps^2, which 1 - eps^2 would round.
    if pairs:
        return start_time(less_overlap_of_pairs, _pairs(law, mask, ~mask), epsilon**2)
    return start_time(less_overlap, sets(law, mask, ~mask, within), epsilon**2)


def _pairs(
    law: AbstractLabelledTarget,
    first: Bool[np.ndarray, " c"],
    second: Bool[np.ndarray, " c"],
) -> Pairs:
    if not isinstance(law, GaussianMixture):
        raise BadInput(
            f"`pairs` is True and the law a {type(law).__name__}; closed forms of "
            f"pairs are those of a GaussianMixture: leave `pairs` out."
        )
    present = law.log_weights > -jnp.inf
    one, other = (present & jnp.asarray(s)[law.labels] for s in (first, second))
    return Pairs(law, one[:, None] & other[None])


def _is_all(mask: Bool[np.ndarray, " c"], law: AbstractLabelledTarget) -> bool:
    """Whether nothing of weight is outside a set."""
    log_prior = law.log_label_prior()
    if not is_concrete(log_prior):
        return bool(mask.all())
    return bool(np.all(mask | (np.asarray(log_prior) == -np.inf)))


def last_time(
    process: AbstractProcess | None, t_max: ScalarLike | None, epsilon: Array
) -> Float[Array, ""]:
    """OU time at which the clock ends."""
    if process is not None and t_max is not None:
        raise BadInput(
            "`process` and `t_max` both say where the clock ends; give one of them."
        )
    if process is not None:
        end = jnp.asarray(process.domain[1], epsilon.dtype)
        return convert(end, process, OrnsteinUhlenbeck())[0]
    if t_max is None:
        return jnp.full_like(epsilon, jnp.inf)
    if is_concrete(t_max) and not float(np.asarray(t_max)) > 0:
        raise BadInput(
            f"`t_max` is {float(np.asarray(t_max)):g}; it must be an OU time > 0."
        )
    return jnp.asarray(t_max).astype(epsilon.dtype)


def limited(crossing: Crossing, found: Array, last: Array) -> Crossing:
    """The crossing where `found`, else the answer that it is not up to `last`."""
    none = eqx.tree_at(lambda c: c.high, exact(crossing.time, False), last)
    return jax.tree.map(lambda a, b: jnp.where(found, a, b), crossing, none)


def _resolved(end: Crossing, last: Array) -> Crossing:
    """An end beyond the clock is not reached."""
    return limited(end, end.found & (end.time <= last), last)


def _held(start: Crossing, last: Array) -> Crossing:
    """What is told apart longer than the clock lasts is so up to its end."""
    time = jnp.where(start.time > last, last, start.time)
    return limited(exact(time, start.found), start.found, last)
