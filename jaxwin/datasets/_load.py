import os
from pathlib import Path

from jaxwin._checks import BadInput
from jaxwin.datasets._arrays import npy_source, npz_labels, npz_source, read_array
from jaxwin.datasets._data import Data, from_arrays
from jaxwin.datasets._folder import folder_source
from jaxwin.datasets._idx import idx_source, read_idx
from jaxwin.datasets._kind import kind_of
from jaxwin.datasets._openml import PREFIX, openml_source
from jaxwin.datasets._parquet import read_parquet
from jaxwin.datasets._quoting import listing, quoted
from jaxwin.datasets._source import PathLike, Source
from jaxwin.datasets._table import table_labels, table_source
from jaxwin.datasets._text import read_text


def load(
    file: PathLike,
    x: str | None = None,
    labels: str | None = None,
    groups: str | None = None,
) -> Data:
    """Read points, and labels where there are some.

    The format is told by the content, not by the name. Pickles are never loaded.

    - `.npy`: one array; a large one is mapped and never read as a whole.
    - `.npz`: the points are the first there is of the arrays x, X, x_train, data,
      images, points, arr_0, or else the only one; the labels the first of y, labels,
      y_train, targets (beside `x_train`, `y_train` first).
    - IDX, packed by gzip or not: the labels of `...images-idx3...` are in the file
      `...labels-idx1...` beside it.
    - A folder of images, or of one folder of images for each class. Images are taken
      in the order of their names; what is no image, by its ending, or is hidden is
      left out. Grey ones stay (h, w); with a coloured one among them, all are RGB.
    - A text table with any of comma, semicolon, tab or space between the columns,
      with a line of names or not ("0", "1", ... then), and Parquet: the points are the
      numeric columns, the labels the first there is of label, labels, class, target, y
      ("y" only without "x"), which are no points unless `x` names them. An index
      without a name is left out.
    - "openml:NAME" or "openml:ID": a data set of openml.org, kept by scikit-learn.

    Args:
        file: The points (see `from_arrays`).
        x: Array of an `.npz`, or columns of a table ("a,b"; one column of Parquet may
            hold lists of equal length).
        labels: Array of the same `.npz` or column of the same table, several ("a,b"),
            or another file of one label a point, a table of several columns for
            several features; "none" for none.
        groups: One more such array or column, whose labels are the last feature.

    Raises:
        BadInput: There is no such file or column, the format is unknown, the file is
            empty, truncated or damaged, or what `from_arrays` refuses.
    """
    source = _source(file, x, labels)
    names = source.choose(labels)
    if groups is not None:
        names = _with_groups(source, names, groups)
    if isinstance(names, Path):
        points = source.points(source.default)
        return from_arrays(points, _labels(names, len(points)), source.name)
    points = source.points((*names, *source.default))
    return from_arrays(points, source.labels(names), source.name)


def _with_groups(
    source: Source, names: tuple[str, ...] | Path, groups: str
) -> tuple[str, ...]:
    """The columns of the labels and, unless it is one of them, that of the groups."""
    if isinstance(names, Path) or groups not in source.columns:
        raise BadInput(
            f"`groups` is {quoted(groups)}; it must be a column beside columns of "
            f"labels; the columns of {quoted(source.name)} are "
            f"{listing(source.columns)}."
        )
    return names if groups in names else (*names, groups)


def _source(file: PathLike, x: str | None, labels: str | None) -> Source:
    if os.fspath(file).startswith(PREFIX):
        return openml_source(os.fspath(file), x)
    path = Path(file)
    match kind_of(path, "file"):
        case "folder":
            return folder_source(path, x)
        case "npy":
            return npy_source(path, x)
        case "npz":
            return npz_source(path, x)
        case "idx":
            return idx_source(path, x)
        case "parquet":
            return table_source(read_parquet(path, "file"), path.stem, x)
        case "text":
            named = f"{x or ''},{labels or ''}".split(",")
            return table_source(read_text(path, "file", named), path.stem, x)


def _labels(path: Path, num_points: int) -> object:
    """What a file of labels holds, as `from_arrays` takes it."""
    match kind_of(path, "labels"):
        case "npy":
            return read_array(path, None, "labels")
        case "npz":
            return npz_labels(path)
        case "idx":
            return read_idx(path, "labels")
        case "parquet":
            return table_labels(read_parquet(path, "labels"))
        case "text":
            return table_labels(read_text(path, "labels", rows=num_points))
        case "folder":
            raise BadInput(
                f"`labels` is {quoted(path)}, a folder; it must be a file with one "
                f"label a point; a folder of class folders is given as the file."
            )
