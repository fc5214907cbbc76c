"""Groups, members and candidates: what commands that audit a model take."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from jaxwin._checks import BadInput
from jaxwin.cli._common import Arg
from jaxwin.cli._source import Source

if TYPE_CHECKING:
    from jaxwin.datasets import Data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit(Source):
    """Options of the commands that compare groups and tell members."""

    groups: Annotated[str | None, Arg(metavar="COLUMN")] = None
    """Label column whose groups are compared for fairness."""
    members: Annotated[str | None, Arg(metavar="FILE")] = None
    """Training points, for membership; with --candidates."""
    candidates: Annotated[str | None, Arg(metavar="FILE")] = None
    """Points of the same kind that were not trained on."""

    def data(self) -> "Data":
        """The data, with the column of the groups among their labels."""
        found = self.data_with(self.groups)
        if self.groups is None or self.file is None or len(found.features) != 1:
            return found
        # A single column of labels has lost its name.
        named = dataclasses.replace(found.features[0], name=self.groups)
        return dataclasses.replace(found, features=(named,))

    def audited(self) -> dict[str, Any]:
        """The options of a run that are the same in Python."""
        from jaxwin.report._membership import check_together

        # Before any file is read.
        check_together(self.members, self.candidates)
        return {
            "groups": self.groups,
            "members": _points(self.members, "members"),
            "candidates": _points(self.candidates, "candidates"),
        }


def _points(file: str | None, name: str) -> "Data | None":
    """The points of a file, whose mistakes are those of the option `name`."""
    from jaxwin.datasets import load

    if file is None:
        return None
    try:
        return load(file, None, None)
    except BadInput as error:
        told = str(error).replace("`file`", f"`{name}`")
        if f"`{name}`" not in told:
            told = f"`{name}` is {file!r}: {told}"
        raise BadInput(told) from error
