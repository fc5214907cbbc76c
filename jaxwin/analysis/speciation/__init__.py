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
    LEVEL as LEVEL,
    CloneAgreement as CloneAgreement,
    PairAgreement as PairAgreement,
    clone_agreement as clone_agreement,
)
from jaxwin.analysis.speciation._closed_form import closed_form as closed_form
from jaxwin.analysis.speciation._collective import (
    CollectiveLangevin as CollectiveLangevin,
)
from jaxwin.analysis.speciation._covariance_agreement import (
    contrast as contrast,
    covariance_agreement as covariance_agreement,
    covariance_disagreement as covariance_disagreement,
)
from jaxwin.analysis.speciation._decided_times import decided_times as decided_times
from jaxwin.analysis.speciation._free_entropy import (
    FreeEntropy as FreeEntropy,
    free_entropy as free_entropy,
    gaussian_general_times as gaussian_general_times,
    weak_signal_time as weak_signal_time,
)
from jaxwin.analysis.speciation._gaussian_classes import (
    gaussian_classes as gaussian_classes,
)
from jaxwin.analysis.speciation._general_times import (
    GeneralClassTimes as GeneralClassTimes,
    general_times as general_times,
)
from jaxwin.analysis.speciation._landau import (
    StationaryPoints as StationaryPoints,
    minimum as minimum,
    potential as potential,
    stationary_points as stationary_points,
)
from jaxwin.analysis.speciation._measured_times import (
    measured_general_times as measured_general_times,
)
from jaxwin.analysis.speciation._merge_tree import (
    MergeTree as MergeTree,
    merge_tree as merge_tree,
)
from jaxwin.analysis.speciation._modes import (
    modes_agreement as modes_agreement,
    modes_disagreement as modes_disagreement,
    nested_agreement as nested_agreement,
)
from jaxwin.analysis.speciation._principal import (
    Principal as Principal,
    principal as principal,
)
from jaxwin.analysis.speciation._sequence import (
    SpeciationSequence as SpeciationSequence,
    sequence as sequence,
)
from jaxwin.analysis.speciation._simulated import (
    simulated_agreement as simulated_agreement,
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
from jaxwin.analysis.speciation._universal import (
    COVARIANCES as COVARIANCES,
    MEANS as MEANS,
    ScalingCollapse as ScalingCollapse,
    TransitionWindow as TransitionWindow,
    rescaled as rescaled,
    scaling_collapse as scaling_collapse,
    universal as universal,
    window as window,
)
