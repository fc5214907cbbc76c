"""Parameters and times of a process: one float dtype, that of the time."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import TimesLike


def as_float(value: TimesLike) -> Float[Array, "..."]:
    """Floating array of the dtype that came in; Python numbers stay weakly typed."""
    if isinstance(value, int | float):
        return jnp.asarray(float(value))
    array = jnp.asarray(value)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(jnp.result_type(float))


def like(value: TimesLike, t: Float[Array, "..."]) -> Float[Array, "..."]:
    """A parameter in the dtype of `t`; a weakly typed one of that dtype stays weak."""
    array = as_float(value)
    return array if array.dtype == t.dtype else array.astype(t.dtype)


def parameter(name: str, *, zero: bool = False) -> Callable[[Any], Array]:
    """Field converter: a finite scalar array, positive (or >= 0 with `zero`).

    A concrete value is looked at on the host, so that a process made inside `jit`
    from plain numbers adds no run-time check to the program.
    """
    sign = ">= 0" if zero else "positive"

    def convert(value: Any) -> Array:
        array = as_float(value)
        if array.shape != ():
            raise ValueError(
                f"`{name}` has shape {array.shape}; it must be one number. For many "
                f"processes at once, construct them under `eqx.filter_vmap`."
            )
        if not is_concrete(value):
            good = jnp.isfinite(array) & (array >= 0 if zero else array > 0)
            message = f"`{name}` must be finite and {sign}."
            return eqx.error_if(array, ~good, message)
        number = float(np.asarray(value))
        if not (np.isfinite(number) and (number >= 0 if zero else number > 0)):
            raise ValueError(f"`{name}` is {number:g}; it must be finite and {sign}.")
        return array

    return convert
