"""Trees of random rules: when the class is lost, and which leaves change together.

The mean field of belief propagation in random grammars, a Gaussian field as control.
Index 0 of a height is the leaves; noise is eps in [0, 1] unless it is said to be SNR.
"""

from jaxwin.analysis.hierarchy._annealed import (
    combine as combine,
    downward_map as downward_map,
)
from jaxwin.analysis.hierarchy._averages import (
    Peak as Peak,
    Susceptibility as Susceptibility,
)
from jaxwin.analysis.hierarchy._controls import (
    WordCurves as WordCurves,
    word_curves as word_curves,
)
from jaxwin.analysis.hierarchy._correlations import (
    Correlations as Correlations,
    correlations as correlations,
)
from jaxwin.analysis.hierarchy._density_evolution import (
    DeepThreshold as DeepThreshold,
    deep_threshold as deep_threshold,
)
from jaxwin.analysis.hierarchy._disorder import (
    DisorderAverage as DisorderAverage,
    average as average,
    over_rules as over_rules,
)
from jaxwin.analysis.hierarchy._finite_size import (
    ClassWidths as ClassWidths,
    CriticalGrowth as CriticalGrowth,
    SusceptibilityPeak as SusceptibilityPeak,
    class_widths as class_widths,
    critical_susceptibility as critical_susceptibility,
    susceptibility_peak as susceptibility_peak,
)
from jaxwin.analysis.hierarchy._gaussian_field import (
    HalfReconstruction as HalfReconstruction,
    field_susceptibility as field_susceptibility,
    half_reconstruction as half_reconstruction,
    octaves as octaves,
    ring_spectrum as ring_spectrum,
)
from jaxwin.analysis.hierarchy._information import (
    HierarchyInformation as HierarchyInformation,
    hierarchy_information as hierarchy_information,
)
from jaxwin.analysis.hierarchy._leaf_beliefs import (
    CorruptedLeaves as CorruptedLeaves,
    EpsBeliefLeaves as EpsBeliefLeaves,
    GaussianLeaves as GaussianLeaves,
    MaskedLeaves as MaskedLeaves,
)
from jaxwin.analysis.hierarchy._level_curves import (
    LevelCurves as LevelCurves,
    independent_chance as independent_chance,
    level_curves as level_curves,
)
from jaxwin.analysis.hierarchy._mean_field import (
    belief_noise as belief_noise,
    dual_rules as dual_rules,
    leaf_belief as leaf_belief,
    upward_map as upward_map,
    upward_slope as upward_slope,
)
from jaxwin.analysis.hierarchy._mean_matching import (
    alpha_bar_to_snr as alpha_bar_to_snr,
    matched_belief as matched_belief,
    matched_noise as matched_noise,
    matched_snr as matched_snr,
    snr_to_alpha_bar as snr_to_alpha_bar,
    snr_to_ou_time as snr_to_ou_time,
)
from jaxwin.analysis.hierarchy._pair_counts import (
    distance_covariance as distance_covariance,
    pair_shares as pair_shares,
    susceptibility as susceptibility,
    triangular_susceptibility as triangular_susceptibility,
)
from jaxwin.analysis.hierarchy._posterior_chain import (
    MeanFieldCurves as MeanFieldCurves,
    mean_field_curves as mean_field_curves,
    posterior_chain as posterior_chain,
)
from jaxwin.analysis.hierarchy._recomposition import (
    Recomposition as Recomposition,
    independent_recomposition as independent_recomposition,
    recomposition as recomposition,
)
from jaxwin.analysis.hierarchy._sibling_chain import PosteriorChain as PosteriorChain
from jaxwin.analysis.hierarchy._transition import (
    Transition as Transition,
    transition as transition,
)
from jaxwin.analysis.hierarchy._turns import Counts as Counts, Turns as Turns
from jaxwin.analysis.hierarchy._upward_beliefs import (
    UpwardBeliefs as UpwardBeliefs,
    upward_beliefs as upward_beliefs,
)
