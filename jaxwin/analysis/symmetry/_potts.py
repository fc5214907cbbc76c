"""Equally likely orthogonal patterns: the exact mean-field Potts magnet."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxwin._checks import check, positive
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.symmetry._closed_form import predicted_time
from jaxwin.analysis.symmetry._drift import DriftLike
from jaxwin.io import field
from jaxwin.processes import AbstractProcess


class PottsTimes(eqx.Module):
    """When N patterns become fixed points, win, and leave no other choice.

    `spinodal`: the first states in which one pattern is preferred; `transition`: they
    are as deep as the centre, where the weight of the preferred one is (N - 1) / N;
    `instability`: the centre is a valley no more. All one for N = 2.
    """

    spinodal: Crossing
    transition: Crossing
    instability: Crossing
    coupling: Float[Array, " 3"] = field(("event",), "", "K_s, K_t and K_c = N")
    weight: Float[Array, " 2"] = field(
        ("state",), "probability", "of the preferred pattern at K_s and K_t"
    )


class PottsState(eqx.Module):
    """The state that prefers one pattern, at a coupling K.

    gap: (u(centre) - u(state)) / (push g^2); the state is the deeper one where it is
    positive.
    """

    weight: Float[Array, ""] = field((), "probability", nullable=True)
    gap: Float[Array, ""] = field((), "nats", nullable=True)
    found: Bool[Array, ""] = field((), "", "whether it exists")


def potts_times(
    num_patterns: ScalarLike,
    process: AbstractProcess,
    drift: DriftLike = "reverse_sde",
    *,
    square: ScalarLike = 1.0,
) -> PottsTimes:
    r"""The first-order transition of N orthogonal patterns of length r.

    Weights w_j ~ exp(K w_j), K = kappa alpha^2 r^2 / sigma^2 (`coupling`). With
    x = log of the preferred weight over another one

        K(x) = x (1 + (N - 1) e^{-x}) / (1 - e^{-x}),

    smallest at the spinodal K_s; K_t = 2 (N - 1) log(N - 1) / (N - 2) at x =
    2 log(N - 1); K_c = N at x = 0. For N >= 3 patterns are valleys before the centre is
    unstable: a test at the centre alone comes late.

    Args:
        num_patterns: N >= 2.
        process: A variance-preserving clock, or one with f = 0.
        drift: Which drift.
        square: r^2 > 0.

    Raises:
        ValueError: An argument out of range; another clock.

    References:
        Wu, The Potts model, Rev. Mod. Phys. 54 (1982) 235 (mean field);
        the mapping is derived.
    """
    n, r2 = _checked(num_patterns, square)
    more = n > 2
    # Two patterns: everything happens at x = 0. A masked branch stays finite.
    count = jnp.where(more, n, 3.0)
    log_odds = jnp.log(count - 1)
    fold = jnp.where(more, bracketed_root(_fold, log_odds, 2 * log_odds, count), 0)
    equal = jnp.where(more, 2 * log_odds, 0)
    x = jnp.stack([fold, equal])
    strength = jnp.append(_coupling(x, n), n)
    spinodal, transition, instability = (
        predicted_time(r2 / strength[i], process, drift) for i in range(3)
    )
    return PottsTimes(spinodal, transition, instability, strength, _weight(x, n))


def potts_state(strength: ScalarLike, num_patterns: ScalarLike) -> PottsState:
    """The state that prefers one of N patterns at a coupling K, where there is one.

    Args:
        strength: K > 0, see `coupling`.
        num_patterns: N >= 2.

    Raises:
        ValueError: An argument out of range.
    """
    n, k = _checked(num_patterns, strength)
    more = n > 2
    count = jnp.where(more, n, 3.0)
    log_odds = jnp.log(count - 1)
    fold = jnp.where(more, bracketed_root(_fold, log_odds, 2 * log_odds, count), 0)
    found = k >= _coupling(fold, n)
    safe = jnp.where(found, k, 2 * n)
    # K(x) > x: the root lies below K.
    x = bracketed_root(_missing, fold, safe, (safe, n))
    weight = _weight(x, n)
    rest = (1 - weight) / (n - 1)
    # u / (push g^2) = K sum_j w_j^2 / 2 - log sum_j exp(K w_j)
    squares = weight**2 + (n - 1) * rest**2
    logs = safe * weight + jnp.log1p((n - 1) * jnp.exp(-safe * (weight - rest)))
    gap = -safe / (2 * n) - jnp.log(n) - (0.5 * safe * squares - logs)
    nothing = jnp.full_like(weight, jnp.nan)
    return PottsState(
        jnp.where(found, weight, nothing), jnp.where(found, gap, nothing), found
    )


def _checked(num_patterns: ScalarLike, other: ScalarLike) -> tuple[Array, Array]:
    check(
        num_patterns, lambda n: (n >= 2) & (n < jnp.inf), "num_patterns", "at least 2"
    )
    check(other, positive, "square or strength", "finite and positive")
    n = as_float(num_patterns)
    return n, as_float(other).astype(n.dtype)


def _coupling(x: Float[Array, "*s"], n: Array) -> Float[Array, "*s"]:
    """K(x), N at x = 0."""
    some = x > 0
    safe = jnp.where(some, x, 1)
    return jnp.where(some, safe * (1 + (n - 1) * jnp.exp(-safe)) / -jnp.expm1(-safe), n)


def _weight(x: Float[Array, "*s"], n: Array) -> Float[Array, "*s"]:
    return 1 / (1 + (n - 1) * jnp.exp(-x))


def _fold(x: Array, n: Array) -> Float[Array, ""]:
    """Has the sign of dK / dx, over e^x so that it does not overflow."""
    small = jnp.exp(-x)
    return 1 + small * (n - 2 - (n - 1) * small - n * x)


def _missing(x: Array, args: tuple[Array, Array]) -> Float[Array, ""]:
    strength, n = args
    return _coupling(x, n) - strength
