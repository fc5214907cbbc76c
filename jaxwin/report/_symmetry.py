"""When a backward dynamics breaks its symmetries: of a law, of data, of a denoiser."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.analysis import speciation, symmetry
from jaxwin.analysis.symmetry._starts import Search, search
from jaxwin.datasets import Data
from jaxwin.report._measuring import Measuring, Stage
from jaxwin.report._study import Study
from jaxwin.report._symmetry_branches import (
    Setting,
    branches_of,
    direction_of,
    profile_of,
)
from jaxwin.report._symmetry_classes import ClassOverlap, class_overlap
from jaxwin.report._symmetry_plan import SymmetryPlan, planned
from jaxwin.report._symmetry_result import Cascade, Subject, Symmetry
from jaxwin.report._symmetry_starts import has_labels, starts_of
from jaxwin.report._symmetry_study import symmetry_study
from jaxwin.report._symmetry_subject import Asked, subject_of
from jaxwin.targets import AbstractDenoiser, AbstractLabelledTarget

# Draws of the late start from a law and from data, where one costs a pass over them.
DRAWS = (8192, 2048)
# Starts and transitions, of a full and of a quick study; starts from data are dearer.
STARTS, QUICK_STARTS = (64, 32), (32, 16)
MOST, QUICK_MOST = 16, 4
# Transitions whose branches are followed and drawn.
SHOWN, QUICK_SHOWN = 4, 2


def symmetry_of(
    source: AbstractDenoiser | Callable[..., Any] | Data,
    *,
    name: str = "mixture",
    drift: str = "reverse_sde",
    eta: float | None = None,
    clock: str = "ou",
    times: Sequence[float] | None = None,
    starts: int | None = None,
    most: int | None = None,
    dimension: int | None = None,
    bandwidth: float | None = None,
    bandwidth_factor: float | None = None,
    classes: Any = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
    **measuring: Any,
) -> Study:
    """When, and into what, does the backward dynamics break its symmetries?

    Critical times with their order, the classes that each one tells apart, branches of
    fixed points, the potential about the first transition, and the automatic late
    start. What no start leads to is not found.

    Args:
        source: A law, any denoiser, a function (x, alpha, sigma) -> E[x0 | x] written
            in JAX, or data, which are seen under kernel density in their leading
            principal directions.
        name: Of a law or denoiser, for titles.
        drift: "reverse_sde", "flow", "density", or "eta" with `eta`.
        eta: Noise of the eta family, >= 0: 0 is the flow, 1 the reverse SDE.
        clock: "ou", "vp", "cosine", "ddpm_linear", "ddpm_cosine", "edm_sigma" or
            "flow_u".
        times: Least and largest time of the clock that are searched; by the spread of
            the data if left out.
        starts: From how many clean points minima are looked for; 64, or 32 of data, if
            left out, half as many in a quick study.
        most: Transitions that are followed, the noisiest ones; 16, or 4 in a quick
            study, if left out.
        dimension: Of a point, needed for what is no law.
        bandwidth: Of the kernel on data, in units of the normalised data.
        bandwidth_factor: The same as a share of the mean distance to the nearest
            neighbour; 0.2 if both are left out.
        classes: Of data only, as in `diagnose`; so are the next four.
        num_points: See `classes`.
        normalize: See `classes`.
        pca: See `classes`; 16 at most if left out, 8 in a quick study.
        shape: See `classes`.
        measuring: Fields of `Measuring`; draws are those of the late start.

    Raises:
        BadInput: What cannot be studied; one line that says what to do.
    """
    options = Measuring(full=DRAWS[isinstance(source, Data)], **measuring)
    asked = Asked(
        name=name,
        drift=drift,
        eta=eta,
        clock=clock,
        times=times,
        dimension=dimension,
        bandwidth=bandwidth,
        bandwidth_factor=bandwidth_factor,
        classes=classes,
        num_points=num_points,
        normalize=normalize,
        pca=pca,
        shape=shape,
    )
    most = _most(most, options)
    subject = subject_of(source, asked, options)
    place = _search(subject, starts, options)
    options.begin()
    return symmetry_study(_found(subject, place, most, options), options.count)


def plan_symmetry(
    source: AbstractDenoiser | Callable[..., Any] | Data,
    *,
    starts: int | None = None,
    most: int | None = None,
    seed: int = 0,
    quick: bool = False,
    until_stderr: float | None = None,
    stage: Stage | None = None,
    **asked: Any,
) -> SymmetryPlan:
    """Tell what `symmetry_of` would cost, by a short pilot of its parts.

    Args:
        source: As in `symmetry_of`, and so is all else.
        starts: See `source`.
        most: See `source`.
        seed: See `source`.
        quick: See `source`.
        until_stderr: See `source`.
        stage: For the pilot.
        asked: What is to be studied.

    Raises:
        BadInput: As `symmetry_of`.
    """
    options = Measuring(
        full=DRAWS[isinstance(source, Data)],
        seed=seed,
        quick=quick,
        until_stderr=until_stderr,
        stage=stage,
    )
    subject = subject_of(source, Asked(**asked), options)
    place = _search(subject, starts, options)
    return planned(subject, place, _most(most, options), _shown(options), options)


def _search(subject: Subject, starts: int | None, options: Measuring) -> Search:
    """Where the search begins and how far it goes."""
    several = QUICK_STARTS if options.quick else STARTS
    count = several[subject.num_points is not None] if starts is None else starts
    (key,) = options.keys(1)
    return search(
        subject.denoiser,
        subject.process,
        subject.drift,
        subject.times,
        count,
        subject.directions,
        key,
    )


def _most(most: int | None, options: Measuring) -> int:
    if most is not None and most < 1:
        raise BadInput(f"`most` is {most}; it must be at least 1.")
    return most or (QUICK_MOST if options.quick else MOST)


def _shown(options: Measuring) -> int:
    return QUICK_SHOWN if options.quick else SHOWN


def _found(subject: Subject, place: Search, most: int, options: Measuring) -> Cascade:
    """Everything about a subject, from the places where its search begins."""
    if options.stage is not None:
        options.stage("minima and their branches")
    system = place.system
    centre, spread = np.asarray(system.centre), float(system.scale)
    search_key, start_key = options.keys(2)
    critical = symmetry.critical_times(
        subject.denoiser,
        subject.process,
        drift=subject.drift,
        times=subject.times,
        starts=centre + spread * place.starts,
        dimension=subject.directions,
        most=most,
        key=search_key,
    )
    ends = float(critical.time[0]), float(critical.time[-1])
    setting = Setting(subject, ends, spread)
    branches = branches_of(setting, critical, centre, _shown(options))
    starts = starts_of(subject.denoiser, subject.process, spread, options, start_key)
    return Cascade(
        subject=subject,
        result=Symmetry(
            critical=critical,
            branches=branches,
            profile=profile_of(setting, critical, branches),
            starts=starts,
            axes=subject.axes,
            centre=subject.centre,
        ),
        overlaps=_overlaps(subject.denoiser, critical),
    )


def _overlaps(
    denoiser: AbstractDenoiser, critical: symmetry.CriticalTimes
) -> tuple[ClassOverlap | None, ...]:
    """What the direction of each transition tells apart."""
    count = len(critical.transitions.multiplicity)
    if not (isinstance(denoiser, AbstractLabelledTarget) and has_labels(denoiser)):
        return (None,) * count
    weights, means = map(np.asarray, speciation.class_means(denoiser))
    return tuple(
        class_overlap(direction_of(critical.transitions, i), weights, means)
        for i in range(count)
    )
