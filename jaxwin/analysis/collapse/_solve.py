"""Roots of the room: where an increasing function vanishes, differentiable."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis._root import bracketed_root

# Share of the float type's range of logarithms that is searched for a root.
SEARCHED = 0.9


def log_range(dtype: jnp.dtype) -> Array:
    """The largest logarithm that is searched in a float type."""
    return SEARCHED * jnp.log(jnp.asarray(jnp.finfo(dtype).max, dtype))


@eqx.filter_jit
def time_at(
    information: Callable[[Array, Any], Array], law: PyTree[Array], level: Array
) -> Crossing:
    """The OU time at which information(log_snr, law) = level, by bisection.

    Differentiable in `law` and `level`. Not found where the level is not reached within
    the range of the float type. Hand in a function that lives on, not a closure made
    for the call: each new one is compiled.
    """
    gap = lambda log_snr, args: information(log_snr, args[0]) - args[1]
    highest = log_range(level.dtype)
    args = law, level
    found = (gap(-highest, args) < 0) & (gap(highest, args) > 0)
    # Where nothing crosses, solve something that does: a masked branch stays finite.
    safe = lambda log_snr, args: jnp.where(found, gap(log_snr, args), log_snr)
    log_snr = bracketed_root(safe, -highest, highest, args)
    return exact(0.5 * jnp.log1p(jnp.exp(-log_snr)), found)
