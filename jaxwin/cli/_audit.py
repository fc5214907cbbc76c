"""Groups, members and candidates: what commands that audit a model take."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

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
        return {
            "groups": self.groups,
            "members": _points(self.members),
            "candidates": _points(self.candidates),
        }


def _points(file: str | None) -> "Data | None":
    from jaxwin.datasets import load

    return None if file is None else load(file, None, None)
