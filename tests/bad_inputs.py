"""What people hand over by mistake: name -> (how to make it, what the message says).

`make(folder, patch)` writes the input and returns the arguments of `diagnose_data`;
`patch` is pytest's monkeypatch.
"""

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from jaxwin import datasets
from jaxwin.datasets import _memory

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(12, 3))
IMAGES = RNG.integers(0, 256, size=(12, 4, 5), dtype=np.uint8)
LABELS = np.arange(12) % 3

Make = Callable[[Path, pytest.MonkeyPatch], dict[str, Any]]


def read(
    file: str,
    x: str | None = None,
    labels: str | None = None,
    classes: str | None = None,
    points: int | None = None,
    normalize: str | None = None,
) -> datasets.Normalized:
    """The way of a data set from a file to its units, by the names of the options."""
    data = datasets.select(datasets.load(file, x, labels), classes, points)
    return datasets.normalize(data, normalize)


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def idx(array: np.ndarray) -> bytes:
    """An IDX file, written from its definition."""
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    kind = array.dtype.newbyteorder(">")
    head = bytes([0, 0, code[kind.str[1:]], array.ndim])
    return (
        head
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(kind).tobytes()
    )


def csv(*columns: Any, names: str = "a,b,c,label") -> str:
    rows = zip(*columns, strict=True)
    return "\n".join([names, *(",".join(map(str, row)) for row in rows)]) + "\n"


CSV = csv(*TABLE.T, LABELS)


def image(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def parquet(path: Path, **columns: Any) -> None:
    import pandas as pd

    pd.DataFrame(columns).to_parquet(path)


def holding(content: bytes | str, **options: Any) -> Make:
    """A file of this content, whose name tells nothing and breaks the line."""

    def make(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
        path = folder / "bad\nname"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        # Files of labels are named with their folder.
        found = {
            k: v.replace("DIR", str(folder)) if isinstance(v, str) else v
            for k, v in options.items()
        }
        (folder / "l.npy").write_bytes(npy(LABELS))
        (folder / "two.npz").write_bytes(npz(a=LABELS, b=LABELS))
        (folder / "short").write_text("label\n0\n1\n")
        (folder / "hot.npy").write_bytes(npy(np.eye(3)[LABELS]))
        return {"file": str(path), **found}

    return make


def named(name: str) -> Make:
    return lambda folder, patch: {"file": f"{folder}/{name}"}


def folder_of(*images: tuple[str, Any], **options: Any) -> Make:
    """A folder of images; a text in place of an array is written as it is."""

    def make(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
        for name, array in images:
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(array, str):
                path.write_text(array)
            else:
                image(path, array)
        return {"file": str(folder / "images"), **options}

    return make


class Bomb:
    """Unpickled, it would say so."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def with_value(value: float) -> np.ndarray:
    table = TABLE.copy()
    table[3, 1] = value
    return table


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def damaged_image(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    for i in range(3):
        image(folder / "images" / f"{i}.png", RNG.integers(0, 256, (40, 40)))
    broken = folder / "images" / "1.png"
    broken.write_bytes(broken.read_bytes()[:-600])
    return {"file": str(folder / "images")}


def empty_folder(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (folder / "images").mkdir()
    (folder / "images" / ".hidden.png").touch()
    return {"file": str(folder / "images")}


def labels_folder(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    np.save(folder / "a.npy", TABLE)
    image(folder / "images" / "a" / "1.png", IMAGES[0])
    return {"file": str(folder / "a.npy"), "labels": str(folder / "images")}


def unreadable(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    def refuse(*args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    np.save(folder / "a.npy", TABLE)
    # Tests may run as root, whom the permissions of a file do not stop.
    patch.setattr("jaxwin.datasets._kind.open", refuse, raising=False)
    return {"file": str(folder / "a.npy")}


def from_parquet(**columns: Any) -> Make:
    def make(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
        options = {k: columns[k] for k in columns if k in ("x", "labels")}
        rest = {k: v for k, v in columns.items() if k not in options}
        parquet(folder / "table", **rest)
        return {"file": str(folder / "table"), **options}

    return make


def damaged_parquet(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    parquet(folder / "table", a=TABLE[:, 0])
    content = (folder / "table").read_bytes()
    (folder / "table").write_bytes(content[: len(content) // 2])
    return {"file": str(folder / "table")}


def without_pyarrow(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    import pandas as pd

    def fail(*args: Any, **options: Any) -> None:
        raise ImportError("Missing optional dependency 'pyarrow'.")

    parquet(folder / "table", a=TABLE[:, 0])
    patch.setattr(pd, "read_parquet", fail)
    return {"file": str(folder / "table")}


def openml(outcome: Any) -> Make:
    """What scikit-learn raises or returns for a data set."""

    def make(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
        import sklearn.datasets

        def fetch_openml(**options: Any) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        patch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
        return {"file": "openml:mnits"}

    return make


def sparse() -> Any:
    from sklearn.utils import Bunch

    return Bunch(frame=None, details={"name": "a", "id": "1"}, target_names=[])


def too_large(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    # 12 points of 3 doubles are 288 bytes; 40 % of 500 is room for 8.
    patch.setattr(_memory, "physical_memory", lambda: 500)
    np.save(folder / "a.npy", TABLE)
    return {"file": str(folder / "a.npy")}


def too_large_selection(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {**too_large(folder, patch), "points": 11}


def too_many_images(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    # Two of 20 bytes.
    patch.setattr(_memory, "physical_memory", lambda: 90)
    return two_images((4, 5), (4, 5))(folder, patch)


def two_images(first: tuple[int, ...], second: tuple[int, ...]) -> Make:
    return folder_of(("b.png", np.zeros(first)), ("a.png", np.ones(second)))


OBJECTS = np.array([Bomb(), 1], object)
BIG = npy(TABLE)
BAD_INPUTS: dict[str, tuple[Make, str]] = {
    # Paths.
    "missing file": (named("missing.npy"), "no such file"),
    "missing folder": (named("missing/"), "no such file"),
    "path below a file": (
        lambda f, p: {**holding(BIG)(f, p), "file": f"{f}/bad\nname/x"},
        "no such file",
    ),
    "path too long": (named("x" * 300), "no such file"),
    "path far too long": (named("x/" * 3000), "no such file"),
    "null byte in a path": (named("a\0b"), "no such file"),
    "unreadable file": (unreadable, "Permission denied"),
    # Formats.
    "empty file": (holding(b""), "empty file"),
    "pickle": (holding(pickle.dumps(Bomb())), "never loaded"),
    "picture alone": (holding(b"\x89PNG\r\n\x1a\n" + bytes(90)), "unknown format"),
    "latin-1 text": (holding("naïve,größe\n1,2\n".encode("latin-1") * 9), "unknown"),
    # Arrays of numpy.
    "objects": (holding(npy(OBJECTS, True)), "never loaded"),
    "objects in npz": (holding(npz(x=OBJECTS)), "never loaded"),
    "pickle in npz": (holding(zipped("x.npy", pickle.dumps(Bomb()))), "damaged"),
    "ragged": (holding(npy(np.array([[1, 2], [3]], object), True)), "never loaded"),
    "truncated npy": (holding(BIG[:-9]), "truncated"),
    "header alone": (holding(BIG[:40]), "truncated"),
    "signature alone": (holding(BIG[:6]), "truncated"),
    "header lies": (holding(BIG.replace(b"(12, 3)", b"(99, 3)")), "truncated"),
    "header is code": (holding(BIG.replace(b"(12, 3)", b"exit(1)")), "damaged"),
    "version": (holding(b"\x93NUMPY\x09\x00" + BIG[8:]), "damaged"),
    "huge header": (
        holding(BIG[:128].replace(b"(12, 3), }      ", b"(999999999999,)}")),
        "damaged",
    ),
    "truncated npz": (holding(npz(x=TABLE)[:-30]), "truncated"),
    "damaged npz": (
        holding(npz(x=TABLE).replace(TABLE.tobytes()[:16], bytes(16))),
        "damaged",
    ),
    "zip of text": (holding(zipped("readme.txt", b"hi")), "without arrays"),
    "zip of nothing": (holding(b"PK\x05\x06" + bytes(18)), "without arrays"),
    "two arrays": (holding(npz(a=TABLE, b=TABLE)), "'a', 'b'"),
    "a thousand arrays": (
        holding(npz(**{f"a{i}": TABLE for i in range(1000)})),
        "more",
    ),
    "unknown key": (holding(npz(x=TABLE, y=LABELS), x="q"), "'x', 'y'"),
    "key for a plain array": (holding(BIG, x="x"), "single array"),
    # Values.
    "no points": (holding(npy(np.zeros((0, 3)))), "empty"),
    "no dimensions": (holding(npy(np.zeros((5, 0)))), "empty"),
    "one point": (holding(npy(TABLE[:1])), "one point"),
    "a number": (holding(npy(np.array(3.0))), "single number"),
    "NaN": (holding(npy(with_value(np.nan))), "1 of 36 values that are NaN"),
    "inf": (holding(npy(with_value(-np.inf))), "infinite"),
    "float32 inf": (holding(npy(with_value(np.inf).astype("f4"))), "infinite"),
    "too large": (holding(npy(with_value(1e200))), "beyond"),
    "too large a long double": (
        holding(npy(TABLE.astype("g") * np.longdouble("1e4000"))),
        "beyond",
    ),
    "complex": (holding(npy(TABLE * 1j)), "complex128"),
    "strings": (holding(npy(np.array(["a", "b"]))), "real numbers"),
    "dates": (holding(npy(np.array(["2020-01-01"] * 3, "M8[D]"))), "real numbers"),
    "records": (holding(npy(np.zeros(3, "i4,f4"))), "real numbers"),
    "constant": (holding(npy(np.ones((5, 2)))), "5 identical"),
    "one point repeated": (holding(npy(np.tile(TABLE[:1], (9, 1)))), "9 identical"),
    "constant images": (holding(npy(np.full((5, 4, 4), 7, np.uint8))), "5 identical"),
    # IDX.
    "truncated IDX": (holding(idx(IMAGES)[:-9]), "247 bytes where its header asks"),
    "IDX and more": (holding(idx(IMAGES) + b"\0"), "truncated or damaged"),
    "IDX header alone": (holding(idx(IMAGES)[:7]), "truncated or damaged"),
    "wrong IDX magic": (holding(b"\0\0\x0a" + idx(IMAGES)[3:]), "begins with 00000a03"),
    "IDX without axes": (holding(b"\0\0\x08\0" + bytes(9)), "no IDX"),
    "IDX of absurd size": (holding(b"\0\0\x08\3" + b"\xff" * 40), "damaged"),
    "zeros": (holding(bytes(100)), "no IDX"),
    "gz that is no IDX": (holding(gzip.compress(CSV.encode())), "no IDX"),
    "gz of nothing": (holding(gzip.compress(b"")), "no IDX"),
    "gz truncated": (holding(gzip.compress(idx(IMAGES))[:-30]), ".gz"),
    "gz damaged": (holding(gzip.compress(idx(IMAGES))[:30] + bytes(300)), ".gz"),
    "column of IDX": (holding(idx(IMAGES), x="a"), "single array"),
    # Text tables.
    "CSV of blank lines": (holding("\n\n \n"), "empty lines"),
    "CSV header only": (holding("a,b,c\n"), "no rows"),
    "CSV of one row": (holding("a,b\n1,2\n"), "one point"),
    "CSV with longer rows": (
        holding("a,b\n1,2\n3,4,5\n6,7\n"),
        "line 3 has 3 columns",
    ),
    "CSV with longer rows all over": (holding("a,b\n1,2,3\n4,5,6\n"), "ragged"),
    "CSV with shorter rows": (
        holding("a,b,c\n1,2,3\n3,4\n6,7,8\n"),
        "'c' has no value in row 2",
    ),
    "CSV with missing values": (
        holding("a;b\n1;2\n3;?\n6;\n"),
        "'b' has no value in row 2",
    ),
    "CSV with missing labels": (
        holding("a,label\n1,u\n3,\n6,v\n"),
        "'label' has no value in row 2",
    ),
    "CSV non-numeric": (holding("a,kind\n1,u\n3,v\n6,v\n"), "--labels NAME"),
    "CSV of words": (holding("some words\nin a file\nof text\n"), "not numeric"),
    "CSV of two columns with one short": (
        holding("a,b\n1,2\n3\n6,7\n"),
        "'b' has no value in row 2",
    ),
    "spaces with longer rows": (holding("1 2\n3 4 5\n"), "line 2 has 3 columns"),
    "CSV of words in step": (holding("some words\nin text\n"), "not numeric"),
    "CSV with a column twice": (
        holding("a,b,a\n1,2,3\n4,5,6\n"),
        "2 columns called 'a'",
    ),
    "CSV of infinite values": (holding("a,b\n1,inf\n3,4\n"), "infinite"),
    "CSV that turns to bytes": (
        holding(b"a,b\n" + b"1,2\n" * 9000 + b"\xff\xfe\n"),
        "UTF-8",
    ),
    "text of one endless word": (holding("x" * 200_000), "no table"),
    "CSV of labels alone": (holding("label\n1\n2\n1\n"), "no column of points"),
    "unknown column of points": (holding(CSV, x="a,q"), "names 'q'"),
    "unknown column of labels": (holding(CSV, labels="a,q"), "columns of"),
    "points as labels too": (holding(CSV, x="a,b", labels="b"), "columns of"),
    "continuous labels": (holding(CSV, labels="c"), "`labels` holds"),
    "one continuous label column of two": (
        holding(CSV, labels="label,c"),
        "column 'c', holds",
    ),
    # Parquet.
    "parquet without pyarrow": (without_pyarrow, "jaxwin[parquet]"),
    "parquet damaged": (damaged_parquet, "damaged Parquet"),
    "parquet without rows": (from_parquet(a=[]), "without rows"),
    "parquet of texts": (from_parquet(a=["u", "v"], b=[1, 2]), "--labels NAME"),
    "parquet of lists unnamed": (from_parquet(a=[[1, 2], [3, 4]]), "--x NAME"),
    "parquet of ragged lists": (
        from_parquet(a=[[1, 2], [3]], x="a"),
        "several lengths",
    ),
    "parquet with an empty value": (from_parquet(a=[1.0, None]), "no value in row 2"),
    # Folders of images.
    "empty folder": (empty_folder, "none of 0 files"),
    "folder without images": (
        folder_of(("a/notes.txt", "hi"), ("b.csv", "1")),
        "none of 2 files",
    ),
    "folder with one class": (
        folder_of(("a/1.png", IMAGES[0]), ("a/2.png", IMAGES[1])),
        "one class folder",
    ),
    "class folder without images": (
        folder_of(("a/1.png", IMAGES[0]), ("b/2.txt", "hi")),
        "'b' holds no image",
    ),
    "images beside folders": (
        folder_of(("a/1.png", IMAGES[0]), ("2.png", IMAGES[1])),
        "one or the other",
    ),
    "images of different sizes": (
        two_images((4, 5), (5, 4)),
        "'images/a.png' is 4 x 5 and 'images/b.png' is 5 x 4",
    ),
    "image of text": (folder_of(("a.png", "hello"), ("b.png", IMAGES[0])), "broken"),
    "image cut off": (damaged_image, "'images/1.png' is broken"),
    "images beyond the memory": (too_many_images, "a .npy file"),
    "one image": (folder_of(("a.png", IMAGES[0])), "one point"),
    "equal images": (
        folder_of(("a.png", IMAGES[0]), ("b.png", IMAGES[0])),
        "identical",
    ),
    "column of a folder": (folder_of(("a.png", IMAGES[0]), x="a"), "folder of images"),
    # OpenML.
    "openml unknown": (
        openml(ValueError("No active dataset mnits found.")),
        "No active dataset mnits",
    ),
    "openml no network": (openml(URLError("no route to host")), "cannot be reached"),
    "openml damaged": (
        openml(KeyError("data\nset" + 90 * "x")),
        "openml:NAME or openml:ID",
    ),
    "openml sparse": (openml(sparse()), "sparse"),
    # Labels.
    "labels of another length": (holding(npz(x=TABLE, y=LABELS[:-1])), "11 entries"),
    "file of labels of another length": (holding(BIG, labels="DIR/short"), "2 entries"),
    "labels by pickle": (
        holding(npz(x=TABLE, y=np.array([Bomb()] * 12))),
        "never loaded",
    ),
    "NaN label": (holding(npz(x=TABLE, y=np.where(LABELS == 1, np.nan, 0))), "nan"),
    "inf label": (holding(npz(x=TABLE, y=np.where(LABELS == 1, np.inf, 0))), "inf"),
    "fraction as label": (holding(npz(x=TABLE, y=LABELS + 0.5)), "0.5"),
    "one-hot": (holding(npz(x=TABLE, y=np.eye(3)[LABELS])), "argmax"),
    "file of one-hot": (holding(BIG, labels="DIR/hot.npy"), "argmax"),
    "labels of three axes": (
        holding(npz(x=TABLE, y=np.ones((12, 2, 2)))),
        "(12, 2, 2)",
    ),
    "labels without columns": (holding(npz(x=TABLE, y=np.ones((12, 0)))), "no columns"),
    "complex label": (holding(npz(x=TABLE, y=LABELS * 1j)), "whole numbers"),
    "bytes label": (holding(npz(x=TABLE, y=np.array([b"\xff"] * 12))), "UTF-8"),
    "labels by an unknown name": (
        holding(npz(x=TABLE, y=LABELS), labels="q\n"),
        "are 'y'",
    ),
    "labels by the key of the points": (
        holding(npz(x=TABLE, y=LABELS), labels="x"),
        "no such file",
    ),
    "missing file of labels": (
        holding(BIG, labels="DIR/missing"),
        "no such file or column",
    ),
    "nothing as labels": (holding(BIG, labels=""), "no such file or column"),
    "labels from two arrays": (holding(BIG, labels="DIR/two.npz"), "'a', 'b'"),
    "folder as labels": (labels_folder, "no such file or column"),
    # Options.
    "unknown class": (holding(CSV, classes="0,7"), "names '7'"),
    "classes without labels": (holding(BIG, classes="0"), "has no labels"),
    "class emptied by the draw": (holding(CSV, points=2), "no point of class"),
    "class of one point": (
        holding("a,label\n1,u\n2,v\n3,v\n", classes="u"),
        "1 points",
    ),
    "negative points": (holding(BIG, points=-5), "at least 2"),
    "more points than there are": (holding(BIG, points=13), "there are 12"),
    "unknown normalisation": (holding(BIG, normalize="zscore"), "'pm1', 'unit01'"),
    "values too close together": (
        holding(npy(1e-300 * TABLE), normalize="pm1"),
        "rescaled",
    ),
    "more than the memory": (too_large, "--points 8 fits"),
    "a selection beyond the memory": (too_large_selection, "--points 8 fits"),
}
