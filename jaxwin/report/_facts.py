"""What a diagnosis says, in the order and the words in which it is told."""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxwin.analysis import Crossing
from jaxwin.report._diagnose import Diagnosis, pair_key
from jaxwin.report._summary import summary

# A time as in `summary.json`: {value, stderr, low, high, found}, and perhaps `inside`.
Time = Mapping[str, Any]

# What each criterion is, in HTML.
COLLAPSE = {
    "t_half": "half of the clones come back to their own point, E[w<sub>own</sub>] = ½",
    "t_rest": "the other points weigh as much as the own one, E[log(rest / own)] = 0",
    "t_log2": "the excess entropy d·f has fallen to log 2",
    "t_gauss": "a Gaussian law of this covariance would carry log n of information",
}
# A space at which no line breaks.
FIXED = "\N{NO-BREAK SPACE}"
CONVENTIONS = {
    key: formula.replace(" ", FIXED)
    for key, formula in (
        ("spectrum_plus_one", "½ log(1 + Λ)"),
        ("spectrum", "½ log Λ"),
        ("mean", "½ log B"),
        ("curvature", "½ log(B + 1 − uᵀWu)"),
        ("potential", "½ log 2B"),
        ("scale", "½ log d"),
    )
}
CLOCKS = {
    "ou": "OU time t",
    "ddpm_linear": "DDPM-1000 linear, i",
    "ddpm_cosine": "DDPM-1000 cosine, i",
    "edm_sigma": "EDM σ",
    "flow_u": "flow u",
}
# Under one half, most of a class difference lies outside the first direction.
LITTLE_OVERLAP = 0.5
# Smaller numbers are written with a power of ten.
MOST_DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two classes, when they separate, and cos^2 of the first direction with them."""

    first: str
    second: str
    crossing: Crossing
    overlap: float

    def __str__(self) -> str:
        return f"{self.first} and {self.second}"

    @property
    def time(self) -> Time:
        """When it separates."""
        return self.crossing.to_json()

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.first} | {self.second}"

    @property
    def key(self) -> str:
        """Its name among the times of a clock."""
        return f"t_phi {pair_key(self.first, self.second)}"

    @property
    def is_dated_by_spectrum(self) -> bool:
        """Whether the first principal direction is mostly the class difference."""
        return self.overlap >= LITTLE_OVERLAP


@dataclasses.dataclass(frozen=True)
class Facts:
    """A diagnosis and its summary, and what follows from them."""

    diagnosis: Diagnosis
    numbers: Mapping[str, Any]

    @functools.cached_property
    def pairs(self) -> list[Pair]:
        """Pairs of classes, those that separate first (most noise) at the head."""
        return pairs_of(self.diagnosis)

    @property
    def has_classes(self) -> bool:
        """Whether there are classes to separate."""
        return self.diagnosis.agreement is not None

    @property
    def left_out(self) -> int:
        """Pairs of classes that were not measured, for want of draws."""
        count = len(self.diagnosis.classes)
        return count * (count - 1) // 2 - len(self.pairs)

    @property
    def reached(self) -> list[Pair]:
        """Pairs whose separation was found, in the same order."""
        return [pair for pair in self.pairs if pair.time["found"]]

    @property
    def not_dated(self) -> list[Pair]:
        """Pairs that the first principal direction does not date.

        None where the class means coincide: there is no difference to overlap with.
        """
        times = self.diagnosis.t_S
        if not times.between_class_eigenvalue > 1e-12 * times.top_eigenvalue:
            return []
        return [pair for pair in self.pairs if not pair.is_dated_by_spectrum]

    @property
    def collapse(self) -> dict[str, Time]:
        """The four collapse times that were found."""
        return {k: self.numbers[k] for k in COLLAPSE if self.numbers[k]["found"]}

    def order(self) -> str:
        """What comes first from noise to data, by every criterion.

        "speciation", "collapse", "mixed", or "unknown" where a time is missing.
        """
        times = [pair.time for pair in self.reached]
        if not self.has_classes:
            times = [self.numbers["t_S"]["spectrum_plus_one"]]
        marks = list(self.collapse.values())
        complete = len(marks) == len(COLLAPSE)
        if not times or not complete or len(self.reached) < len(self.pairs):
            return "unknown"
        verdicts = {compare(time, mark) for time in times for mark in marks}
        return verdicts.pop() if len(verdicts) == 1 else "mixed"


def facts(diagnosis: Diagnosis, numbers: Mapping[str, Any] | None = None) -> Facts:
    """The facts of a diagnosis; `numbers` is its summary, if it is at hand."""
    return Facts(diagnosis, summary(diagnosis) if numbers is None else numbers)


def pairs_of(diagnosis: Diagnosis) -> list[Pair]:
    """Pairs of classes, those that separate first (most noise) at the head."""
    agreement, names = diagnosis.agreement, diagnosis.classes
    if agreement is None or agreement.pairs is None:
        return []
    overlap = np.asarray(diagnosis.class_direction_overlap)[..., 0]
    pairs = []
    for p, (a, b) in enumerate(agreement.pairs.pair):
        crossing = jax.tree.map(lambda leaf, p=p: leaf[p], agreement.pairs.crossing)
        pairs.append(Pair(names[a], names[b], crossing, float(overlap[a, b])))
    late = lambda pair: pair.time["value"] if pair.time["found"] else -math.inf
    return sorted(pairs, key=late, reverse=True)


def compare(time: Time, mark: Time) -> str:
    """Say which of speciation and collapse comes first, their intervals apart."""
    if time["low"] > mark["high"]:
        return "speciation"
    return "collapse" if time["high"] < mark["low"] else "mixed"


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


def listed(parts: Sequence[str]) -> str:
    """Parts as a sentence has them: a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def _typeset(text: str) -> str:
    """Signs and powers of ten as in print: 1e-07 is 1×10⁻⁷."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    power = lambda match: "×10" + str(int(match[1])).translate(raised)
    return re.sub(r"e([+-]\d+)", power, text).replace("-", "−")
