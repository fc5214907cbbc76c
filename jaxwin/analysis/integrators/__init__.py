"""What discretisation costs, without sampling."""

from jaxwin.analysis.integrators._two_modes import (
    TwoModes as TwoModes,
    mode_weight_error as mode_weight_error,
)
