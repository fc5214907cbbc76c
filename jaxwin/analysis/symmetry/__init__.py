"""Symmetry breaking: fixed points of the backward drift, and when they split."""

from jaxwin.analysis.symmetry._branches import (
    FixedBranch as FixedBranch,
    branch as branch,
)
from jaxwin.analysis.symmetry._closed_form import (
    coupling as coupling,
    critical_log_snr as critical_log_snr,
    instability_integral as instability_integral,
    last_unstable_index as last_unstable_index,
    predicted_time as predicted_time,
    sphere_alpha as sphere_alpha,
)
from jaxwin.analysis.symmetry._critical_times import (
    CriticalTimes as CriticalTimes,
    Transitions as Transitions,
    critical_times as critical_times,
)
from jaxwin.analysis.symmetry._drift import Drift as Drift, named_drift as named_drift
from jaxwin.analysis.symmetry._hopfield import (
    attention as attention,
    hopfield_energy as hopfield_energy,
)
from jaxwin.analysis.symmetry._linear_phase import (
    AffineScore as AffineScore,
    LinearPhase as LinearPhase,
    affine_score as affine_score,
    linear_phase as linear_phase,
)
from jaxwin.analysis.symmetry._potential import (
    Curvatures as Curvatures,
    Profile as Profile,
    along_arc as along_arc,
    along_line as along_line,
    curvatures as curvatures,
    difference as difference,
    gradient as gradient,
    hessian as hessian,
    hessian_product as hessian_product,
    potential as potential,
)
from jaxwin.analysis.symmetry._potts import (
    PottsState as PottsState,
    PottsTimes as PottsTimes,
    potts_state as potts_state,
    potts_times as potts_times,
)
from jaxwin.analysis.symmetry._reversion import (
    Reversion as Reversion,
    reversion as reversion,
)
from jaxwin.analysis.symmetry._two_points import (
    Spinodal as Spinodal,
    TwoPointBranches as TwoPointBranches,
    spinodal as spinodal,
    two_point_branches as two_point_branches,
)
from jaxwin.analysis.symmetry._window import (
    EntropyShare as EntropyShare,
    InstabilityWindow as InstabilityWindow,
    entropy_share as entropy_share,
    instability_window as instability_window,
)
