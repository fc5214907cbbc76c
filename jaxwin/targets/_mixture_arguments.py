"""Checks of what the constructors of a mixture take."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import finite, is_concrete, non_negative, require
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray
from jaxwin.targets._labels import check_labels


def checked_means(means: AnyArray) -> Float[Array, "k d"]:
    """Component means, one row each, all finite."""
    means = as_float(means)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(
            f"`means` has shape {means.shape}; it must be (K, d) with K, d >= 1: pass "
            f"one row a component."
        )
    return require(means, finite, "`means` must be finite everywhere.")


def like(means: Array, value: AnyArray) -> Array:
    """`value` in the type of the means."""
    if is_concrete(value):
        return jnp.asarray(np.asarray(value, means.dtype))
    return jnp.asarray(value).astype(means.dtype)


def broadcast(value: Array, shape: tuple[int, ...], name: str) -> Array:
    """Repeat `value` along the component axis until it has `shape`."""
    if value.shape == shape:
        return value
    if value.shape not in ((), shape[1:]):
        raise ValueError(
            f"`{name}` has shape {value.shape}; it must be {shape}, or {shape[1:]} for "
            f"one value that all components share."
        )
    return jnp.broadcast_to(
        value.reshape((1,) * (len(shape) - value.ndim) + value.shape), shape
    )


def checked_weights(means: Array, weights: AnyArray | None) -> Float[Array, " k"]:
    """Log-weights of the components, normalised; equal if left out."""
    count = means.shape[0]
    weights = np.full(count, 1 / count) if weights is None else weights
    weights = non_negative("weights")(like(means, weights))
    if weights.shape != (count,):
        raise ValueError(
            f"`weights` has shape {weights.shape}; it must be ({count},), one "
            f"probability a component."
        )
    message = "`weights` must sum to 1 within 1e-3; divide them by their sum."
    weights = require(weights, lambda w: abs(w.sum() - 1) <= 1e-3, message)
    if not is_concrete(weights):
        # The slope of a weight of zero is NaN, and only its own in this form.
        return jnp.log(weights) - jnp.log(weights.sum())
    weights = np.asarray(weights)
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(weights / weights.sum()))


def checked_classes(
    means: Array, labels: AnyArray | None
) -> tuple[Int[Array, " k"], int]:
    """Class of each component and their number; each its own if left out."""
    count = means.shape[0]
    return check_labels(np.arange(count) if labels is None else labels, count)
