"""The same data through every format, and what is peculiar to each."""

import gzip
import hashlib
import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pandas as pd
import pytest
from bad_inputs import IMAGES, LABELS, TABLE, idx, image, npy, npz
from PIL import Image

from jaxwin import datasets
from jaxwin._checks import BadInput

FLAT = IMAGES.reshape(12, -1)
NAMES = np.array(["cat", "dog", "owl"])[LABELS]


def as_npy(folder: Path) -> dict[str, str]:
    (folder / "data").write_bytes(npy(IMAGES))
    (folder / "y").write_bytes(npy(NAMES))
    return {"file": str(folder / "data"), "labels": str(folder / "y")}


def as_npz(folder: Path) -> dict[str, str]:
    (folder / "data").write_bytes(npz(x=IMAGES, y=NAMES))
    return {"file": str(folder / "data")}


def as_idx(folder: Path) -> dict[str, str]:
    (folder / "data").write_bytes(gzip.compress(idx(IMAGES)))
    (folder / "names.csv").write_text("\n".join(NAMES))
    return {"file": str(folder / "data"), "labels": str(folder / "names.csv")}


def frame() -> pd.DataFrame:
    table = pd.DataFrame(FLAT)
    return table.set_axis([f"p{i}" for i in range(20)], axis=1).assign(label=NAMES)


def as_csv(folder: Path) -> dict[str, str]:
    frame().to_csv(folder / "data", index=False)
    return {"file": str(folder / "data")}


def as_parquet(folder: Path) -> dict[str, str]:
    frame().to_parquet(folder / "data")
    return {"file": str(folder / "data")}


def as_folder(folder: Path) -> dict[str, str]:
    for i, (array, name) in enumerate(zip(IMAGES, NAMES, strict=True)):
        image(folder / "data" / name / f"{i:02}.png", array)
    return {"file": str(folder / "data")}


@pytest.mark.parametrize(
    "write", [as_npy, as_npz, as_idx, as_csv, as_parquet, as_folder]
)
def test_round_trip(tmp_path, write):
    data = datasets.load(**write(tmp_path))
    order = np.arange(12)
    if write is as_folder:  # class by class
        order = np.argsort(LABELS, kind="stable")
    np.testing.assert_array_equal(data.points, FLAT[order])
    np.testing.assert_array_equal(data.labels, LABELS[order])
    (feature,) = data.features
    assert feature.name == "class"
    assert feature.classes == data.class_names == ("cat", "dog", "owl")
    assert data.name == "data"
    flat = write in (as_csv, as_parquet)
    assert data.shape == ((20,) if flat else (4, 5))
    assert data.source_dtype == ("uint8" if write is not as_csv else "int64")


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_types_of_idx(tmp_path, kind):
    array = (100 * TABLE).reshape(12, 3, 1).astype(kind)
    (tmp_path / "a").write_bytes(idx(array))
    data = datasets.load(tmp_path / "a")
    np.testing.assert_array_equal(data.points, array.reshape(12, 3))
    assert data.points.dtype == np.dtype(kind)
    assert data.points.dtype.isnative
    assert data.shape == (3, 1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("labels_packed", [False, True])
@pytest.mark.parametrize("dash", ["-", "."])
def test_mnist_as_it_is_distributed(tmp_path, packed, labels_packed, dash):
    def write(name: str, array: np.ndarray, pack: bool) -> Path:
        path = tmp_path / (name + ".gz" * pack)
        path.write_bytes(gzip.compress(idx(array)) if pack else idx(array))
        return path

    images = write(f"train-images{dash}idx3-ubyte", IMAGES, packed)
    assert datasets.load(images).labels is None
    write(f"train-labels{dash}idx1-ubyte", LABELS.astype(np.uint8), labels_packed)
    data = datasets.load(images)
    np.testing.assert_array_equal(data.points, FLAT)
    np.testing.assert_array_equal(data.labels, LABELS)
    assert data.shape == (4, 5)
    assert data.features[0].name == "class"
    assert data.name == f"train-images{dash}idx3-ubyte"
    assert datasets.load(images, labels="none").features == ()


TABLES = {
    "comma": "a,b,label\n1,2.5,u\n3,4,v\n5,6,u\n",
    "semicolon": "a;b;label\n1;2.5;u\n3;4;v\n5;6;u\n",
    "tab": "a\tb\tlabel\n1\t2.5\tu\n3\t4\tv\n5\t6\tu\n",
    "spaces": "a   b label\n1 2.5   u\n 3 4 v\n5 6 u\n",
    "quotes": '"a","b","label"\n"1","2.5","u"\n3,4,"v"\n5,6,u\n',
    "windows": "\ufeffa,b,label\r\n1,2.5,u\r\n3,4,v\r\n5,6,u\r\n",
    "without end": "a, b, label\n1, 2.5, u\n3, 4, v\n\n5, 6, u",
    "index": ",a,b,label\n0,1,2.5,u\n1,3,4,v\n2,5,6,u\n",
    "other order": "Class,a,b\nu,1,2.5\nv,3,4\nu,5,6\n",
    "target": "a,target,b\n1,u,2.5\n3,v,4\n5,u,6\n",
    "numbered": "0,1,label\n1,2.5,u\n3,4,v\n5,6,u\n",
    "commas in names": '"a;b",b,label\n1,2.5,"u"\n3,4,v\n5,6,u\n',
}


@pytest.mark.parametrize("case", TABLES)
def test_text_tables(tmp_path, case):
    (tmp_path / "a").write_text(TABLES[case])
    data = datasets.load(tmp_path / "a")
    np.testing.assert_array_equal(data.points, [[1, 2.5], [3, 4], [5, 6]])
    np.testing.assert_array_equal(data.labels, [0, 1, 0])
    assert data.class_names == ("u", "v")
    assert data.features[0].name == "class"


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("0,1\n3,4\n", [[0, 1], [3, 4]]),
        ("1 2\n3 4\n", [[1, 2], [3, 4]]),
        ("1\n3\n2\n", [[1], [3], [2]]),
        ("a\n3\n2\n", [[3], [2]]),
        ("1,1e-3\n3,-inf\n"[:-4] + "4\n", [[1, 1e-3], [3, -4]]),
        ("0,1,2,3\n5,6,7,9\n1,2,3,4\n", [[5, 6, 7, 9], [1, 2, 3, 4]]),
        ("x,y\n1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a,b\nTrue,2\nFalse,4\n", [[1, 2], [0, 4]]),
        ("petal width\n3\n4\n", [[3], [4]]),
    ],
)
def test_tables_with_and_without_names(tmp_path, text, points):
    (tmp_path / "a").write_text(text)
    data = datasets.load(tmp_path / "a")
    np.testing.assert_array_equal(data.points, points)
    assert data.features == ()


def test_columns_of_a_table_are_named(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("age,sex,size,class\n31,f,1.7,0\n32,m,1.8,1\n31,m,1.6,1\n")
    data = datasets.load(path, x="size,age", labels="sex")
    np.testing.assert_array_equal(data.points, [[1.7, 31], [1.8, 32], [1.6, 31]])
    assert [f.name for f in data.features] == ["sex"]
    assert data.class_names == ("f", "m")
    data = datasets.load(path, labels="sex, age")
    # The class is no coordinate, though numbers, unless it is named.
    np.testing.assert_array_equal(data.points, [[1.7], [1.8], [1.6]])
    assert [f.name for f in data.features] == ["sex", "age"]
    assert [f.classes for f in data.features] == [("f", "m"), ("31", "32")]
    np.testing.assert_array_equal(data.features[1].labels, [0, 1, 0])
    np.testing.assert_array_equal(data.labels, [0, 1, 1])
    data = datasets.load(path, x="class,size", labels="none")
    np.testing.assert_array_equal(data.points, [[0, 1.7], [1, 1.8], [1, 1.6]])
    assert data.features == ()
    assert datasets.load(path, x="size", labels="none").labels is None
    assert datasets.load(path, x="size").class_names == ("0", "1")
    # Without names, columns go by their number.
    path.write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n6.1,2.8,virginica\n")
    data = datasets.load(path, labels="2")
    np.testing.assert_array_equal(data.points, [[5.1, 3.5], [4.9, 3], [6.1, 2.8]])
    assert data.class_names == ("setosa", "virginica")
    # A name that is asked for is there: the first line is no point.
    path.write_text("a,kind\nu,v\nv,u\n")
    with pytest.raises(BadInput, match="'a' is not numeric"):
        datasets.load(path, labels="kind")


def test_files_of_labels(tmp_path):
    (tmp_path / "x").write_bytes(npy(TABLE))

    def read(content: str | bytes) -> tuple[datasets.Feature, ...]:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "l").write_bytes(data)
        return datasets.load(tmp_path / "x", labels=str(tmp_path / "l")).features

    for content in (
        "\n".join(NAMES),  # texts alone: the number of rows tells
        "cat\n" + "\n".join(NAMES),
        "animal\n" + "\n".join(NAMES),
        pd.DataFrame({"a": NAMES}).to_csv(),
        "what animal\n" + "\n".join(NAMES),
        npy(NAMES),
        npz(anything=NAMES),
    ):
        (feature,) = read(content)
        assert feature.name == "class"
        assert feature.classes == ("cat", "dog", "owl")
        np.testing.assert_array_equal(feature.labels, LABELS)
    for content in (idx(LABELS.astype("i4")), "\n".join(map(str, LABELS))):
        (feature,) = read(content)
        assert feature.classes == ("0", "1", "2")
        np.testing.assert_array_equal(feature.labels, LABELS)
    table = pd.DataFrame({"animal": NAMES, "odd": LABELS % 2 == 1})
    stream = BytesIO()
    table.to_parquet(stream)
    for content in (table.to_csv(index=False), stream.getvalue()):
        features = read(content)
        assert [f.name for f in features] == ["animal", "odd"]
        assert features[1].classes == ("False", "True")
        np.testing.assert_array_equal(features[0].labels, LABELS)
        np.testing.assert_array_equal(features[1].labels, LABELS % 2)
    features = read(npy(np.stack([LABELS, LABELS // 2], axis=1)))
    assert [f.name for f in features] == ["feature 1", "feature 2"]
    assert [f.classes for f in features] == [("0", "1", "2"), ("0", "1")]


def test_a_file_of_labels_takes_the_place_of_the_column(tmp_path):
    (tmp_path / "x").write_text("a,class\n1.5,0\n2.5,1\n3.5,0\n")
    (tmp_path / "l").write_text("u\nv\nv\n")
    data = datasets.load(tmp_path / "x", labels=str(tmp_path / "l"))
    # The class is no coordinate then either.
    np.testing.assert_array_equal(data.points, [[1.5], [2.5], [3.5]])
    assert data.class_names == ("u", "v")


def test_several_arrays_label(tmp_path):
    (tmp_path / "a").write_bytes(npz(x=TABLE, sex=LABELS % 2, age=LABELS, y=LABELS))
    data = datasets.load(tmp_path / "a", labels="sex,age")
    assert [f.name for f in data.features] == ["sex", "age"]
    np.testing.assert_array_equal(data.labels, LABELS % 2)
    np.testing.assert_array_equal(data.features[1].labels, LABELS)


def test_parquet_of_lists_categories_and_missing_types(tmp_path):
    table = pd.DataFrame(
        {
            "pixels": list(IMAGES.reshape(12, -1)),
            "whole": pd.array(range(12), "Int64"),
            "kind": pd.Categorical(NAMES, categories=["owl", "dog", "cat", "yak"]),
            "flag": LABELS == 1,
        }
    )
    table.to_parquet(tmp_path / "a")
    data = datasets.load(tmp_path / "a", x="pixels", labels="kind")
    np.testing.assert_array_equal(data.points, FLAT)
    assert data.points.dtype == np.uint8
    assert data.class_names == ("cat", "dog", "owl")
    np.testing.assert_array_equal(data.labels, LABELS)
    data = datasets.load(tmp_path / "a", x="whole,flag", labels="kind")
    np.testing.assert_array_equal(data.points[:, 0], range(12))
    np.testing.assert_array_equal(data.points[:, 1], LABELS == 1)
    data = datasets.load(tmp_path / "a", x="pixels", labels="whole")
    assert data.class_names == tuple(str(i) for i in range(12))


def save(folder: Path, **images: Image.Image) -> Path:
    for name, picture in images.items():
        picture.save(folder / name.replace("_", "."))
    return folder


def test_a_flat_folder_has_no_labels(tmp_path):
    pictures = {f"i{i}_png": Image.fromarray(IMAGES[i]) for i in (10, 2, 0)}
    save(tmp_path, **pictures)
    (tmp_path / "Thumbs.db").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    (tmp_path / "more").mkdir()
    data = datasets.load(tmp_path)
    # In the order of the names.
    np.testing.assert_array_equal(data.points, FLAT[[0, 10, 2]])
    assert data.features == ()
    assert data.name == tmp_path.name


def test_one_coloured_image_makes_all_so(tmp_path):
    colours = np.stack([IMAGES[0], IMAGES[1], IMAGES[2]], axis=2)
    save(
        tmp_path,
        a_png=Image.fromarray(IMAGES[3]),
        b_bmp=Image.fromarray(colours),
        c_webp=Image.fromarray(colours),
    )
    # Transparency is left out, palettes are looked up.
    see_through = np.concatenate([colours, IMAGES[4][:, :, None]], axis=2)
    Image.fromarray(see_through).save(tmp_path / "d.png")
    palette = Image.fromarray(IMAGES[5] // 64).convert("P")
    palette.putpalette([9, 8, 7, 1, 2, 3, 40, 50, 60, 255, 0, 0])
    palette.info["transparency"] = b"\x00\xff\x10\x20"
    palette.save(tmp_path / "e.png", transparency=b"\x00\xff\x10\x20")
    data = datasets.load(tmp_path)
    assert data.shape == (4, 5, 3)
    assert data.points.dtype == np.uint8
    points = data.points.reshape(5, 4, 5, 3)
    np.testing.assert_array_equal(points[0], np.repeat(IMAGES[3][..., None], 3, 2))
    np.testing.assert_array_equal(points[1], colours)
    np.testing.assert_array_equal(points[3], colours)
    table = np.array([[9, 8, 7], [1, 2, 3], [40, 50, 60], [255, 0, 0]])
    np.testing.assert_array_equal(points[4], table[IMAGES[5] // 64])


def test_grey_images_keep_their_type(tmp_path):
    deep = IMAGES.astype(np.uint16) * 200
    for i in range(3):
        Image.fromarray(deep[i]).save(tmp_path / f"{i}.png")
    data = datasets.load(tmp_path)
    assert data.points.dtype == np.uint16
    assert data.shape == (4, 5)
    np.testing.assert_array_equal(data.points, deep[:3].reshape(3, -1))
    Image.fromarray(IMAGES[0]).save(tmp_path / "3.png")
    with pytest.raises(BadInput, match="differ in bits") as caught:
        datasets.load(tmp_path)
    assert "/0.png" in str(caught.value)
    assert "/3.png" in str(caught.value)


def test_grey_kinds_of_eight_bits(tmp_path):
    bits = Image.fromarray(IMAGES[0] > 128)
    assert bits.mode == "1"
    bits.save(tmp_path / "a.png")
    Image.merge("LA", [Image.fromarray(p) for p in IMAGES[1:3]]).save(
        tmp_path / "b.png"
    )
    Image.fromarray(IMAGES[3]).save(tmp_path / "c.gif")
    data = datasets.load(tmp_path)
    expected = np.stack([255 * (IMAGES[0] > 128), IMAGES[1], IMAGES[3]])
    np.testing.assert_array_equal(data.points, expected.reshape(3, -1))
    assert data.points.dtype == np.uint8


class OpenML:
    """Answers as the server of openml.org does, for one data set."""

    def __init__(self, table: pd.DataFrame, targets: tuple[str, ...]):
        nominal = {c for c in table if not pd.api.types.is_numeric_dtype(table[c])}
        kinds = {
            c: "{" + ",".join(table[c].unique()) + "}" if c in nominal else "REAL"
            for c in table
        }
        head = "".join(f"@ATTRIBUTE {c} {kinds[c]}\n" for c in table)
        rows = table.to_csv(index=False, header=False)
        self.arff = f"@RELATION a\n{head}@DATA\n{rows}".encode()
        self.features = [
            {
                "index": str(i),
                "name": name,
                "data_type": "nominal" if name in nominal else "numeric",
                "is_target": str(name in targets).lower(),
                "is_ignore": "false",
                "is_row_identifier": "false",
                "number_of_missing_values": "0",
            }
            for i, name in enumerate(table)
        ]
        self.asked: list[str] = []

    def urlopen(self, request: Any) -> Any:
        url = request.full_url
        self.asked.append(url)
        described = {
            "id": "41",
            "name": "Animals",
            "version": "1",
            "status": "active",
            "format": "ARFF",
            "description": "",
            "url": "https://www.openml.org/data/v1/download/7/a.arff",
            "md5_checksum": hashlib.md5(self.arff).hexdigest(),
        }
        found = {"did": 41, "name": "Animals", "version": 1, "status": "active"}
        answers = {
            "data_name/animals": {
                "data": {"dataset": [found, {**found, "version": 2}]}
            },
            "data/41": {"data_set_description": described},
            "features/41": {"data_features": {"feature": self.features}},
            "qualities/41": {"data_qualities": {"quality": []}},
        }
        if url.endswith(".arff"):
            return stream(self.arff)
        for part, answer in answers.items():
            if f"/{part}" in url:
                return stream(json.dumps(answer).encode())
        raise HTTPError(url, 412, "Precondition Failed", SimpleNamespace(), BytesIO())  # pyright: ignore[reportArgumentType]


def stream(content: bytes) -> Any:
    answer: Any = BytesIO(content)
    answer.info = dict
    return answer


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with the animals; scikit-learn keeps what it fetches in `tmp_path`."""
    table = frame().rename(columns={"label": "animal"}).assign(odd=LABELS % 2)
    server = OpenML(table.astype({"odd": str}), ("animal",))
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", server.urlopen)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return server


def test_openml(server):
    data = datasets.load("openml:animals", x=",".join(f"p{i}" for i in range(20)))
    np.testing.assert_array_equal(data.points, FLAT)
    np.testing.assert_array_equal(data.labels, LABELS)
    assert data.class_names == ("cat", "dog", "owl")
    assert data.features[0].name == "animal"
    assert data.name == "Animals (OpenML 41)"
    asked = len(server.asked)
    data = datasets.load("openml:41", labels="odd,animal")
    assert [f.name for f in data.features] == ["odd", "animal"]
    np.testing.assert_array_equal(data.points, FLAT)
    np.testing.assert_array_equal(data.labels, LABELS % 2)
    # All was kept from before.
    assert len(server.asked) == asked


@pytest.mark.parametrize("wanted", ["animal", "42"])
def test_openml_does_not_know(server, wanted):
    with pytest.raises(BadInput, match="openml.org does not give") as caught:
        datasets.load(f"openml:{wanted}")
    assert "\n" not in str(caught.value)
    assert wanted in str(caught.value)
