"""Arrays and labels from files and bundled sources; no physics."""

from jaxwin.datasets._data import Data as Data, from_arrays as from_arrays
from jaxwin.datasets._digits import digits as digits
from jaxwin.datasets._features import Feature as Feature
from jaxwin.datasets._load import load as load
from jaxwin.datasets._named_arrays import (
    is_named as is_named,
    named_arrays as named_arrays,
    numbers as numbers,
)
from jaxwin.datasets._normalize import (
    Normalized as Normalized,
    default_convention as default_convention,
    normalize as normalize,
    scale as scale,
)
from jaxwin.datasets._select import select as select
