"""What is observed of clean data, and a law seen through it."""

from jaxwin.channels._base import AbstractChannel as AbstractChannel
from jaxwin.channels._black_box import BlackBox as BlackBox
from jaxwin.channels._epsilon_belief import EpsilonBelief as EpsilonBelief
from jaxwin.channels._gaussian import Gaussian as Gaussian
from jaxwin.channels._masking import MASK as MASK, Masking as Masking
from jaxwin.channels._observed import (
    AbstractObserved as AbstractObserved,
    AbstractSimulated as AbstractSimulated,
    LabelledData as LabelledData,
    Observed as Observed,
)
from jaxwin.channels._uniform_corruption import (
    UniformCorruption as UniformCorruption,
)
from jaxwin.channels._words import AbstractWordChannel as AbstractWordChannel
