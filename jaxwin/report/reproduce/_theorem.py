"""The theorem on a law: how far a U-turn ends from its target, and what bounds it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.plots import certificate as certificate_figure
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report.reproduce._comparison import (
    OU_TIME,
    SOURCE,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import GaussianMixture

MEANS = (19.0, 21.0, -20.0)
INITIAL, TARGET, EVERYTHING = [0], [0, 1], [0, 1, 2]
EPSILON = 0.1
# Beside these both thresholds, which are solved for.
TIMES = (0.5, 1.0, 1.9, 2.5, 3.0, 3.5, 4.0)
FINE = np.linspace(0.1, 5, 41)
TURNED = {"to target": TARGET, "to start": INITIAL, "to all": EVERYTHING}
INSIDE, LEAK, UPPER, LOWER = "inside", "leak", "U(T)", "lower"


def law() -> GaussianMixture:
    """Three equal components on a line, two of them near each other."""
    return GaussianMixture.isotropic([[mean] for mean in MEANS], 1.0)


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """By quadrature: distances of the U-turn's law, and what bounds the first."""
    found: dict[str, Any] = {
        name: windows.uturn_distance(law(), INITIAL, other, times).value
        for name, other in TURNED.items()
    }
    bounds = windows.certificate(law(), INITIAL, TARGET, times)
    parts = bounds.intra, bounds.leak, bounds.upper, bounds.lower
    return found | dict(zip((INSIDE, LEAK, UPPER, LOWER), parts, strict=True))


def measure(
    measuring: Measuring, times: Float[np.ndarray, " t"]
) -> tuple[Comparison, windows.UturnDistance]:
    """The certificate by soft labels; the distance itself between two bounds."""
    keys = measuring.keys(2)
    seen = Observed(law(), Gaussian())
    options = measuring.options("certificate", keys[0])
    bounds = windows.sampled_certificate(seen, INITIAL, TARGET, times, **options)
    sampled = {UPPER: (bounds.upper, bounds.error)}
    between = windows.uturn_distance(
        law(),
        INITIAL,
        TARGET,
        times,
        method="sampled",
        **measuring.options("U-turn", keys[1]),
    )
    method = "overlaps and leaks by soft labels of noised points"
    found = compare(times, FINE, known, sampled, measuring.count, method)
    return found, between


def _study(measuring: Measuring) -> Study:
    limits = windows.thresholds(law(), INITIAL, TARGET, EPSILON)
    best = windows.best_time(law(), INITIAL, TARGET)
    ends = {"T_end": limits.end, "T_start": limits.start, "best_T": best.time}
    at = {key: float(time.time) for key, time in ends.items()}
    times = np.sort([*TIMES, *at.values()])
    found, between = measure(measuring, times)
    closed = windows.certificate(law(), INITIAL, TARGET, times, closed=True)
    to_target = found.exact("to target")
    inside = (times >= at["T_end"]) & (times <= at["T_start"])
    largest = float(to_target[inside].max())
    bound = float(limits.bound)
    summary: dict[str, Any] = {key: time.to_json() for key, time in ends.items()}
    summary |= {
        "epsilon": EPSILON,
        "weight_ratio": float(limits.weight_ratio),
        "bound": bound,
        "answer": limits.answer,
        "largest_inside": largest,
        "best_upper": float(best.upper),
        "closed": [
            {"noise": float(time), "upper": float(upper)}
            for time, upper in zip(times, np.asarray(closed.upper), strict=True)
        ],
        "sandwich": [
            dict(
                zip(("noise", "lower", "upper", "stderr"), map(float, row), strict=True)
            )
            for row in zip(
                times, between.lower, between.upper, between.error, strict=True
            )
        ],
    }
    marks = [("T_end", at["T_end"]), ("T_start", at["T_start"])]
    line = windows.certificate(law(), INITIAL, TARGET, FINE)
    exact = windows.UturnDistance(
        "quadrature", times, to_target, to_target, to_target, np.zeros(times.size)
    )
    return suite_study(
        ENTRY.name,
        {"comparison": found, "sandwich": between, "closed": closed},
        summary,
        {
            "certificate": certificate_figure(line, exact),
            "distances": drawn(
                found,
                OU_TIME,
                "total variation of the U-turn",
                list(TURNED),
                marks=marks,
                levels=[("the theorem's bound", bound)],
            ),
            "bounds": drawn(
                found, OU_TIME, "probability", [INSIDE, LEAK, UPPER], marks=marks
            ),
        },
        comparison_table(
            f"U-turns from {MEANS[0]:g} into {{{MEANS[0]:g}, {MEANS[1]:g}}} of three",
            "T",
            found,
            f"T in [{at['T_end']:.6f}, {at['T_start']:.6f}] at ε = {EPSILON:g}: at "
            f"most {bound:.6f} from the target by the theorem, {largest:.6f} in truth; "
            f"smallest U = {float(best.upper):.7f} at T = {at['best_T']:.5f}.",
            [*TURNED, LEAK, UPPER],
        ),
    )


ENTRY = Entry(
    name="critical-windows-theorem",
    title="A U-turn's law against its target: certificate, bounds, best T, the theorem",
    source=f"{SOURCE}, Theorem 2",
    published="none available",
    make=_study,
)
