"""Classes that differ in their covariances: windows at a fourth of log d."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin.analysis import Crossing, windows
from jaxwin.analysis._crossing import exact
from jaxwin.analysis._root import bracketed_root
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row
from jaxwin.report.reproduce._comparison import (
    HEADROOM,
    OU_TIME,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import GaussianMixture

DIMENSIONS = (100, 10_000)
LEVELS = (0.5, 0.1)
TIMES = np.array([0, 0.5, 0.75, 1, 1.5, 2, 2.5, 3])
FINE = np.linspace(0, 4, 81)
PLANE_TIMES = np.array([0, 0.5, 1, 1.5, 2])
PLANE_FINE = np.linspace(0, 3, 16)
BC, KL, TV, FLIP = "BC", "KL(1 | 2)", "TV", "flip"
KINDS: dict[str, Any] = {BC: "bhattacharyya", KL: "kl", TV: "total_variation"}


def law(dimension: int) -> GaussianMixture:
    """N(0, I) and N(0, 2 I)."""
    return GaussianMixture.isotropic(np.zeros((2, dimension)), [1.0, 2.0])


def plane() -> GaussianMixture:
    """Two components of other means and other full covariances."""
    covariances = [[[2.0, 0.5], [0.5, 1.0]], [[0.5, 0.0], [0.0, 3.0]]]
    return GaussianMixture.full([[1.0, -1.0], [-2.0, 2.0]], covariances)


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """TV from two chi-square laws; flips by quadrature over the norm."""
    found = {
        f"TV, d = {d}": windows.distance(law(d), 0, 1, times).value for d in DIMENSIONS
    }
    small = law(DIMENSIONS[0])
    flips = windows.confusion(small, times).matrix[:, 0, 1]
    return found | {f"flip, d = {DIMENSIONS[0]}": flips}


def known_on_plane(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """BC and KL in closed form; TV and flips by quadrature on the plane."""
    found: dict[str, Any] = {
        name: windows.distance(plane(), 0, 1, times, kind=kind).value
        for name, kind in KINDS.items()
    }
    flips = windows.confusion(plane(), times).matrix[:, 0, 1]
    return found | {FLIP: flips}


def measure(measuring: Measuring) -> tuple[Comparison, Comparison]:
    """Overlaps by soft labels; U-turns, simulated."""
    keys = iter(measuring.keys(6))
    small, d = law(DIMENSIONS[0]), DIMENSIONS[0]
    sampled = {
        f"TV, d = {d}": _overlap(small, TIMES, TV, measuring, next(keys)),
        f"flip, d = {d}": _flip(small, TIMES, measuring, next(keys)),
    }
    on_plane = {
        name: _overlap(plane(), PLANE_TIMES, name, measuring, next(keys))
        for name in KINDS
    }
    on_plane[FLIP] = _flip(plane(), PLANE_TIMES, measuring, next(keys))
    method = "overlaps by soft labels; simulated U-turns"
    more = measuring.count, method
    return (
        compare(TIMES, FINE, known, sampled, *more),
        compare(PLANE_TIMES, PLANE_FINE, known_on_plane, on_plane, *more),
    )


def _overlap(
    mixture: GaussianMixture,
    times: Float[np.ndarray, " t"],
    name: str,
    measuring: Measuring,
    key: Any,
) -> tuple[Any, Any]:
    options = measuring.options(f"{name}, d = {mixture.dimension}", key)
    kind = KINDS[name]
    found = windows.distance(
        mixture, 0, 1, times, kind=kind, method="sampled", **options
    )
    return found.value, found.error


def _flip(
    mixture: GaussianMixture,
    times: Float[np.ndarray, " t"],
    measuring: Measuring,
    key: Any,
) -> tuple[Any, Any]:
    options = measuring.options(f"U-turns, d = {mixture.dimension}", key)
    seen = Observed(mixture, Gaussian())
    found = windows.confusion(seen, times, method="simulated", **options)
    return found.matrix[:, 0, 1], found.stderr[:, 0, 1]


def crossings() -> dict[int, dict[float, Crossing]]:
    """By dimension and level, where TV falls to it."""
    return {d: {level: _fall(d, level) for level in LEVELS} for d in DIMENSIONS}


def _fall(dimension: int, level: float) -> Crossing:
    mixture, process = law(dimension), OrnsteinUhlenbeck()

    def below(time: Array, _: None) -> Array:
        levels = process.levels(time, mixture.means.dtype)
        return level - windows.pair_table(mixture, *levels).total_variation[0, 1]

    ends = jnp.asarray(1e-3), jnp.asarray(10.0)
    return exact(bracketed_root(below, *ends, None))


def _study(measuring: Measuring) -> Study:
    found, on_plane = measure(measuring)
    times = crossings()
    small, large = DIMENSIONS
    shift = {
        str(level): float(times[large][level].time - times[small][level].time)
        for level in LEVELS
    }
    quarter = float(np.log(large / small) / 4)
    table = comparison_table(
        f"N(0, I) against N(0, 2 I); {found.count:,} draws",
        "t",
        found,
        f"From d = {small} to {large} the time of TV = 0.1 moves by "
        f"{shift['0.1']:.4f}; ¼ log of the ratio is {quarter:.4f}.",
    )
    table.add_section()
    for level in LEVELS:
        cells = (str(times[d][level]) for d in DIMENSIONS)
        add_row(table, f"TV = {level:g}", *cells, "", "")
    marks = [(f"d = {d}", float(times[d][LEVELS[1]].time)) for d in DIMENSIONS]
    return suite_study(
        ENTRY.name,
        {"isotropic": found, "plane": on_plane},
        {
            "crossings": {
                str(d): {str(level): time.to_json() for level, time in row.items()}
                for d, row in times.items()
            },
            "shift": shift,
            "quarter_log": quarter,
        },
        {
            "isotropic": drawn(
                found,
                OU_TIME,
                "probability",
                marks=marks,
                levels=[("TV = 0.1", LEVELS[1])],
                ylim=HEADROOM,
            ),
            "plane": drawn(on_plane, OU_TIME, "probability", [BC, TV, FLIP]),
        },
        table,
    )


ENTRY = Entry(
    name="critical-windows-covariances",
    title="Covariance-only classes at d = 100 and 10,000; a pair of full covariances",
    source="arXiv:2602.04404 for the exponent 1/4; arXiv:2403.01633 for the times",
    published="none available",
    make=_study,
)
