"""Windows of a data set, under kernel density, from one pass."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin.analysis import speciation, sweep, windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck
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

# Noises that are added to those of the report, and how many in a unit of ln(noise).
ADDED, EACH = 12, 4


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
    points = np.asarray(prepared.law.points)
    h = likely_bandwidth(points, measuring.seed) if bandwidth is None else bandwidth
    law = Empirical(points, prepared.law.labels, h)
    sweep_key, turn_key, path_key = measuring.keys(3)
    labelled = Empirical(points, prepared.feature_labels[0], h)
    means = speciation.class_means(labelled)[1]
    found = sweep(
        law,
        _further(prepared.times, points, np.asarray(means), asked.epsilon),
        features=prepared.features,
        **measuring.options("classes", sweep_key),
    )
    merges = speciation.merge_tree(found)
    if asked.tree is None:
        chosen = windows.Tree.of_merges(merges, len(names))
    else:
        chosen = windows.Tree.nested(asked.tree, len(names))
    measure = lambda pairs: windows.class_overlaps(found, pairs)
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
        means,
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


def _further(
    times: Float[np.ndarray, " t"],
    points: Float[np.ndarray, "n d"],
    means: Float[np.ndarray, "c d"],
    epsilon: float,
) -> Float[np.ndarray, " s"]:
    """The noises of the report, and more until classes are `epsilon` apart.

    TV is about 0.4 |m_i - m_j| alpha / sigma in much noise: noises end where alpha /
    sigma is epsilon over 4 times the root-mean-square radius, or over the largest
    distance of class means if that is more.
    """
    clock = OrnsteinUhlenbeck()
    radius = np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1).max()
    first = float(jnp.exp(clock.log_snr(jnp.asarray(times[-1])) / 2))
    last = epsilon / max(4 * radius, apart)
    if not last < first:
        return times
    count = max(ADDED, math.ceil(EACH * math.log(first / last)))
    signal = np.geomspace(first, last, count + 1)[1:]
    return np.append(times, np.asarray(clock.time(2 * jnp.log(jnp.asarray(signal)))))
