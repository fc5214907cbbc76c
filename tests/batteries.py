"""Which cases of a battery run every time, and which with the slow tests."""

from collections.abc import Iterable
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
