"""The command line: parse, call one public function, save. No physics."""

import contextlib
import dataclasses
import io as text
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import jax
import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from jaxwin._checks import BadInput

if TYPE_CHECKING:
    from jaxwin.datasets import Data

Arg = tyro.conf.arg


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every command takes."""

    out: Annotated[str | None, Arg(metavar="DIR")] = None
    """Folder of the results; jaxwin-COMMAND if left out."""
    seed: int = 0
    """Seed of all random numbers."""
    precision: Literal["auto", "float32", "float64"] = "auto"
    """Float type; auto is float64 on a CPU and float32 on an accelerator."""
    quick: bool = False
    """Coarser, in at most a minute on two cores."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print the summary as JSON on standard output, and nothing else there."""

    def set_precision(self) -> None:
        """Choose the float type before the first array is made."""
        on_cpu = jax.default_backend() == "cpu"
        wide = on_cpu if self.precision == "auto" else self.precision == "float64"
        jax.config.update("jax_enable_x64", wide)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Common):
    """When do the classes of a data set separate, and when are samples copies?

    Without a file: the digits of scikit-learn (1,797 images of 8 x 8).
    """

    file: Annotated[str | None, tyro.conf.Positional, Arg(metavar="[FILE]")] = None
    """A .npy or .npz file of points, one row or image each."""
    x: Annotated[str | None, Arg(metavar="KEY")] = None
    """The array of an .npz file that holds the points; found if left out."""
    labels: Annotated[str | None, Arg(metavar="FILE|KEY")] = None
    """Labels: an array of the .npz file, or a .npy file; found if left out."""
    classes: Annotated[str | None, Arg(metavar="A,B")] = None
    """Classes to keep, such as 1,8; all if left out."""
    points: Annotated[int, Arg(metavar="N")] = 0
    """Points to draw without replacement; 0 keeps all."""
    normalize: Literal["auto", "pm1", "unit01", "unit", "none"] = "auto"
    """Units of the data; auto is pm1 for images and none for tables."""

    def run(self) -> None:
        """Diagnose, save the folder, print the table or the summary."""
        from jaxwin._files import check_place
        from jaxwin.report import diagnose, summary, terminal_table, write

        self.set_precision()
        place = self.out or "jaxwin-report"
        check_place(place, "--out")
        data = self._data()
        with _stages(self.quiet) as stage:
            diagnosis = diagnose(
                data,
                classes=self.classes,
                num_points=self.points or None,
                normalize=None if self.normalize == "auto" else self.normalize,
                seed=self.seed,
                quick=self.quick,
                stage=stage,
            )
        write(diagnosis, place, command=_command_line())
        if self.json:
            print(json.dumps(summary(diagnosis), indent=2, allow_nan=False))
            return
        Console().print(terminal_table(diagnosis))
        print(f"Read {Path(place) / 'index.html'}")

    def _data(self) -> "Data":
        """The digits, or the arrays of a file; `--x FILE` is understood too."""
        from jaxwin.datasets import digits, load

        file, key = self.file, self.x
        if file is None and key is not None and key.endswith((".npy", ".npz")):
            file, key = key, None
        if file is not None:
            return load(file, key, self.labels)
        for name in ("x", "labels"):
            if getattr(self, name) is not None:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)!r} and no file is given; it "
                    f"names an array of a file: jaxwin report FILE --{name} KEY."
                )
        return digits()


COMMANDS = {"report": Report}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; results on standard output, messages on standard error.

    Returns:
        0 done, 2 bad input (one line on standard error), 130 interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    if list(argv) == ["--version"]:
        print(f"jaxwin {version('jaxwin')}")
        return 0
    try:
        _parse(argv).run()
    except BadInput as error:
        print(f"jaxwin: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jaxwin: interrupted; nothing was written.", file=sys.stderr)
        return 130
    return 0


def run() -> None:
    """The `jaxwin` program."""
    sys.exit(main())


def _parse(argv: Sequence[str]) -> Report:
    """The command; a mistake of the line is one line, not a box."""
    errors = text.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                args=list(argv),
                prog="jaxwin",
                description="When does a diffusion model decide each feature?",
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        lines = [line.strip("│╭╰╮╯─- \t") for line in errors.getvalue().splitlines()]
        raise BadInput(_message([line for line in lines if line])) from None


def _message(lines: list[str]) -> str:
    """The message of tyro's error box, without its title, help and hints."""
    body = lines[1:] or lines
    hints = ("Argument helptext", "For full helptext", "Perhaps you meant", "similar")
    stops = [i for i, line in enumerate(body) if line.startswith(hints)]
    kept = body[: min(stops, default=len(body))] or lines
    return " ".join(kept).rstrip(".:") + "; see jaxwin --help."


def _command_line() -> str:
    """The command to repeat this run, without folders of this machine."""
    return shlex.join(["jaxwin", *(_last_part(word) for word in sys.argv[1:])])


def _last_part(word: str) -> str:
    return Path(word).name if Path(word).exists() else word


@contextlib.contextmanager
def _stages(quiet: bool) -> Iterator:
    """A function from the name of a stage to its progress callback."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=Console(stderr=True, quiet=quiet))

    def stage(name: str):
        # Nothing is shown before the first stage: by then the input is validated.
        bars.start()
        task = bars.add_task(name, total=None)
        return lambda status: bars.update(
            task, completed=status.done, total=status.total
        )

    try:
        yield stage
    finally:
        if bars.tasks:
            bars.stop()
