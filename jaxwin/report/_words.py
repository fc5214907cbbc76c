"""Times in words: digits that follow the error, ranges, typographic signs."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

# A time as in `summary.json`: {value, stderr, low, high, found}, and perhaps `inside`.
Time = Mapping[str, Any]

# A space at which no line breaks.
FIXED = "\N{NO-BREAK SPACE}"
# Smaller numbers are written with a power of ten.
MOST_DECIMALS = 6


def with_error(value: float, stderr: float | None, decimals: int | None = None) -> str:
    """A number to two digits of its error; four significant digits without one."""
    error = stderr or 0.0
    if decimals is None:
        # An error below the fifth digit is rounding, not a statement.
        if error < 1e-5 * abs(value) or error == 0:
            return _typeset(f"{value:.4g}")
        decimals = max(0, 1 - math.floor(math.log10(error)))
        if decimals > MOST_DECIMALS:
            return _typeset(f"{value:.3g}{FIXED}±{FIXED}{error:.2g}")
    if error < 0.5 * 10.0**-decimals:
        return _typeset(f"{value:.{decimals}f}")
    return _typeset(f"{value:.{decimals}f}{FIXED}±{FIXED}{error:.{decimals}f}")


def reading(time: Time, clock: str = "ou") -> str:
    """A time on its clock in words: with error, or why there is none."""
    if not time["found"]:
        return f"not reached in {span(time)}" if clock == "ou" else "not reached"
    if not time.get("inside", True):
        return "outside this clock's range"
    decimals = 1 if clock.startswith("ddpm") else None
    return with_error(time["value"], time["stderr"], decimals)


def span(time: Time) -> str:
    """The range that was searched."""
    low = f"{time['low'] or 0:.3g}"
    high = "∞)" if time["high"] is None else f"{time['high']:.3g}]"
    return _typeset(f"[{low},{FIXED}{high}")


def interval(time: Time) -> str:
    """The 95 % interval, to the digits of the error; empty where there is none."""
    if not time["found"] or not time["stderr"]:
        return ""
    decimals = max(0, 1 - math.floor(math.log10(time["stderr"])))
    form = f".{decimals}f" if decimals <= MOST_DECIMALS else ".3g"
    return _typeset(f"{time['low']:{form}}{FIXED}to{FIXED}{time['high']:{form}}")


def symbol(key: str) -> str:
    """A time's name as it is printed: t_half with its index below, in HTML."""
    letter, _, index = key.partition("_")
    return f"{letter}<sub>{index}</sub>"


def subscripts(text: str) -> str:
    """Names such as t_half within plain text, with their indices below, as HTML."""
    return re.sub(r"\bt_(\w+)", r"t<sub>\1</sub>", text)


def listed(parts: Sequence[str]) -> str:
    """Parts as a sentence has them: a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def _typeset(text: str) -> str:
    """Signs and powers of ten as in print: 1e-07 is 1×10⁻⁷."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    power = lambda match: "×10" + str(int(match[1])).translate(raised)
    return re.sub(r"e([+-]\d+)", power, text).replace("-", "−")
