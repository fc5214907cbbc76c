"""Argument checks in one message style: what it was, what it must be, what to do."""

from collections.abc import Callable, Collection
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class BadInput(ValueError):
    """A mistake in what a person handed over: one line on the command line."""


def is_concrete(*values: Any) -> bool:
    """Whether every value can be looked at now, that is outside a trace."""
    leaves = jax.tree.leaves(values)
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def require(value: Array, test: Callable[[Any], Any], message: str) -> Array:
    """Return `value` if it passes; else ValueError, or a run-time error under a trace.

    Args:
        value: What is checked.
        test: Takes `value` and returns what must be true everywhere, written so that
            NaN fails it, in operators and methods that numpy shares: a concrete value
            comes as a numpy array, for each operation of jax alone is a compilation.
        message: One sentence with the remedy.

    Raises:
        ValueError: The test fails on concrete values.
    """
    holds = test(np.asarray(value) if is_concrete(value) else value)
    if not is_concrete(value, holds):
        return eqx.error_if(value, ~jnp.all(holds), message)
    if not np.all(holds):
        raise ValueError(message)
    return value


def finite(value: Any) -> Any:
    """Where an array of numpy or jax is finite."""
    return abs(value) < np.inf


def non_negative(name: str) -> Callable[[Array], Array]:
    """Field converter that rejects entries < 0, NaN and infinity."""

    def check(value: Array) -> Array:
        test = lambda value: finite(value) & (value >= 0)
        message = f"`{name}` must be finite and >= 0 everywhere."
        return require(jnp.asarray(value), test, message)

    return check


def check_one_of(value: str, allowed: Collection[str], name: str) -> None:
    """Raise BadInput unless `value` is one of `allowed`."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise BadInput(f"`{name}` is {value!r}; it must be one of {choices}.")


def check(value: Any, test: Callable[[np.ndarray], Any], name: str, must: str) -> None:
    """Raise ValueError unless a concrete `value` passes everywhere; NaN must fail.

    Args:
        value: A number or an array; a traced one is not looked at.
        test: What must be true of it, elementwise.
        name: Of the argument.
        must: What it must be and what to do, the end of the sentence.
    """
    if not is_concrete(value):
        return
    array = np.atleast_1d(np.asarray(value))
    wrong = array[~np.broadcast_to(test(array), array.shape)]
    if wrong.size:
        raise ValueError(f"`{name}` is {wrong[0]:g}; it must be {must}.")


def positive(value: np.ndarray) -> np.ndarray:
    """Finite and above zero."""
    return (value > 0) & (value < np.inf)


def not_negative(value: np.ndarray) -> np.ndarray:
    """Finite and not below zero."""
    return (value >= 0) & (value < np.inf)


def fraction(value: np.ndarray) -> np.ndarray:
    """Strictly between zero and one."""
    return (value > 0) & (value < 1)


def unit_interval(value: np.ndarray) -> np.ndarray:
    """From zero to one, both allowed."""
    return (value >= 0) & (value <= 1)


def check_positive(value: float, name: str) -> None:
    """Raise ValueError unless the concrete number `value` is finite and > 0."""
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` is {value}; it must be finite and positive.")


def check_point(x: Array, dimension: int) -> None:
    """Raise ValueError unless `x` is one point; a shorter one would broadcast."""
    if x.shape != (dimension,):
        raise ValueError(
            f"`x` has shape {x.shape}; a law in {dimension} dimensions takes one point "
            f"of shape ({dimension},): use `jax.vmap` for many."
        )


def check_curve(noises: np.ndarray, name: str) -> None:
    """Raise ValueError unless `noises` increase strictly and are at least 4."""
    if noises.ndim != 1 or noises.size < 4 or not np.all(np.diff(noises) > 0):
        raise ValueError(
            f"`{name}` has shape {noises.shape}; it must be a list of at least 4 "
            f"strictly increasing times: sort it, or take numpy.linspace."
        )


def check_decreasing(times: np.ndarray, name: str) -> None:
    """Raise ValueError unless `times` decrease strictly."""
    bad = np.flatnonzero(~(np.diff(times) < 0))
    if bad.size:
        i = int(bad[0])
        raise ValueError(
            f"`{name}` must decrease strictly: entries {i} and {i + 1} are "
            f"{times[i]:g} and {times[i + 1]:g}; reverse the grid, or drop repeated "
            f"times."
        )
