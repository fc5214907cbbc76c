"""What a diagnosis says, in the order and the words in which it is told."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxwin.analysis import Crossing
from jaxwin.report._diagnose import Diagnosis
from jaxwin.report._pairs import Pair as Pair, pairs_of as pairs_of
from jaxwin.report._schedules import schedule
from jaxwin.report._summary import summary
from jaxwin.report._words import FIXED as FIXED, Time as Time, reading as reading

# What each criterion is, in HTML.
COLLAPSE = {
    "t_half": "half of the clones come back to their own point, E[w<sub>own</sub>] = ½",
    "t_rest": "the other points weigh as much as the own one, E[log(rest / own)] = 0",
    "t_log2": "the excess entropy d·f has fallen to log 2",
    "t_gauss": "a Gaussian law of this covariance would carry log n of information",
}
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
# Relative difference of two criteria that are said to agree.
AGREES = 0.1
CLOCKS = {
    "ou": "OU time t",
    "ddpm_linear": "DDPM-1000 linear, i",
    "ddpm_cosine": "DDPM-1000 cosine, i",
    "edm_sigma": "EDM σ",
    "flow_u": "flow u",
}

# Weight of the own point from which on a separation may be that of copies.
MEMORY = 0.1


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

    @functools.cached_property
    def key_times(self) -> dict[str, float]:
        """The times of the pictures, by name."""
        return key_times(self.diagnosis, self.pairs)

    @functools.cached_property
    def schedule(self) -> dict[str, Any]:
        """The advice on the clocks of samplers, as in `schedule.json`."""
        return schedule(self.diagnosis.advice)

    @property
    def left_out(self) -> int:
        """Pairs of classes that were not measured, for want of draws."""
        count = len(self.diagnosis.classes)
        return count * (count - 1) // 2 - len(self.pairs)

    @functools.cached_property
    def reached(self) -> list[Pair]:
        """Pairs whose separation was found, in the same order."""
        return [pair for pair in self.pairs if pair.time["found"]]

    @property
    def means_differ(self) -> bool:
        """Whether class means differ; else no direction is that of a difference."""
        times = self.diagnosis.t_S
        return bool(times.between_class_eigenvalue > 1e-12 * times.top_eigenvalue)

    @property
    def not_dated(self) -> list[Pair]:
        """Pairs that the first principal direction does not date."""
        if not self.means_differ:
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
        marks = list(self.collapse.values())
        complete = len(marks) == len(COLLAPSE)
        if not complete or len(self.reached) < len(self.pairs):
            return "unknown"
        found = {verdict for mark in marks for verdict in self.verdicts(mark)}
        if not found:
            return "unknown"
        return found.pop() if len(found) == 1 else "mixed"

    def verdicts(self, mark: Time) -> list[str]:
        """What comes first, of every pair that separates; without classes, of t_S."""
        if not self.has_classes:
            return [compare(self.numbers["t_S"]["spectrum_plus_one"], mark)]
        return [self.verdict(pair, mark) for pair in self.reached]

    def verdict(self, pair: Pair, mark: Time) -> str:
        """What comes first of one pair.

        The own point is in t_phi. Where it weighs much at the separation, clones may
        agree because they are copies: that is no separation before collapse, unless
        Gaussian classes, which know no points, are apart there too.
        """
        found = compare(pair.time, mark)
        if found != "speciation" or not self.is_remembered(pair):
            return found
        apart = None if pair.gaussian is None else pair.gaussian.to_json()
        alone = apart is not None and apart["found"] and compare(apart, mark) == found
        return found if alone else "mixed"

    def is_remembered(self, pair: Pair) -> bool:
        """Whether the own point weighs more than a tenth where the pair separates."""
        curve = self.diagnosis.collapse
        own = np.interp(float(pair.crossing.time), curve.noise, curve.own_weight)
        return bool(own > MEMORY)

    def believe(self, pair: Pair) -> str:
        """Which criterion to believe for a pair, in HTML."""
        copies = self.numbers["t_half"]
        if not pair.time["found"]:
            return "none: t<sub>φ</sub> is not reached"
        if copies["found"] and self.verdict(pair, copies) != "speciation":
            if pair.gaussian is not None and bool(pair.gaussian.found):
                return "Gaussian per class: t<sub>φ</sub> is set by collapse"
            return "t<sub>φ</sub>, for these very points: it is set by collapse"
        if not self.means_differ:
            return "t<sub>φ</sub>"
        if pair.is_dated_by_spectrum:
            spectrum = self.numbers["t_S"]["spectrum_plus_one"]["value"]
            near = abs(spectrum / pair.time["value"] - 1) < AGREES
            also = "agrees" if near else "is along this split but differs"
            return f"t<sub>φ</sub>; t<sub>S</sub> {also}"
        return "t<sub>φ</sub>, not t<sub>S</sub>"


def facts(diagnosis: Diagnosis, numbers: Mapping[str, Any] | None = None) -> Facts:
    """The facts of a diagnosis; `numbers` is its summary, if it is at hand."""
    return Facts(diagnosis, summary(diagnosis) if numbers is None else numbers)


def compare(time: Time, mark: Time) -> str:
    """Say which of speciation and collapse comes first, their intervals apart."""
    if time["low"] > mark["high"]:
        return "speciation"
    return "collapse" if time["high"] < mark["low"] else "mixed"


def separations(diagnosis: Diagnosis) -> Crossing:
    """When structure appears: the times of all pairs, or of the widest direction."""
    agreement = diagnosis.agreement
    if agreement is None or agreement.pairs is None:
        return diagnosis.t_S.spectrum_plus_one
    return agreement.pairs.crossing


def agreement_name(number: int) -> str:
    """The figure of phi of a label column, counted from 1."""
    return "agreement" if number == 1 else f"agreement_{number}"


def key_times(diagnosis: Diagnosis, pairs: Sequence[Pair]) -> dict[str, float]:
    """Up to three times worth a picture, by name, from little noise to much.

    Args:
        diagnosis: Of the data.
        pairs: `pairs_of(diagnosis)`.
    """
    found = {"t_half": diagnosis.collapse.t_half}
    apart = [pair.crossing for pair in pairs if pair.time["found"]]
    if len(apart) == 1:
        found["t_φ"] = apart[0]
    elif apart:
        found |= {"last t_φ": apart[-1], "first t_φ": apart[0]}
    if len(found) < 3:
        found["t_S"] = diagnosis.t_S.spectrum_plus_one
    times = {name: float(time.time) for name, time in found.items() if bool(time.found)}
    return dict(sorted(times.items(), key=lambda item: item[1]))
