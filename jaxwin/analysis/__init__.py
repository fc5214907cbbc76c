"""The science, one room for one phenomenon: predicted and measured times together."""

from jaxwin.analysis._crossing import (
    Crossing as Crossing,
    known_crossing as known_crossing,
    stack as stack,
    unstack as unstack,
)
from jaxwin.analysis._feature import Feature as Feature
from jaxwin.analysis._sweep import Sweep as Sweep, sweep as sweep
