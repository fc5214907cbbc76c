"""Which cases of a battery run every time, and which with the slow tests."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def some(names: Iterable[Any], fast: Iterable[Any]) -> list[Any]:
    """Parameters of a test; those not among `fast` are marked slow.

    For batteries whose every case compiles for seconds and goes the same way.
    """
    names, fast = list(names), list(fast)
    missing = [name for name in fast if name not in names]
    assert not missing, f"{missing} are no cases"
    return [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in fast))
        for name in names
    ]


def some_values(cases: Mapping[str, Any], fast: Iterable[str]) -> list[Any]:
    """The same of a mapping: its values, under the names of their keys."""
    named = zip(cases.items(), some(cases, fast), strict=True)
    return [pytest.param(v, id=k, marks=param.marks) for (k, v), param in named]
