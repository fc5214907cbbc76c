"""Windows of noise in which a feature is decided."""

from jaxwin.analysis.windows._best_time import (
    BestTime as BestTime,
    best_time as best_time,
)
from jaxwin.analysis.windows._certificate import (
    Best as Best,
    Certificate as Certificate,
    certificate as certificate,
    certificate_at as certificate_at,
)
from jaxwin.analysis.windows._confusion import (
    Confusion as Confusion,
    class_confusion as class_confusion,
    confusion as confusion,
)
from jaxwin.analysis.windows._decision_law import (
    DecisionLaw as DecisionLaw,
    decision_law as decision_law,
)
from jaxwin.analysis.windows._directions import (
    Directions as Directions,
    directions as directions,
    reduced_dimension as reduced_dimension,
)
from jaxwin.analysis.windows._distances import (
    Distance as Distance,
    distance as distance,
)
from jaxwin.analysis.windows._examples import (
    CoinsWindow as CoinsWindow,
    ConceptWindow as ConceptWindow,
    MaskingWindow as MaskingWindow,
    all_or_nothing_count as all_or_nothing_count,
    coins_flip as coins_flip,
    coins_total_variation as coins_total_variation,
    coins_window as coins_window,
    concept_overlap as concept_overlap,
    concept_window as concept_window,
    in_context_count as in_context_count,
    masking_total_variation as masking_total_variation,
    masking_window as masking_window,
)
from jaxwin.analysis.windows._expectation import (
    Places as Places,
    expectation as expectation,
)
from jaxwin.analysis.windows._flow import (
    flow_confusion as flow_confusion,
    flow_map as flow_map,
    flow_matrix as flow_matrix,
)
from jaxwin.analysis.windows._formulas import (
    OneOfMany as OneOfMany,
    SufficientTimes as SufficientTimes,
    TwoComponents as TwoComponents,
    covariance_gaps as covariance_gaps,
    one_of_many as one_of_many,
    random_means_width as random_means_width,
    separation_time as separation_time,
    sufficient_times as sufficient_times,
    two_components as two_components,
)
from jaxwin.analysis.windows._kronecker import (
    half_flip_time as half_flip_time,
    hypercube as hypercube,
    kronecker_confusion as kronecker_confusion,
    kronecker_matrix as kronecker_matrix,
    two_sided_matrix as two_sided_matrix,
)
from jaxwin.analysis.windows._law_distance import (
    UturnDistance as UturnDistance,
    uturn_distance as uturn_distance,
)
from jaxwin.analysis.windows._linkage import (
    linkage_tree as linkage_tree,
)
from jaxwin.analysis.windows._measured_windows import (
    measured_windows as measured_windows,
)
from jaxwin.analysis.windows._mixture_tree import (
    MixtureTree as MixtureTree,
    measured_tree as measured_tree,
    mixture_tree as mixture_tree,
)
from jaxwin.analysis.windows._overlaps import (
    Overlaps as Overlaps,
    class_overlaps as class_overlaps,
    overlaps as overlaps,
)
from jaxwin.analysis.windows._pairs import (
    PairTable as PairTable,
    gram as gram,
    pair_table as pair_table,
)
from jaxwin.analysis.windows._sampled_certificate import (
    sampled_certificate as sampled_certificate,
)
from jaxwin.analysis.windows._sampled_thresholds import (
    sampled_thresholds as sampled_thresholds,
)
from jaxwin.analysis.windows._sets import (
    members as members,
    nested as nested,
)
from jaxwin.analysis.windows._sparse import (
    SparseDictionary as SparseDictionary,
)
from jaxwin.analysis.windows._stability import (
    TreeConditions as TreeConditions,
    model_error as model_error,
    stable_epsilon as stable_epsilon,
    tree_conditions as tree_conditions,
)
from jaxwin.analysis.windows._survival import (
    Survival as Survival,
    survival as survival,
)
from jaxwin.analysis.windows._theorem import (
    depth_bound as depth_bound,
    separation_ratio as separation_ratio,
    theorem_bound as theorem_bound,
)
from jaxwin.analysis.windows._thresholds import (
    Thresholds as Thresholds,
    Window as Window,
    thresholds as thresholds,
    window as window,
)
from jaxwin.analysis.windows._timeline import (
    EARLIER as EARLIER,
    NEVER as NEVER,
    OFF_BRANCH as OFF_BRANCH,
    WITHIN as WITHIN,
    Timeline as Timeline,
    decision_timeline as decision_timeline,
)
from jaxwin.analysis.windows._tree import (
    Tree as Tree,
)
from jaxwin.analysis.windows._uturn import (
    uturn_density as uturn_density,
    uturn_sample as uturn_sample,
)
from jaxwin.analysis.windows._variation import (
    pair_directions as pair_directions,
    total_variation as total_variation,
)
from jaxwin.analysis.windows._window_table import (
    WindowTable as WindowTable,
    sweep_windows as sweep_windows,
)
