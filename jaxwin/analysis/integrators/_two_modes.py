"""Mode weights and widths of Euler's probability flow for two modes, without sampling.

For w N(m, v I) + (1 - w) N(-m, v I) the flow along m is a map of the line, and across m
a constant factor: what a grid of times makes of the starting law is a number of
one-dimensional integrals, in any dimension.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import check_decreasing, is_concrete, require
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.io import field
from jaxwin.processes import AbstractProcess

# Gauss-Legendre panels from the separatrix outwards, where the map is steepest: each is
# longer than the one before by 1 / RATIO.
PANELS, NODES, RATIO = 60, 16, 2 / 3
# Standard deviations of the start beyond which nothing lies.
REACH = 12.0
# Starts tried at once in the search for the separatrix.
SECTIONS = 256


class TwoModes(eqx.Module):
    """What a grid of times makes of two modes.

    share: probability of the + mode among endpoints (those with m.x > 0). mean and
    variance: of the endpoints of each mode (+ first) along m / |m|; `across`: variance
    in every direction orthogonal to m. separatrix: the start that ends between the
    modes. A mode without endpoints has no mean (NaN). `monotone` is false where the map
    folds, steps being too long: the share is then wrong; take times closer together.
    """

    share: Float[Array, ""] = field((), "probability", "of the + mode")
    weight_error: Float[Array, ""] = field((), "probability", "share - weight")
    separatrix: Float[Array, ""] = field((), "data units", "at the first time")
    mean: Float[Array, " 2"] = field(("mode",), "data units", "along m", nullable=True)
    variance: Float[Array, " 2"] = field(
        ("mode",), "data units squared", "along m", nullable=True
    )
    across: Float[Array, ""] = field((), "data units squared", "orthogonal to m")
    monotone: Bool[Array, ""] = field((), "", "whether the map does not fold")


def mode_weight_error(
    process: AbstractProcess,
    times: Float[Array, " t"],
    separation: ScalarLike,
    variance: ScalarLike,
    weight: ScalarLike,
) -> TwoModes:
    """Errors of Euler's method on the probability flow, for two modes at +-m.

    The start is the exact noised law at times[0] (on the interpolant at u = 1 that is
    N(0, I)): nothing but the grid is at fault. Deterministic: the separatrix is found
    by bisection on the discrete map, and the law at the start integrated on either side
    of it. Error below 1e-10 for the share, below 1e-6 relative for the variances; in
    float32 some 1e-5 and, since starts next to the separatrix end 2 |m| apart, up to
    2e-4 |m|^2 for the variances along m.

    Args:
        process: The clock. Steps are those of `EulerFlow`, and may begin at alpha = 0.
        times: Strictly decreasing, on the clock, sigma = 0 at most at the end.
        separation: |m| (mu sqrt(d) in d dimensions), > 0.
        variance: v of each mode, > 0.
        weight: w of the mode at +m, in (0, 1).

    Raises:
        ValueError: Arguments out of range; times that do not decrease, leave the clock
            or reach sigma = 0 before their end.

    References:
        Aranguri, Biroli, Mezard & Vanden-Eijnden (2025), arXiv:2501.00988.
    """
    times = as_float(times)
    _check_times(process, times)
    positive = lambda v: (v > 0) & (v < np.inf)
    checks = (
        (separation, positive, "`separation` must be finite and positive."),
        (variance, positive, "`variance` must be finite and positive."),
        (weight, lambda v: (v > 0) & (v < 1), "`weight` must lie between 0 and 1."),
    )
    checked = (require(as_float(v), test, text) for v, test, text in checks)
    return _two_modes(process, times, *(v.astype(times.dtype) for v in checked))


@eqx.filter_jit
def _two_modes(
    process: AbstractProcess,
    times: Float[Array, " t"],
    separation: Float[Array, ""],
    variance: Float[Array, ""],
    weight: Float[Array, ""],
) -> TwoModes:
    modes = jnp.stack([separation, -separation])
    weights = jnp.stack([weight, 1 - weight])
    line = _Line(process, separation, variance, weight)
    flow = lambda xs: _flow(line, xs, times)
    alpha, sigma = process.levels(times[0], times.dtype)
    std, centres = jnp.sqrt(alpha**2 * variance + sigma**2), alpha * modes
    separatrix = _separatrix(flow, alpha * separation + REACH * std)
    place = jnp.clip((separatrix - centres) / std, -REACH, REACH)
    share = jnp.sum(weights * jax.scipy.stats.norm.sf(place))
    # Nodes (side, component, node), in units of the component.
    nodes, size = zip(*(_side(place, end) for end in (REACH, -REACH)), strict=True)
    nodes, size = jnp.stack(nodes), jnp.stack(size)
    starts = centres[None, :, None] + std * nodes
    ends = flow(starts.reshape(-1)).reshape(starts.shape)
    density = size * weights[None, :, None] * jax.scipy.stats.norm.pdf(nodes)
    mass = density.sum((1, 2))
    some = jnp.where(mass > 0, mass, jnp.nan)
    average = lambda v: jnp.sum(density * v, (1, 2)) / some
    mean = average(ends)
    spread = average((ends - mean[:, None, None]) ** 2)
    order = jnp.argsort(starts.reshape(-1))
    slack = 64 * jnp.finfo(times.dtype).eps * separation
    falls = jnp.diff(ends.reshape(-1)[order]) < -slack
    return TwoModes(
        share=share,
        weight_error=share - weight,
        separatrix=separatrix,
        mean=mean,
        variance=spread,
        across=(_gain(process, times, variance) * std) ** 2,
        monotone=~jnp.any(falls),
    )


def _check_times(process: AbstractProcess, times: Float[Array, " t"]) -> None:
    """Raise ValueError for concrete times that a flow cannot be run along."""
    if times.ndim != 1 or times.size < 2:
        raise ValueError(
            f"`times` has shape {times.shape}; it must be a list of at least 2 times."
        )
    if not is_concrete(process, times):
        return
    check_decreasing(np.asarray(times), "times")
    with jax.ensure_compile_time_eval():  # constants of a caller's jit
        low, high = map(float, process.domain)
        first, last = float(times[0]), float(times[-1])
        sigma = np.asarray(process.sigma(times))
    if not low <= last < first <= high:
        raise ValueError(
            f"`times` go from {first:g} to {last:g}; on this clock they must stay "
            f"between {low:g} and {high:g}."
        )
    if not np.all(sigma[:-1] > 0):
        raise ValueError(
            "`times` reach sigma = 0 before their end; there is no score there."
        )


class _Line(eqx.Module):
    """The two modes along m, on a clock."""

    process: AbstractProcess
    separation: Float[Array, ""]
    variance: Float[Array, ""]
    weight: Float[Array, ""]

    def velocity(self, xs: Float[Array, " b"], t: Float[Array, ""]) -> Array:
        """Probability flow alpha' E[x0 | x] - (sigma^2)' score / 2, also at alpha = 0.

        With v = alpha^2 V + sigma^2 and M = |m| tanh(alpha |m| x / v + logit(w) / 2)
        the mean of x0's mode, E[x0 | x] = (sigma^2 M + alpha V x) / v and
        score = (alpha M - x) / v.
        """
        alpha, sigma = self.process.levels(t)
        total = alpha**2 * self.variance + sigma**2
        bias = 0.5 * jax.scipy.special.logit(self.weight)
        mode = self.separation * jnp.tanh(alpha * self.separation / total * xs + bias)
        mean = (sigma**2 * mode + alpha * self.variance * xs) / total
        score = (alpha * mode - xs) / total
        rate = self.process.variance_rate(t) / 2
        return self.process.alpha_rate(t) * mean - rate * score


def _flow(
    line: _Line, xs: Float[Array, " b"], times: Float[Array, " t"]
) -> Float[Array, " b"]:
    """Euler's method from the first time to the last."""

    def move(xs: Array, interval: tuple[Array, Array]) -> tuple[Array, None]:
        t, s = interval
        return xs - (t - s) * line.velocity(xs, t), None

    return jax.lax.scan(move, xs, (times[:-1], times[1:]))[0]


def _gain(
    process: AbstractProcess, times: Float[Array, " t"], variance: Float[Array, ""]
) -> Float[Array, ""]:
    """Factor of Euler's method across m, where the flow is x' = x d log(width) / dt."""
    t, steps = times[:-1], -jnp.diff(times)
    alpha, sigma = process.levels(t)
    rate = alpha * process.alpha_rate(t) * variance + process.variance_rate(t) / 2
    return jnp.prod(1 - steps * rate / (alpha**2 * variance + sigma**2))


def _separatrix(
    flow: Callable[[Array], Array], reach: Float[Array, ""]
) -> Float[Array, ""]:
    """The start that ends at 0, in [-reach, reach]; an end of it if there is none.

    Bisection with many sections: what costs is the number of runs one after another.
    Differentiable by the implicit function theorem, as a last step of Newton's method.
    """
    sections = jnp.linspace(0, 1, SECTIONS + 1, dtype=reach.dtype)

    def narrow(bracket: tuple[Array, Array], _: None):
        low, high = bracket
        starts = low + (high - low) * sections
        above = jax.lax.stop_gradient(flow(starts)) > 0
        first = jnp.where(jnp.any(above), jnp.argmax(above), SECTIONS)
        return (starts[jnp.maximum(first - 1, 0)], starts[first]), None

    rounds = -(-jnp.finfo(reach.dtype).nmant // int(np.log2(SECTIONS))) + 1
    (low, high), _ = jax.lax.scan(narrow, (-reach, reach), length=rounds)
    place = jax.lax.stop_gradient((low + high) / 2)[None]
    end, slope = jax.jvp(flow, (place,), (jnp.ones_like(place),))
    crosses = jnp.abs(place) < reach
    slope = jax.lax.stop_gradient(jnp.where(crosses & (slope > 0), slope, jnp.inf))
    return (place - end / slope)[0]


def _side(
    place: Float[Array, " k"], end: float
) -> tuple[Float[Array, "k m"], Float[Array, "k m"]]:
    """Nodes and weights of panels from each place to `end`, shortest at the place."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    edges = np.append(0, RATIO ** np.arange(PANELS - 1, -1, -1))
    half = np.diff(edges)[:, None] / 2
    share, size = (edges[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()
    length = (end - place)[:, None]
    to = lambda array: jnp.asarray(array, place.dtype)[None]
    return place[:, None] + length * to(share), jnp.abs(length) * to(size)
