"""When classes separate: predicted times, phi in closed form, phi measured."""

from jaxwin.analysis.speciation._agreement import (
    agreement as agreement,
    class_information as class_information,
    disagreement as disagreement,
    separation as separation,
    separation_at as separation_at,
)
from jaxwin.analysis.speciation._clone_agreement import (
    CloneAgreement as CloneAgreement,
    PairAgreement as PairAgreement,
    clone_agreement as clone_agreement,
)
from jaxwin.analysis.speciation._times import (
    SpeciationTimes as SpeciationTimes,
    Spectrum as Spectrum,
    between_class as between_class,
    class_means as class_means,
    class_overlap as class_overlap,
    spectrum as spectrum,
    times as times,
    within_class_variance as within_class_variance,
)
