"""Late start: beginning a backward run from a Gaussian, and what that misplaces."""

from jaxwin.analysis.late_start._gaussian import (
    GaussianClean as GaussianClean,
    gaussian_clean as gaussian_clean,
    start_law as start_law,
)
from jaxwin.analysis.late_start._misplaced import (
    LateStart as LateStart,
    misplaced as misplaced,
)
