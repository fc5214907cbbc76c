"""Where total variation between sub-mixtures falls through a level, differentiable."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._solve import log_range
from jaxwin.analysis.windows._directions import Directions, directions
from jaxwin.analysis.windows._on_line import Apart
from jaxwin.analysis.windows._pairs import pair_table
from jaxwin.analysis.windows._variation import set_apart
from jaxwin.analysis.windows._view import checked_view
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# The cleanest level that is looked at: quadrature about a point mass needs a noise of
# more than the rounding of its place, and OU time is 4e-27 there.
CLEANEST = 60.0
# Nearer to an end of the range nothing crosses.
MARGIN = 1e-3


class Sets(NamedTuple):
    """A law with two sets of its labels, in the directions in which they differ."""

    law: AbstractLabelledTarget
    first: Bool[Array, " c"]
    second: Bool[Array, " c"]
    within: Directions | None


class Pairs(NamedTuple):
    """A mixture with pairs of its components."""

    law: GaussianMixture
    pairs: Bool[Array, "k k"]


def sets(
    law: AbstractLabelledTarget,
    first: Bool[np.ndarray, " c"],
    second: Bool[np.ndarray, " c"],
    within: Directions | None,
) -> Sets:
    """Two sets of labels in the directions in which their components differ.

    Raises:
        ValueError: More directions than quadrature takes; as `directions`.
    """
    if isinstance(law, GaussianMixture) and within is None:
        # On a line all components are taken: one program then serves all sets.
        within = directions(law)
        if within.dimension > 1 and is_concrete(law):
            within = directions(law, first | second)
    checked_view(law, 1.0, 1.0, within)
    return Sets(law, jnp.asarray(first), jnp.asarray(second), within)


# What is followed: a curve that rises with the log-SNR.
Curve = Callable[[Array, Any], Array]


def levels(log_snr: Array) -> tuple[Array, Array]:
    """(alpha, sigma) of variance one."""
    return jnp.sqrt(jax.nn.sigmoid(log_snr)), jnp.sqrt(jax.nn.sigmoid(-log_snr))


def time_of(log_snr: Array) -> Array:
    """OU time ln(1 + e^{-lambda}) / 2."""
    return 0.5 * jnp.log1p(jnp.exp(-log_snr))


def variation(log_snr: Array, sets: Sets) -> Float[Array, ""]:
    """TV of two sub-mixtures."""
    return _apart(log_snr, sets).variation


def less_overlap(log_snr: Array, sets: Sets) -> Float[Array, ""]:
    """TV - 1, with digits of its own: one less 1e-8 is one in float32."""
    return -_apart(log_snr, sets).overlap


def _apart(log_snr: Array, sets: Sets) -> Apart:
    law, first, second, within = sets
    return set_apart(law, first, second, *levels(log_snr), within)


def largest_pair(log_snr: Array, given: Pairs) -> Float[Array, ""]:
    """The largest TV of the pairs, or an upper bound of it."""
    table = pair_table(given.law, *levels(log_snr))
    return jnp.max(jnp.where(given.pairs, table.total_variation, 0))


def less_overlap_of_pairs(log_snr: Array, given: Pairs) -> Float[Array, ""]:
    """The smallest TV - 1 of the pairs, or a lower bound of it."""
    table = pair_table(given.law, *levels(log_snr))
    return -jnp.max(jnp.where(given.pairs, table.overlap, 0))


def end_time(curve: Curve, given: Any, level: Array) -> Crossing:
    """From where on the curve is at most the level: zero if it always is."""
    time, above, below = fall(curve, given, level)
    return exact(jnp.where(above, time, 0), below)


def start_time(curve: Curve, given: Any, overlap: Array) -> Crossing:
    """Up to where a curve of TV - 1 is at least -overlap; not found if it never is."""
    time, above, below = fall(curve, given, -overlap)
    return exact(time, above & below)


# The OU time of a level; above it without noise, and below in full noise.
Fall = tuple[Array, Bool[Array, ""], Bool[Array, ""]]


def fall(curve: Curve, given: Any, level: Array) -> Fall:
    """Where a curve falls through a level: by bisection, on planes by fewer looks."""
    within = given.within if isinstance(given, Sets) else None
    plane = within is not None and within.dimension > 1
    if plane and is_concrete(given, level):
        return few_looks(curve, given, float(level))
    return _bisection(curve, given, level)


def few_looks(curve: Curve, given: Any, level: float) -> Fall:
    """The same of what is concrete, where a look takes its time."""
    dtype = given.law.log_label_prior().dtype
    reach = log_range(dtype)
    gap = lambda place: float(_seen(curve, jnp.asarray(place, dtype), given)) - level
    high, low = min(CLEANEST, reach), -reach
    above, below = gap(high) > 0, gap(low) < 0
    root = high if below else low
    if above and below:
        root = scipy.optimize.root_scalar(gap, bracket=(low, high), xtol=1e-13).root
    time = time_of(jnp.asarray(root, dtype))
    return time, jnp.asarray(above), jnp.asarray(below)


@eqx.filter_jit
def _seen(curve: Curve, log_snr: Array, given: Any) -> Float[Array, ""]:
    return curve(log_snr, given)


@eqx.filter_jit
def _bisection(curve: Curve, given: Any, level: Array) -> Fall:
    """By bisection, which runs into an end where the curve stays on one side."""
    low = -log_range(level.dtype)
    high = jnp.minimum(CLEANEST, -low).astype(level.dtype)
    root = bracketed_root(_Gap(curve), low, high, (given, level))
    return time_of(root), root < high - MARGIN, root > low + MARGIN


class _Gap(eqx.Module):
    """The curve less the level, and what keeps its slope from being zero."""

    curve: Curve = eqx.field(static=True)

    def __call__(self, log_snr: Array, args: tuple) -> Array:
        given, level = args
        # Where nothing crosses the slope vanishes, and no NaN may come of it.
        least = 1e3 * float(jnp.finfo(level.dtype).tiny)
        return self.curve(log_snr, given) - level + least * log_snr
