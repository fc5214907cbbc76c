"""When samples become copies of data points: predicted and measured."""

from jaxwin.analysis.collapse._curve import (
    CollapseCurve as CollapseCurve,
    CollapseMovement as CollapseMovement,
    FreshCollapse as FreshCollapse,
    curve as curve,
    read as read,
)
from jaxwin.analysis.collapse._predicted import (
    gaussian_points as gaussian_points,
    gaussian_time as gaussian_time,
    leading_time as leading_time,
    two_cluster_time as two_cluster_time,
)
