"""What a command found, ready to be written, printed and looked at."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import matplotlib.figure
    import rich.console


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """One question, answered.

    results: what `results.nc` holds. summary: what `summary.json` holds. figures: by
    file name. table: the key numbers for the terminal. largest_error: the largest
    standard error of the curves that `until_stderr` looks at, after `count` replicas; 0
    where nothing was sampled. kept: bytes that memory grows by with a replica more.
    page: `index.html`, if there is one. attachments: what writes a folder of its own,
    by the folder's name.
    """

    command: str
    title: str
    results: Any  # a result, or several by name
    summary: dict[str, Any]
    figures: "Mapping[str, matplotlib.figure.Figure]"
    table: "rich.console.RenderableType"
    largest_error: float = 0.0
    count: int = 0
    kept: int = 0
    page: str | None = None
    attachments: Mapping[str, Callable[[Path], None]] = dataclasses.field(
        default_factory=dict
    )
