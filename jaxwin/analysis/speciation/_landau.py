"""The potential of two clusters along their axis, and where it has its minima.

In units of the noised width, with y the coordinate along the means and r the separation
of `separation`, -log p has the shape of a Landau potential: one valley for r <= 1, two
beyond, as a magnet in a field b = log(w / (1 - w)) / 2.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._checks import check, fraction, not_negative
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.analysis._root import bracketed_root
from jaxwin.io import field

# Terms of the series in u^2 <= 1 with factorials below: float64 needs no more.
TERMS = 10


class StationaryPoints(eqx.Module):
    """The deepest valley of the potential, the barrier, and the other valley.

    The last two exist together, beyond r = 1 and for weights that are not too unequal.
    For equal weights the deepest valley is the one at y >= 0.
    """

    position: Float[Array, " 3"] = field(
        ("point",), "noised widths", "deepest valley, barrier, other", nullable=True
    )
    value: Float[Array, " 3"] = field(("point",), "nats", "potential", nullable=True)
    found: Bool[Array, " 3"] = field(("point",), "", "whether it exists")


def potential(
    y: TimesLike, r: ScalarLike, weight: ScalarLike = 0.5
) -> Float[Array, "..."]:
    """Effective potential U(y; r) = y^2 / 2 - log(w e^{r y} + (1 - w) e^{-r y}).

    Minus the log-density of the two noised clusters along their axis, up to a constant
    in y; y^2 / 2 - log cosh(r y) for equal weights, where U''(0) = 1 - r^2 and the
    quartic term is r^4 y^4 / 12. Finite at every argument.

    Args:
        y: Coordinate along the means, from their middle, in noised widths.
        r: Half the distance of the noised means in noised widths, >= 0.
        weight: Weight w of the cluster at y > 0, in (0, 1).

    References:
        Biroli et al., arXiv:2402.18491, section 2; unequal weights from its density.
    """
    _check(r, weight)
    y = as_float(y)
    return 0.5 * y**2 - log_cosh(r * y, weight)


def log_cosh(u: Float[Array, " *s"], weight: ScalarLike = 0.5) -> Float[Array, " *s"]:
    """Log of w e^u + (1 - w) e^{-u}, accurate relative to itself at small and huge u.

    log cosh(u) for w = 1 / 2.
    """
    w = as_float(weight).astype(u.dtype)
    near = jnp.abs(u) < 1
    inner = jnp.where(near, u, 0)
    close = jnp.log1p(2 * jnp.sinh(inner / 2) ** 2 + (2 * w - 1) * jnp.sinh(inner))
    outer = jnp.where(near, 1, u)
    own, size = jnp.where(outer > 0, w, 1 - w), jnp.abs(outer)
    far = size + jnp.logaddexp(jnp.log(own), jnp.log1p(-own) - 2 * size)
    return jnp.where(near, close, far)


def minimum(r: ScalarLike, weight: ScalarLike = 0.5) -> Float[Array, ""]:
    """Deepest minimum of `potential`, in noised widths: y = r tanh(r y + b).

    For equal weights zero up to r = 1, sqrt(6 (r - 1)) just beyond and r far beyond.
    Differentiable by the implicit function theorem; at r = 1, where the slope jumps
    from zero to infinity, it is zero.

    Args:
        r: Half the distance of the noised means in noised widths, >= 0.
        weight: Weight of the cluster at y > 0, in (0, 1).

    References:
        Biroli et al., arXiv:2402.18491, section 2 (equal weights).
    """
    _check(r, weight)
    r, bias, sign = _magnet(r, weight)
    return sign * r * jnp.tanh(_deepest(r, bias))


def stationary_points(r: ScalarLike, weight: ScalarLike = 0.5) -> StationaryPoints:
    """All points where the potential is flat: y = r tanh(r y + b).

    The second valley and the barrier exist for r > 1 and |b| < r sqrt(r^2 - 1) -
    arcosh(r), where they meet (derived: there the slope r^2 sech^2(u) of the right-hand
    side in u = r y + b is one, at cosh(u) = r).

    Args:
        r: Half the distance of the noised means in noised widths, >= 0.
        weight: Weight of the cluster at y > 0, in (0, 1).
    """
    _check(r, weight)
    strong, bias, sign = _magnet(r, weight)
    fold = _fold(strong)
    most = strong * jnp.sqrt(jnp.maximum(_beyond(strong), 0)) - fold
    found = (strong > 1) & (bias < most)
    # Where they do not exist, solve for some that do: a masked branch stays finite.
    args = jnp.where(found, strong, 2.0), jnp.where(found, bias, 0.0)
    fold, lowest = _fold(args[0]), -2 * args[0] ** 2 - 1
    # The field falls with u between the folds, and rises with it outside.
    barrier = bracketed_root(_minus_field, -fold, fold, args)
    other = bracketed_root(_field, lowest, -fold, args)
    u = jnp.stack([_deepest(strong, bias), barrier, other])
    exists = jnp.stack([jnp.ones_like(found), found, found])
    y = sign * strong * jnp.tanh(u)
    value = potential(y, r, weight)
    nothing = jnp.full_like(y, jnp.nan)
    return StationaryPoints(
        jnp.where(exists, y, nothing), jnp.where(exists, value, nothing), exists
    )


def _check(r: ScalarLike, weight: ScalarLike) -> None:
    check(r, not_negative, "r", "finite and >= 0; see `separation`")
    check(weight, fraction, "weight", "in (0, 1); leave out an empty class")


def _magnet(r: ScalarLike, weight: ScalarLike) -> tuple[Array, Array, Array]:
    """Coupling r, field |b| and the sign of the field, for which zero counts as +1."""
    r, w = as_float(r), as_float(weight)
    w = w.astype(r.dtype)
    bias = 0.5 * (jnp.log(w) - jnp.log1p(-w))
    sign = jnp.where(bias < 0, -1, 1).astype(r.dtype)
    return r, sign * bias, sign


def _deepest(r: Array, bias: Array) -> Array:
    """The largest root u of the field, u = r y + b in the deepest valley."""
    none = (bias == 0) & (r <= 1)
    args = jnp.where(none, 2.0, r), jnp.where(none, 1.0, bias)
    low = jnp.where(args[0] > 1, _fold(args[0]), 0)
    root = bracketed_root(_field, low, 2 * (args[1] + args[0] ** 2) + 1, args)
    # Without a field u = b / (1 - r^2) to first order: zero, with its slope in b.
    slack = jnp.where(r < 1, (1 - r) * (1 + r), 1)
    return jnp.where(none, bias / slack, root)


def _field(u: Array, args: tuple[Array, Array]) -> Array:
    """The field u - r^2 tanh(u) that u needs, less the one there is."""
    r, bias = args
    return jnp.tanh(u) * (_coth_excess(u) - _beyond(r)) - bias


def _minus_field(u: Array, args: tuple[Array, Array]) -> Array:
    return -_field(u, args)


def _beyond(r: Array) -> Array:
    """How far r^2 is beyond one."""
    return (r - 1) * (r + 1)


def _fold(r: Array) -> Array:
    """The u > 0 with cosh(u) = r, where valley and barrier meet; zero for r <= 1."""
    above = jnp.maximum(r, 1)
    return jnp.log1p((above - 1) + jnp.sqrt((above - 1) * (above + 1)))


def _coth_excess(u: Array) -> Array:
    """Even function u coth(u) - 1, accurate relative to itself: u^2 / 3 at small u."""
    near = jnp.abs(u) < 1
    square = jnp.where(near, u, 0) ** 2
    # u cosh(u) - sinh(u) = sum_k 2 k u^{2k+1} / (2k+1)!, against the series of sinh(u).
    above, below = jnp.zeros_like(u), jnp.zeros_like(u)
    for k in reversed(range(1, TERMS)):
        # Horner's rule with a common factor 1 / ((2k) (2k+1)) from term to term.
        scale = square / (2 * k * (2 * k + 1))
        above, below = scale * (2 * k + above), scale * (1 + below)
    far = jnp.where(near, 1.0, u)
    return jnp.where(near, above / (1 + below), far / jnp.tanh(far) - 1)
