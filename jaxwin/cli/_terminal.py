"""Progress on standard error, results on standard output."""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
)

from jaxwin._checks import BadInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jaxwin.execution import Status


def tell(what: "str | RenderableType") -> None:
    """Print on standard output; who reads it may have gone, or the disk be full."""
    if not isinstance(what, str):
        console = Console()
        with console.capture() as captured:
            console.print(what)
        what = captured.get().removesuffix("\n")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(what.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:
        # Nobody reads on: no complaint, nor one when Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BadInput(
            f"standard output cannot be written ({error.strerror}); results that were "
            f"announced are in their folder."
        ) from None


@contextlib.contextmanager
def stages(quiet: bool, resume: bool) -> Iterator[Callable]:
    """A function from the name of a stage to its progress callback."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[reading]}"),
    )
    bars = Progress(*columns, console=Console(stderr=True, quiet=quiet))

    def stage(name: str) -> Callable[["Status"], None]:
        # Nothing is shown before the input is validated: kept blocks by the first call.
        if not resume:
            bars.start()
        task = bars.add_task(name, total=None, reading="")

        def show(status: "Status") -> None:
            bars.start()
            reading = f"{status.mean:.3f} ± {status.stderr:.1g}"
            if status.rate:  # none yet where all blocks were there
                left = timedelta(seconds=math.ceil(status.remaining))
                reading = f"{status.rate:,.0f}/s, {left} left, {reading}"
            bars.update(
                task, completed=status.done, total=status.total, reading=reading
            )

        return show

    try:
        yield stage
    finally:
        if bars.live.is_started:
            bars.stop()
