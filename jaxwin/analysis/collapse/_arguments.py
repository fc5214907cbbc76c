"""Numbers as a person hands them over: checked where concrete, floats of one type."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check, is_concrete, not_negative, positive
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
        check(value, positive, name, "finite and > 0")


def check_not_negative(**values: AnyArray) -> None:
    """Raise ValueError unless concrete values are finite and >= 0."""
    for name, value in values.items():
        check(value, not_negative, name, "finite and >= 0")


def check_several(num_points: AnyArray) -> None:
    """Raise ValueError unless a concrete number of data points is 2 or more."""
    test = lambda n: (n >= 2) & (n < np.inf)
    check(num_points, test, "num_points", "at least 2: take more data")


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
        check(eigenvalues, test, "eigenvalues", "finite and >= 0: of a covariance")
    # Not `maximum`, which halves the gradient at zero.
    return jnp.where(eigenvalues < 0, 0, eigenvalues)
