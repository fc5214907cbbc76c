"""A data set named on the line: file, columns, selection, units."""

import dataclasses
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from jaxwin._checks import BadInput
from jaxwin.cli._common import Arg, Common

if TYPE_CHECKING:
    from jaxwin.datasets import Data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(Common):
    """Options of the commands that take a data set."""

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

    def data(self) -> "Data":
        """The digits, or what a file holds; `--x FILE` is understood too."""
        return self.data_with(None)

    def data_with(self, groups: str | None) -> "Data":
        """The same with a column of groups among the labels."""
        from jaxwin.datasets import digits, load

        file, key = self.file, self.x
        if file is None and key is not None and os.path.exists(key):
            file, key = key, None
        if file is not None:
            return load(file, key, self.labels, groups)
        for name in ("x", "labels"):
            if getattr(self, name) is not None:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)!r} and no file is given; it "
                    f"names columns of a file: jaxwin report FILE --{name} COLUMNS."
                )
        return digits()

    def selection(self) -> dict[str, Any]:
        """The options that say which of the data, and in which units."""
        return {
            "classes": self.classes,
            "num_points": self.points,
            "normalize": None if self.normalize == "auto" else self.normalize,
            "pca": self.pca,
            "shape": self._shape(),
        }

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
