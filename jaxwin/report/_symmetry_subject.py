"""What a symmetry breaking is asked of: a law, a denoiser or data, on which clock."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxwin._checks import BadInput
from jaxwin.analysis import symmetry
from jaxwin.datasets import Data
from jaxwin.processes import AbstractProcess
from jaxwin.report._measuring import Measuring
from jaxwin.report._prepare import near_distances, prepare
from jaxwin.report._symmetry_clock import clock_named, same_dynamics
from jaxwin.report._symmetry_result import Subject
from jaxwin.report._symmetry_starts import check_class_weights
from jaxwin.targets import (
    AbstractDenoiser,
    AbstractTarget,
    Empirical,
    FunctionDenoiser,
    GaussianMixture,
    Reduction,
    reduce,
)

# Bandwidth of the kernel, as a share of the mean distance to the nearest neighbour, and
# from how many points that is taken.
FACTOR, NEIGHBOURS = 0.2, 1024
# Principal directions of data that are kept, unless it is said how many.
DIRECTIONS, QUICK_DIRECTIONS = 16, 8
# Isotropic directions of at most this variance lose no minimum to any drift.
NARROW = 1.0
OF_DATA = (
    "classes",
    "num_points",
    "normalize",
    "pca",
    "shape",
    "bandwidth",
    "bandwidth_factor",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked, as in `symmetry_of`."""

    name: str = "mixture"
    drift: str = "reverse_sde"
    eta: float | None = None
    clock: str = "ou"
    times: Sequence[float] | None = None
    dimension: int | None = None
    bandwidth: float | None = None
    bandwidth_factor: float | None = None
    classes: Any = None
    num_points: int | None = None
    normalize: str | None = None
    pca: int | None = None
    shape: Any = None


def subject_of(
    source: AbstractDenoiser | Callable[..., Any] | Data,
    asked: Asked,
    measuring: Measuring,
) -> Subject:
    """The denoiser that is studied, with its clock and drift.

    Raises:
        BadInput: What cannot be studied.
    """
    process = clock_named(asked.clock)
    common: dict[str, Any] = {
        "process": process,
        "drift": _drift(asked),
        "clock": asked.clock,
        "eta": asked.eta,
        "times": _times(asked, process),
    }
    if isinstance(source, Data):
        return _of_data(source, asked, measuring, common)
    foreign = [name for name in OF_DATA if getattr(asked, name) is not None]
    if foreign:
        raise BadInput(
            f"`{foreign[0]}` is an option of data sets, and a law is given; leave it "
            f"out."
        )
    common["name"] = asked.name
    denoiser = (
        source if isinstance(source, AbstractDenoiser) else FunctionDenoiser(source)
    )
    if isinstance(denoiser, AbstractTarget):
        return _of_law(denoiser, asked, common)
    if asked.dimension is None:
        raise BadInput(
            "`dimension` is missing: a denoiser that is no law does not know it."
        )
    _check_answers(denoiser, asked.dimension)
    size = asked.dimension
    return Subject(denoiser, dimension=size, directions=size, **common)


def _drift(asked: Asked) -> symmetry.Drift:
    """The named drift; `eta` goes with its own."""
    if asked.eta is not None and not 0 <= asked.eta < np.inf:
        raise BadInput(f"`eta` is {asked.eta:g}; it must be finite and >= 0.")
    if (asked.eta is not None) != (asked.drift == "eta"):
        raise BadInput(
            f"`drift` is {asked.drift!r} and `eta` {asked.eta}; the two go together: "
            f"give drift 'eta' with `eta`, or neither."
        )
    eta = None if asked.eta is None else float(asked.eta)
    return symmetry.named_drift(asked.drift, eta=eta)


def _times(asked: Asked, process: AbstractProcess) -> tuple[float, float] | None:
    """The ends of the search, on the clock."""
    if asked.times is None:
        return None
    ends = [float(end) for end in asked.times]
    low, high = (float(end) for end in process.domain)
    # NaN fails too.
    if len(ends) != 2 or not low <= ends[0] < ends[1] <= high:
        raise BadInput(
            f"`times` is {', '.join(f'{end:g}' for end in ends)}; it must be two "
            f"times of the clock {asked.clock!r}, which go from {low:g} to {high:g}, "
            f"the smaller one first."
        )
    return ends[0], ends[1]


def _of_law(law: AbstractTarget, asked: Asked, common: dict[str, Any]) -> Subject:
    """A law, in the few directions of a mixture that reduces without loss."""
    if asked.dimension not in (None, law.dimension):
        raise BadInput(
            f"`dimension` is {asked.dimension}, and the law has {law.dimension}; leave "
            f"it out."
        )
    check_class_weights(law)
    classes: tuple[str, ...] = ()
    if hasattr(law, "num_labels"):
        classes = tuple(str(c) for c in range(getattr(law, "num_labels")))  # noqa: B009
    common |= {"classes": classes, "dimension": law.dimension}
    reduced = _reduction(law, asked, common["process"])
    if reduced is None:
        return Subject(law, directions=law.dimension, **common)
    return Subject(
        reduced.target,
        directions=reduced.target.dimension,
        axes=np.asarray(reduced.basis),
        centre=np.asarray(reduced.centre),
        **common,
    )


def _reduction(
    law: AbstractTarget, asked: Asked, process: AbstractProcess
) -> Reduction | None:
    """The mixture in fewer directions, where the others keep their one minimum.

    An orthogonal direction of variance v has the slope kappa alpha^2 v / (alpha^2 v +
    sigma^2): below 1 on variance-preserving clocks for v <= 1 and every drift, on
    exploding ones and for modes of the density always.
    """
    if not isinstance(law, GaussianMixture):
        return None
    found = reduce(law)
    if found is None or asked.drift == "density":
        return found
    family = same_dynamics(process, asked.drift)
    narrow = "ou" in family and float(found.variance) <= NARROW
    return found if narrow or "edm_sigma" in family else None


def _of_data(
    data: Data, asked: Asked, measuring: Measuring, common: dict[str, Any]
) -> Subject:
    """Data under kernel density, in their leading principal directions."""
    if asked.dimension is not None:
        raise BadInput(
            f"`dimension` is {asked.dimension}, of a denoiser, and data are given; "
            f"leave it out: `pca` says how many directions are kept."
        )
    selection = asked.classes, asked.num_points, asked.normalize, asked.pca, asked.shape
    prepared = prepare(data, *selection, measuring.seed, measuring.least)
    most = QUICK_DIRECTIONS if measuring.quick else DIRECTIONS
    points = np.asarray(prepared.law.points)
    kept = prepared.axes.kept
    if asked.pca is None and points.shape[1] > most:
        points = np.ascontiguousarray(points[:, :most])
        values = prepared.axes.eigenvalues
        kept = float(values[:most].sum() / values.sum())
    bandwidth, factor = _bandwidth(points, asked, measuring.seed)
    features = prepared.normal.features
    names = features[0].classes if features else ()
    labels = prepared.feature_labels[0] if features else None
    return Subject(
        Empirical(points, labels, bandwidth),
        name=prepared.normal.name,
        dimension=len(prepared.axes.spectrum.directions),
        directions=points.shape[1],
        classes=tuple(names),
        num_points=len(points),
        bandwidth=bandwidth,
        bandwidth_factor=factor,
        kept=kept,
        **common,
    )


def _bandwidth(
    points: np.ndarray, asked: Asked, seed: int
) -> tuple[float, float | None]:
    """Standard deviation of the kernel, and the share that it is of the distances."""
    given, factor = asked.bandwidth, asked.bandwidth_factor
    if given is not None and factor is not None:
        raise BadInput(
            "`bandwidth` and `bandwidth_factor` are both given; leave one of them out."
        )
    for name, value in (("bandwidth", given), ("bandwidth_factor", factor)):
        if value is not None and not 0 <= value < np.inf:
            raise BadInput(f"`{name}` is {value:g}; it must be finite and >= 0.")
    if given is not None:
        return float(given), None
    factor = FACTOR if factor is None else float(factor)
    return factor * float(near_distances(points, NEIGHBOURS, seed).mean()), factor


def _check_answers(denoiser: AbstractDenoiser, size: int) -> None:
    """Raise BadInput where a denoiser does not answer as it must."""
    if size < 1:
        raise BadInput(f"`dimension` is {size}; it must be at least 1.")
    half = jnp.asarray(0.5**0.5)
    try:
        mean = np.asarray(denoiser.denoise(jnp.zeros(size), half, half))
        score = denoiser.jacobian_product(jnp.zeros(size), jnp.ones(size), half, half)
    except Exception as error:
        # Whatever somebody's function raises is a mistake of theirs: one line.
        told = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
        raise BadInput(
            f"the denoiser fails at x = 0 in {size} dimensions: {told[:200]}; it must "
            f"be function(x, alpha, sigma) -> E[x0 | x] of one point, in JAX."
        ) from error
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(np.asarray(score)))):
        raise BadInput(
            "the denoiser or its derivative is not finite at x = 0, alpha = sigma = "
            "0.71; it must be finite at every point."
        )
