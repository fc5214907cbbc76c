"""Blocks of replicas: what runs, how far it is, what it found. Blind to physics."""

from jaxwin.execution._run import (
    Estimate as Estimate,
    Progress as Progress,
    Replica as Replica,
    run as run,
)
