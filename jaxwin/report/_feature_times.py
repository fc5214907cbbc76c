"""When the classes of one feature separate, by every criterion."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin.analysis import Sweep, speciation, windows
from jaxwin.analysis.information import ClassInformation, class_information
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import field
from jaxwin.targets import Empirical

# With more classes the merge tree and the confusion are tables nobody reads.
MOST_MERGED = 32
# With more pairs only phi is read off for each: every criterion is a bootstrap.
MOST_PAIRS = 200


class FeatureTimes(eqx.Module):
    """What a pass over the data says of one label column; times are OU times.

    agreement: phi under the data themselves, own points in. gaussian: under a Gaussian
    for each class. general: where mean and deviation of the log-likelihood ratio are
    equal. None where there is one class, or too many.
    """

    t_S: speciation.SpeciationTimes
    t_S_unit01: speciation.SpeciationTimes | None
    agreement: speciation.CloneAgreement | None
    gaussian: speciation.CloneAgreement | None
    general: speciation.GeneralClassTimes | None
    confusion: windows.Confusion | None
    tree: speciation.MergeTree | None
    information: ClassInformation | None
    name: str = eqx.field(static=True)
    classes: tuple[str, ...] = eqx.field(static=True)
    class_counts: tuple[int, ...] = eqx.field(static=True)
    class_direction_overlap: Float[Array, "c c m"] = field(
        ("class", "other_class", "component"),
        "",
        "cos^2 of each leading direction with each class difference",
    )
    class_direction_z: Float[np.ndarray, "c c"] = field(
        ("class", "other_class"),
        "",
        "class difference along the first direction in units of its sampling error",
    )
    between_class_eigenvalues: Float[Array, " b"] = field(
        ("between",), "data units squared", "of the covariance of the class means"
    )


def feature_times(
    found: Sweep,
    number: int,
    law: Empirical,
    spectrum: speciation.Spectrum,
    classes: tuple[str, ...],
    name: str,
    unit01: float | None,
    **options: Any,
) -> FeatureTimes:
    """Read the times of feature `number` off a pass over the data.

    Args:
        found: The pass.
        number: Which of its features.
        law: The data, labelled by this feature.
        spectrum: Of the data.
        classes: Names of the classes.
        name: Of the feature.
        unit01: Factor to pixels in [0, 1], where t_S is wanted in them too.
        options: Handed on to `clone_agreement` of the Gaussian classes.
    """
    labels = np.asarray(law.labels)
    pairs = np.asarray(found.features[number].pairs)
    some, few = len(classes) > 1, 1 < len(classes) <= MOST_MERGED
    judged = pairs if len(pairs) <= MOST_PAIRS else pairs[:0]
    times = speciation.times(law, spectrum)
    return FeatureTimes(
        t_S=times,
        t_S_unit01=(
            speciation.times(law, spectrum, unit01) if unit01 is not None else None
        ),
        agreement=speciation.class_agreement(found, number) if some else None,
        gaussian=_gaussian(found, law, judged, **options) if some else None,
        general=speciation.general_times(found, number) if len(judged) else None,
        confusion=windows.class_confusion(found, number) if few else None,
        tree=speciation.merge_tree(found, number) if few else None,
        information=class_information_of(found, number) if some else None,
        name=name,
        classes=classes,
        class_counts=tuple(int(count) for count in np.bincount(labels)),
        class_direction_overlap=speciation.class_overlap(law, _axes(law, spectrum)),
        class_direction_z=_differences(law),
        between_class_eigenvalues=speciation.between_class_spectrum(law)[0],
    )


def _axes(law: Empirical, spectrum: speciation.Spectrum) -> Float[Array, "r m"]:
    """The leading directions in principal coordinates: the first axes."""
    return jnp.eye(law.dimension, spectrum.eigenvalues.size, dtype=law.centre.dtype)


def _differences(law: Empirical) -> Float[np.ndarray, "c c"]:
    """Differences of class means along the first axis, in their sampling errors."""
    along, labels = np.asarray(law.points[:, 0]), np.asarray(law.labels)
    each = [along[labels == c] for c in range(law.num_labels)]
    means = np.array([own.mean() for own in each])
    # A single point does not tell how far its class reaches.
    squares = np.array(
        [own.var(ddof=1) / own.size if own.size > 1 else np.inf for own in each]
    )
    errors = np.sqrt(squares[:, None] + squares[None])
    apart = np.abs(means[:, None] - means[None])
    return np.where(apart > 0, apart / np.where(errors > 0, errors, 1e-300), 0.0)


def _gaussian(
    found: Sweep, law: Empirical, pairs: np.ndarray, **options: Any
) -> speciation.CloneAgreement:
    classes = speciation.gaussian_classes(
        np.asarray(law.points), np.asarray(law.labels)
    )
    observed = Observed(classes, Gaussian(found.process))
    return speciation.clone_agreement(observed, found.noise, pairs=pairs, **options)


def class_information_of(found: Sweep, number: int) -> ClassInformation:
    """I(c; x_t), by the entropy of the exact posterior: less noisy than the loss."""
    feature = found.features[number]
    log_p = found.log_posterior(feature)
    entropy = -np.sum(np.exp(log_p) * log_p, axis=-1)
    counts = np.asarray(feature.count(found.counts))
    return class_information(
        entropy.mean(axis=1),
        found.batches,
        found.coordinate,
        found.noise,
        np.log(counts / counts.sum()),
        found.clock,
    )
