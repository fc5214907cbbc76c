import dataclasses
import functools
from typing import Annotated, Any

from jaxwin._checks import BadInput
from jaxwin.cli._common import Arg, Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hierarchy(Common):
    """At which noise does each level of a random hierarchy change, and how together?

    A tree of random production rules (Random Hierarchy Model) seen through noise and
    restored by exact belief propagation: curves of every level, and chi.
    """

    symbols: Annotated[int, Arg(metavar="V")] = 32
    """Symbols of every level below the root."""
    rules: Annotated[int, Arg(metavar="M")] = 8
    """Production rules of a symbol, at most V^(S - 1)."""
    branching: Annotated[int, Arg(metavar="S")] = 2
    """Children of a node."""
    depth: Annotated[int, Arg(metavar="L")] = 10
    """Levels below the root: S^L leaves."""
    classes: Annotated[int | None, Arg(metavar="N")] = None
    """Symbols of the root; V if left out."""
    channel: Annotated[str, Arg(metavar="A,B")] = "gaussian"
    """Any of gaussian, masking, uniform, eps_belief."""
    noises: Annotated[str | None, Arg(metavar="A,B")] = None
    """Increasing: SNRs for gaussian, fractions for others; found if left out."""
    turns: Annotated[int, Arg(metavar="N")] = 10_000
    """U-turns a noise and a rule table."""
    tables: Annotated[int, Arg(metavar="N")] = 1
    """Rule tables to average over."""
    deep: bool = True
    """Whether to find where infinitely deep trees lose their class."""

    def run(self) -> None:
        """Study it and save the folder."""
        from jaxwin.report import hierarchy_of

        # A plan does not hand `quick` on.
        study = functools.partial(hierarchy_of, quick=self.quick, **self.asked())
        self.study(study, "jaxwin-hierarchy")

    def measuring(self) -> dict[str, Any]:
        """The options of a run, with how many starts there are in it."""
        from jaxwin.report import hierarchy_starts

        starts = hierarchy_starts(quick=self.quick, **self.asked())
        return super().measuring() | {"num_replicas": starts}

    def asked(self) -> dict[str, Any]:
        """What is to be studied."""
        return {
            "symbols": self.symbols,
            "rules": self.rules,
            "branching": self.branching,
            "depth": self.depth,
            "classes": self.classes,
            "channel": self.channel,
            "noises": _numbers(self.noises),
            "num_turns": self.turns,
            "tables": self.tables,
            "deep": self.deep,
        }


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise BadInput(
            f"`noises` is {text!r}; it must be numbers separated by commas."
        ) from error
