"""The noise at which the certificate is smallest."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.windows._certificate_parts import (
    Nested,
    closed_parts,
    exact_parts,
    nested_sets,
)
from jaxwin.analysis.windows._directions import Directions
from jaxwin.analysis.windows._sets import Labels
from jaxwin.analysis.windows._threshold_roots import levels, time_of
from jaxwin.io import field
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# Log-SNRs among which the best is looked for first, and the cleanest of them.
PLACES, CLEAN = 257, 20.0

Upper = Callable[[Array, Nested], Array]


class BestTime(eqx.Module):
    """The noise at which the certificate is smallest, in OU time, and its value.

    Not found where more noise is always better: the target is all. `upper` is then the
    value at the noisiest level that was looked at.
    """

    time: Crossing = field((), "OU time")
    upper: Float[Array, ""] = field((), "probability", "U at that time")


def best_time(
    law: AbstractLabelledTarget,
    initial: Labels,
    target: Labels,
    *,
    closed: bool = False,
    within: Directions | None = None,
) -> BestTime:
    """The T at which U is smallest, from a grid and then as a root of its slope.

    `upper` is differentiable in the law (the slope in T is zero there), `time` with
    `closed` only.

    Args and Raises as in `certificate`.
    """
    given = nested_sets(law, initial, target, closed, within)
    return _best(given, closed)


@eqx.filter_jit
def _best(given: Nested, closed: bool) -> BestTime:
    upper = _closed_upper if closed else _exact_upper
    fixed = jax.lax.stop_gradient(eqx.filter(given, eqx.is_inexact_array))
    fixed = eqx.combine(fixed, given)
    grid = _search_grid(given.sets.law)
    values = jax.lax.map(lambda log_snr: upper(log_snr, fixed), grid)
    # The grid begins where all is noise: of equal values the cleaner one.
    best = values.size - 1 - jnp.argmin(values[::-1])
    inside = (best > 0) & (best < values.size - 1)
    low, high = grid[jnp.clip(best - 1, 0)], grid[jnp.clip(best + 1, max=PLACES - 1)]
    # A slope that cannot be followed twice holds the law fixed.
    args = given if closed else fixed
    root = bracketed_root(_Slope(upper), low, high, (args, inside))
    place = jnp.where(inside, root, grid[best])
    value = upper(jax.lax.stop_gradient(place), given)
    time = jnp.where(best == values.size - 1, 0, time_of(place))
    return BestTime(exact(time, best > 0), value)


class _Slope(eqx.Module):
    """Slope of U in the log-SNR; where there is no minimum, something with a root."""

    upper: Upper = eqx.field(static=True)

    def __call__(self, log_snr: Array, args: tuple) -> Array:
        given, inside = args
        at = lambda log_snr: self.upper(log_snr, given)
        slope = jax.jvp(at, (log_snr,), (jnp.ones_like(log_snr),))[1]
        return jnp.where(inside, slope, log_snr)


def _closed_upper(log_snr: Array, given: Nested) -> Float[Array, ""]:
    intra, leak, _ = closed_parts(given, *levels(log_snr))
    return intra + leak


def _exact_upper(log_snr: Array, given: Nested) -> Float[Array, ""]:
    intra, leak, _ = exact_parts(given, *levels(log_snr))
    return intra + leak


def _search_grid(law: AbstractLabelledTarget) -> Float[Array, " g"]:
    """Log-SNRs from where the law's labels are lost in noise to where it is clean."""
    dtype = law.log_label_prior().dtype
    if isinstance(law, GaussianMixture):
        near = law.means - law.means.mean(axis=0)[None]
        size = jnp.sum(near**2) + jnp.max(law.covariance.spectrum()[0])
    else:
        moments = law.moments()
        size = jnp.sum(moments.factor**2) + moments.variance
    noisy = -jnp.log(jax.lax.stop_gradient(size) + 1) - 10
    return noisy + (CLEAN - noisy) * jnp.linspace(0, 1, PLACES, dtype=dtype)
