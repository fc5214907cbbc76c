"""The score gap along a path, the fall of KL it equals, and the class rate."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import information, windows
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report.reproduce._comparison import (
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import GaussianMixture

NORM, DIMENSION = 3.0, 4
TIMES = np.array([0, 0.25, 0.5, 1, 1.5, 2, 3, 4])
FINE = np.linspace(0, 4.5, 46)
GAP, PATH, DROP, RATE = "score gap", "its integral", "drop of KL", "class rate"
BOUND, TURN = "bound", "TV, U-turn"


def law() -> GaussianMixture:
    """Two equal components at +-mu, |mu| = 3, along the diagonal."""
    diagonal = np.full((DIMENSION, 1), DIMENSION**-0.5)
    return windows.hypercube([NORM], basis=diagonal)


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """Both sides by quadrature, and what the drop certifies of the U-turn."""
    both = information.score_gap(law(), 0, times)
    return {
        GAP: both.gap,
        PATH: both.path,
        DROP: both.drop,
        RATE: information.class_rate(law(), times).rate,
        BOUND: both.bound,
        TURN: windows.uturn_distance(law(), 0, 0, times).value,
    }


def measure(measuring: Measuring) -> Comparison:
    """Both sides by the same draws, each with its error."""
    keys = measuring.keys(2)
    options = measuring.options("score gap", keys[0])
    both = information.score_gap(law(), 0, TIMES, method="sampled", **options)
    options = measuring.options("class rate", keys[1])
    rate = information.class_rate(law(), TIMES, method="sampled", **options)
    sampled = {
        GAP: (both.gap, both.gap_error),
        PATH: (both.path, both.path_error),
        DROP: (both.drop, both.drop_error),
        RATE: (rate.rate, rate.stderr),
    }
    method = "scores of sub-mixtures at noised points"
    return compare(TIMES, FINE, known, sampled, measuring.count, method)


def _study(measuring: Measuring) -> Study:
    found = measure(measuring)
    peak = information.class_rate(law(), FINE).peak
    place = NORM * np.exp(-float(peak.time.time))
    return suite_study(
        ENTRY.name,
        {"comparison": found, "peak": peak},
        {
            "norm": NORM,
            "largest_difference": float(
                np.abs(found.exact(PATH) - found.exact(DROP)).max()
            ),
            "peak": {
                "time": peak.time.to_json(),
                "m": float(place),
                "rate": float(peak.rate),
                "width": float(peak.width),
            },
        },
        {
            "path": drawn(found, "OU time T", "nats", [PATH, DROP]),
            "rates": drawn(
                found,
                "OU time",
                "nats per unit of time",
                [GAP, RATE],
                marks=[("peak", float(peak.time.time))],
            ),
            "bound": drawn(
                found, "OU time T of the U-turn", "total variation", [BOUND, TURN]
            ),
        },
        comparison_table(
            f"N(±μ, I), |μ| = {NORM:g}: path-space KL; {found.count:,} draws",
            "T",
            found,
            f"The class rate peaks at |μ| e^-t = {place:.8f}: {float(peak.rate):.9f} "
            "nats per unit of time.",
        ),
    )


ENTRY = Entry(
    name="critical-windows-girsanov",
    title="Integral of the score gap = drop of KL, and the class-information rate",
    source="arXiv:2403.01633, the Girsanov functional; the equality is derived",
    published="none available",
    make=_study,
)
