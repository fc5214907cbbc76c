"""Clocks that run where something is decided: time grids from measured curves."""

from jaxwin.analysis.clocks._advised_grid import (
    TimeGrid as TimeGrid,
    advised_grid as advised_grid,
)
from jaxwin.analysis.clocks._equal import equal as equal
from jaxwin.analysis.clocks._rescaled_entropy import (
    gaussian_rescaled_entropy as gaussian_rescaled_entropy,
    rescaled_entropy as rescaled_entropy,
)
