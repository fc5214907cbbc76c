"""The diagnosis of a data set: when its classes separate, when samples are copies."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._files import PathLike
from jaxwin.analysis import (
    Crossing,
    collapse,
    late_start,
    speciation,
    sweep,
    unstack,
)
from jaxwin.datasets import Data, Normalized, from_arrays
from jaxwin.io import field
from jaxwin.report._advice import STEPS, Advice, advise
from jaxwin.report._fairness import Fairness, column_of, fairness_of_data
from jaxwin.report._feature_times import FeatureTimes, feature_times
from jaxwin.report._measuring import Measuring, Stage
from jaxwin.report._membership import Membership, check_both, membership_of
from jaxwin.report._prepare import prepare
from jaxwin.targets import likely_bandwidth


class Diagnosis(eqx.Module):
    """What `diagnose` found; all times are OU times, e^{2t} = 1 + 1 / SNR.

    `classes`, `agreement` and the like are those of the first label column.
    """

    spectrum: speciation.Spectrum
    t_S: speciation.SpeciationTimes
    t_S_unit01: speciation.SpeciationTimes | None
    features: tuple[FeatureTimes, ...]
    collapse: collapse.CollapseCurve
    late_start: late_start.LateStart | None
    advice: Advice
    # Where groups, and members with candidates, were given.
    fairness: Fairness | None
    membership: Membership | None
    name: str = eqx.field(static=True)
    n: int = eqx.field(static=True)
    d: int = eqx.field(static=True)
    # Points that repeat an earlier one.
    repeated: int = eqx.field(static=True)
    # n at which collapse and the separation of classes would change places.
    order_n: float | None = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    normalization: str = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    # "data"; "span", the same in fewer coordinates; "pca", a leading subspace, which
    # holds `kept` of the variance in `rank` directions.
    space: str = eqx.field(static=True)
    rank: int = eqx.field(static=True)
    kept: float = eqx.field(static=True)
    caveats: tuple[str, ...] = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    call: str = eqx.field(static=True)
    example_labels: tuple[int, ...] = eqx.field(static=True)
    examples: Float[np.ndarray, "e d"] = field(
        ("example", "coordinate"), "data units", "one point of each of some classes"
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the first feature; empty without labels."""
        return self.features[0].classes if self.features else ()

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Points of each class."""
        return self.features[0].class_counts if self.features else ()

    @property
    def agreement(self) -> speciation.CloneAgreement | None:
        """Clone agreement of the first feature."""
        return self.features[0].agreement if self.features else None

    @property
    def class_direction_overlap(self) -> Float[Array, "c c m"]:
        """cos^2 of each leading direction with each class difference."""
        if self.features:
            return self.features[0].class_direction_overlap
        return jnp.zeros((0, 0, self.spectrum.eigenvalues.size))


def diagnose(
    points: Any,
    labels: Any = None,
    *,
    classes: Sequence[str | int] | str | None = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Sequence[int] | None = None,
    num_steps: int = STEPS,
    groups: str | None = None,
    members: Data | None = None,
    candidates: Data | None = None,
    seed: int = 0,
    quick: bool = False,
    num_replicas: int | None = None,
    until_stderr: float | None = None,
    folder: PathLike | None = None,
    resume: bool = False,
    stage: Stage | None = None,
) -> Diagnosis:
    """Diagnose a data set, as `jaxwin report` does.

    Computed in the default float type: enable 64-bit floats for float64.

    Args:
        points: (n, d) array, (n, height, width) images, or a `datasets.Data`.
        labels: (n,) classes of the points, or several label columns, each a feature
            (`datasets.from_arrays`); left out, only what needs no labels.
        classes: Names of the classes of the first feature to keep; all if left out.
        num_points: Points to draw without replacement; all if left out.
        normalize: "pm1", "unit01", "unit" or "none"; "pm1" for images and "none" for
            tables if left out (`datasets.normalize`).
        pca: Leading principal directions to keep. All results are then those of the
            data projected to them: exact for what lies in that subspace.
        shape: (h, w) or (h, w, channels) of the images that the rows of a table are.
        num_steps: Evaluations of the advised time grid.
        groups: Name of the label column whose groups are compared for fairness.
        members: Training points of a kernel density that is attacked, for membership.
        candidates: Points that it was not made from.
        seed: Of the selection and of the noise.
        quick: A fourth of the noised points: half the precision.
        num_replicas: Noised points, in place of the default.
        until_stderr: Measure until the standard errors of the curves of probabilities
            (clone agreement, weight of the own point) are below it; at least a quick
            diagnosis, at most 16 times `num_replicas`.
        folder: Where finished blocks are kept, in a folder for each stage.
        resume: Go on from the blocks in `folder`.
        stage: Called with the name of each long stage, returns its progress callback.

    Raises:
        BadInput: Data that cannot be diagnosed; one line that says what to do.
    """
    measuring = Measuring(
        seed=seed,
        quick=quick,
        num_replicas=num_replicas,
        until_stderr=until_stderr,
        folder=folder,
        resume=resume,
        stage=stage,
    )
    check_both(members, candidates)
    if not isinstance(points, Data):
        points = from_arrays(points, labels)
    selection = classes, num_points, normalize, pca, shape
    prepared = prepare(points, *selection, seed, measuring.least)
    if groups is not None:
        column_of(prepared, groups)
    measuring.begin()
    sweep_key, class_key, start_key = measuring.keys(3)
    options = measuring.options
    law, normal, axes = prepared.law, prepared.normal, prepared.axes
    found = sweep(
        law,
        prepared.times,
        features=prepared.features,
        **options("classes and collapse", sweep_key),
    )
    features = tuple(
        feature_times(
            found,
            i,
            law.with_labels(labels),
            axes.spectrum,
            feature.classes,
            feature.name,
            prepared.unit01,
            **options(f"Gaussian classes {i + 1}", jr.fold_in(class_key, i)),
        )
        for i, (feature, labels) in enumerate(
            zip(normal.features, prepared.feature_labels, strict=True)
        )
    )
    fair = told = None
    if groups is not None:
        h = likely_bandwidth(np.asarray(law.points), seed)
        fair = fairness_of_data(prepared, groups, h, measuring)
    if members is not None and candidates is not None:
        told = membership_of(
            members, candidates, normalize=normalize, measuring=measuring
        )
    started = None
    if features and len(features[0].classes) > 1:
        first = law.with_labels(prepared.feature_labels[0])
        started = late_start.misplaced(
            first, prepared.times, **options("late start", start_key)
        )
    eigenvalues = axes.eigenvalues[: law.dimension] * (1 - 1 / law.num_points)
    collapsed = collapse.read(found, eigenvalues)
    until = "" if until_stderr is None else f", until_stderr={until_stderr}"
    unlabelled = law.with_labels(np.zeros(law.num_points, int))
    of_all = lambda factor: speciation.times(unlabelled, axes.spectrum, factor)
    return Diagnosis(
        spectrum=axes.spectrum,
        t_S=features[0].t_S if features else of_all(1.0),
        t_S_unit01=(
            features[0].t_S_unit01
            if features
            else None
            if prepared.unit01 is None
            else of_all(prepared.unit01)
        ),
        features=features,
        collapse=collapsed,
        late_start=started,
        fairness=fair,
        membership=told,
        advice=advise(
            found.noise,
            eigenvalues,
            information=features[0].information if features else None,
            late_start=started,
            num_steps=num_steps,
        ),
        name=normal.name,
        n=law.num_points,
        d=normal.points.shape[1],
        repeated=prepared.repeated,
        order_n=_order_n(features, collapsed, eigenvalues),
        shape=normal.shape,
        normalization=normal.convention,
        scale=normal.scale,
        space="pca" if pca is not None else _space(normal, law.dimension),
        rank=law.dimension,
        kept=axes.kept,
        caveats=_caveats(prepared.is_image),
        seed=seed,
        precision=str(law.centre.dtype),
        call=f"jaxwin.report.diagnose(points, labels, classes={classes!r}, "
        f"num_points={num_points}, normalize={normal.convention!r}, pca={pca}, "
        f"seed={seed}, num_replicas={measuring.count}{until})",
        example_labels=tuple(range(len(prepared.examples) if features else 0)),
        examples=prepared.examples,
    )


def _space(normal: Normalized, rank: int) -> str:
    """Whether the principal axes are fewer than the coordinates."""
    return "span" if rank < normal.points.shape[1] else "data"


def _caveats(is_image: bool) -> tuple[str, ...]:
    if is_image:
        return ()
    return (
        "Times belong to this space and its units: those of latents or embeddings do "
        "not carry over to the pixels behind them.",
    )


def _order_n(
    features: tuple[FeatureTimes, ...],
    collapsed: collapse.CollapseCurve,
    eigenvalues: Float[np.ndarray, " r"],
) -> float | None:
    """The n at which t_half would meet the separation of the last pair of classes.

    Within the parts of the data that were measured by interpolation in log n; beyond by
    t_gauss(n), shifted to agree at this n. That t_phi moves with n too is left out.
    """
    movement = collapsed.movement
    if not features or features[0].agreement is None or movement is None:
        return None
    pairs = features[0].agreement.pairs
    times = features[0].agreement.crossing if pairs is None else pairs.crossing
    if not np.all(times.found) or not np.all(movement.t_half.found):
        return None
    last = float(np.min(times.time))
    half, log_n = np.asarray(movement.t_half.time), np.log(movement.n)
    if half[-1] <= last <= half[0] and np.all(np.diff(half) < 0):
        return float(np.exp(np.interp(-last, -half, log_n)))
    if not bool(collapsed.t_gauss.found):
        return None
    shift = half[-1] - float(collapsed.t_gauss.time)
    return collapse.gaussian_points(eigenvalues, last - shift)


def largest_error(diagnosis: Diagnosis) -> float:
    """The largest standard error of phi of the features and of the own weight."""
    curves = [feature.agreement for feature in diagnosis.features]
    errors = [curve.stderr.max() for curve in curves if curve is not None]
    return float(max(diagnosis.collapse.own_weight_stderr.max(), *errors, 0.0))


def crossings(diagnosis: Diagnosis) -> dict[str, Crossing]:
    """Every time of a diagnosis by name, on the OU clock."""
    found = {f"t_S {key}": value for key, value in speciation_times(diagnosis.t_S)}
    if diagnosis.agreement is not None:
        found["t_phi_all"] = diagnosis.agreement.crossing
        for name, crossing in pair_crossings(
            diagnosis.agreement, diagnosis.classes
        ).items():
            found[f"t_phi {name}"] = crossing
    for key in ("t_half", "t_rest", "t_log2", "t_gauss"):
        found[key] = getattr(diagnosis.collapse, key)
    return found


def speciation_times(
    times: speciation.SpeciationTimes,
) -> list[tuple[str, Crossing]]:
    """The conventions of a `SpeciationTimes` by name."""
    names = "scale", "mean", "spectrum", "spectrum_plus_one", "curvature", "potential"
    return [(name, getattr(times, name)) for name in names]


def pair_crossings(
    agreement: speciation.CloneAgreement | None,
    names: Sequence[str],
    fresh: bool = False,
) -> dict[str, Crossing]:
    """Where phi of each pair of classes crosses 0.775, by the names of the pair.

    `fresh` asks for the intervals over fresh data; nothing where there are none.
    """
    pairs = None if agreement is None else agreement.pairs
    crossing = None if pairs is None else pairs.fresh if fresh else pairs.crossing
    if pairs is None or crossing is None:
        return {}
    return {
        pair_key(names[int(a)], names[int(b)]): time
        for (a, b), time in zip(pairs.pair, unstack(crossing), strict=True)
    }


def pair_key(first: str, second: str) -> str:
    """The key of a pair of classes, "a | b"; a bar inside a name is escaped."""
    escaped = [
        name.replace("\\", "\\\\").replace("|", "\\|") for name in (first, second)
    ]
    return " | ".join(escaped)
