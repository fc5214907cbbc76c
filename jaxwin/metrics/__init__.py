"""Distances between samples, and between samples and laws: arrays in, numbers out.

Samples are rows, (n, d), or (n,) on the line. Every metric comes with its standard
error. What is checked raises ValueError outside a trace; inside one, wrong numbers give
NaN, never a plausible value.
"""

from jaxwin.metrics._energy import energy_distance as energy_distance
from jaxwin.metrics._frechet import fidelity as fidelity, frechet as frechet
from jaxwin.metrics._likelihood import (
    negative_log_likelihood as negative_log_likelihood,
)
from jaxwin.metrics._line import wasserstein_1d as wasserstein_1d
from jaxwin.metrics._memorised import memorised_fraction as memorised_fraction
from jaxwin.metrics._metric import Metric as Metric
from jaxwin.metrics._mmd import mmd as mmd
from jaxwin.metrics._mode_moments import (
    ModeMomentsError as ModeMomentsError,
    mode_moments_error as mode_moments_error,
)
from jaxwin.metrics._mode_weights import (
    ModeWeightError as ModeWeightError,
    mode_weight_error as mode_weight_error,
)
from jaxwin.metrics._sinkhorn import sinkhorn as sinkhorn
from jaxwin.metrics._sliced import sliced_wasserstein as sliced_wasserstein
