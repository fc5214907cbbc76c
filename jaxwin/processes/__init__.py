"""Clocks t -> (alpha, sigma) of the Gaussian channel, and grids of times."""

from jaxwin.processes._base import (
    AbstractProcess as AbstractProcess,
    AbstractVariancePreserving as AbstractVariancePreserving,
    Prior as Prior,
)
from jaxwin.processes._convert import convert as convert
from jaxwin.processes._cosine import Cosine as Cosine
from jaxwin.processes._discrete_ddpm import DiscreteDDPM as DiscreteDDPM
from jaxwin.processes._edm import EDM as EDM
from jaxwin.processes._linear_interpolant import LinearInterpolant as LinearInterpolant
from jaxwin.processes._ornstein_uhlenbeck import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from jaxwin.processes._time_grids import (
    dilated as dilated,
    discrete as discrete,
    edm_rho as edm_rho,
    log_snr_uniform as log_snr_uniform,
    uniform as uniform,
)
from jaxwin.processes._variance_exploding import VarianceExploding as VarianceExploding
from jaxwin.processes._variance_preserving import (
    VariancePreserving as VariancePreserving,
)
