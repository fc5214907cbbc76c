"""The command line: parse, call one public function, save. No physics."""

import contextlib
import dataclasses
import io as text
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

# A program from the cache is announced as made for another machine, for features that
# are hints to the compiler and no instructions; a failure of XLA raises all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
)
from rich.text import Text

from jaxwin._checks import BadInput

if TYPE_CHECKING:
    from rich.table import Table

    from jaxwin.datasets import Data
    from jaxwin.execution import Status
    from jaxwin.report import Diagnosis

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
    until_stderr: Annotated[float | None, Arg(metavar="ERROR")] = None
    """Measure until the curves' standard errors are below this."""
    plan: bool = False
    """Tell by a short pilot what the run would cost, and stop."""
    resume: bool = False
    """Go on from the finished blocks of a run that was stopped."""
    no_cache: bool = False
    """Compile afresh; otherwise programs are kept in your cache folder."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print the summary as JSON on standard output, and nothing else there."""

    def configure(self) -> None:
        """Choose float type and cache of programs before the first array is made."""
        if not self.no_cache:
            _keep_programs()
        on_cpu = jax.default_backend() == "cpu"
        wide = on_cpu if self.precision == "auto" else self.precision == "float64"
        jax.config.update("jax_enable_x64", wide)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Common):
    """When do the classes of a data set separate, and when are samples copies?

    Without a file: the digits of scikit-learn (1,797 images of 8 x 8).
    """

    file: Annotated[str | None, tyro.conf.Positional, Arg(metavar="[FILE]")] = None
    """Points: .npy, .npz, IDX, CSV, Parquet, a folder of images, openml:NAME."""
    x: Annotated[str | None, Arg(metavar="COLUMNS")] = None
    """Array of an .npz file, or columns of a table; found if left out."""
    labels: Annotated[str | None, Arg(metavar="FILE|COLUMNS")] = None
    """Labels by column, A,B for two features, or a file; found if left out; or none."""
    classes: Annotated[str | None, Arg(metavar="A,B")] = None
    """Classes to keep, such as 1,8; all if left out."""
    points: Annotated[int | None, Arg(metavar="N")] = None
    """Points to draw without replacement; all if left out."""
    normalize: Literal["auto", "pm1", "unit01", "unit", "none"] = "auto"
    """Units of the data; auto is pm1 for images and none for tables."""
    pca: Annotated[int | None, Arg(metavar="R")] = None
    """Leading principal directions to keep: exact for what lies in them."""
    shape: Annotated[str | None, Arg(metavar="H,W[,C]")] = None
    """Shape of the images that the rows of a table are."""
    steps: Annotated[int, Arg(metavar="N")] = 20
    """Evaluations of the advised time grid."""

    def run(self) -> None:
        """Diagnose, save the folder, print the table or the summary."""
        from jaxwin._files import check_place
        from jaxwin.execution import remove_runs
        from jaxwin.report import diagnose, plan, summary, terminal_table, write

        self.configure()
        command = _command_line()
        place = "jaxwin-report" if self.out is None else self.out
        target = check_place(place, "--out")
        blocks = target.with_name(f".{target.name}.blocks")
        data = self._data()
        options = {
            "classes": self.classes,
            "num_points": self.points,
            "normalize": None if self.normalize == "auto" else self.normalize,
            "pca": self.pca,
            "shape": self._shape(),
            "num_steps": self.steps,
            "seed": self.seed,
            "quick": self.quick,
            "until_stderr": self.until_stderr,
        }
        if self.plan:
            with _stages(self.quiet, self.resume) as stage:
                cost = plan(data, stage=stage, **options)
            fields = dataclasses.asdict(cost) | {"reached": cost.reached}
            _tell(json.dumps(fields, indent=2) if self.json else str(cost))
            return
        with _stages(self.quiet, self.resume) as stage:
            diagnosis = diagnose(
                data, folder=blocks, resume=self.resume, stage=stage, **options
            )
        try:
            write(diagnosis, place, command=command)
        except OSError as error:
            raise BadInput(
                f"`--out` is {place!r}, which cannot be written ({error.strerror}); "
                f"make room there or give another place, and go on with --resume."
            ) from error
        remove_runs(blocks)
        self._tell_reached(diagnosis)
        if self.json:
            _tell(json.dumps(summary(diagnosis), indent=2, allow_nan=False))
            return
        _tell(terminal_table(diagnosis))
        _tell(f"Read {Path(place) / 'index.html'}")

    def _tell_reached(self, diagnosis: "Diagnosis") -> None:
        """Say so where the errors asked for would have taken too long."""
        from jaxwin.report import largest_error

        worst = largest_error(diagnosis)
        if self.until_stderr is not None and worst >= self.until_stderr:
            print(
                f"jaxwin: --until-stderr {self.until_stderr:g} was not reached: "
                f"{worst:.2g} after {diagnosis.collapse.count} noised points.",
                file=sys.stderr,
            )

    def _shape(self) -> list[int] | None:
        if self.shape is None:
            return None
        try:
            return [int(side) for side in self.shape.split(",")]
        except ValueError:
            raise BadInput(
                f"`shape` is {self.shape!r}; it must be whole numbers, as in 28,28 or "
                f"32,32,3."
            ) from None

    def _data(self) -> "Data":
        """The digits, or what a file holds; `--x FILE` is understood too."""
        from jaxwin.datasets import digits, load

        file, key = self.file, self.x
        if file is None and key is not None and os.path.exists(key):
            file, key = key, None
        if file is not None:
            return load(file, key, self.labels)
        for name in ("x", "labels"):
            if getattr(self, name) is not None:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)!r} and no file is given; it "
                    f"names columns of a file: jaxwin report FILE --{name} COLUMNS."
                )
        return digits()


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
            _tell(json.dumps(entries, indent=2))
            return
        table = Table(
            "run", "state", "replicas", "estimate known worst so far", box=None
        )
        for run in found:
            done = "" if run.total is None else f"{run.done} of {run.total}"
            reading = "" if run.mean is None else f"{run.mean:.4g} ± {run.stderr:.2g}"
            table.add_row(Text(str(run.path)), run.state, done, reading)
        _tell(table if found else "No runs here.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
    """Devices and versions, what this machine reaches, and flags worth setting."""

    json: bool = False
    """Print it as JSON."""

    def run(self) -> None:
        """Measure for some seconds and print."""
        from jaxwin.execution import info

        found = info()
        if self.json:
            _tell(json.dumps(dataclasses.asdict(found), indent=2))
            return
        devices = ", ".join(
            f"{count} x {kind}" for kind, count in found.devices.items()
        )
        lines = [
            f"devices   {devices}; {found.cores} CPU cores",
            "versions  " + ", ".join(f"{k} {v}" for k, v in found.versions.items()),
            "reached by one device in float32, now:",
        ]
        for key, (what, unit) in _CEILINGS.items():
            lines.append(f"  {what:28} {found.ceilings[key]:8.3g} {unit}")
        for flag, is_set in found.flags.items():
            lines.append(f"XLA_FLAGS {flag}  ({'set' if is_set else 'worth setting'})")
        _tell("\n".join(lines))


_CEILINGS = {
    "matrix_product_gflops": ("matrix product", "GFLOP/s"),
    "exponentials_g": ("exponentials", "10^9/s"),
    "normals_g": ("normal random numbers", "10^9/s"),
}
Command = Report | Runs | Info
COMMANDS = {"report": Report, "runs": Runs, "info": Info}


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
        print(
            "jaxwin: interrupted; no result was written; --resume goes on from what is "
            "finished.",
            file=sys.stderr,
        )
        return 130
    return 0


def run() -> None:
    """The `jaxwin` program."""
    sys.exit(main())


def _parse(argv: Sequence[str]) -> Command:
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
    # Not Path.exists, which raises where a word is too long for a name.
    return (Path(word).name or word) if os.path.exists(word) else word


def _tell(what: "str | Table") -> None:
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


def _keep_programs() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX was told where."""
    from platformdirs import user_cache_path

    from jaxwin._files import sha256
    from jaxwin.execution import cpu_features

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # Machines that share a home may not run each other's programs.
        machine = sha256(" ".join(sorted(cpu_features())).encode())[:16]
        place = user_cache_path("jaxwin", appauthor=False) / "programs" / machine
        jax.config.update("jax_compilation_cache_dir", str(place))
    # Many small programs: by default only those that compile for a second are kept.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@contextlib.contextmanager
def _stages(quiet: bool, resume: bool) -> Iterator:
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
