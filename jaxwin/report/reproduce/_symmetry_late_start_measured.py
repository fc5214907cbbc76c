"""Late starts on five laws: exact, by sweeps, and chosen by a bound."""

import dataclasses
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import Crossing, late_start
from jaxwin.analysis.late_start._over_starts import OverStarts, jackknife
from jaxwin.analysis.symmetry import predicted_time
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._late_start_laws import (
    DIGITS,
    PATTERNS,
    PROBLEM,
    SQUARE,
    TABLE,
    THREE,
    TWO,
    WITHIN,
    digits_law,
    patterns,
    problem,
    three_components,
    two_clusters,
)
from jaxwin.samplers import DDIM
from jaxwin.targets import AbstractLabelledTarget

STEPS = 10
# Of three components: few steps, and so many that hardly any of their error is left.
FEW_STEPS, MORE_STEPS = 5, 40
METRICS = ("frechet", "energy")
# Equal steps, as an elbow needs them.
EXACT, DRAWN = np.arange(49.0, 999.0, 5.0), np.arange(49.0, 999.0, 25.0)
COARSE, SWEPT = np.arange(99.0, 950.0, 50.0), np.arange(99.0, 950.0, 25.0)
ELBOW_STEP = 100.0
# Of three components: more samples in larger batches, as its energies are near zero.
NEAR = np.arange(149.0, 525.0, 25.0)
MANY, MANY_BATCH = 4, 2048


@dataclasses.dataclass(frozen=True)
class Late:
    """One law: exact starts and sweeps by kind, and what is chosen of them.

    exact: the law of both starts, by kind. vanilla: its sweep, on the random numbers of
    that in `agreed`. elbow: of the sweep's Frechet distances, the published rule.
    critical: of the symmetric law of two clusters alone. steps: energy distances of the
    Gaussian start with other numbers of steps, on the same starts.
    """

    exact: dict[str, late_start.StartLaw]
    vanilla: late_start.StartSweep
    agreed: late_start.Agreement
    elbow: Crossing
    critical: Crossing | None = None
    steps: dict[int, late_start.StartSweep] = dataclasses.field(default_factory=dict)

    @property
    def error(self) -> np.ndarray:
        """Class weight misplaced by the vanilla start, exactly continued."""
        classes = self.exact["vanilla"].classes
        assert classes is not None, "a law without labels"
        return classes.error


def laws(quick: bool) -> dict[str, AbstractLabelledTarget]:
    """Five laws; two where few programs may be compiled."""
    found: dict[str, AbstractLabelledTarget] = {
        TWO: two_clusters(),
        THREE: three_components(),
    }
    if quick:
        return found
    return found | {PROBLEM: problem(), PATTERNS: patterns(), DIGITS: digits_law()}


def measure(
    name: str, law: AbstractLabelledTarget, measuring: Measuring, key: Key
) -> Late:
    """All of one law."""
    law_key, own_key = jr.split(key)
    times = EXACT if name == TWO else DRAWN
    draws: dict[str, Any] = {"num_replicas": measuring.count}
    exact = {
        kind: late_start.law(law, TABLE, times, start=kind, key=law_key, **draws)
        for kind in late_start.KINDS
    }
    starts = COARSE if measuring.quick or name == DIGITS else SWEPT
    if name == THREE and not measuring.quick:
        starts = NEAR
    options = _options(name, measuring)
    agreed = late_start.agreement(
        law, TABLE, DDIM(), STEPS, starts, key=own_key,
        choice={"times": times} | draws, **options,
    )  # fmt: skip
    # As `agreement` splits it: the same random numbers.
    options |= {"key": jr.split(own_key)[1]}
    again = agreed.sweep.start
    vanilla = late_start.sweep(
        law, TABLE, DDIM(), STEPS, again, kind="vanilla", **options
    )
    steps = {}
    if name == THREE:
        for n in (MORE_STEPS,) if measuring.quick else (FEW_STEPS, MORE_STEPS):
            steps[n] = late_start.sweep(law, TABLE, DDIM(), n, again, **options)
    # As published, on steps of 100: the noise of finer ones would bend more.
    rough = starts[:: round(ELBOW_STEP / (starts[1] - starts[0]))]
    frechet = vanilla.measured("frechet").value[np.isin(again, rough)]
    return Late(
        exact=exact,
        vanilla=vanilla,
        agreed=agreed,
        elbow=late_start.elbow(rough, frechet),
        critical=predicted_time(SQUARE, TABLE, within=WITHIN) if name == TWO else None,
        steps=steps,
    )


def _options(name: str, measuring: Measuring) -> dict[str, Any]:
    samples = measuring.count // 2
    options: dict[str, Any] = {"metrics": METRICS, "num_samples": samples}
    if name == DIGITS:
        options["num_samples"] = samples // 4
    if name == THREE and not measuring.quick:
        options |= {"num_samples": MANY * samples, "batch": MANY_BATCH}
    if measuring.stage is not None:
        options["progress"] = measuring.stage(name)
    return options


def root(energy: OverStarts) -> tuple[np.ndarray, np.ndarray]:
    """sqrt(max(energy, 0)) at each start with its jackknife error, as `Agreement`'s."""
    replicate: Float[np.ndarray, "r s"] = energy.replicate
    rooted = lambda means: np.sqrt(np.maximum(means, np.finfo(float).tiny))
    left_out = rooted((replicate.sum(axis=0) - replicate) / (len(replicate) - 1))
    return rooted(energy.value), np.array([jackknife(one) for one in left_out.T])
