"""Pairs of classes: when each separates, by every criterion, and which to believe."""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Int

from jaxwin.analysis import Crossing, speciation, unstack
from jaxwin.report._diagnose import Diagnosis, pair_key
from jaxwin.report._feature_times import FeatureTimes
from jaxwin.report._words import Time

# Under one half, most of a class difference lies outside the first direction.
LITTLE_OVERLAP = 0.5
# Fewer sampling errors, and the difference along it may be none.
SIGNIFICANT = 3.0


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two classes and when they separate, by every criterion that was measured.

    Attributes:
        first: Name of one class.
        second: Of the other.
        crossing: Where phi of the pair is 0.775, given these data.
        overlap: cos^2 of the first principal direction with the class difference.
        fresh: The same, with its error over fresh data.
        gaussian: The same for one Gaussian per class.
        general: The general-class times, from the first class and from the second.
        significance: The difference along that direction in its sampling errors.
    """

    first: str
    second: str
    crossing: Crossing
    overlap: float
    fresh: Crossing | None = None
    gaussian: Crossing | None = None
    general: tuple[Crossing, Crossing] | None = None
    significance: float = math.inf

    def __str__(self) -> str:
        return f"{self.first} and {self.second}"

    @functools.cached_property
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
        """Whether the first principal direction is mostly the class difference.

        And the difference along it is more than the sampling error of the class means:
        a wide direction of noise overlaps with every such difference.
        """
        return self.overlap >= LITTLE_OVERLAP and self.significance >= SIGNIFICANT


def pairs_of(diagnosis: Diagnosis) -> list[Pair]:
    """Pairs of classes of the first feature, the first to separate at the head."""
    return pairs_in(diagnosis.features[0]) if diagnosis.features else []


def pairs_in(feature: FeatureTimes) -> list[Pair]:
    """Pairs of classes, those that separate first (most noise) at the head."""
    agreement, names = feature.agreement, feature.classes
    if agreement is None or agreement.pairs is None:
        return []
    overlap = np.asarray(feature.class_direction_overlap)[..., 0]
    times, again = unstack(agreement.pairs.crossing), agreement.pairs.fresh
    fresh = unstack(again) if again is not None else [None] * len(times)
    gaussian, general = _gaussian(feature.gaussian), _general(feature.general)
    found = []
    for p, key in enumerate(_keys(agreement.pairs.pair)):
        a, b = key
        found.append(
            Pair(
                names[a],
                names[b],
                times[p],
                float(overlap[key]),
                fresh[p],
                gaussian.get(key),
                general.get(key),
                float(feature.class_direction_z[key]),
            )
        )
    late = lambda pair: pair.time["value"] if pair.time["found"] else -math.inf
    return sorted(found, key=late, reverse=True)


def _gaussian(
    agreement: speciation.CloneAgreement | None,
) -> dict[tuple[int, int], Crossing]:
    """Crossings of the Gaussian-per-class law, by pair."""
    if agreement is None or agreement.pairs is None:
        return {}
    pairs = agreement.pairs
    return dict(zip(_keys(pairs.pair), unstack(pairs.crossing), strict=True))


def _general(
    times: speciation.GeneralClassTimes | None,
) -> dict[tuple[int, int], tuple[Crossing, Crossing]]:
    """General-class times from both sides, by pair."""
    if times is None:
        return {}
    both = [(first, second) for first, second in map(unstack, unstack(times.crossing))]
    return dict(zip(_keys(times.pair), both, strict=True))


def _keys(pairs: Int[np.ndarray, "p 2"]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in pairs.tolist()]
