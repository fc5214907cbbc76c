"""The science, one room for one phenomenon: predicted and measured times together."""

from jaxwin.analysis._crossing import Crossing as Crossing
