"""Two components that are log-concave and not Gaussian."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report.reproduce._comparison import (
    OU_TIME,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import ProductMixture, factors

MEAN = 3.0
TIMES = np.array([0.3, 0.5, 0.75, 1, 1.5, 2])
FINE = np.linspace(0.1, 3, 24)
TV, FLIP, BC = "TV", "flip", "BC"


def law() -> ProductMixture:
    """Densities exp(-(x -+ 3)^2 / 2 - (x -+ 3)^4 / 4), normalised."""
    return ProductMixture([factors.quartic(side, 1.0, 1.0) for side in (MEAN, -MEAN)])


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """All by quadrature on the line."""
    return {
        TV: windows.distance(law(), 0, 1, times).value,
        FLIP: windows.confusion(law(), times).matrix[:, 0, 1],
        BC: windows.distance(law(), 0, 1, times, kind="bhattacharyya").value,
    }


def measure(measuring: Measuring) -> Comparison:
    """Overlaps by soft labels, flips by simulated U-turns."""
    keys = measuring.keys(2)
    options = measuring.options(TV, keys[0])
    apart = windows.distance(law(), 0, 1, TIMES, method="sampled", **options)
    sampled = {TV: (apart.value, apart.error)}
    turned = windows.confusion(
        Observed(law(), Gaussian()),
        TIMES,
        method="simulated",
        **measuring.options(FLIP, keys[1]),
    )
    sampled[FLIP] = turned.matrix[:, 0, 1], turned.stderr[:, 0, 1]
    method = "overlaps by soft labels; simulated U-turns"
    return compare(TIMES, FINE, known, sampled, measuring.count, method)


def _study(measuring: Measuring) -> Study:
    found = measure(measuring)
    component = factors.quartic(MEAN, 1.0, 1.0)
    alone = ProductMixture([component]).moments()
    return suite_study(
        ENTRY.name,
        {"comparison": found},
        {
            "normaliser": float(np.exp(component.log_normaliser())),
            "variance": float(alone.covariance()[0, 0]),
        },
        {"windows": drawn(found, OU_TIME, "probability or overlap")},
        comparison_table(
            f"exp(-(x ∓ 3)²/2 - (x ∓ 3)⁴/4); {found.count:,} draws", "T", found
        ),
    )


ENTRY = Entry(
    name="critical-windows-log-concave",
    title="Strongly log-concave components: TV, flips and BC by quadrature",
    source="arXiv:2403.01633, whose theorem takes such components; numbers derived",
    published="none available",
    make=_study,
)
