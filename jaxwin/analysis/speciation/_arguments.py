"""Arguments of the closed forms: concrete values are looked at, traced ones are not."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxwin._checks import is_concrete


def check(value: Any, test: Callable[[np.ndarray], Any], name: str, must: str) -> None:
    """Raise ValueError unless the concrete `value` passes everywhere; NaN must fail.

    Args:
        value: A number or an array.
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
