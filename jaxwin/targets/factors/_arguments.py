"""Checks of what the constructors of factors take."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import finite, require
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike


def number(
    value: ScalarLike, name: str, must_be_finite: bool = True
) -> Float[Array, ""]:
    """One number as an array of floats; not NaN, and finite unless told otherwise."""
    array = as_float(value)
    if array.shape != ():
        raise ValueError(
            f"`{name}` has shape {array.shape}; it must be one number: a factor is a "
            f"density on the line, give one factor a coordinate."
        )
    # Not a weak type: factors are stacked, and compiled once.
    array = jnp.asarray(array, array.dtype)
    if must_be_finite:
        return require(array, finite, f"`{name}` must be finite.")
    return require(array, lambda v: abs(v) <= np.inf, f"`{name}` must not be NaN.")


def positive_number(
    value: ScalarLike, name: str, must_be_finite: bool = True
) -> Float[Array, ""]:
    """One number above zero."""
    array = number(value, name, must_be_finite)
    return require(array, lambda v: v > 0, f"`{name}` must be above zero.")
