"""What tests of the closed forms share: printed digits, slopes, scipy's answers."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jax
import numpy as np
from scipy.optimize import minimize_scalar, root_scalar


def assert_printed(value, printed: str):
    """To 0.6 of the last printed digit."""
    rounding = 0.6 * 10.0 ** int(Decimal(printed).as_tuple().exponent)
    assert abs(float(value) - float(printed)) <= rounding, (float(value), printed)


def assert_slopes(function, *points, rtol=1e-6, step=1e-5):
    """Gradients of a function of numbers against central differences, at points."""
    value = jax.jit(function)
    slope = jax.jit(jax.grad(function, tuple(range(len(points[0])))))
    for point in points:
        for i, found in enumerate(slope(*point)):
            ends = [
                float(value(*point[:i], point[i] * (1 + h), *point[i + 1 :]))
                for h in (step, -step)
            ]
            expected = (ends[0] - ends[1]) / (2 * step * point[i])
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-9)


def root_of(function: Callable[[float], Any], low: float, high: float) -> float:
    """Where a function crosses zero, by scipy."""
    found: Any = root_scalar(function, bracket=(low, high), xtol=1e-14, rtol=1e-14)
    return float(found.root)


def minimum_of(
    function: Callable[[float], Any], low: float, high: float
) -> tuple[float, float]:
    """Place and value of a minimum between two ends, by scipy."""
    options = dict(xatol=1e-10 * high)
    found: Any = minimize_scalar(
        function, bounds=(low, high), method="bounded", options=options
    )
    return float(found.x), float(found.fun)
