"""A root in a bracket, differentiable in what it depends on."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optimistix as optx
from jaxtyping import Array, Float

# From a bracket 1e8 times wider than the root down to neighbouring float64 numbers.
STEPS = 96


@eqx.filter_jit
def bracketed_root(
    residual: Callable[[Array, Any], Array],
    low: Float[Array, ""],
    high: Float[Array, ""],
    args: Any,
) -> Float[Array, ""]:
    """The x with residual(x, args) = 0, negative at `low` and positive at `high`.

    By bisection to the last bit; gradients in `args` by the implicit function theorem.
    Compiled once for a function that has a name.
    """
    low, high = jax.lax.stop_gradient((low, high))
    # No tolerance ends it early: a residual may be flat, and steps cost nothing.
    solver = optx.Bisection(rtol=0.0, atol=0.0, flip=False)
    solution = optx.root_find(
        residual,
        solver,
        low + (high - low) / 2,
        args,
        dict(lower=low, upper=high),
        max_steps=STEPS,
        throw=False,
    )
    return solution.value
