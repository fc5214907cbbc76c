"""Conversions between what networks predict: five forms of one piece of knowledge.

With x = alpha D + sigma E, where D = E[x0 | x] and E = E[z | x]:

    denoised   D
    noise      E
    score      -E / sigma
    v          alpha E - sigma D                      (Salimans & Ho, arXiv:2202.00512)
    velocity   alpha' D + sigma' E                    (dx/dt of the probability flow)

At the ends of time the limits are taken: sigma = 0 gives D = x / alpha and E = 0,
alpha = 0 gives E = x / sigma. What an end does not determine is refused: a score at
sigma = 0 from a denoised point, noise or v; a denoised point at alpha = 0 from a noise
prediction or a score, or from a velocity where the clock stands still.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxwin._checks import check_one_of, require
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess

Prediction = Literal["denoised", "noise", "score", "v", "velocity"]
KINDS = ("denoised", "noise", "score", "v", "velocity")


def convert_prediction(
    value: Point,
    x: Point,
    t: ScalarLike,
    process: AbstractProcess,
    source: Prediction,
    target: Prediction,
) -> Point:
    """The same knowledge about x at time t of `process` in another form.

    Args:
        value: What is known, in the form `source`.
        x: The noised point.
        t: Time of `process`.
        process: The clock.
        source: Form of `value`.
        target: Form wanted.

    Raises:
        ValueError: An unknown form, or one that the end of time does not determine (a
            run-time error where t is traced).
    """
    check_one_of(source, KINDS, "source")
    check_one_of(target, KINDS, "target")
    if source == target:
        return value
    as_like = lambda level: jnp.asarray(level, x.dtype)
    levels = _Levels(
        alpha=as_like(process.alpha(t)),
        sigma=as_like(process.sigma(t)),
        alpha_rate=as_like(process.alpha_rate(t)),
        half_rate=as_like(process.variance_rate(t)) / 2,
    )
    message = f"`t` is an end of time at which {source} does not determine {target}."
    determined = _determined(source, target, levels)
    value = require(value, lambda _: determined, message)
    denoised, noise = _denoised_and_noise(value, x, source, levels)
    alpha, sigma, alpha_rate, half_rate = levels
    if target == "denoised":
        return denoised
    if target == "noise":
        return noise
    if target == "v":
        return alpha * noise - sigma * denoised
    # The score is what stays finite as sigma -> 0 while the noise prediction vanishes.
    if source == "score":
        score = value
    elif source == "velocity":
        slope = alpha_rate * sigma**2 - alpha * half_rate
        score = (alpha * value - alpha_rate * x) / _nonzero(slope)
        # A clock that stands still at alpha = 0: only the noise is known.
        score = jnp.where(slope == 0, -x / _nonzero(sigma**2), score)
    else:
        score = -noise / _nonzero(sigma)
    if target == "score":
        return score
    return alpha_rate * denoised - half_rate * score


class _Levels(NamedTuple):
    alpha: Array
    sigma: Array
    alpha_rate: Array
    half_rate: Array  # half the rate of sigma^2, that is sigma sigma'


def _determined(source: str, target: str, levels: _Levels) -> Array:
    """Whether the form `target` follows from `source` at this time."""
    holds = jnp.ones((), bool)
    if target in ("denoised", "v", "velocity") and source in ("noise", "score"):
        holds = holds & (levels.alpha != 0)
    if target in ("denoised", "v") and source == "velocity":
        holds = holds & ((levels.alpha != 0) | (levels.alpha_rate != 0))
    # At sigma = 0 the noise is zero; sigma' E is known only where sigma' is finite.
    infinite_rate = (levels.sigma == 0) & (levels.half_rate > 0)
    if target == "score":
        known = infinite_rate if source == "velocity" else jnp.zeros((), bool)
        holds = holds & ((levels.sigma != 0) | known)
    if target == "velocity" and source != "score":
        holds = holds & ~infinite_rate
    return holds


def _denoised_and_noise(
    value: Point, x: Point, source: str, levels: _Levels
) -> tuple[Point, Point]:
    """D and E from one of them, their limits at the ends of time."""
    alpha, sigma, alpha_rate, half_rate = levels
    if source in ("noise", "score"):
        noise = value if source == "noise" else -sigma * value
        return (x - sigma * noise) / _nonzero(alpha), noise
    if source == "v":
        size = alpha**2 + sigma**2
        return (alpha * x - sigma * value) / size, (sigma * x + alpha * value) / size
    if source == "velocity":
        # sigma : sigma' = sigma^2 : half_rate, a ratio that has a limit at both ends.
        larger = jnp.maximum(sigma**2, half_rate)
        p = sigma**2 / _nonzero(larger)
        q = jnp.where(larger > 0, half_rate / _nonzero(larger), 1)
        slope = q * alpha - p * alpha_rate
        denoised = (q * x - p * value) / _nonzero(slope)
        moved = (alpha * value - alpha_rate * x) / _nonzero(slope)
        noise = sigma / _nonzero(larger) * moved
        return denoised, jnp.where(slope == 0, x / _nonzero(sigma), noise)
    noise = (x - alpha * value) / _nonzero(sigma)
    return value, jnp.where(sigma == 0, 0, noise)


def _nonzero(value: Array) -> Array:
    """The value, or 1 in its place where it is zero: that branch is not taken."""
    return jnp.where(value == 0, 1, value)
