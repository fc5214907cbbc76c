"""The documented summary of a diagnosis: stable keys for `summary.json`."""

from typing import Any

import numpy as np

from jaxwin.analysis import speciation
from jaxwin.report._clocks import named_clocks, on_clock
from jaxwin.report._diagnose import (
    Diagnosis,
    crossings,
    pair_crossings,
    pair_key,
    speciation_times,
)


def summary(diagnosis: Diagnosis) -> dict[str, Any]:
    """Numbers of a diagnosis under stable keys.

    `name`, `n`, `d`, `classes`, `class_counts`, `normalization`, `scale`, `seed`,
    `precision`: what was diagnosed. `eigenvalues` (10). `t_S`: every convention of
    `speciation.times` (and `t_S_unit01` for uint8 images). `between_class_eigenvalue`.
    `class_direction_overlap`: cos^2 of the first principal direction with each class
    difference. `t_phi`: phi = 0.775 by pair of classes, "a | b", a bar inside a name
    after a backslash; `t_phi_all` over all classes.
    `t_half`, `t_rest`, `t_log2`, `t_gauss`: collapse. `clocks`: the same times on every
    clock. `replicas`, `method`: how the curves were measured.

    A time is `{value, stderr, low, high, found}` in OU time, null where there is none.
    """
    d, agreement, curve = diagnosis, diagnosis.agreement, diagnosis.collapse
    times = crossings(d)
    overlap = np.asarray(d.class_direction_overlap)[..., 0]
    numbers = {key: getattr(curve, key).to_json() for key in _COLLAPSE}
    return {
        "name": d.name,
        "n": d.n,
        "d": d.d,
        "classes": list(d.classes),
        "class_counts": list(d.class_counts),
        "normalization": d.normalization,
        "scale": d.scale,
        "seed": d.seed,
        "precision": d.precision,
        "eigenvalues": [float(value) for value in d.spectrum.eigenvalues],
        "t_S": _times(d.t_S),
        "t_S_unit01": None if d.t_S_unit01 is None else _times(d.t_S_unit01),
        "between_class_eigenvalue": float(d.t_S.between_class_eigenvalue),
        "class_direction_overlap": {
            pair_key(d.classes[a], d.classes[b]): float(overlap[a, b])
            for a in range(len(d.classes))
            for b in range(a + 1, len(d.classes))
        },
        "t_phi": {key: time.to_json() for key, time in pair_crossings(d).items()},
        "t_phi_all": None if agreement is None else agreement.crossing.to_json(),
        **numbers,
        "clocks": {
            clock: dict(
                zip(times, on_clock(list(times.values()), process), strict=True)
            )
            for clock, process in named_clocks().items()
        },
        "replicas": curve.count,
        "method": {
            "phi": None if agreement is None else agreement.method,
            "collapse": curve.method,
            "intervals": "95 %, bootstrap of whole curves, given these data; t_S: "
            "standard error over fresh data",
        },
    }


_COLLAPSE = ("t_half", "t_rest", "t_log2", "t_gauss")


def _times(times: speciation.SpeciationTimes) -> dict[str, Any]:
    return {name: crossing.to_json() for name, crossing in speciation_times(times)}
