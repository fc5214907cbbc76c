"""The curse of dimensionality: only exponentially many points keep collapse late."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import collapse
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry

POINTS = np.array([1e2, 1e4, 1e6, 1e8])
DIMENSIONS = np.geomspace(4, 2**16, 29)
# Collapse is to come no earlier on the way back than these times.
LATEST = (0.1, 0.5, 1.0)


class CurseFigure(eqx.Module):
    """Collapse against speciation, and the points that keep it below a time."""

    times: collapse.Curse
    latest: Float[np.ndarray, " l"] = field(("latest",), "OU time")
    log_points: Float[np.ndarray, "l d"] = field(
        ("latest", "dimension"), "nats", "log n of which collapse is at `latest`"
    )
    log_points_leading: Float[np.ndarray, "l d"] = field(
        ("latest", "dimension"), "nats", "the same at leading order in d"
    )


def measure() -> CurseFigure:
    """All by root finding and quadrature; nothing is sampled."""
    found = [[collapse.log_points(time, d) for d in DIMENSIONS] for time in LATEST]
    table = lambda name: np.array(
        [[float(getattr(one, name)) for one in row] for row in found]
    )
    return CurseFigure(
        times=collapse.curse(POINTS, DIMENSIONS),
        latest=np.array(LATEST),
        log_points=table("exact"),
        log_points_leading=table("leading"),
    )


def _study(measuring: Measuring) -> Study:
    del measuring  # nothing is sampled
    found = measure()
    ratio = np.asarray(found.times.ratio)
    time = np.asarray(found.times.t_collapse.time)
    power = lambda n: f"n = 10^{np.log10(n):.0f}"
    ratios = beside(
        [
            Series(power(n), predicted=(DIMENSIONS, row))
            for n, row in zip(POINTS, ratio, strict=True)
        ],
        "dimension d",
        "t_C / t_S",
        logarithmic=True,
        ylim=(0.0, 1.0),
    )
    times = beside(
        [
            *(
                Series(f"t_C, {power(n)}", predicted=(DIMENSIONS, row))
                for n, row in zip(POINTS, time, strict=True)
            ),
            Series("t_S", predicted=(DIMENSIONS, 0.5 * np.log(DIMENSIONS))),
        ],
        "dimension d",
        "OU time",
        logarithmic=True,
    )
    points = beside(
        [
            Series(f"t_C ≤ {t:g}", predicted=(DIMENSIONS, row / np.log(10)))
            for t, row in zip(LATEST, found.log_points, strict=True)
        ],
        "dimension d",
        "log10 of the points needed",
        xlim=(0.0, 100.0),
        ylim=(0.0, 40.0),
    )
    table = plain_table(
        "Two clusters, μ = σ = 1: collapse t_C (log n = I) and t_C / t_S",
        [
            "d",
            "t_S",
            *(f"t_C, {power(n)}" for n in POINTS),
            *(f"log10 n, t_C ≤ {t:g}" for t in LATEST),
        ],
    )
    shown = range(0, DIMENSIONS.size, 4)
    rows = []
    for i in shown:
        d = float(DIMENSIONS[i])
        both = zip(time[:, i], ratio[:, i], strict=True)
        needed = found.log_points[:, i] / np.log(10)
        add_row(
            table,
            f"{d:.0f}",
            f"{0.5 * np.log(d):.3f}",
            *(f"{t:.3f} ({r:.2f})" for t, r in both),
            *(f"{n:.1f}" for n in needed),
        )
        of_points = zip(map(power, POINTS), time[:, i].tolist(), strict=True)
        of_time = zip(map(str, LATEST), needed.tolist(), strict=True)
        rows.append(
            {
                "d": d,
                "t_S": 0.5 * float(np.log(d)),
                "t_C": dict(of_points),
                "log10_points": dict(of_time),
            }
        )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={"dimensions": rows},
        figures={"ratio": ratios, "times": times, "points": points},
        table=table,
    )


ENTRY = Entry(
    name="dynamical-regimes-curse",
    title="t_C and t_C / t_S over (n, d), and the n that keeps t_C below a time",
    source="arXiv:2402.18491, section 3",
    published="none available",
    make=_study,
)
