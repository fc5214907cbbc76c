"""Late start: beginning a backward run from a Gaussian, and what that misplaces."""

from jaxwin.analysis.late_start._agreement import (
    Agreement as Agreement,
    agreement as agreement,
)
from jaxwin.analysis.late_start._automatic import (
    AutomaticStart as AutomaticStart,
    automatic as automatic,
)
from jaxwin.analysis.late_start._classifier import (
    Classifier as Classifier,
    FeatureMoments as FeatureMoments,
    feature_moments as feature_moments,
)
from jaxwin.analysis.late_start._diversity import (
    Diversity as Diversity,
    diversity as diversity,
)
from jaxwin.analysis.late_start._elbow import elbow as elbow
from jaxwin.analysis.late_start._floor import Floor as Floor
from jaxwin.analysis.late_start._gaussian import (
    GaussianClean as GaussianClean,
    gaussian_clean as gaussian_clean,
    start_law as start_law,
)
from jaxwin.analysis.late_start._grids import start_grids as start_grids
from jaxwin.analysis.late_start._kinds import KINDS as KINDS
from jaxwin.analysis.late_start._law import (
    ClassWeights as ClassWeights,
    StartLaw as StartLaw,
    law as law,
)
from jaxwin.analysis.late_start._misplaced import (
    LateStart as LateStart,
    misplaced as misplaced,
)
from jaxwin.analysis.late_start._over_starts import (
    Best as Best,
    Gain as Gain,
    OverStarts as OverStarts,
    best as best,
    gain as gain,
)
from jaxwin.analysis.late_start._sweep import StartSweep as StartSweep, sweep as sweep
from jaxwin.analysis.late_start._table import (
    SAMPLERS as SAMPLERS,
    AtStart as AtStart,
    LateStartTable as LateStartTable,
    Row as Row,
    Sampler as Sampler,
    table as table,
)
