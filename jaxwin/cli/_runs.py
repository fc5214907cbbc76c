import dataclasses
import json
from typing import Annotated

import tyro
from rich.text import Text

from jaxwin.cli._common import Arg
from jaxwin.cli._terminal import tell


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runs:
    """List the results in a folder and the runs that were stopped or are under way."""

    folder: Annotated[str, tyro.conf.Positional, Arg(metavar="[FOLDER]")] = "."
    """Where to look; here if left out."""
    json: bool = False
    """Print the list as JSON."""

    def run(self) -> None:
        """Print one line a run."""
        from rich.table import Table

        from jaxwin.execution import runs

        found = runs(self.folder)
        if self.json:
            entries = [
                dataclasses.asdict(run) | {"path": str(run.path)} for run in found
            ]
            tell(json.dumps(entries, indent=2))
            return
        table = Table(
            "run", "state", "replicas", "estimate known worst so far", box=None
        )
        for run in found:
            done = "" if run.total is None else f"{run.done} of {run.total}"
            reading = "" if run.mean is None else f"{run.mean:.4g} ± {run.stderr:.2g}"
            table.add_row(Text(str(run.path)), run.state, done, reading)
        tell(table if found else "No runs here.")
