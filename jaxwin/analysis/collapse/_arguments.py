"""Numbers as a person hands them over: checked where concrete, floats of one type."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import AnyArray


def floats(*values: AnyArray) -> list[Array]:
    """Arrays of one float type: that of the arrays of floats among them, if any."""
    # A float of numpy is as weak as one of Python.
    plain = [float(v) if isinstance(v, float) else v for v in values]
    arrays = [jnp.asarray(v) if isinstance(v, Sequence) else v for v in plain]
    kinds = [v for v in arrays if jnp.issubdtype(jnp.result_type(v), np.floating)]
    dtype = jnp.result_type(*kinds) if kinds else jnp.result_type(float)
    return [jnp.asarray(value).astype(dtype) for value in arrays]


def check_positive(**values: AnyArray) -> None:
    """Raise ValueError unless concrete values are finite and > 0."""
    for name, value in values.items():
        _check(value, name, "finite and > 0", lambda v: (v > 0) & (v < np.inf))


def check_not_negative(**values: AnyArray) -> None:
    """Raise ValueError unless concrete values are finite and >= 0."""
    for name, value in values.items():
        _check(value, name, "finite and >= 0", lambda v: (v >= 0) & (v < np.inf))


def check_several(num_points: AnyArray) -> None:
    """Raise ValueError unless a concrete number of data points is 2 or more."""
    test = lambda n: (n >= 2) & (n < np.inf)
    _check(num_points, "num_points", "at least 2: take more data", test)


def spectrum(eigenvalues: Float[Array, " d"]) -> Float[Array, " d"]:
    """Eigenvalues of a covariance with rounding below zero taken off.

    Raises:
        ValueError: A concrete one is below zero by more than rounding, or not finite.
    """
    if is_concrete(eigenvalues):
        values = np.asarray(eigenvalues)
        rounding = 64 * float(jnp.finfo(values.dtype).eps) * values.size
        lowest = -rounding * np.max(np.abs(values), initial=0)
        test = lambda e: (e >= lowest) & (e < np.inf)
        _check(
            eigenvalues, "eigenvalues", "finite and >= 0: those of a covariance", test
        )
    # Not `maximum`, which halves the gradient at zero.
    return jnp.where(eigenvalues < 0, 0, eigenvalues)


def _check(value: AnyArray, name: str, wanted: str, test) -> None:
    if is_concrete(value):
        array = np.atleast_1d(np.asarray(value))
        wrong = array[~test(array)]
        if wrong.size:
            raise ValueError(f"`{name}` is {wrong[0]:g}; it must be {wanted}.")
