"""When the classes of a law or of a data set separate: predicted beside measured."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import Crossing, known_crossing, speciation, sweep, unstack
from jaxwin.analysis.information import (
    ClassInformation,
    measured_class_information,
)
from jaxwin.channels import Gaussian, Observed
from jaxwin.datasets import Data
from jaxwin.io import field
from jaxwin.plots import Series, beside, information as information_figure, short
from jaxwin.report._diagnose import pair_crossings, pair_key, speciation_times
from jaxwin.report._feature_times import class_information_of
from jaxwin.report._measuring import Measuring
from jaxwin.report._prepare import prepare
from jaxwin.report._study import Study
from jaxwin.report._table import times_table
from jaxwin.targets import (
    AbstractLabelledTarget,
    GaussianMixture,
    reduce,
)

if TYPE_CHECKING:
    import matplotlib.figure

# With more pairs of classes only phi of all classes is measured.
MOST_PAIRS = 200
# Pairs that the terminal shows, from each end.
ENDS = 3


class Speciation(eqx.Module):
    """Every prediction of the time at which classes separate, and its measurement.

    predicted: phi in closed form or by quadrature, where the law has it, with its
    crossing of 0.775. general: where mean and deviation of the log-likelihood ratio of
    a pair are equal. None where there are no classes, or too many pairs.
    """

    t_S: speciation.SpeciationTimes
    sequence: speciation.SpeciationSequence
    agreement: speciation.CloneAgreement | None
    general: speciation.GeneralClassTimes | None
    information: ClassInformation | None
    predicted_crossing: Crossing | None
    name: str = eqx.field(static=True)
    classes: tuple[str, ...] = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    # Points of a data set; None for a law.
    num_points: int | None = eqx.field(static=True)
    predicted: Float[np.ndarray, " t"] | None = field(("noise",), "probability")
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")


def speciation_of(
    source: AbstractLabelledTarget | Data,
    *,
    name: str = "mixture",
    classes: Any = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
    **measuring: Any,
) -> Study:
    """When do the classes of a mixture, of any labelled law, or of data separate?

    Args:
        source: A labelled target, or a data set.
        name: Of a target, for titles.
        classes: Of a data set, as in `diagnose`; so are the next four.
        num_points: See `classes`.
        normalize: See `classes`.
        pca: See `classes`.
        shape: See `classes`.
        measuring: Fields of `Measuring`.

    Raises:
        BadInput: What cannot be studied; one line that says what to do.
    """
    options = Measuring(**measuring)
    if isinstance(source, Data):
        selection = classes, num_points, normalize, pca, shape
        found = _of_data(source, selection, options)
    else:
        found = _of_law(source, name, options)
    return _study(found)


def _of_law(law: AbstractLabelledTarget, name: str, measuring: Measuring) -> Speciation:
    reduced = reduce(law) if isinstance(law, GaussianMixture) else None
    inner = law if reduced is None else reduced.target
    observed = Observed(inner, Gaussian())
    range_key, phi_key, pair_key, information_key = measuring.keys(4)
    measuring.begin()
    times = speciation.times(law)
    weighty = int(np.sum(np.asarray(law.log_label_prior()) > -np.inf))
    several = weighty > 1
    noise = speciation.decided_times(observed, key=range_key)
    agreement = general = information = None
    if several:
        few = weighty * (weighty - 1) // 2 <= MOST_PAIRS
        agreement = speciation.clone_agreement(
            observed,
            noise,
            pairs="all" if few else None,
            **measuring.options("clone agreement", phi_key),
        )
        information = measured_class_information(
            observed, noise, **measuring.options("information", information_key)
        )
        if few:
            general = _general(law, observed, noise, measuring, pair_key)
    predicted = crossing = None
    if isinstance(law, GaussianMixture):
        curve = speciation.closed_form(law, jnp.asarray(noise))
        predicted = None if curve is None else np.asarray(curve)
        crossing = _crossing(law, noise)
    return Speciation(
        t_S=times,
        sequence=speciation.sequence(law),
        agreement=agreement,
        general=general,
        information=information,
        predicted=predicted,
        predicted_crossing=crossing,
        noise=noise,
        name=name,
        classes=tuple(str(c) for c in range(law.num_labels)),
        dimension=law.dimension,
        num_points=None,
    )


def _general(
    law: AbstractLabelledTarget,
    observed: Observed,
    noise: Float[np.ndarray, " t"],
    measuring: Measuring,
    key: Key,
) -> speciation.GeneralClassTimes:
    """In closed form where each class is one Gaussian, measured where not."""
    if isinstance(law, GaussianMixture):
        labels = np.asarray(law.labels)
        weighty = np.all(np.asarray(law.log_weights) > -np.inf)
        if weighty and np.array_equal(np.sort(labels), np.arange(law.num_labels)):
            return speciation.gaussian_general_times(law)
    options = measuring.options("general times", key)
    return speciation.measured_general_times(observed, noise, **options)


def _crossing(law: GaussianMixture, noise: Float[np.ndarray, " t"]) -> Crossing | None:
    """Where the closed form is 0.775, by interpolation of a fine curve."""
    fine = np.geomspace(noise[0], noise[-1], 1025)
    curve = speciation.closed_form(law, jnp.asarray(fine))
    if curve is None:
        return None
    return known_crossing(fine, np.asarray(curve), speciation.LEVEL)


def _of_data(
    data: Data, selection: tuple[Any, Any, Any, Any, Any], measuring: Measuring
) -> Speciation:
    prepared = prepare(data, *selection, measuring.seed, measuring.least)
    measuring.begin()
    (key,) = measuring.keys(1)
    law = prepared.law
    found = sweep(
        law,
        prepared.times,
        features=prepared.features,
        **measuring.options("classes", key),
    )
    names: tuple[str, ...] = ()
    agreement = general = information = None
    labelled = law.with_labels(np.zeros(law.num_points, int))
    if prepared.normal.features:
        names = prepared.normal.features[0].classes
        labelled = law.with_labels(prepared.feature_labels[0])
    if len(names) > 1:
        agreement = speciation.class_agreement(found)
        information = class_information_of(found, 0)
        if 0 < len(np.asarray(prepared.features[0].pairs)) <= MOST_PAIRS:
            general = speciation.general_times(found)
    return Speciation(
        t_S=speciation.times(labelled, prepared.axes.spectrum),
        sequence=speciation.sequence(jnp.asarray(prepared.axes.eigenvalues)),
        agreement=agreement,
        general=general,
        information=information,
        predicted=None,
        predicted_crossing=None,
        noise=found.noise,
        name=prepared.normal.name,
        classes=names,
        dimension=len(prepared.axes.spectrum.directions),
        num_points=law.num_points,
    )


def _study(found: Speciation) -> Study:
    groups: list[list[tuple[str, Crossing]]] = [
        [(f"t_S  {key}", time) for key, time in speciation_times(found.t_S)]
    ]
    summary: dict[str, Any] = {
        "name": found.name,
        "n": found.num_points,
        "d": found.dimension,
        "classes": list(found.classes),
        "t_S": {key: time.to_json() for key, time in speciation_times(found.t_S)},
        "top_eigenvalue": float(found.t_S.top_eigenvalue),
        "between_class_eigenvalue": float(found.t_S.between_class_eigenvalue),
        "sequence": _sequence(found.sequence),
        "t_phi": None,
        "t_phi_pairs": {},
        "t_phi_predicted": None,
        "general": {},
        "information": None,
    }
    rows: list[tuple[str, Crossing]] = []
    if found.predicted_crossing is not None:
        rows.append(("t_φ  predicted", found.predicted_crossing))
        summary["t_phi_predicted"] = found.predicted_crossing.to_json()
    if found.agreement is not None:
        rows.append(("t_φ  measured", found.agreement.crossing))
        summary["t_phi"] = found.agreement.crossing.to_json()
        pairs = pair_crossings(found.agreement, found.classes)
        summary["t_phi_pairs"] = {k: time.to_json() for k, time in pairs.items()}
        if len(pairs) > 1:
            rows += [(f"t_φ  {key}", time) for key, time in _ends(pairs)]
    if found.general is not None:
        sides = _sides(found.general, found.classes)
        for own, other, time in sides:
            key = pair_key(*sorted((own, other), key=found.classes.index))
            summary["general"].setdefault(key, {})[f"from {own}"] = time.to_json()
        ratios = {f"{short(a)} / {short(b)}": time for a, b, time in sides}
        rows += [(f"E L = sd L  {key}", time) for key, time in _ends(ratios)]
    if found.information is not None:
        window = found.information
        summary["information"] = {
            "entropy": float(window.entropy),
            "low": window.low.to_json(),
            "high": window.high.to_json(),
        }
        rows += [
            ("95 % of the class known", window.low),
            ("5 % of the class known", window.high),
        ]
    if rows:
        groups.append(rows)
    points = "" if found.num_points is None else f"n = {found.num_points:,}, "
    agreement = found.agreement
    return Study(
        command="speciation",
        title=found.name,
        results=found,
        summary=summary,
        figures=_figures(found),
        table=times_table(f"{found.name}: {points}d = {found.dimension:,}", groups),
        largest_error=0.0 if agreement is None else float(agreement.stderr.max()),
        count=0 if agreement is None else agreement.count,
    )


def _sequence(sequence: speciation.SpeciationSequence) -> list[dict[str, Any]]:
    eigenvalues = np.asarray(sequence.eigenvalues).tolist()
    times = unstack(sequence.spectrum), unstack(sequence.spectrum_plus_one)
    return [
        {
            "eigenvalue": eigenvalue,
            "spectrum": first.to_json(),
            "spectrum_plus_one": second.to_json(),
        }
        for eigenvalue, first, second in zip(eigenvalues, *times, strict=True)
    ]


def _sides(
    general: speciation.GeneralClassTimes, names: tuple[str, ...]
) -> list[tuple[str, str, Crossing]]:
    """Classes a and b and the time of log P_a / P_b for x from a, both ways round."""
    found = []
    for (a, b), sides in zip(general.pair, unstack(general.crossing), strict=True):
        for own, other, time in zip((a, b), (b, a), unstack(sides), strict=True):
            found.append((names[int(own)], names[int(other)], time))
    return found


def _ends(times: dict[str, Crossing]) -> list[tuple[str, Crossing]]:
    """The pairs that separate first and last."""
    found = sorted(
        times.items(), key=lambda item: np.nan_to_num(float(item[1].time), nan=-1)
    )
    return found if len(found) <= 2 * ENDS else found[:ENDS] + found[-ENDS:]


def _figures(found: Speciation) -> "dict[str, matplotlib.figure.Figure]":
    drawn = {"sequence": _spectrum_figure(found.sequence)}
    if found.agreement is not None:
        curve = found.agreement
        predicted = None if found.predicted is None else (found.noise, found.predicted)
        marks = [("t_S = ½ log(1 + Λ)", float(found.t_S.spectrum_plus_one.time))]
        drawn["agreement"] = beside(
            [
                Series(
                    "φ, all classes",
                    (curve.noise, curve.phi, curve.stderr),
                    predicted,
                )
            ],
            "OU time",
            "φ, clones in one class",
            levels=[("0.775", curve.level)],
            marks=marks,
        )
    if found.information is not None:
        drawn["information"] = information_figure(found.information)
    return drawn


def _spectrum_figure(
    sequence: speciation.SpeciationSequence,
) -> "matplotlib.figure.Figure":
    """Times of the leading eigenvalues, one after the other."""
    number = np.arange(1, len(np.asarray(sequence.eigenvalues)) + 1)
    series = []
    for label, times in (
        ("½ log(1 + Λ_k)", sequence.spectrum_plus_one),
        ("½ log Λ_k", sequence.spectrum),
    ):
        known = np.asarray(times.found)
        time, error = np.asarray(times.time)[known], np.asarray(times.stderr)[known]
        series.append(Series(label, (number[known], time, error)))
    return beside(series, "eigenvalue k", "t_k, OU time")
