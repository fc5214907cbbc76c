"""When samples become copies of data points: predicted and measured."""

from jaxwin.analysis.collapse._curse import (
    Curse as Curse,
    LogPoints as LogPoints,
    curse as curse,
    log_points as log_points,
)
from jaxwin.analysis.collapse._curve import (
    CollapseCurve as CollapseCurve,
    CollapseMovement as CollapseMovement,
    FreshCollapse as FreshCollapse,
    curve as curve,
    read as read,
)
from jaxwin.analysis.collapse._data_time import (
    gaussian_time_of as gaussian_time_of,
)
from jaxwin.analysis.collapse._finite_size import (
    FiniteSize as FiniteSize,
    gaussian_finite_size as gaussian_finite_size,
    two_cluster_finite_size as two_cluster_finite_size,
)
from jaxwin.analysis.collapse._kernel_density import (
    Bandwidths as Bandwidths,
    bandwidths as bandwidths,
    kernel_divergence as kernel_divergence,
)
from jaxwin.analysis.collapse._last_neighbour import (
    LastNeighbour as LastNeighbour,
    last_neighbour as last_neighbour,
)
from jaxwin.analysis.collapse._manifold import (
    FrameTimes as FrameTimes,
    factor_onset_time as factor_onset_time,
    factor_time as factor_time,
    frame_times as frame_times,
    marchenko_pastur as marchenko_pastur,
)
from jaxwin.analysis.collapse._mixture import (
    mixture_information as mixture_information,
    mixture_time as mixture_time,
)
from jaxwin.analysis.collapse._predicted import (
    gaussian_points as gaussian_points,
    gaussian_time as gaussian_time,
    leading_rate as leading_rate,
    leading_time as leading_time,
    two_cluster_time as two_cluster_time,
)
from jaxwin.analysis.collapse._random_energy import (
    RandomEnergy as RandomEnergy,
)
from jaxwin.analysis.collapse._traps import (
    basin_radius as basin_radius,
    gaussian_onset_time as gaussian_onset_time,
    onset_time as onset_time,
)
