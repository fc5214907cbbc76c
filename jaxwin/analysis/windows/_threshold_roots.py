"""Where total variation between sub-mixtures falls through a level, differentiable."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._solve import log_range
from jaxwin.analysis.windows._directions import Directions, directions
from jaxwin.analysis.windows._pairs import pair_table
from jaxwin.analysis.windows._variation import set_variation
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
    alpha, sigma = levels(log_snr)
    return set_variation(sets.law, sets.first, sets.second, alpha, sigma, sets.within)


def largest_pair(log_snr: Array, given: Pairs) -> Float[Array, ""]:
    """The largest TV of the pairs, or an upper bound of it."""
    table = pair_table(given.law, *levels(log_snr))
    return jnp.max(jnp.where(given.pairs, table.total_variation, 0))


def smallest_pair(log_snr: Array, given: Pairs) -> Float[Array, ""]:
    """The smallest TV of the pairs, or a lower bound of it."""
    table = pair_table(given.law, *levels(log_snr))
    bound = 1 - table.bhattacharyya
    least = jnp.where(table.tv_known, table.total_variation, bound)
    return jnp.min(jnp.where(given.pairs, least, 1))


def end_time(curve: Curve, given: Any, level: Array) -> Crossing:
    """From where on the curve is at most the level: zero if it always is."""
    time, above, below = _fall(curve, given, level)
    return exact(jnp.where(above, time, 0), below)


def start_time(curve: Curve, given: Any, level: Array) -> Crossing:
    """Up to where the curve is at least the level; not found if it never is."""
    time, above, below = _fall(curve, given, level)
    return exact(time, above & below)


@eqx.filter_jit
def _fall(
    curve: Curve, given: Any, level: Array
) -> tuple[Array, Bool[Array, ""], Bool[Array, ""]]:
    """The OU time of the level; above it without noise, and below in full noise.

    Bisection runs into an end of the range where the curve stays on one side.
    """
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
