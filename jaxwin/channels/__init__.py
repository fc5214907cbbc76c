"""What is observed of clean data, and a law seen through it."""

from jaxwin.channels._base import AbstractChannel as AbstractChannel
from jaxwin.channels._gaussian import Gaussian as Gaussian
from jaxwin.channels._observed import (
    AbstractObserved as AbstractObserved,
    Observed as Observed,
)
