"""What a file holds before anything is chosen: points, and columns that may label."""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets._features import PLAIN
from jaxwin.datasets._quoting import listing, quoted

PathLike = str | os.PathLike[str]
WITHOUT = "none"
# Names that say of a column that it labels the points, and not by what.
GENERIC = ("label", "labels", "class", "target", "targets", "y", "y_train")


@dataclasses.dataclass(frozen=True)
class Source:
    """Points and possible labels of one file; nothing is read before it is asked for.

    Attributes:
        name: What reports call the data.
        points: Makes the points, given the columns that label them.
        columns: What may label the points, by name.
        default: The columns taken where none are named.
    """

    name: str
    points: Callable[[Collection[str]], np.ndarray]
    columns: Mapping[str, Callable[[], np.ndarray]] = dataclasses.field(
        default_factory=dict
    )
    default: tuple[str, ...] = ()

    def choose(self, labels: str | None) -> tuple[str, ...] | Path:
        """The columns that `labels` means, or the file.

        Raises:
            BadInput: It is neither columns, nor a file, nor "none".
        """
        if labels is None:
            return self.default
        if labels in self.columns:
            return (labels,)
        if labels == WITHOUT:
            return ()
        # os.path says False where pathlib raises: names too long, null characters.
        if os.path.isfile(labels):
            return Path(labels)
        names = tuple(name.strip() for name in labels.split(","))
        if all(name in self.columns for name in names):
            return names
        known = (
            f"the columns of {quoted(self.name)} are {listing(self.columns)}"
            if self.columns
            else f"{quoted(self.name)} has no columns, give a file"
        )
        raise BadInput(
            f"`labels` is {quoted(labels)}, no such file or column; it must be columns "
            f"(A or A,B), a file or 'none'; {known}."
        )

    def labels(self, names: tuple[str, ...]) -> Mapping[str, np.ndarray] | object:
        """The columns of these names, as `from_arrays` takes them."""
        if not names:
            return None
        found = {name: self.columns[name]() for name in names}
        if len(found) > 1:
            return found
        ((name, column),) = found.items()
        if column.ndim != 1:
            return column
        return {PLAIN if name.lower() in GENERIC else name: column}


def no_columns(x: str | None, what: str, name: str) -> None:
    """Raise BadInput if a column of points is asked of what has none."""
    if x is not None:
        raise BadInput(
            f"`x` is {quoted(x)} and {quoted(name)} is {what}; it names an array of an "
            f".npz file or columns of a table; leave `x` out."
        )
