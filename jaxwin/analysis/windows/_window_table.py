"""Windows of every component of a mixture in closed form: for sweeps over many."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import check, is_concrete, positive
from jaxwin._numerics import as_float
from jaxwin._typing import Index, ScalarLike
from jaxwin.analysis.windows._component_pairs import ComponentPairs, spread
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

        laws = jax.tree.map(lambda *leaves: jnp.stack(leaves), *mixtures_of_one_kind)
        axes = eqx.if_array(0), None, None, None
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
        ValueError: Levels of different number, fewer than two; concrete ones that are
            not positive, or of noise that does not increase.

    References:
        Definition 4 of Li, Karan & Chen, arXiv:2502.00921; bounds derived.
    """
    dtype = mixture.means.dtype
    epsilon = tolerance(epsilon).astype(dtype)
    alphas, sigmas = (as_float(level).astype(dtype) for level in (alphas, sigmas))
    _check_levels(alphas, sigmas)
    given, count = ComponentPairs.of(mixture), mixture.log_weights.size
    pairs, rows = given.pairs, given.rows
    grid = 2 * (jnp.log(alphas) - jnp.log(sigmas))
    each = alphas[None], sigmas[None]
    log = pairs.log_overlap(*each)
    lower, upper = pairs.variation_bounds(*each)
    variation = spread(upper, count, 0.0)
    intra, leak = given.certificate(variation, jnp.exp(log))
    if pairs.shared:
        end, start, start_found = _closed_times(pairs, epsilon)
        end_found, first = jnp.ones_like(start_found), jnp.zeros((), dtype)
    else:
        at = lambda place: pairs.variation_bounds(*levels(place[:, None]))
        end, end_found = _end(lambda place: at(place)[1][:, 0], grid, upper, epsilon)
        shared = lambda place: jnp.exp(pairs.log_overlap(*levels(place[:, None])))
        start, start_found = _start(
            lambda place: -shared(place)[:, 0], grid, -jnp.exp(log), -(epsilon**2)
        )
        first = time_of(grid[0])

    own = lambda place: levels(place[:, None, None])

    def from_all(place: Float[Array, " k"]) -> Float[Array, " k"]:
        return given.from_all(rows.variation_bounds(*own(place))[1])[:, 0]

    def less_overlap(place: Float[Array, " k"]) -> Float[Array, " k"]:
        return given.less_overlap(rows.log_overlap(*own(place)))[:, 0]

    def own_upper(place: Float[Array, " k"]) -> Float[Array, " k"]:
        variation = rows.variation_bounds(*own(place))[1]
        # One level for the pairs of all, of which component i takes column i.
        overlap = jnp.exp(pairs.log_overlap(*levels(place[None])))
        intra, leak = given.certificate(variation, overlap)
        return intra[:, 0] + jnp.diagonal(leak)

    told = given.less_overlap(spread(log, count, 0.0))
    after, after_found = _start(less_overlap, grid, told, -(epsilon**2))
    alike = given.from_all(variation)
    before, before_found = _end(from_all, grid, alike, epsilon)
    place, best_upper = _lowest(own_upper, grid, intra + leak)
    table = lambda values, diagonal: spread(values, count, diagonal)
    curve = lambda values: jnp.moveaxis(values, -1, 0)
    return WindowTable(
        time=time_of(grid),
        variation_lower=curve(table(lower, 0.0)),
        variation_upper=curve(variation),
        bhattacharyya=curve(table(jnp.exp(log), 1.0)),
        pair_end=table(end, first),
        pair_end_found=table(end_found, True),
        pair_start=table(start, first),
        pair_start_found=table(start_found, False),
        after=after,
        after_found=after_found,
        before=before,
        before_found=before_found,
        intra=curve(intra),
        leak=curve(leak),
        upper=curve(intra + leak),
        best_time=time_of(place),
        best_upper=best_upper,
    )


def _check_levels(alphas: Array, sigmas: Array) -> None:
    if alphas.shape != sigmas.shape or alphas.size < 2:
        raise ValueError(
            f"`alphas` and `sigmas` have shapes {alphas.shape} and {sigmas.shape}; "
            f"they must be lists of as many levels, at least 2."
        )
    check(alphas, positive, "alphas", "finite and > 0")
    check(sigmas, positive, "sigmas", "finite and > 0")
    if is_concrete(alphas, sigmas) and not np.all(np.diff(sigmas / alphas) > 0):
        raise ValueError(
            "`sigmas` over `alphas` do not increase; order the levels from clean to "
            "noisy."
        )


def _closed_times(
    geometry: PairGeometry, epsilon: Array
) -> tuple[Float[Array, " p"], Float[Array, " p"], Bool[Array, " p"]]:
    """Ends and starts of pairs of one isotropic variance, whatever the grid."""
    square, variance = geometry.along[0, :, 0], geometry.axes[0, :, 0]

    def time(separation: Array) -> tuple[Array, Array]:
        excess = square / separation**2 - variance
        found = excess >= 0
        return 0.5 * jnp.log1p(jnp.where(found, excess, 0)), found

    start, found = time(told_apart(epsilon))
    return time(told_together(epsilon))[0], start, found


def _end(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "k t"], level: Array
) -> tuple[Float[Array, " k"], Bool[Array, " k"]]:
    """From where on a falling curve is at most the level; its first time if always."""
    time, above, below = _fall(curve, grid, values, level)
    return time, below


def _start(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "k t"], level: Array
) -> tuple[Float[Array, " k"], Bool[Array, " k"]]:
    """Up to where a falling curve is at least the level; its last time if always."""
    time, above, _ = _fall(curve, grid, values, level)
    return time, above


def _fall(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "k t"], level: Array
) -> tuple[Float[Array, " k"], Bool[Array, " k"], Bool[Array, " k"]]:
    """OU time of a level, above it at the first and below it at the last noise.

    Regula falsi in the log-SNR (Illinois), within the step of the grid that holds it.
    """
    above = values > level
    index = jnp.clip(jnp.sum(above, axis=1) - 1, 0, grid.size - 2)
    pick = lambda i: jnp.take_along_axis(values, i[:, None], axis=1)[:, 0] - level
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

    state = left, right, left[0], ~above[:, 0]
    place = jax.lax.fori_loop(0, STEPS, step, state)[2]
    first, last = above[:, 0], above[:, -1]
    place = jnp.where(first, jnp.where(last, grid[-1], place), grid[0])
    return time_of(place), first, ~last


def _lowest(
    curve: Curve, grid: Float[Array, " t"], values: Float[Array, "k t"]
) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Where curves are lowest, and how low: by successive parabolas from the grid."""
    values = values.T
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
