"""Windows of a data set, under kernel density, from one pass."""

import jax.numpy as jnp
import numpy as np

from jaxwin._checks import BadInput
from jaxwin.analysis import speciation, sweep, windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.report._fairness import column_of, fairness_of_data
from jaxwin.report._measuring import Measuring
from jaxwin.report._prepare import Prepared
from jaxwin.report._windows_result import (
    MOST_CLASSES,
    Asked,
    Windows,
    assembled,
    narrowings,
    timeline_of,
    turn_between,
)
from jaxwin.targets import Empirical, likely_bandwidth


def windows_of_data(
    prepared: Prepared,
    bandwidth: float | None,
    groups: str | None,
    asked: Asked,
    measuring: Measuring,
) -> Windows:
    features = prepared.normal.features
    if not features or len(features[0].classes) < 2:
        raise BadInput(
            "windows are those of classes, and the data have fewer than two; name a "
            "column of labels."
        )
    names = features[0].classes
    if len(names) > MOST_CLASSES:
        raise BadInput(
            f"`labels` has {len(names)} classes, and windows are drawn of "
            f"{MOST_CLASSES} at most; keep some by `classes`."
        )
    if groups is not None:
        column_of(prepared, groups)
    # What is asked for is looked at before the long pass.
    given = None
    if asked.tree is not None:
        given = windows.Tree.nested(asked.tree, len(names))
        windows.nested(*turn_between(given, asked), jnp.zeros(len(names)))
    elif asked.initial is not None:
        whole = asked.target or range(len(names))
        windows.nested(asked.initial, list(whole), jnp.zeros(len(names)))
    points = np.asarray(prepared.law.points)
    h = likely_bandwidth(points, measuring.seed) if bandwidth is None else bandwidth
    law = Empirical(points, prepared.law.labels, h)
    sweep_key, turn_key, path_key = measuring.keys(3)
    found = sweep(
        law,
        prepared.times,
        features=prepared.features,
        **measuring.options("classes", sweep_key),
    )
    merges = speciation.merge_tree(found)
    chosen = windows.Tree.of_merges(merges, len(names)) if given is None else given
    measure = lambda pairs: windows.class_overlaps(found, pairs)
    labelled = Empirical(points, prepared.feature_labels[0], h)
    log_prior = labelled.log_label_prior()
    initial, target = turn_between(chosen, asked)
    certificate = windows.sampled_certificate(
        Observed(labelled, Gaussian()),
        initial,
        target,
        found.noise,
        **measuring.options("certificate", turn_key),
    )
    fair = None
    if groups:
        fair = fairness_of_data(prepared, groups, h, measuring)
    return assembled(
        windows.measured_tree(measure, chosen, asked.epsilon),
        windows.measured_windows(measure, log_prior, narrowings(chosen), asked.epsilon),
        windows.class_confusion(found, keep_blocks=True),
        asked.epsilon,
        (initial, target),
        speciation.class_means(labelled)[1],
        certificate=certificate,
        timeline=timeline_of(labelled, chosen, found.noise, path_key, measuring),
        agreement=speciation.class_agreement(found),
        merges=merges,
        fairness=fair,
        name=prepared.normal.name,
        classes=names,
        bandwidth=float(h),
        dimension=len(prepared.axes.spectrum.directions),
        num_points=law.num_points,
    )
