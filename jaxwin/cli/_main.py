"""From the words of the line to a command, and from its end to an exit code."""

import contextlib
import io
import sys
from collections.abc import Sequence
from importlib.metadata import version

import tyro

from jaxwin._checks import BadInput
from jaxwin.cli._collapse import Collapse
from jaxwin.cli._compare import Compare
from jaxwin.cli._hierarchy import Hierarchy
from jaxwin.cli._info import Info
from jaxwin.cli._report import Report
from jaxwin.cli._reproduce import Reproduce
from jaxwin.cli._runs import Runs
from jaxwin.cli._speciation import Speciation
from jaxwin.cli._symmetry import Symmetry
from jaxwin.cli._train import Train
from jaxwin.cli._windows import Windows

Command = (
    Report
    | Speciation
    | Collapse
    | Windows
    | Symmetry
    | Hierarchy
    | Train
    | Compare
    | Reproduce
    | Runs
    | Info
)
COMMANDS = {
    "report": Report,
    "speciation": Speciation,
    "collapse": Collapse,
    "windows": Windows,
    "symmetry": Symmetry,
    "hierarchy": Hierarchy,
    "train": Train,
    "compare": Compare,
    "reproduce": Reproduce,
    "runs": Runs,
    "info": Info,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; results on standard output, messages on standard error.

    Returns:
        0 done, 2 bad input or numbers that became NaN (one line on standard error), 130
        interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    if list(argv) == ["--version"]:
        print(f"jaxwin {version('jaxwin')}")
        return 0
    try:
        _parse(argv).run()
    except (BadInput, FloatingPointError) as error:
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
    errors = io.StringIO()
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
