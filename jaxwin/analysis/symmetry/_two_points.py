"""Two clusters on a line: the fixed points of every named drift, and the spinodal.

With kappa the gain of the drift, K = kappa alpha^2 h^2 / V and M = tanh(K M + b) the
magnetisation, fixed points lie at x = kappa alpha h M: the potential of a drift is that
of `jaxwin.analysis.speciation` at r = sqrt(K), on an axis of its own.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._checks import check, fraction, not_negative, positive
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.speciation import stationary_points
from jaxwin.analysis.symmetry._closed_form import coupling, predicted_time
from jaxwin.analysis.symmetry._drift import DriftLike, drift_ratio, named_drift
from jaxwin.io import field
from jaxwin.processes import AbstractProcess


class TwoPointBranches(eqx.Module):
    """Deepest valley, barrier and other valley of a drift's potential u / g^2.

    The last two exist together. For equal weights the deepest valley is the one at
    x >= 0, and the barrier is the centre.
    """

    position: Float[Array, " 3"] = field(("point",), "data units", nullable=True)
    magnetisation: Float[Array, " 3"] = field(("point",), "", "M", nullable=True)
    value: Float[Array, " 3"] = field(
        ("point",), "u / g^2", "but for a constant", nullable=True
    )
    curvature: Float[Array, " 3"] = field(
        ("point",), "1 / data units squared", "of u / g^2", nullable=True
    )
    found: Bool[Array, " 3"] = field(("point",), "", "whether it exists")


class Spinodal(eqx.Module):
    """Where the valley of the lighter cluster appears, on the way from noise."""

    time: Crossing
    coupling: Float[Array, ""] = field((), "", "K")
    position: Float[Array, ""] = field((), "data units", "at onset", nullable=True)
    magnetisation: Float[Array, ""] = field((), "", "M at onset")


def two_point_branches(
    process: AbstractProcess,
    t: ScalarLike,
    drift: DriftLike = "reverse_sde",
    *,
    half: ScalarLike = 1.0,
    weight: ScalarLike = 0.5,
    variance: ScalarLike = 0.0,
) -> TwoPointBranches:
    r"""Fixed points of a drift for clusters N(+-h, w), the right one of weight p.

        x = kappa alpha h M,    M = tanh(K M + b),    K = kappa alpha^2 h^2 / V,
        u'' / g^2 = (push / V) (1 / kappa - alpha^2 h^2 (1 - M^2) / V),

    V = sigma^2 + w alpha^2, kappa = 1 / (1 + V (f / g^2) pull / push) and b =
    atanh(2 p - 1). Two points under the reverse SDE of a variance-preserving clock:
    x = 2 alpha M / (1 + alpha^2), K = 1 / sinh(B). Differentiable, but at K = 1 of
    equal weights.

    Args:
        process: The clock.
        t: Time of `process`, sigma > 0 (and alpha > 0 for the flow).
        drift: Which drift.
        half: h > 0.
        weight: p in (0, 1).
        variance: w >= 0. Clusters so wide that the drift pushes nothing back
            (1 / kappa <= 0) have no fixed point that is found.

    Raises:
        ValueError: An argument out of range.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 3 (p = 1/2, w = 0, reverse
        SDE); the others are derived.
    """
    check(half, positive, "half", "finite and positive")
    check(weight, fraction, "weight", "in (0, 1); leave out an empty cluster")
    check(variance, not_negative, "variance", "finite and >= 0")
    t = as_float(t)
    alpha, sigma = process.levels(t)
    dtype = alpha.dtype
    h, p, w = (as_float(v).astype(dtype) for v in (half, weight, variance))
    kind, noised = named_drift(drift), sigma**2 + w * alpha**2
    push = kind.push.astype(dtype)
    # 1 / kappa, which may be negative: then nothing is held.
    firm = 1 / kind.gain(jnp.sqrt(noised), drift_ratio(process, t))
    held = firm > 0
    firm = jnp.where(held, firm, 1)
    strength = jnp.sqrt(alpha**2 * h**2 / (firm * noised))
    points = stationary_points(strength, p)
    found = points.found & held
    nothing = jnp.full((3,), jnp.nan, dtype)
    m = jnp.where(points.found, points.position, 0) / strength
    bend = (1 - m) * (1 + m)
    curvature = push / noised * (firm - alpha**2 * h**2 * bend / noised)
    return TwoPointBranches(
        position=jnp.where(found, alpha * h / firm * m, nothing),
        magnetisation=jnp.where(found, m, nothing),
        value=jnp.where(found, push * points.value, nothing),
        curvature=jnp.where(found, curvature, nothing),
        found=found,
    )


def spinodal(
    weight: ScalarLike,
    process: AbstractProcess,
    drift: DriftLike = "reverse_sde",
    *,
    half: ScalarLike = 1.0,
) -> Spinodal:
    r"""Where two points of weights p and 1 - p get a second valley.

        K m - atanh(m) = |b|,    m = sqrt(1 - 1 / K),    b = atanh(2 p - 1),

    with m = tanh(u): sinh(2 u) / 2 - u = |b| and K = cosh(u)^2. For equal weights K = 1
    and the new valleys are the centre's; the slope in p is infinite there.

    Args:
        weight: p in (0, 1), of the point at +h.
        process: A variance-preserving clock, or one with f = 0.
        drift: Which drift.
        half: h > 0.

    Raises:
        ValueError: An argument out of range; another clock.

    References:
        Ambrogioni (2023), arXiv:2310.17467 (critical instability); derived.
    """
    check(half, positive, "half", "finite and positive")
    check(weight, fraction, "weight", "in (0, 1); leave out an empty point")
    p = as_float(weight)
    h = as_float(half).astype(p.dtype)
    bias = 0.5 * (jnp.log(p) - jnp.log1p(-p))
    size = jnp.abs(bias)
    some = size > 0
    safe = jnp.where(some, size, 1)
    # sinh(2 u) / 2 - u >= 2 u^3 / 3 bounds the root from above.
    high = jnp.cbrt(1.5 * safe)
    u = bracketed_root(_excess, jnp.zeros_like(high), high, safe)
    u = jnp.where(some, u, 0)
    strength = jnp.cosh(u) ** 2
    m = 0.0 - jnp.sign(bias) * jnp.tanh(u)
    time = predicted_time(h**2 / strength, process, drift)
    at = jnp.where(time.found, time.time, process.time(jnp.zeros_like(p)))
    alpha = process.alpha(at)
    # kappa alpha from K = kappa alpha^2 h^2 / sigma^2.
    gain = coupling(process, at, drift) * (process.sigma(at) / alpha) ** 2
    place = gain * alpha * h * m
    return Spinodal(time, strength, jnp.where(time.found, place, jnp.nan), m)


def _excess(u: Array, size: Array) -> Float[Array, ""]:
    return 0.5 * jnp.sinh(2 * u) - u - size
