"""The figures of a diagnosis, each where there is something to draw."""

from typing import TYPE_CHECKING

from jaxwin.plots import (
    agreement,
    collapse,
    confusion,
    information,
    is_image,
    merge_tree,
    movement,
    noised_images,
    pair_times,
    regimes,
    spectrum,
)
from jaxwin.report._diagnose import Diagnosis
from jaxwin.report._facts import agreement_name, key_times, separations
from jaxwin.report._fairness import fairness_figures
from jaxwin.report._feature_times import FeatureTimes
from jaxwin.report._membership import membership_figures
from jaxwin.report._pairs import pairs_of

if TYPE_CHECKING:
    import matplotlib.figure

Figures = dict[str, "matplotlib.figure.Figure"]


def figures(diagnosis: Diagnosis) -> Figures:
    """The figures of a diagnosis by name; those of classes where there are some."""
    d, times = diagnosis, key_times(diagnosis, pairs_of(diagnosis))
    drawn: Figures = {"spectrum": spectrum(d.spectrum)}
    if is_image(d.shape):
        names = [d.classes[label] for label in d.example_labels]
        names = names or [""] * len(d.examples)
        picture = noised_images(d.examples, d.shape, times, names, d.seed)
        drawn["noised_images"] = picture
    for number, feature in enumerate(d.features, start=1):
        if feature.agreement is not None:
            curves = agreement(feature.agreement, feature.classes)
            drawn[agreement_name(number)] = curves
    if d.features:
        drawn |= _of_classes(d.features[0], times)
    drawn["collapse"] = collapse(d.collapse)
    drawn["regimes"] = regimes(d.collapse, separations(d), d.agreement)
    if d.collapse.movement is not None:
        found = d.collapse.movement, separations(d), d.order_n
        drawn["movement"] = movement(*found)
    if d.fairness is not None:
        drawn |= fairness_figures(d.fairness)
    if d.membership is not None:
        drawn |= membership_figures(d.membership)
    return drawn


def _of_classes(feature: FeatureTimes, times: dict[str, float]) -> Figures:
    """Figures of the classes of the first label column."""
    drawn: Figures = {}
    names = feature.classes
    if feature.agreement is not None and feature.agreement.pairs is not None:
        drawn["pair_times"] = pair_times(feature.agreement.pairs, names)
    if feature.tree is not None:
        drawn["merge_tree"] = merge_tree(feature.tree, names)
    if feature.confusion is not None and times:
        drawn["confusion"] = confusion(feature.confusion, names, times)
    if feature.information is not None:
        drawn["information"] = information(feature.information)
    return drawn
