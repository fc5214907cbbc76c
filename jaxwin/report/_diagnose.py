"""The diagnosis of a data set: when its classes separate, when samples are copies."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._files import PathLike
from jaxwin.analysis import Crossing, collapse, speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.datasets import (
    Data,
    Normalized,
    from_arrays,
    normalize as in_units,
    scale,
    select,
)
from jaxwin.execution import Progress, remove_runs
from jaxwin.io import field
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import Empirical

# Replicas of a full and of a quick diagnosis; 128 blocks of 64 for the bootstrap.
FULL, QUICK = 8192, 2048
NUM_TIMES = 64
NUM_EIGENVALUES = 10
MOST_CLASSES = 256

# With `until_stderr`, at most so many times more.
MOST = 16

Stage = Callable[[str], Progress | None]


class Diagnosis(eqx.Module):
    """What `diagnose` found; all times are OU times, e^{2t} = 1 + 1 / SNR."""

    spectrum: speciation.Spectrum
    t_S: speciation.SpeciationTimes
    t_S_unit01: speciation.SpeciationTimes | None
    agreement: speciation.CloneAgreement | None
    collapse: collapse.CollapseCurve
    name: str = eqx.field(static=True)
    n: int = eqx.field(static=True)
    d: int = eqx.field(static=True)
    # Points that repeat an earlier one.
    repeated: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    classes: tuple[str, ...] = eqx.field(static=True)
    class_counts: tuple[int, ...] = eqx.field(static=True)
    normalization: str = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    call: str = eqx.field(static=True)
    class_direction_overlap: Float[Array, "c c m"] = field(
        ("class", "other_class", "component"),
        "",
        "cos^2 of each leading direction with each class difference",
    )


def diagnose(
    points: Any,
    labels: Any = None,
    *,
    classes: Sequence[str | int] | str | None = None,
    num_points: int | None = None,
    normalize: str | None = None,
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
        labels: (n,) classes of the points; left out, only what needs no labels.
        classes: Names of the classes to keep; all if left out.
        num_points: Points to draw without replacement; all if left out.
        normalize: "pm1", "unit01", "unit" or "none"; "pm1" for images and "none" for
            tables if left out (`datasets.normalize`).
        seed: Of the selection and of the noise.
        quick: A fourth of the noised points: half the precision.
        num_replicas: Noised points a curve, in place of the default.
        until_stderr: Measure until the standard errors of both curves of probabilities
            (clone agreement, weight of the own point) are below it; at least a quick
            diagnosis, at most 16 times `num_replicas`.
        folder: Where finished blocks are kept, in a folder for each curve.
        resume: Go on from the blocks in `folder`.
        stage: Called with the name of each long stage, returns its progress callback.

    Raises:
        BadInput: Data that cannot be diagnosed; one line that says what to do.
    """
    if not 0 <= seed < 2**32:
        raise BadInput(f"`seed` is {seed}; it must lie between 0 and 2^32 - 1.")
    if until_stderr is not None and not until_stderr > 0:
        raise BadInput(f"`until_stderr` is {until_stderr}; it must be positive.")
    if not isinstance(points, Data):
        points = from_arrays(points, labels)
    data = select(points, classes, num_points, seed)
    if len(data.class_names) > MOST_CLASSES:
        raise BadInput(
            f"`labels` has {len(data.class_names)} classes, and pairs grow as their "
            f"square; keep at most {MOST_CLASSES} by `classes`, or leave labels out."
        )
    normal = in_units(data, normalize)
    # Nothing below depends on the origin; float32 would lose the digits of an offset.
    points = normal.points - normal.points.mean(axis=0)
    _check_spread(points)
    law = Empirical(points, normal.labels)
    times = noise_times(points, seed)
    count = num_replicas or (QUICK if quick else FULL)
    until = "" if until_stderr is None else f", until_stderr={until_stderr}"
    least = count if until_stderr is None else min(count, QUICK)
    most = count if until_stderr is None else MOST * count

    def options(name: str) -> dict[str, Any]:
        return {
            "num_replicas": most,
            "until_stderr": until_stderr,
            "folder": None if folder is None else Path(folder) / name.replace(" ", "-"),
            "resume": resume,
            "progress": stage(name) if stage is not None else None,
        }

    if folder is not None and not resume:
        remove_runs(folder)
    label_key, point_key = jr.split(jr.key(seed))
    spectrum = speciation.spectrum(law, NUM_EIGENVALUES)
    agreement = None
    if law.num_labels > 1:
        agreement = speciation.clone_agreement(
            Observed(law, Gaussian()),
            times,
            pairs=_pairs(_class_counts(normal), least),
            key=label_key,
            **options("class agreement"),
        )
    return Diagnosis(
        spectrum=spectrum,
        t_S=speciation.times(law),
        t_S_unit01=_unit01_times(data, normal),
        class_direction_overlap=speciation.class_overlap(law, spectrum.directions),
        agreement=agreement,
        collapse=collapse.curve(law, times, key=point_key, **options("collapse")),
        name=normal.name,
        n=law.num_points,
        d=law.dimension,
        repeated=len(points) - len({row.tobytes() for row in points}),
        shape=normal.shape,
        classes=normal.class_names,
        class_counts=_class_counts(normal),
        normalization=normal.convention,
        scale=normal.scale,
        seed=seed,
        precision=str(law.centre.dtype),
        call=f"jaxwin.report.diagnose(points, labels, classes={classes!r}, "
        f"num_points={num_points}, normalize={normal.convention!r}, seed={seed}, "
        f"num_replicas={count}{until})",
    )


def noise_times(points: Float[np.ndarray, "n d"], seed: int = 0) -> np.ndarray:
    """OU times over which everything about these points is decided.

    Uniform in log-SNR between the noise that hides the widest direction and the noise
    that leaves each point to itself: alpha / sigma from 1 / (8 sqrt(trace)) to 12 times
    the inverse distance of near neighbours. A change of scale shifts the whole grid.
    """
    centred = points - points.mean(axis=0)
    widest = np.sqrt(np.mean(np.sum(centred**2, axis=1)))
    some = np.random.default_rng(seed).permutation(len(points))[:256]
    square = np.sum(centred**2, axis=1)
    apart = square[some, None] + square[None] - 2 * centred[some] @ centred.T
    # Duplicates and the point itself are no neighbours.
    apart = np.where(apart > 1e-12 * widest**2, apart, np.inf)
    near = np.sqrt(apart.min(axis=1))
    near = np.quantile(near[np.isfinite(near)], 0.1)
    signal = np.geomspace(12 / near, 1 / (8 * widest), NUM_TIMES)
    return np.asarray(OrnsteinUhlenbeck().time(2 * jnp.log(jnp.asarray(signal))))


def _check_spread(centred: Float[np.ndarray, "n d"]) -> None:
    """Raise BadInput where squares of the data leave the range of the float type."""
    narrow = jnp.result_type(float) == jnp.float32
    low, high = (1e-6, 1e12) if narrow else (1e-60, 1e60)
    spread = float(np.abs(centred).max())
    if not low <= spread <= high:
        raise BadInput(
            f"`x` spreads over {spread:.3g} about its mean; that must lie between "
            f"{low:g} and {high:g} in this precision; bring the data to other units."
        )


def _pairs(class_counts: tuple[int, ...], num_replicas: int) -> np.ndarray:
    """All pairs of classes of which at least 20 draws are expected."""
    expected = num_replicas * np.asarray(class_counts) / sum(class_counts)
    drawn = np.flatnonzero(expected >= 20)
    return drawn[np.stack(np.triu_indices(drawn.size, 1), axis=1)]


def _unit01_times(data: Data, normal: Normalized) -> speciation.SpeciationTimes | None:
    """The times of uint8 images in [0, 1], the convention of arXiv:2402.18491."""
    if data.points.dtype != np.uint8 or normal.convention in ("unit01", "none"):
        return None
    factor = scale(data, "unit01") / normal.scale
    points = normal.points - normal.points.mean(axis=0)
    return speciation.times(Empirical(factor * points, normal.labels))


def _class_counts(normal: Normalized) -> tuple[int, ...]:
    if normal.labels is None:
        return ()
    return tuple(int(count) for count in np.bincount(normal.labels))


def crossings(diagnosis: Diagnosis) -> dict[str, Crossing]:
    """Every time of a diagnosis by name, on the OU clock."""
    found = {f"t_S {key}": value for key, value in speciation_times(diagnosis.t_S)}
    if diagnosis.agreement is not None:
        found["t_phi_all"] = diagnosis.agreement.crossing
        for name, crossing in pair_crossings(diagnosis).items():
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


def pair_crossings(diagnosis: Diagnosis) -> dict[str, Crossing]:
    """Where phi of each pair of classes crosses 0.775, by the names of the pair."""
    if diagnosis.agreement is None or diagnosis.agreement.pairs is None:
        return {}
    pairs, names = diagnosis.agreement.pairs, diagnosis.classes
    found = {}
    for p, (a, b) in enumerate(pairs.pair):
        leaves = {f.name: getattr(pairs.crossing, f.name)[p] for f in fields(Crossing)}
        found[pair_key(names[a], names[b])] = Crossing(**leaves)
    return found


def pair_key(first: str, second: str) -> str:
    """The key of a pair of classes, "a | b"; a bar inside a name is escaped."""
    escaped = [
        name.replace("\\", "\\\\").replace("|", "\\|") for name in (first, second)
    ]
    return " | ".join(escaped)
