"""A minority after U-turns: survival, shares through a biased model, the flow."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import fairness, unstack
from jaxwin.channels import Gaussian, Observed
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row
from jaxwin.report.reproduce._comparison import (
    FEWEST,
    OU_TIME,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._two_components import NORM, pair, times_of

WEIGHT, MODEL_WEIGHT = 0.9, 0.95
PLACES = np.array([4, 3, 2.5, 2, 1.5, 1, 0.75, 0.5])
FINE = np.linspace(0.2, 4.5, 87)
MAJOR, MINOR = "majority", "minority"
MAJOR_FLOW, MINOR_FLOW = "majority, ODE", "minority, ODE"
NULL, BIASED = "share, exact", "share, biased"
NAMES = {MAJOR: 0, MINOR: 1}


STAGES = "survival", "share", "flow"
Found = tuple[fairness.GroupSurvival, fairness.Share, fairness.FlowSurvival]


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """All by quadrature along the line of the means."""
    return _curves(*found(times, dict.fromkeys(STAGES, {"method": "quadrature"})))


def found(times: Float[np.ndarray, " t"], options: Mapping[str, Any]) -> Found:
    """Survival, the share through a model of wrong weights, and the flow beside."""
    data = Observed(pair(WEIGHT), Gaussian())
    model = Observed(pair(MODEL_WEIGHT), Gaussian())
    return (
        fairness.group_survival(data, times, NAMES, **options["survival"]),
        fairness.share(data, model, times, NAMES, **options["share"]),
        fairness.flow_survival(data, times, NAMES, **options["flow"]),
    )


def measure(measuring: Measuring) -> tuple[Comparison, Found]:
    """The same by soft labels at the noise, and by a simulated flow."""
    keys = zip(STAGES, measuring.keys(len(STAGES)), strict=True)
    options = {name: measuring.options(name, key) for name, key in keys}
    times = times_of(PLACES)
    parts = found(
        times, {name: {"method": "sampled"} | each for name, each in options.items()}
    )
    survival, share, flow = parts
    errors = _table(
        np.diagonal(survival.null.stderr, axis1=1, axis2=2),
        np.diagonal(flow.flow.stderr, axis1=1, axis2=2),
        share.stderr[:, 1],
        np.zeros(times.size),
    )
    values = _curves(*parts)
    sampled: dict[str, Any] = {
        name: (values[name], errors[name]) for name in values if name != NULL
    }
    # The share moves by those who flip: too few of them show no error.
    few = (1 - values[MAJOR]) * measuring.count < FEWEST
    sampled[BIASED] = tuple(np.where(few, np.nan, part) for part in sampled[BIASED])
    method = "soft labels of noised points; simulated probability flow"
    return compare(times, FINE, known, sampled, measuring.count, method), parts


def _curves(
    survival: fairness.GroupSurvival,
    share: fairness.Share,
    flow: fairness.FlowSurvival,
) -> dict[str, Any]:
    null = survival.null
    stays = survival.weight[None] @ null.destination
    return _table(null.survival, flow.flow.survival, share.share[:, 1], stays[:, 0, 1])


def _table(groups: Any, flow: Any, biased: Any, null: Any) -> dict[str, Any]:
    return {
        MAJOR: groups[:, 0],
        MINOR: groups[:, 1],
        MAJOR_FLOW: flow[:, 0],
        MINOR_FLOW: flow[:, 1],
        BIASED: biased,
        NULL: null,
    }


def _study(measuring: Measuring) -> Study:
    curves, sampled = measure(measuring)
    exact = found(curves.fine, dict.fromkeys(STAGES, {"method": "quadrature"}))
    both = {
        "predicted": (exact[0].null, exact[1]),
        "measured": (sampled[0].null, sampled[1]),
    }
    summary: dict[str, Any] = {
        "weight": WEIGHT,
        "model_weight": MODEL_WEIGHT,
        "norm": NORM,
        "p_value": sampled[1].p_value,
        "biased": sampled[1].biased,
    }
    for kind, (null, share) in both.items():
        times = {"95 %": null.at_95, "99 %": null.at_99, "middle": null.middle}
        gaps = {"95 %": null.gap_95, "99 %": null.gap_99, "middle": null.gap_middle}
        summary[kind] = {
            "at": {
                level: dict(
                    zip(NAMES, (t.to_json() for t in unstack(each)), strict=True)
                )
                for level, each in times.items()
            },
            "gap": {level: gap.to_json() for level, gap in gaps.items()},
            "bias_enters": {
                key: unstack(getattr(share, key))[1].to_json()
                for key in ("start", "half", "end")
            },
        }
    table = comparison_table(
        f"Weights {WEIGHT:g} and {1 - WEIGHT:.1g}, |μ| = {NORM:g}; "
        f"{curves.count:,} draws",
        "T",
        curves,
        "Exact Bayes forgets the minority first: flips balance. Its share moves "
        f"through a model of {MODEL_WEIGHT:g} alone.",
        [MAJOR, MINOR, MAJOR_FLOW, MINOR_FLOW, BIASED],
    )
    null = exact[0].null
    table.add_section()
    for level, gap in (("95 %", null.gap_95), ("99 %", null.gap_99)):
        add_row(table, f"gap, {level}", str(gap), "", "", "", "", "")
    half = float(unstack(exact[1].half)[1].time)
    return suite_study(
        ENTRY.name,
        {"comparison": curves, "survival": sampled[0], "share": sampled[1]},
        summary,
        {
            "survival": drawn(
                curves,
                OU_TIME,
                "still in its group",
                [MAJOR, MINOR, MAJOR_FLOW, MINOR_FLOW],
            ),
            "share": drawn(
                curves,
                OU_TIME,
                "share of the minority",
                [BIASED, NULL],
                marks=[("half the bias is in", half)],
                ylim=(0.045, 0.108),
            ),
        },
        table,
    )


ENTRY = Entry(
    name="critical-windows-fairness",
    title="Majority and minority: survival, bias of shares, SDE against ODE",
    source="arXiv:2403.01633 for the experiment; the numbers are derived",
    published="none available",
    make=_study,
)
