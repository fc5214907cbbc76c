"""A model beside the optimum: all that was measured, and why something was not."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import comparison, late_start, speciation
from jaxwin.report._compare_certificate import Certificates, certificates_of
from jaxwin.report._compare_curves import (
    Agreement,
    ClassSurvival,
    Information,
    agreement_of,
    errors_of,
    information_of,
    survival_of,
)
from jaxwin.report._compare_points import (
    MOST_DIRECTIONS,
    FixedPoints,
    Samples,
    SpectraPair,
    fixed_points_of,
    late_starts_of,
    samples_of,
    spectra_of,
)
from jaxwin.report._compare_subject import KERNEL, Subject
from jaxwin.report._compare_times import TimePair

# More classes than that are not followed one by one.
MOST_CLASSES = 64
OF_CLASSES = "agreement", "survival", "certificates"


class Comparison(eqx.Module):
    """Every stage that applies; `skipped` says of the others why they do not.

    errors: by where the clean points came from. num_points: n of the collapse.
    accuracy: of the classifier, on held-out points.
    """

    errors: dict[str, comparison.DenoiserErrors]
    information: Information
    agreement: Agreement | None
    survival: ClassSurvival | None
    certificates: Certificates | None
    fixed_points: FixedPoints | None
    spectra: SpectraPair
    samples: Samples
    late_start: late_start.LateStartTable | None
    skipped: dict[str, str] = eqx.field(static=True)
    model_name: str = eqx.field(static=True)
    name: str = eqx.field(static=True)
    classes: tuple[str, ...] = eqx.field(static=True)
    num_points: int = eqx.field(static=True)
    bandwidth: float | None = eqx.field(static=True)
    accuracy: float | None = eqx.field(static=True)

    @property
    def optimum(self) -> str:
        """What the model stands beside, in a word: of data it is not exact."""
        return "exact" if self.bandwidth is None else KERNEL

    @property
    def times(self) -> list[TimePair]:
        """Every time that both have been asked for, collapse first."""
        found = [self.information.collapse]
        if self.agreement is not None:
            found.append(self.agreement.speciation)
        if self.survival is not None:
            found += self.survival.middle
        if self.fixed_points is not None and self.fixed_points.first is not None:
            found.append(self.fixed_points.first)
        return found


def compared(
    subject: Subject, model_name: str, num_points: int, with_table: bool
) -> Comparison:
    """Run every stage that applies, each through the function an exact score takes."""
    keys = subject.options.keys(7)
    skipped = _skipped(subject, with_table)
    begun = lambda name: subject.options.stage and subject.options.stage(name)
    errors = errors_of(subject, keys[0])
    information = information_of(subject, keys[1], num_points)
    agreement = survival = certificates = None
    if "agreement" not in skipped:
        noises = _noises(subject)
        agreement = agreement_of(subject, keys[2], noises)
        survival = survival_of(subject, keys[3], noises)
        if "certificates" not in skipped:
            own = jr.fold_in(keys[3], 1)
            certificates = certificates_of(subject, survival, own)
    fixed = None
    if "fixed_points" not in skipped:
        begun("fixed points")
        fixed = fixed_points_of(subject, keys[4])
    begun("spectra and samples")
    spectra = spectra_of(subject, jr.fold_in(keys[4], 1))
    samples = samples_of(subject, keys[5])
    table = None if "late_start" in skipped else late_starts_of(subject, keys[6])
    given = subject.classifier
    return Comparison(
        errors=errors,
        information=information,
        agreement=agreement,
        survival=survival,
        certificates=certificates,
        fixed_points=fixed,
        spectra=spectra,
        samples=samples,
        late_start=table,
        skipped=skipped,
        model_name=model_name,
        name=subject.source.name,
        classes=subject.classes,
        num_points=num_points,
        bandwidth=subject.bandwidth,
        accuracy=None if given is None else given.accuracy,
    )


def _skipped(subject: Subject, with_table: bool) -> dict[str, str]:
    """What does not apply, and why, in sentences."""
    found, size = {}, subject.source.dimension
    if subject.labelled is None:
        why = "There are fewer than two classes to be told apart."
        found |= dict.fromkeys(OF_CLASSES, why)
    elif len(subject.classes) > MOST_CLASSES:
        why = f"More than {MOST_CLASSES} classes are not followed one by one."
        found |= dict.fromkeys(OF_CLASSES, why)
    elif subject.bandwidth is not None:
        found["certificates"] = (
            "A certificate bounds the distance to an exact law, and that of data is "
            "not known."
        )
    if size > MOST_DIRECTIONS:
        found["fixed_points"] = (
            f"Branches of fixed points are followed in at most {MOST_DIRECTIONS} "
            f"dimensions; there are {size}."
        )
    if subject.classifier is None:
        found["late_start"] = (
            "The table of late starts compares samples by a classifier of labelled "
            "data, and there is none."
        )
    elif not with_table:
        found["late_start"] = "The table of late starts is left out of quick runs."
    return found


def _noises(subject: Subject) -> Float[np.ndarray, " t"]:
    """Where the law's classes are decided."""
    found = speciation.decided_times(subject.observed, subject.sizes.noises)
    return np.asarray(jnp.asarray(found), np.float64)
