"""Blocks of replicas: what runs, how far it is, what it found. Blind to physics."""

from jaxwin.execution._block import Replica as Replica
from jaxwin.execution._checkpoint import remove_runs as remove_runs
from jaxwin.execution._estimate import Estimate as Estimate
from jaxwin.execution._info import (
    Info as Info,
    cpu_features as cpu_features,
    info as info,
)
from jaxwin.execution._progress import (
    Progress as Progress,
    Status as Status,
    in_units as in_units,
)
from jaxwin.execution._run import next_look as next_look, run as run
from jaxwin.execution._runs import RunState as RunState, runs as runs
