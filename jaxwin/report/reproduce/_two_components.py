"""Two components: distances, flips by the reverse SDE and by the flow, thresholds."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin.analysis import fairness, speciation, windows
from jaxwin.analysis._root import bracketed_root
from jaxwin.channels import Gaussian, Observed
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row
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

NORM, DIMENSION = 10.0, 4
# Noised half-distances m = |mu| e^-t in noised widths, most noise last.
PLACES = np.array([3, 2.5, 2, 1.5, 1.2, 1, 0.75, 0.5, 0.25])
FINE = np.linspace(0.5, 4.5, 161)
TOLERANCES = (0.2, 0.1, 0.01)
TV, BC, KL = "TV(p+, p−)", "BC(p+, p−)", "KL(p+ | p)"
FLIP, FLOW = "flip, SDE", "flip, ODE"


DISTANCES: dict[str, Any] = {
    TV: (0, 1, "total_variation"),
    BC: (0, 1, "bhattacharyya"),
    KL: (0, [0, 1], "kl"),
}


def pair(weight: float = 0.5) -> GaussianMixture:
    """Components N(+-mu, I), |mu| = 10 along the diagonal; the first has `weight`."""
    diagonal = np.full((DIMENSION, 1), DIMENSION**-0.5)
    return windows.hypercube([NORM], weights=weight, basis=diagonal)


def times_of(places: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """OU times at which the noised half-distance is m."""
    return np.log(NORM / places)


def measure(measuring: Measuring) -> Comparison:
    """Closed forms beside draws in all dimensions, and simulated ways back."""
    law, times = pair(), times_of(PLACES)
    seen = Observed(law, Gaussian())
    keys = dict(zip((TV, BC, KL, FLIP, FLOW), measuring.keys(5), strict=True))
    options = lambda name: measuring.options(name, keys[name])
    sampled = {}
    for name, (first, second, kind) in DISTANCES.items():
        found = windows.distance(
            law, first, second, times, kind=kind, method="sampled", **options(name)
        )
        sampled[name] = found.value, found.error
    turned = windows.confusion(seen, times, method="simulated", **options(FLIP))
    flow = fairness.flow_survival(seen, times, method="sampled", **options(FLOW)).flow
    sampled[FLIP] = turned.matrix[:, 0, 1], turned.stderr[:, 0, 1]
    sampled[FLOW] = flow.destination[:, 0, 1], flow.stderr[:, 0, 1]
    method = "overlaps by soft labels; simulated U-turns and probability flow"
    return compare(times, FINE, known, sampled, measuring.count, method)


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Float[np.ndarray, " t"]]:
    """Closed forms, the flow by quantiles, KL by quadrature."""
    law = pair()
    found = {
        name: windows.distance(law, first, second, times, kind=kind).value
        for name, (first, second, kind) in DISTANCES.items()
    }
    flips = windows.confusion(law, times).matrix[:, 0, 1]
    flow = windows.flow_confusion(law, times).matrix[:, 0, 1]
    return found | {FLIP: flips, FLOW: flow}


def marks() -> dict[str, float]:
    """Where and how steeply a U-turn flips, whatever |mu| and d; m = |mu| e^-t.

    half: m at which one in four flips; steepest: m at which the flips grow fastest, and
    `slope`, by how much per unit of time; width: OU time from 5 % to 45 % of flips.
    """
    slope = jax.grad(_flips)
    top = bracketed_root(
        lambda log_m, _: jax.grad(slope)(log_m),
        jnp.log(0.9),
        jnp.log(2.0),
        None,
    )
    at = speciation.separation_at
    return {
        "half": float(at(0.75)),
        "steepest": float(jnp.exp(top)),
        "slope": float(-slope(top)),
        "width": float(jnp.log(at(0.95) / at(0.55))),
    }


def _flips(log_m: Array) -> Array:
    return speciation.disagreement(jnp.exp(log_m))


def _thresholds() -> list[dict[str, Any]]:
    """Thresholds at |mu| = 10: closed forms, the source's, and the general solver."""
    rows, law = [], pair()
    for epsilon in TOLERANCES:
        closed = windows.two_components(NORM, epsilon)
        inside = windows.thresholds(law, 0, [0, 1], epsilon)
        apart = windows.thresholds(law, 0, 0, epsilon)
        times = {
            "T_end": closed.end,
            "T_end_solved": inside.end,
            "T_end_pair": closed.end_pair,
            "before_printed": closed.before_printed,
            "T_start": closed.start,
            "T_start_solved": apart.start,
            "after_printed": closed.after_printed,
            "after_leak": closed.after_leak,
            "after_apart": closed.after_apart,
        }
        rows.append(
            {"epsilon": epsilon} | {key: time.to_json() for key, time in times.items()}
        )
    return rows


def _study(measuring: Measuring) -> Study:
    found, rows, constants = measure(measuring), _thresholds(), marks()
    table = comparison_table(
        f"N(±μ, I), |μ| = {NORM:g}, by OU time; {found.count:,} draws",
        "t",
        found,
        f"Half of the flips at |μ| e^-t = {constants['half']:.6f}; their window is "
        f"{constants['width']:.4f} wide whatever |μ| and d.",
    )
    table.add_section()
    add_row(table, "ε", "T_end", "T_end, pair", "T_start", "after", "before", "")
    for row in rows:
        times = ("T_end", "T_end_pair", "T_start", "after_leak", "before_printed")
        cells = (f"{row[key]['value']:.6f}" for key in times)
        add_row(table, f"{row['epsilon']:g}", *cells, "")
    middle = [("half of all flips", float(np.log(NORM / constants["half"])))]
    epsilons = np.geomspace(TOLERANCES[-1], TOLERANCES[0], 25)
    closed = [windows.two_components(NORM, epsilon) for epsilon in epsilons]
    line = lambda key: np.array([float(getattr(each, key).time) for each in closed])
    shown = {
        "T_before, printed": "before_printed",
        "T_end, pair": "end_pair",
        "T_end": "end",
        "T_start": "start",
        "T_after, printed": "after_printed",
    }
    return suite_study(
        ENTRY.name,
        {"comparison": found},
        {"norm": NORM, "constants": constants, "thresholds": rows},
        {
            "flips": drawn(
                found, OU_TIME, "flip probability", [FLIP, FLOW], marks=middle
            ),
            "distances": drawn(found, "OU time", "distance", [TV, BC, KL]),
            "thresholds": beside(
                [
                    Series(label, predicted=(epsilons, line(key)))
                    for label, key in shown.items()
                ],
                "tolerance ε",
                "OU time",
                logarithmic=True,
            ),
        },
        table,
    )


ENTRY = Entry(
    name="critical-windows-two-components",
    title="Two components: TV, BC, KL, flips by SDE and ODE, thresholds at |mu| = 10",
    source=f"{SOURCE}, Example 1, and Theorem 2 of it",
    published="none available",
    make=_study,
)
