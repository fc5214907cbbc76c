"""Potentials of the drifts: values, gradients, curvatures, and paths through them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxwin._numerics import as_float
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.analysis.jacobian import Leading, leading
from jaxwin.analysis.symmetry._drift import DriftLike, drift_ratio, named_drift
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractDenoiser, AbstractTarget

# Gauss-Legendre nodes on each piece of a path.
NODES = 16


class Curvatures(eqx.Module):
    """Smallest eigenvalues of the Hessian of u / g^2, with their directions.

    Negative ones are directions in which the point decides. `cluster`: eigenvalues of
    one number agree to within their error, and only the span of their directions means
    anything; `more`: whether the last goes on beyond what was asked for.
    """

    eigenvalues: Float[Array, " c"] = field(("direction",), "1 / data units squared")
    directions: Float[Array, "d c"] = field(("coordinate", "direction"), "")
    cluster: Array = field(("direction",), "", "number of its cluster")
    more: Array = field((), "", "whether the last cluster goes on")
    converged: Array = field((), "", "whether all residuals are small")


class Profile(eqx.Module):
    """The potential along a path, zero at its first place.

    u(b) - u(a) = integral of grad u . dx: no density is needed, so that any denoiser
    will do.
    """

    place: Float[np.ndarray, " p"] = field(("place",), "", "parameter of the path")
    value: Float[np.ndarray, "t p"] = field(("time", "place"), "", "u / g^2")
    time: Float[np.ndarray, " t"] = field(("time",), "time of the process")


def potential(
    target: AbstractTarget,
    process: AbstractProcess,
    x: Point,
    t: ScalarLike,
    drift: DriftLike = "reverse_sde",
) -> Float[Array, ""]:
    """Potential u / g^2 at a point, from the exact density (its constant included).

    Args:
        target: A law with a density.
        process: The clock.
        x: The point.
        t: Time of `process`, sigma > 0.
        drift: Which drift, see `named_drift`.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, equation 8: u / beta = -|x|^2 / 4 -
        log p on variance-preserving clocks.
    """
    x = as_float(x)
    spring, push = _terms(process, t, drift, x)
    log_p = target.log_density(x, *process.levels(t, x.dtype))
    return 0.5 * spring * jnp.sum(x**2) - push * log_p


def gradient(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    x: Point,
    t: ScalarLike,
    drift: DriftLike = "reverse_sde",
) -> Point:
    """Gradient grad u / g^2 = pull (f / g^2) x - push score, of any denoiser."""
    x = as_float(x)
    spring, push = _terms(process, t, drift, x)
    return spring * x - push * denoiser.score(x, *process.levels(t, x.dtype))


def hessian_product(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    x: Point,
    v: Point,
    t: ScalarLike,
    drift: DriftLike = "reverse_sde",
) -> Point:
    """Product of the Hessian of u / g^2 with `v`, without the matrix."""
    x = as_float(x)
    spring, push = _terms(process, t, drift, x)
    levels = process.levels(t, x.dtype)
    return spring * v - push * denoiser.jacobian_product(x, v, *levels)


def hessian(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    x: Point,
    t: ScalarLike,
    drift: DriftLike = "reverse_sde",
) -> Float[Array, "d d"]:
    """The Hessian of u / g^2, by products with the identity; d products."""
    x = as_float(x)
    product = lambda v: hessian_product(denoiser, process, x, v, t, drift)
    return jax.vmap(product, out_axes=1)(jnp.eye(x.size, dtype=x.dtype))


def curvatures(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    x: Point,
    t: ScalarLike,
    count: int,
    drift: DriftLike = "reverse_sde",
    *,
    key: Key | None = None,
) -> Curvatures:
    """The `count` smallest eigenvalues of the Hessian of u / g^2, with multiplicity.

    pull f / g^2 less push times the largest eigenvalues of the score's Jacobian, which
    `jaxwin.analysis.jacobian.leading` finds without a matrix.

    Raises:
        ValueError: `count` out of range, or a time at an end of the clock.
    """
    x = as_float(x)
    found: Leading = leading(
        denoiser, x, *process.levels(t, x.dtype), count=count, key=key
    )
    spring, push = _terms(process, t, drift, x)
    return Curvatures(
        eigenvalues=spring - push * found.eigenvalues,
        directions=found.directions,
        cluster=found.cluster,
        more=found.more,
        converged=found.converged,
    )


def along_line(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    first: Point,
    last: Point,
    times: ArrayLike,
    places: ArrayLike,
    drift: DriftLike = "reverse_sde",
) -> Profile:
    """The potential along x = first + place (last - first), at every time.

    By a Gauss-Legendre rule of 16 nodes between neighbouring places.

    Args:
        denoiser: Any.
        process: The clock.
        first: Where place = 0.
        last: Where place = 1.
        times: Times of `process`, sigma > 0.
        places: Increasing; the first has the value zero.
        drift: Which drift.
    """
    first, last = as_float(first), as_float(last)
    path = eqx.Partial(_line, first, last - first)
    return _profile(denoiser, process, path, times, places, drift)


def along_arc(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    first: Point,
    last: Point,
    times: ArrayLike,
    angles: ArrayLike,
    drift: DriftLike = "reverse_sde",
) -> Profile:
    """The potential along x = cos(angle) first + sin(angle) last, at every time.

    Angles, in radians, are the places of the profile; otherwise as `along_line`.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 4 (potential along arcs).
    """
    path = eqx.Partial(_arc, as_float(first), as_float(last))
    return _profile(denoiser, process, path, times, angles, drift)


def difference(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    first: Point,
    last: Point,
    t: ScalarLike,
    drift: DriftLike = "reverse_sde",
    pieces: int = 16,
) -> Float[Array, ""]:
    """Difference u(last) - u(first), over g^2, along the segment between two points."""
    kind, first, last = named_drift(drift), as_float(first), as_float(last)
    places = jnp.linspace(0, 1, pieces + 1, dtype=first.dtype)
    path = eqx.Partial(_line, first, last - first)
    return jnp.sum(_steps(denoiser, process, path, t, places, kind))


def _terms(
    process: AbstractProcess, t: ScalarLike, drift: DriftLike, x: Point
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Pull times f / g^2, and push, in the type of x."""
    kind = named_drift(drift)
    spring = kind.pull.astype(x.dtype) * drift_ratio(process, t).astype(x.dtype)
    return spring, kind.push.astype(x.dtype)


def _line(first: Point, step: Point, place: Array) -> tuple[Point, Point]:
    return first + place * step, step


def _arc(first: Point, last: Point, angle: Array) -> tuple[Point, Point]:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return cos * first + sin * last, cos * last - sin * first


def _profile(denoiser, process, path, times, places, drift) -> Profile:
    times, places = np.asarray(times, float), np.asarray(places, float)
    if times.ndim != 1 or places.ndim != 1 or np.any(np.diff(places) <= 0):
        raise ValueError(
            "`times` must be a list of times, and places or angles must increase."
        )
    value = _values(
        denoiser,
        process,
        path,
        jnp.asarray(times),
        jnp.asarray(places, path.args[0].dtype),
        named_drift(drift),
    )
    return Profile(place=places, value=np.asarray(value), time=times)


@eqx.filter_jit
def _values(denoiser, process, path, times, places, kind) -> Float[Array, "t p"]:
    def at(t: Array) -> Array:
        steps = _steps(denoiser, process, path, t, places, kind)
        return jnp.concatenate([jnp.zeros(1, steps.dtype), jnp.cumsum(steps)])

    return jax.lax.map(at, times)


def _steps(denoiser, process, path, t, places, kind) -> Float[Array, " _"]:
    """What u / g^2 gains between neighbouring places."""
    nodes, rule = (
        jnp.asarray(array, places.dtype)
        for array in np.polynomial.legendre.leggauss(NODES)
    )
    half = 0.5 * jnp.diff(places)

    def slope(place: Array) -> Array:
        x, tangent = path(place)
        return jnp.sum(gradient(denoiser, process, x, t, kind) * tangent)

    middles = places[:-1] + half
    inner = middles[:, None] + half[:, None] * nodes[None]
    return jnp.sum(
        jax.vmap(jax.vmap(slope))(inner) * (half[:, None] * rule[None]), axis=1
    )
