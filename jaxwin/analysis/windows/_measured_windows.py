"""Critical windows of any law with soft labels, with intervals."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import not_reached
from jaxwin.analysis.windows._overlaps import Overlaps, Pair
from jaxwin.analysis.windows._sets import Labels, nested
from jaxwin.analysis.windows._theorem import tolerance
from jaxwin.analysis.windows._thresholds import Window

METHOD = "overlaps by exact soft labels"


def measured_windows(
    measure: Callable[[Sequence[Pair]], Overlaps],
    log_prior: Float[Array, " c"],
    narrowings: Sequence[tuple[Labels, Labels]],
    epsilon: ScalarLike,
) -> list[Window]:
    """The windows of Definition 4 from measured total variations, one pass for all.

    Args:
        measure: From pairs of sets to their overlaps: `overlaps` of a law seen through
            a channel, or `class_overlaps` of a pass over data, with the rest of their
            arguments filled in.
        log_prior: Log-weights of the labels.
        narrowings: Pairs (after, before) of sets of labels, the first inside.
        epsilon: Tolerance, in (0, 1).

    Returns:
        One window each; intervals by a bootstrap of whole curves. What lies beyond the
        noises measured is "not reached", or "not resolvable above t_max" if the clock
        ends there; what lies below is the first of them, as `Overlaps.together` has it.

    Raises:
        BadInput: As `window`.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Definition 4.
    """
    level = float(tolerance(epsilon))
    names = "after", "before"
    sets = [nested(a, b, log_prior, names) for a, b in narrowings]
    pairs: list[Pair] = []
    for inner, outer in sets:
        pairs += [(inner, outer), _with_rest(inner), _with_rest(outer)]
    # A set that is all has no rest: any other pair stands in, and is not looked at.
    whole = np.ones(len(np.asarray(log_prior)), bool)
    found = measure([(a, b if b.any() else whole) for a, b in pairs])
    return [
        _window(found, 3 * i, inner, outer, level)
        for i, (inner, outer) in enumerate(sets)
    ]


def _with_rest(mask: Bool[np.ndarray, " c"]) -> Pair:
    return mask, ~mask


def _window(
    found: Overlaps,
    first: int,
    inner: Bool[np.ndarray, " c"],
    outer: Bool[np.ndarray, " c"],
    epsilon: float,
) -> Window:
    """From the overlaps of (after, before), (after, rest) and (before, rest)."""
    end = found.together([first], epsilon)
    never = not_reached(found.noise)
    after = never if inner.all() else found.apart(first + 1, epsilon)
    before = end
    if not outer.all():
        hold = found.apart(first + 2, epsilon)
        if not (bool(hold.found) and bool(end.time <= hold.time)):
            before = never
    number = lambda value: jnp.asarray(value, float)
    return Window(
        after=after,
        before=before,
        epsilon=number(epsilon),
        t_max=number(found.t_max),
        reached=jnp.asarray(end.found),
        vacuous=bool(inner.all()),
        method=METHOD,
    )
