"""One published figure that can be remade."""

import dataclasses
from collections.abc import Callable
from typing import Literal

from jaxwin.report._study import Study

Published = Literal["points", "curve", "none available"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A figure by name.

    source: paper and section. published: whether its numbers are printed somewhere and
    overlaid ("points"), read by us off the figure ("curve"), or not to be had. data:
    whether it is made from files, handed over as `data`. make: called with `data` (if
    so) and a `Measuring`.
    """

    name: str
    title: str
    source: str
    published: Published
    make: Callable[..., Study]
    data: bool = False
