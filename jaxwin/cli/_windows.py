import dataclasses
import functools
import json
from typing import Annotated, Any

from jaxwin._checks import BadInput
from jaxwin.cli._audit import Audit
from jaxwin.cli._common import Arg
from jaxwin.cli._entry import check_alone, from_entry
from jaxwin.cli._law import PARTS, LawOrData

# What says where another law, or data, come from than --entry.
SOURCES = ("file", *PARTS, "dimension", "labels", "x")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows(LawOrData, Audit):
    """In which window of noise is each class or group of classes decided?

    Of a mixture (--means 1,-1 --variances 1 --dimension 4096, or a JSON or npz file
    with `means`), of a law of your own (--entry MODULE:NAME), or of a labelled data set
    under kernel density; the digits without any.
    """

    entry: Annotated[str | None, Arg(metavar="MODULE:NAME")] = None
    """Law of one's own: a labelled target or Observed, or a function that gives one."""
    epsilon: float = 0.1
    """Tolerance of thresholds and windows, between 0 and 1."""
    tree: Annotated[str | None, Arg(metavar="GROUPS")] = None
    """Nested groups of classes by number, as in [[0,1],2]; found if left out."""
    initial: Annotated[str | None, Arg(metavar="A,B")] = None
    """Classes, by number, from which the certified U-turn starts."""
    target: Annotated[str | None, Arg(metavar="A,B")] = None
    """Classes, by number, in which it is to end."""
    bandwidth: Annotated[float | None, Arg(metavar="H")] = None
    """Of the kernel on normalised data; 0 for the points alone, as in report."""

    def run(self) -> None:
        """Study it and save the folder."""
        from jaxwin.report import windows_of

        check_alone(self, SOURCES)
        given: dict[str, Any] = {
            "epsilon": self.epsilon,
            "tree": _json(self.tree, "tree"),
            "initial": _json(self.initial, "initial"),
            "target": _json(self.target, "target"),
            "bandwidth": self.bandwidth,
            **self.audited(),
        }
        study = functools.partial(windows_of, **given)
        if self.entry is None:
            # Units of a mixture's members, where there are some.
            takes = () if self.members is None else ("normalize",)
            self.law_study(study, "jaxwin-windows", mixture_takes=takes)
            return
        self.configure()
        law = from_entry(self.entry)
        chosen = {k: v for k, v in self.selection().items() if v is not None}
        study = functools.partial(study, law, name=self.entry, **chosen)
        self.study(study, "jaxwin-windows")


def _json(text: str | None, name: str) -> Any:
    if text is None:
        return None
    try:
        found = json.loads(f"[{text}]")
        # Brackets around a plain list may be left out.
        alone = len(found) == 1 and isinstance(found[0], list)
        return found[0] if alone else found
    except ValueError as error:
        raise BadInput(
            f"`{name}` is {text!r}; it must be numbers of classes, as in 0,1 or "
            f"[[0,1],2]."
        ) from error
