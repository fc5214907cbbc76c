"""The documented summary of a diagnosis: stable keys for `summary.json`."""

from typing import Any

import numpy as np

from jaxwin.analysis import Crossing, speciation, unstack
from jaxwin.report._advice import Advice
from jaxwin.report._clocks import named_clocks, on_clock
from jaxwin.report._diagnose import (
    Diagnosis,
    crossings,
    pair_crossings,
    pair_key,
    speciation_times,
)
from jaxwin.report._fairness import fairness_summary
from jaxwin.report._feature_times import FeatureTimes
from jaxwin.report._membership import membership_summary
from jaxwin.report._schedules import schedule

_COLLAPSE = ("t_half", "t_rest", "t_log2", "t_gauss")
_FRESH = ("t_half", "t_rest", "t_log2")


def summary(diagnosis: Diagnosis) -> dict[str, Any]:
    """Numbers of a diagnosis under stable keys.

    What was diagnosed: `name`, `n`, `d`, `shape`, `repeated` (points that repeat
    another), `classes`, `class_counts`, `normalization`, `scale`, `space` ("data",
    "span" or "pca"), `rank`, `kept` (share of the variance), `caveats`, `seed`,
    `precision`.

    Of the first label column: `t_S`, every convention of `speciation.times` (and
    `t_S_unit01` for uint8 images); `between_class_eigenvalue`, the largest of
    `between_class_eigenvalues`;
    `class_direction_overlap`, cos^2 of the first principal direction with each class
    difference; `t_phi`, phi = 0.775 by pair of classes, "a | b", a bar inside a name
    after a backslash; `t_phi_all` over all classes; `t_phi_fresh` and `t_phi_all_fresh`
    with intervals over fresh data; `t_phi_gaussian` with a Gaussian for each class;
    `t_general`, general-class times from the first and from the second class;
    `merge_tree`, a list of merges, the names of the classes on both sides and the time;
    `class_information`, where 95 % and 5 % of the class are there. `features` has the
    same of every label column by its name.

    `eigenvalues` (10). `t_half`, `t_rest`, `t_log2`, `t_gauss`: collapse;
    `collapse_fresh` with intervals over fresh data; `collapse_movement`: `n`, `t_half`
    and `t_gauss` of random parts of the data; `order_n`, the n at which t_half meets
    the pair that separates last. `clocks`: the times on every clock. `advice`: late
    start, guidance interval and time grid with their rules, and on the clocks of
    samplers (`schedule.json` has the lists for diffusers). `replicas`, `method`: how
    the curves were measured. `fairness` and `membership`: those of
    `fairness_summary` and `membership_summary`, null where not asked for.

    A time is `{value, stderr, low, high, found}` in OU time, null where there is none.
    """
    d, curve = diagnosis, diagnosis.collapse
    times = crossings(d)
    main = _empty() if not d.features else _feature(d.features[0])
    return {
        "name": d.name,
        "n": d.n,
        "d": d.d,
        "shape": list(d.shape),
        "repeated": d.repeated,
        "classes": list(d.classes),
        "class_counts": list(d.class_counts),
        "normalization": d.normalization,
        "scale": d.scale,
        "space": d.space,
        "rank": d.rank,
        "kept": d.kept,
        "caveats": list(d.caveats),
        "seed": d.seed,
        "precision": d.precision,
        "eigenvalues": [float(value) for value in d.spectrum.eigenvalues],
        **main,
        "t_S": _times(d.t_S),
        "t_S_unit01": None if d.t_S_unit01 is None else _times(d.t_S_unit01),
        "between_class_eigenvalue": float(d.t_S.between_class_eigenvalue),
        "features": {feature.name: _feature(feature) for feature in d.features},
        **{key: getattr(curve, key).to_json() for key in _COLLAPSE},
        "collapse_fresh": (
            None
            if curve.fresh is None
            else {key: getattr(curve.fresh, key).to_json() for key in _FRESH}
        ),
        "collapse_movement": (
            None
            if curve.movement is None
            else {
                "n": curve.movement.n.tolist(),
                "t_half": _each(curve.movement.t_half),
                "t_gauss": _each(curve.movement.t_gauss),
            }
        ),
        "order_n": d.order_n,
        "clocks": {
            clock: dict(
                zip(times, on_clock(list(times.values()), process), strict=True)
            )
            for clock, process in named_clocks().items()
        },
        "advice": _advice(d.advice),
        "fairness": None if d.fairness is None else fairness_summary(d.fairness),
        "membership": (
            None if d.membership is None else membership_summary(d.membership)
        ),
        "replicas": curve.count,
        "method": {
            "phi": None if d.agreement is None else d.agreement.method,
            "collapse": curve.method,
            "late_start": None if d.late_start is None else d.late_start.method,
            "intervals": "95 %, bootstrap of whole curves, given these data; fresh: "
            "jackknife over groups of points, over fresh data of the same size; t_S: "
            "standard error over fresh data",
        },
    }


def _feature(feature: FeatureTimes) -> dict[str, Any]:
    """The keys of one label column."""
    names, agreement = feature.classes, feature.agreement
    overlap = np.asarray(feature.class_direction_overlap)[..., 0]
    tree, told, general = feature.tree, feature.information, feature.general
    found = {
        "classes": list(names),
        "class_counts": list(feature.class_counts),
        "t_S": _times(feature.t_S),
        "t_S_unit01": None
        if feature.t_S_unit01 is None
        else _times(feature.t_S_unit01),
        "between_class_eigenvalue": float(feature.t_S.between_class_eigenvalue),
        "between_class_eigenvalues": np.asarray(
            feature.between_class_eigenvalues
        ).tolist(),
        "class_direction_overlap": {
            pair_key(names[a], names[b]): float(overlap[a, b])
            for a in range(len(names))
            for b in range(a + 1, len(names))
        },
        "t_phi": _pairs(agreement, names),
        "t_phi_all": None if agreement is None else agreement.crossing.to_json(),
        "t_phi_fresh": _pairs(agreement, names, fresh=True),
        "t_phi_all_fresh": (
            None
            if agreement is None or agreement.fresh is None
            else agreement.fresh.to_json()
        ),
        "t_phi_gaussian": _pairs(feature.gaussian, names),
        "t_general": {},
        "merge_tree": None,
        "class_information": None,
    }
    if general is not None:
        sides = unstack(general.crossing)
        found["t_general"] = {
            pair_key(names[a], names[b]): _each(side)
            for (a, b), side in zip(general.pair, sides, strict=True)
        }
    if tree is not None:
        found["merge_tree"] = _merges(tree, names)
    if told is not None:
        found["class_information"] = {
            "entropy": float(told.entropy),
            "low": told.low.to_json(),
            "high": told.high.to_json(),
        }
    return found


def _empty() -> dict[str, Any]:
    """The keys of a label column, where there is none."""
    none: dict[str, Any] = dict.fromkeys(
        ("t_phi_all", "t_phi_all_fresh", "merge_tree", "class_information")
    )
    none["between_class_eigenvalues"] = []
    pairs = (
        "class_direction_overlap",
        "t_phi",
        "t_phi_fresh",
        "t_phi_gaussian",
        "t_general",
    )
    return none | {key: {} for key in pairs}


def _pairs(
    agreement: speciation.CloneAgreement | None,
    names: tuple[str, ...],
    fresh: bool = False,
) -> dict[str, Any]:
    found = pair_crossings(agreement, names, fresh)
    return {key: time.to_json() for key, time in found.items()}


def _merges(tree: speciation.MergeTree, names: tuple[str, ...]) -> list[dict[str, Any]]:
    members = [[name] for name in names]
    merges = []
    for first, second, time in zip(
        tree.first, tree.second, _each(tree.time), strict=True
    ):
        merges.append(
            {"first": members[first], "second": members[second], "time": time}
        )
        members.append(members[first] + members[second])
    return merges


def _advice(advice: Advice) -> dict[str, Any]:
    clocks = schedule(advice)
    keys = ("late_start", "guidance_interval", "grid")
    return {
        "late_start": None
        if advice.late_start is None
        else advice.late_start.to_json(),
        "guidance": (
            None
            if advice.guidance_low is None or advice.guidance_high is None
            else {
                "low": advice.guidance_low.to_json(),
                "high": advice.guidance_high.to_json(),
            }
        ),
        "grid": np.asarray(advice.grid.noise).tolist(),
        "rules": {
            "late_start": advice.late_start_rule,
            "guidance": advice.guidance_rule,
            "grid": advice.grid_rule,
        },
        "clocks": {key: clocks[key] for key in keys},
    }


def _times(times: speciation.SpeciationTimes) -> dict[str, Any]:
    return {name: crossing.to_json() for name, crossing in speciation_times(times)}


def _each(crossing: Crossing) -> list[dict[str, Any]]:
    return [one.to_json() for one in unstack(crossing)]
