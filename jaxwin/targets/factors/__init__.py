"""Densities on the line, the factors of a `ProductMixture`."""

from jaxwin.targets.factors._base import AbstractFactor as AbstractFactor
from jaxwin.targets.factors._concave import (
    AbstractConcaveFactor as AbstractConcaveFactor,
)
from jaxwin.targets.factors._laplace import Laplace as Laplace, laplace as laplace
from jaxwin.targets.factors._logistic import Logistic as Logistic, logistic as logistic
from jaxwin.targets.factors._quartic import Quartic as Quartic, quartic as quartic
from jaxwin.targets.factors._tabulated import (
    Tabulated as Tabulated,
    tabulated as tabulated,
)
from jaxwin.targets.factors._truncated_gaussian import (
    TruncatedGaussian as TruncatedGaussian,
    truncated_gaussian as truncated_gaussian,
)
