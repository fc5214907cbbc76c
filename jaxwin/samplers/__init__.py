"""Reverse-time steps and the drivers that run them."""

from jaxwin.samplers._base import AbstractStep as AbstractStep
from jaxwin.samplers._drive import sample as sample, sample_block as sample_block
from jaxwin.samplers._euler_maruyama import EulerMaruyama as EulerMaruyama
from jaxwin.samplers._flows import EulerFlow as EulerFlow, HeunFlow as HeunFlow
from jaxwin.samplers._reduced import (
    ReducedScheme as ReducedScheme,
    reduce_scheme as reduce_scheme,
)
from jaxwin.samplers._simulate import (
    Simulation as Simulation,
    labels as labels,
    simulate as simulate,
)
