"""When classes separate: predicted times, phi in closed form, phi measured."""

from jaxwin.analysis.speciation._agreement import (
    agreement as agreement,
    class_information as class_information,
    disagreement as disagreement,
    separation as separation,
    separation_at as separation_at,
)
from jaxwin.analysis.speciation._class_agreement import (
    class_agreement as class_agreement,
)
from jaxwin.analysis.speciation._clone_agreement import (
    CloneAgreement as CloneAgreement,
    PairAgreement as PairAgreement,
    clone_agreement as clone_agreement,
)
from jaxwin.analysis.speciation._gaussian_classes import (
    gaussian_classes as gaussian_classes,
)
from jaxwin.analysis.speciation._general_times import (
    GeneralClassTimes as GeneralClassTimes,
    general_times as general_times,
)
from jaxwin.analysis.speciation._merge_tree import (
    MergeTree as MergeTree,
    merge_tree as merge_tree,
)
from jaxwin.analysis.speciation._principal import (
    Principal as Principal,
    principal as principal,
)
from jaxwin.analysis.speciation._times import (
    SpeciationTimes as SpeciationTimes,
    Spectrum as Spectrum,
    between_class as between_class,
    between_class_spectrum as between_class_spectrum,
    class_means as class_means,
    class_overlap as class_overlap,
    spectrum as spectrum,
    times as times,
    within_class_variance as within_class_variance,
)
