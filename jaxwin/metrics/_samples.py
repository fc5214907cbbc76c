"""Samples as a person hands them over, checked."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, finite, is_concrete, require
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray


def as_samples(value: AnyArray, name: str) -> Float[Array, "n d"]:
    """Rows of points; a list of numbers is points on the line.

    Raises:
        ValueError: Not an array of real numbers (n,) or (n, d), n < 2, or a concrete
            entry that is not finite.
    """
    array = finite_array(value, name)
    if array.ndim not in (1, 2) or array.size == 0 or array.shape[0] < 2:
        raise BadInput(
            f"`{name}` has shape {array.shape}; it must be at least 2 samples as rows, "
            f"(n, d), or numbers, (n,): reshape it, or draw more."
        )
    return array.reshape(array.shape[0], -1)


def as_line(value: AnyArray, name: str) -> Float[Array, " n"]:
    """Points on the line, (n,) or (n, 1).

    Raises:
        ValueError: As `as_samples`, or the points have more than one coordinate.
    """
    array = as_samples(value, name)
    if array.shape[1] != 1:
        raise BadInput(
            f"`{name}` has shape {array.shape}; it must be samples on the line, (n,): "
            f"take one coordinate, or `sliced_wasserstein`."
        )
    return array[:, 0]


def as_pair(
    x: AnyArray, y: AnyArray
) -> tuple[Float[Array, "n d"], Float[Array, "m d"]]:
    """Two samples in one space, in the wider of their types.

    Raises:
        ValueError: As `as_samples`, or the dimensions differ.
    """
    first, second = as_samples(x, "x"), as_samples(y, "y")
    if first.shape[1] != second.shape[1]:
        raise BadInput(
            f"`x` has shape {first.shape} and `y` {second.shape}; both must be rows of "
            f"points of one dimension: compare samples of the same space."
        )
    return same_type(first, second)


def same_type(x: Array, y: Array) -> tuple[Array, Array]:
    """Two arrays of floats in the wider of their types."""
    dtype = np.promote_types(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def finite_array(value: AnyArray, name: str) -> Array:
    """Real numbers as floats; concrete ones must be finite."""
    if jnp.iscomplexobj(value):
        raise BadInput(f"`{name}` is complex; it must be real: take parts of it.")
    array = as_float(value)
    if not is_concrete(array):
        return array
    message = f"`{name}` must be finite everywhere: drop rows with NaN or infinity."
    return require(array, finite, message)


def about_common_centre(
    x: Float[Array, "n d"], y: Float[Array, "m d"]
) -> tuple[Float[Array, "n d"], Float[Array, "m d"]]:
    """Both samples moved so that their means balance: nothing large is subtracted."""
    centre = (x.mean(0) + y.mean(0)) / 2
    return x - centre[None], y - centre[None]
