"""Windows of every component of a mixture in closed form: for sweeps over many."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._numerics import as_float
from jaxwin._typing import Index, ScalarLike
from jaxwin.analysis.windows._component_pairs import ComponentPairs
from jaxwin.analysis.windows._pair_geometry import PairGeometry
from jaxwin.analysis.windows._theorem import told_apart, told_together, tolerance
from jaxwin.analysis.windows._threshold_roots import levels, time_of
from jaxwin.io import field
from jaxwin.targets import GaussianMixture

LEVEL, PAIRS = "noise", ("component", "other_component")
# Steps of the root finder within a step of the grid.
STEPS = 10
# Parabolas in search of the lowest U.
PARABOLAS = 8

Curve = Callable[[Array], Array]


class WindowTable(eqx.Module):
    """Pairs and components of a mixture at all levels, and their windows, in OU time.

    A time that does not exist is the nearest end of the grid, and its `_found` is
    false; what already holds at the first level is found there. With one isotropic
    variance total variations of pairs are exact, and so are their times, on and off the
    grid; else `lower` and `upper` are 1 - BC and sqrt(1 - BC^2), ends are no earlier
    and starts no later than the exact ones.

    pair_end: TV_ij <= eps from here on. pair_start: TV_ij >= 1 - eps^2 up to here.
    after: up to here the component is told from the rest, 1 - TV(p_i, rest) <= eps^2 by
    the sum over the rest of E min(p_i, lambda_j p_j) (one variance) or of
    sqrt(lambda_j) BC_ij, lambda_j = w_j / (1 - w_i): T_after of Definition 4 or
    earlier. before: from here on TV(p_i, p) <= eps by the average of TV_ij: T_before or
    later. With classes: intra and leak as of `certificate(closed=True)` from one
    component (initial) to its class (target), upper their sum U, best_time where it is
    smallest and best_upper; at an end of the grid where it is smallest there.
    """

    time: Float[Array, " t"] = field((LEVEL,), "OU time")
    variation_lower: Float[Array, "t k k"] = field((LEVEL, *PAIRS), "probability")
    variation_upper: Float[Array, "t k k"] = field((LEVEL, *PAIRS), "probability")
    bhattacharyya: Float[Array, "t k k"] = field((LEVEL, *PAIRS), "")
    pair_end: Float[Array, "k k"] = field(PAIRS, "OU time")
    pair_end_found: Bool[Array, "k k"] = field(PAIRS, "")
    pair_start: Float[Array, "k k"] = field(PAIRS, "OU time")
    pair_start_found: Bool[Array, "k k"] = field(PAIRS, "")
    after: Float[Array, " k"] = field(PAIRS[:1], "OU time", "T_after")
    after_found: Bool[Array, " k"] = field(PAIRS[:1], "")
    before: Float[Array, " k"] = field(PAIRS[:1], "OU time", "T_before")
    before_found: Bool[Array, " k"] = field(PAIRS[:1], "")
    intra: Float[Array, "t k"] = field((LEVEL, PAIRS[0]), "probability")
    leak: Float[Array, "t k"] = field((LEVEL, PAIRS[0]), "probability")
    upper: Float[Array, "t k"] = field((LEVEL, PAIRS[0]), "probability", "U(T)")
    best_time: Float[Array, " k"] = field(PAIRS[:1], "OU time")
    best_upper: Float[Array, " k"] = field(PAIRS[:1], "probability")


def sweep_windows(
    mixture: GaussianMixture,
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
    epsilon: ScalarLike,
) -> WindowTable:
    """Full windows of a mixture from closed forms: pure, to be mapped over mixtures.

        laws = stacked leaves of mixtures of one kind
            axes = (eqx.if_array(0), None, None, None)
        table = eqx.filter_jit(eqx.filter_vmap(sweep_windows, in_axes=axes))(laws, ...)

    After one decomposition of the pairs a level costs O(K^2) whatever d (isotropic) or
    O(K^2 r) (rank r).

    Args:
        mixture: Components; its labels are the classes of the certificate.
        alphas: Amplitudes of the signal.
        sigmas: Standard deviations of the noise, of increasing sigma / alpha.
        epsilon: Tolerance, in (0, 1).

    Raises:
        BadInput: A concrete `epsilon` outside (0, 1).

    References:
        Definition 4 of Li, Karan & Chen, arXiv:2502.00921; bounds derived.
    """
    dtype = mixture.means.dtype
    epsilon = tolerance(epsilon).astype(dtype)
    alphas, sigmas = (as_float(level).astype(dtype) for level in (alphas, sigmas))
    pairs = ComponentPairs.of(mixture)
    grid = 2 * (jnp.log(alphas) - jnp.log(sigmas))
    lower, upper, overlap = jax.vmap(pairs.bounds)(alphas, sigmas)
    unlike = jax.vmap(pairs.from_all)(upper)
    told = jax.vmap(pairs.from_rest)(alphas, sigmas)
    intra, leak = jax.vmap(pairs.certificate)(upper, overlap)
    if pairs.geometry.shared:
        end, start, start_found = _closed_times(pairs.geometry, epsilon)
        end_found = jnp.ones_like(start_found)
    else:
        at = lambda place: pairs.bounds(*levels(place))
        end, end_found = _end(lambda place: at(place)[1], grid, upper, epsilon)
        start, start_found = _start(
            lambda place: at(place)[0], grid, lower, 1 - epsilon**2
        )

    def from_all(place: Float[Array, " k"]) -> Float[Array, " k"]:
        return pairs.from_all(pairs.bounds(*levels(place[:, None]))[1])

    def from_rest(place: Float[Array, " k"]) -> Float[Array, " k"]:
        return pairs.from_rest(*levels(place[:, None]))

    after, after_found = _start(from_rest, grid, told, 1 - epsilon**2)
    before, before_found = _end(from_all, grid, unlike, epsilon)

    def own_upper(place: Float[Array, " k"]) -> Float[Array, " k"]:
        at = lambda one: sum(pairs.certificate(*pairs.bounds(*levels(one))[1:]))
        return jnp.diagonal(jax.vmap(at)(place))

    place, best_upper = _lowest(own_upper, grid, intra + leak)
    return WindowTable(
        time=time_of(grid),
        variation_lower=lower,
        variation_upper=upper,
        bhattacharyya=overlap,
        pair_end=end,
        pair_end_found=end_found,
        pair_start=start,
        pair_start_found=start_found,
        after=after,
        after_found=after_found,
        before=before,
        before_found=before_found,
        intra=intra,
        leak=leak,
        upper=intra + leak,
        best_time=time_of(place),
        best_upper=best_upper,
    )


def _closed_times(
    geometry: PairGeometry, epsilon: Array
) -> tuple[Float[Array, "k k"], Float[Array, "k k"], Bool[Array, "k k"]]:
    """Ends and starts of pairs of one isotropic variance, whatever the grid."""
    square, variance = geometry.along[..., 0], geometry.axes[..., 0]

    def time(separation: Array) -> tuple[Array, Array]:
        excess = square / separation**2 - variance
        found = excess >= 0
        return 0.5 * jnp.log1p(jnp.where(found, excess, 0)), found

    start, found = time(told_apart(epsilon))
    return time(told_together(epsilon))[0], start, found


def _end(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "t ..."], level: Array
) -> tuple[Float[Array, "..."], Bool[Array, "..."]]:
    """From where on a falling curve is at most the level; its first time if always."""
    time, above, below = _fall(curve, grid, values, level)
    return time, below


def _start(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "t ..."], level: Array
) -> tuple[Float[Array, "..."], Bool[Array, "..."]]:
    """Up to where a falling curve is at least the level; its last time if always."""
    time, above, _ = _fall(curve, grid, values, level)
    return time, above


def _fall(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "t ..."], level: Array
) -> tuple[Float[Array, "..."], Bool[Array, "..."], Bool[Array, "..."]]:
    """OU time of a level, above it at the first and below it at the last noise.

    Regula falsi in the log-SNR (Illinois), within the step of the grid that holds it.
    """
    above = values > level
    index = jnp.clip(jnp.sum(above, axis=0) - 1, 0, grid.size - 2)
    pick = lambda i: jnp.take_along_axis(values, i[None], axis=0)[0] - level
    left, right = (grid[index], pick(index)), (grid[index + 1], pick(index + 1))

    def step(_: Index, state: tuple) -> tuple:
        (a, fa), (b, fb), _, moved = state
        gap = fa - fb
        c = a + (b - a) * jnp.clip(fa / jnp.where(gap == 0, 1, gap), 0, 1)
        fc = curve(c) - level
        first = (fc > 0) == (fa > 0)
        # An end that stays twice counts half: neither is kept for ever.
        half = jnp.where(first == moved, 0.5, 1).astype(fc.dtype)
        pick = lambda x, y: jnp.where(first, x, y)
        left = pick(c, a), pick(fc, half * fa)
        return left, (pick(b, c), pick(half * fb, fc)), c, first

    state = left, right, left[0], ~above[0]
    place = jax.lax.fori_loop(0, STEPS, step, state)[2]
    place = jnp.where(above[0], jnp.where(above[-1], grid[-1], place), grid[0])
    return time_of(place), above[0], ~above[-1]


def _lowest(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "t k"]
) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Where curves are lowest, and how low: by successive parabolas from the grid."""
    # Of equal values the noisier one.
    best = values.shape[0] - 1 - jnp.argmin(values[::-1], axis=0)
    inside = (best > 0) & (best < values.shape[0] - 1)
    three = jnp.clip(best, 1, values.shape[0] - 2)[None] + jnp.arange(-1, 2)[:, None]
    x, y = grid[three], jnp.take_along_axis(values, three, axis=0)

    def step(_: Index, state: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = state
        c = _bottom(x, y)
        fc = curve(c)
        lower, right = fc < y[1], c < x[1]  # falling log-SNRs
        # Three neighbours, the lowest in the middle.
        middle = lambda a, b: jnp.where(lower, b, a[1])
        left = lambda a, b: jnp.where(
            right, jnp.where(lower, a[1], a[0]), jnp.where(lower, a[0], b)
        )
        after = lambda a, b: jnp.where(
            right, jnp.where(lower, a[2], b), jnp.where(lower, a[1], a[2])
        )
        move = lambda a, b: jnp.stack([left(a, b), middle(a, b), after(a, b)])
        return move(x, c), move(y, fc)

    x, y = jax.lax.fori_loop(0, PARABOLAS, step, (x, y))
    ends = grid[best], jnp.take_along_axis(values, best[None], axis=0)[0]
    return jnp.where(inside, x[1], ends[0]), jnp.where(inside, y[1], ends[1])


def _bottom(x: Float[Array, "3 k"], y: Float[Array, "3 k"]) -> Float[Array, " k"]:
    """Bottom of the parabola through three places, within them."""
    gap = lambda a: jnp.where(a == 0, 1, a)
    left, right = (y[1] - y[0]) / gap(x[1] - x[0]), (y[2] - y[1]) / gap(x[2] - x[1])
    bend = (right - left) / gap(x[2] - x[0])
    bottom = 0.5 * (x[0] + x[1] - left / jnp.where(bend > 0, bend, 1))
    return jnp.where(bend > 0, jnp.clip(bottom, x[2], x[0]), x[1])
