"""Stable elementary functions shared by the rooms above."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import DTypeLike

from jaxwin._typing import AnyArray, ScalarLike

LOG_TWO_PI = float(np.log(2 * np.pi))


def as_float(value: AnyArray) -> Array:
    """An array of floats: integers become the default float, floats keep their type."""
    array = jnp.asarray(value)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(jnp.result_type(float))


def channel_variance(sigma: AnyArray) -> Array:
    """Noise variance sigma^2, raised at sigma = 0 to where limits are read off.

    At the square root of the smallest normal number (1e-19 in float32, 1e-154 in
    float64) every quantity of an exact posterior equals its limit sigma -> 0 to
    rounding, and squares of it are still representable.
    """
    sigma = as_float(sigma)
    return jnp.maximum(sigma**2, float(jnp.finfo(sigma.dtype).tiny) ** 0.5)


def stated_error(error: float, dtype: DTypeLike) -> float:
    """The error of a method in float64, or what rounding leaves of shorter numbers."""
    return max(error, 64 * float(jnp.finfo(dtype).eps))


def erf(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Error function, in float64 four times as fast on CPU as the compiler's own.

    That one is a call for every number. From 1/2 on this is 1 - erfc, below it the
    series 2 / sqrt(pi) sum_n (-1)^n x^(2n+1) / (n! (2n+1)), to rounding in both.
    """
    if x.dtype != jnp.float64:
        return jax.lax.erf(x)
    near = jnp.clip(x, -0.5, 0.5)
    series = jnp.zeros_like(near)
    for n in reversed(range(14)):
        series = series * near**2 + (-1) ** n / (math.factorial(n) * (2 * n + 1))
    small = 2 / math.sqrt(math.pi) * near * series
    # The complement of |x|, so that both signs keep their digits.
    large = jnp.sign(x) * (1 - jax.lax.erfc(jnp.abs(x)))
    return jnp.where(jnp.abs(x) < 0.5, small, large)


def segment_logsumexp(
    values: Float[Array, " k"], labels: Int[Array, " k"], num_labels: int
) -> Float[Array, " c"]:
    """Log of the sum of exponentials within each label; -inf where nothing is."""
    top = jax.ops.segment_max(values, labels, num_labels)
    top = jnp.maximum(jax.lax.stop_gradient(top), jnp.finfo(values.dtype).min)
    mass = jax.ops.segment_sum(jnp.exp(values - top[labels]), labels, num_labels)
    # log of a safe value: an empty label must not send NaN into a gradient.
    log_mass = jnp.log(jnp.where(mass > 0, mass, 1.0))
    return jnp.where(mass > 0, top + log_mass, -jnp.inf)


def choose(log_weights: Float[Array, " k"], uniform: ScalarLike) -> Int[Array, ""]:
    """Index drawn with probability proportional to exp(log_weights), by one uniform.

    Entries of log-weight -inf are never drawn.
    """
    cumulative = jnp.cumsum(jnp.exp(log_weights - log_weights.max()))
    index = jnp.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    # Rounding may carry the uniform to the total: stay on the last entry with weight.
    last = jnp.searchsorted(cumulative, cumulative[-1], side="left")
    return jnp.minimum(index, last)
