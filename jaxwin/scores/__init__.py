"""Scores s(x, t): where a denoiser meets a process; conversions between predictions."""

from jaxwin.scores._base import (
    AbstractScore as AbstractScore,
    BatchedScore as BatchedScore,
)
from jaxwin.scores._conversions import (
    Prediction as Prediction,
    convert_prediction as convert_prediction,
)
from jaxwin.scores._exact import ExactScore as ExactScore
from jaxwin.scores._guided import Guided as Guided
from jaxwin.scores._host_function import HostFunction as HostFunction
from jaxwin.scores._network import (
    NetworkPrediction as NetworkPrediction,
    from_network as from_network,
    guided_network as guided_network,
)
