"""When samples become copies of data points: predicted and measured."""

from jaxwin.analysis.collapse._curve import (
    CollapseCurve as CollapseCurve,
    curve as curve,
)
from jaxwin.analysis.collapse._predicted import (
    gaussian_time as gaussian_time,
    leading_time as leading_time,
    two_cluster_time as two_cluster_time,
)
