import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_inputs import IMAGES, LABELS, TABLE, npz
from sklearn.datasets import load_digits

from jaxwin import datasets
from jaxwin._checks import BadInput

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", ")"))
    return message


def save_npz(path: Path, **arrays: np.ndarray) -> Path:
    path.write_bytes(npz(**arrays))
    return path


def top_eigenvalue(points: np.ndarray) -> float:
    return float(np.linalg.eigvalsh(np.cov(points, rowvar=False))[-1])


def test_importing_loads_no_sklearn():
    code = "import sys, jaxwin.datasets; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_digits():
    data = datasets.digits()
    assert data.points.shape == (1797, 64)
    assert data.shape == (8, 8)
    assert data.span == (0.0, 16.0)
    assert data.class_names == tuple("0123456789")
    assert data.name == "digits"
    assert data.is_image
    source: Any = load_digits()
    np.testing.assert_array_equal(data.labels, source.target)
    points = datasets.normalize(data).points
    raw = source.data
    np.testing.assert_allclose(points, raw / 8 - 1 - (raw / 8 - 1).mean(0), atol=1e-14)


def test_load_npy(tmp_path):
    np.save(tmp_path / "table.npy", TABLE)
    data = datasets.load(tmp_path / "table.npy")
    np.testing.assert_array_equal(data.points, TABLE)
    assert data.labels is None
    assert data.class_names == ()
    assert data.shape == (3,)
    assert data.name == "table"
    assert not data.is_image
    np.save(tmp_path / "line.npy", TABLE[:, 0])
    assert datasets.load(str(tmp_path / "line.npy")).points.shape == (12, 1)


@pytest.mark.parametrize(
    "kind", ["<f4", ">f4", "f2", ">i4", "i8", "u1", "u2", "?", "g"]
)
def test_types_stay_until_normalised(tmp_path, kind):
    raw = np.maximum(TABLE * 2, 0).astype(kind)
    np.save(tmp_path / "a.npy", np.asfortranarray(raw))
    data = datasets.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(data.points, raw)
    assert data.points.dtype.isnative
    if kind not in "?g":
        assert data.source_dtype == np.dtype(kind).name
    for convention in ("pm1", "unit01", "unit", "none"):
        normal = datasets.normalize(data, convention)
        assert normal.points.dtype == np.float64
        rebuilt = normal.points / normal.scale + normal.center
        np.testing.assert_allclose(rebuilt, raw.astype(float), atol=1e-12)


@pytest.mark.parametrize(
    ("keys", "point_key", "label_key"),
    [
        (("x", "y"), "x", "y"),
        (("X", "labels"), "X", "labels"),
        (("x_train", "y_train", "x_test", "y_test"), "x_train", "y_train"),
        (("x_train", "y", "y_train"), "x_train", "y_train"),
        (("arr_0", "targets"), "arr_0", "targets"),
        (("data", "images", "labels"), "data", "labels"),
        (("spins", "labels"), "spins", "labels"),
        (("spins",), "spins", None),
        (("y",), "y", None),
    ],
)
def test_keys_are_found(tmp_path, keys, point_key, label_key):
    arrays = {k: LABELS + 1 for k in keys if k in ("labels", "targets") or k[0] == "y"}
    arrays = {k: arrays.get(k, TABLE + 1) for k in keys}
    if label_key:
        arrays[label_key] = LABELS
    arrays[point_key] = TABLE
    data = datasets.load(save_npz(tmp_path / "a.npz", **arrays))
    np.testing.assert_array_equal(data.points, TABLE)
    if label_key is None:
        assert data.labels is None
    else:
        np.testing.assert_array_equal(data.labels, LABELS)
        assert data.class_names == ("0", "1", "2")


def test_keys_and_label_files_are_named(tmp_path):
    path = save_npz(tmp_path / "a.npz", x=TABLE + 1, b=TABLE, y=LABELS + 5, c=LABELS)
    data = datasets.load(path, x="b", labels="c")
    np.testing.assert_array_equal(data.points, TABLE)
    assert data.class_names == ("0", "1", "2")
    assert datasets.load(path, labels="none").labels is None
    np.save(tmp_path / "l.npy", LABELS + 7)
    other = datasets.load(path, labels=str(tmp_path / "l.npy"))
    assert other.class_names == ("7", "8", "9")
    save_npz(tmp_path / "l.npz", whatever=LABELS + 3)
    other = datasets.load(path, labels=str(tmp_path / "l.npz"))
    assert other.class_names == ("3", "4", "5")
    np.savez_compressed(tmp_path / "z.npz", x=TABLE)
    np.testing.assert_array_equal(datasets.load(tmp_path / "z.npz").points, TABLE)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    with open(tmp_path / "a.data", "wb") as stream:
        np.save(stream, TABLE)
    assert datasets.load(tmp_path / "a.data").points.shape == (12, 3)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, 10, -1], ("-1", "9", "10")),
        (np.array([2, 1, 2, 1], np.uint8), ("1", "2")),
        ([1.0, 0.0, 1.0, 8.0], ("0", "1", "8")),
        ([True, False, True, True], ("False", "True")),
        (["b", "", "a", "é"], ("", "a", "b", "é")),
        (np.array(["né".encode(), b"a", b"a", b"a"]), ("a", "né")),
        (np.array(["b", "a", "b", "a"], object), ("a", "b")),
        (np.array([[3], [4], [3], [3]]), ("3", "4")),
        (np.array([2**63, 1, 1, 1], np.uint64), ("1", str(2**63))),
    ],
)
def test_labels_become_classes(labels, names):
    data = datasets.from_arrays(TABLE[:4], labels)
    assert data.class_names == names
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    back = [names[i] for i in data.labels]
    flat = np.asarray(labels).ravel()
    if flat.dtype.kind in "if":
        assert back == [str(int(v)) for v in flat]
    elif flat.dtype.kind == "U":
        assert back == list(flat)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.stack([LABELS, LABELS % 2], axis=1), ("feature 1", "feature 2")),
        ({"kind": LABELS, "odd": LABELS % 2}, ("kind", "odd")),
        (pd.DataFrame({"kind": LABELS, "odd": LABELS % 2}), ("kind", "odd")),
    ],
)
def test_several_features(labels, names):
    data = datasets.from_arrays(TABLE, labels)
    assert tuple(feature.name for feature in data.features) == names
    assert [f.classes for f in data.features] == [("0", "1", "2"), ("0", "1")]
    np.testing.assert_array_equal(data.features[1].labels, LABELS % 2)
    # Plain labels are those of the first.
    np.testing.assert_array_equal(data.labels, LABELS)
    assert data.class_names == ("0", "1", "2")
    normal = datasets.normalize(data, "unit")
    assert normal.features == data.features
    assert normal.class_names == ("0", "1", "2")


def test_zeros_and_ones_are_one_hot_only_where_rows_sum_to_one():
    rows = np.array([[0, 1], [1, 1], [1, 0]])
    first, second = datasets.from_arrays(TABLE[:3], rows).features
    np.testing.assert_array_equal(first.labels, rows[:, 0])
    np.testing.assert_array_equal(second.labels, rows[:, 1])
    with pytest.raises(BadInput, match="argmax"):
        datasets.from_arrays(TABLE[:3], rows[[0, 2, 2]])


def test_plain_labels_are_one_feature():
    (feature,) = datasets.from_arrays(TABLE, LABELS).features
    assert feature.name == "class"
    data = datasets.from_arrays(TABLE)
    assert (data.features, data.labels, data.class_names) == ((), None, ())


def test_selection_renumbers_every_feature():
    points = np.arange(6.0)
    labels = {"kind": list("abcabc"), "size": [5, 7, 9, 5, 9, 9], "all": [1] * 6}
    data = datasets.from_arrays(points, labels)
    part = datasets.select(data, "c,b")
    np.testing.assert_array_equal(part.points[:, 0], [1, 2, 4, 5])
    kind, size, every = part.features
    assert (kind.name, kind.classes) == ("kind", ("b", "c"))
    np.testing.assert_array_equal(kind.labels, [0, 1, 0, 1])
    # No point of size 5 is left.
    assert (size.name, size.classes) == ("size", ("7", "9"))
    np.testing.assert_array_equal(size.labels, [0, 1, 1, 1])
    assert every.classes == ("1",)
    np.testing.assert_array_equal(every.labels, 0)
    # Only of the first feature must every class be drawn.
    part = datasets.select(data, "c", num_points=2)
    assert part.features[1].classes == ("9",)


def test_draws_stay_as_they_were():
    """Points drawn by earlier versions: figures name their seed."""
    data = datasets.from_arrays(np.arange(20.0), np.arange(20) % 4)
    drawn = datasets.select(data, "1,3", num_points=6, seed=7).points[:, 0]
    assert drawn.tolist() == [1, 3, 7, 13, 15, 17]


def test_classes_are_selected_by_name():
    data = datasets.digits()
    assert data.labels is not None
    kept = np.isin(data.labels, [1, 8])
    for classes in ("1,8", ["8", "1"], (1, 8), "8, 1", ["1", "8", "8"]):
        part = datasets.select(data, classes)
        np.testing.assert_array_equal(part.points, data.points[kept])
        assert part.class_names == ("1", "8")
        assert part.labels is not None
        np.testing.assert_array_equal(part.labels, data.labels[kept] == 8)
        assert part.shape == (8, 8)
    assert datasets.select(data, classes=["3"]).class_names == ("3",)
    np.testing.assert_array_equal(datasets.select(data).points, data.points)


def test_draws_are_without_replacement_nested_and_by_seed():
    data = datasets.from_arrays(np.arange(100.0), np.arange(100) % 2)
    large = datasets.select(data, num_points=40, seed=3)
    small = datasets.select(data, num_points=10, seed=3)
    other = datasets.select(data, num_points=40, seed=4)
    assert len(np.unique(large.points)) == 40
    assert set(small.points[:, 0]) < set(large.points[:, 0])
    assert set(other.points[:, 0]) != set(large.points[:, 0])
    assert np.all(np.diff(large.points[:, 0]) > 0)
    assert large.labels is not None
    np.testing.assert_array_equal(large.labels, large.points[:, 0] % 2)
    # Uniform: how often each point is drawn, 2000 seeds, |z| < 4.5.
    count = np.zeros(100)
    for seed in range(2000):
        drawn = datasets.select(data, num_points=20, seed=seed)
        count[drawn.points[:, 0].astype(int)] += 1
    assert np.abs(count - 400).max() < 4.5 * np.sqrt(2000 * 0.2 * 0.8)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classes": "1,x\n"}, "names 'x'"),
        ({"classes": ["q"]}, "'0', '1'"),
        ({"classes": []}, "'0', '1'"),
        ({"classes": ""}, "'0', '1'"),
        ({"num_points": 1798}, "1797"),
        ({"classes": "1", "num_points": 183}, "182"),
        ({"num_points": 1}, "at least 2"),
        ({"num_points": -5}, "at least 2"),
        ({"num_points": 3}, "no point of class"),
    ],
)
def test_bad_selections(options, expected):
    with pytest.raises(BadInput) as caught:
        datasets.select(datasets.digits(), **options)
    assert expected in one_line(caught)


def test_selections_that_leave_nothing_to_see():
    points = np.array([[0.0], [0.0], [1.0], [2.0]])
    data = datasets.from_arrays(points, ["a", "a", "b", "c"])
    with pytest.raises(BadInput, match="identical") as caught:
        datasets.select(data, "a")
    one_line(caught)
    with pytest.raises(BadInput, match="1 points") as caught:
        datasets.select(data, "b")
    one_line(caught)
    with pytest.raises(BadInput, match="no labels") as caught:
        datasets.select(datasets.from_arrays(points), "b")
    one_line(caught)


def test_default_conventions():
    assert datasets.normalize(datasets.from_arrays(TABLE)).convention == "none"
    assert datasets.normalize(datasets.from_arrays(IMAGES)).convention == "pm1"
    flat = datasets.from_arrays(IMAGES.reshape(12, -1))
    assert datasets.normalize(flat).convention == "pm1"
    images = datasets.from_arrays(TABLE.reshape(4, 3, 3))
    assert datasets.normalize(images).convention == "pm1"


def test_conventions_on_pixels():
    # Pixels are divided by 255 whatever their largest value.
    data = datasets.from_arrays(IMAGES // 2)
    raw = (IMAGES // 2).reshape(12, -1).astype(float)
    pm1 = raw / 127.5 - 1
    expected = {
        "pm1": pm1 - pm1.mean(0),
        "unit01": raw / 255 - (raw / 255).mean(0),
        "unit": (pm1 - pm1.mean(0)) / np.sqrt(pm1.var(0, ddof=1).mean()),
        "none": raw,
    }
    for convention, points in expected.items():
        normal = datasets.normalize(data, convention)
        np.testing.assert_allclose(normal.points, points, atol=1e-13)
        assert normal.convention == convention
        assert normal.scale == datasets.scale(data, convention)
    np.testing.assert_array_equal(datasets.normalize(data, "none").points, raw)
    assert (
        abs(datasets.normalize(data, "unit").points.var(0, ddof=1).mean() - 1) < 1e-13
    )


def test_the_span_is_of_the_whole_array_and_the_centre_of_the_selection():
    points = np.array([[0.0, 4.0], [2.0, 1.0], [1.0, 1.0], [10.0, 6.0]])
    data = datasets.from_arrays(points, [0, 0, 0, 1])
    part = datasets.normalize(datasets.select(data, "0"), "pm1")
    raw = points[:3] / 5 - 1
    np.testing.assert_allclose(part.points, raw - raw.mean(0), atol=1e-15)
    np.testing.assert_allclose(part.center, points[:3].mean(0))
    assert part.scale == 0.2
    drawn = datasets.select(datasets.from_arrays(points), num_points=2, seed=1)
    assert drawn.points.max() < 10
    assert drawn.span == (0.0, 10.0)


def test_scale_carries_variances_between_conventions():
    data = datasets.from_arrays(IMAGES)
    top = {
        c: top_eigenvalue(datasets.normalize(data, c).points)
        for c in ("pm1", "unit01", "unit", "none")
    }
    for a in top:
        for b in top:
            ratio = datasets.scale(data, b) / datasets.scale(data, a)
            assert top[b] == pytest.approx(top[a] * ratio**2, rel=1e-10)


def test_a_far_offset_costs_no_digits():
    data = datasets.from_arrays(TABLE.round(3) + 2.0**30)
    near = datasets.from_arrays(data.points - 2.0**30)
    for convention in ("pm1", "unit"):
        a, b = (datasets.normalize(d, convention).points for d in (data, near))
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_bad_normalisations():
    data = datasets.from_arrays(TABLE)
    with pytest.raises(BadInput, match="'pm1', 'unit01'") as caught:
        datasets.normalize(data, "zscore")
    one_line(caught)
    tiny = datasets.from_arrays([[0.0], [1e-300]])
    huge = datasets.from_arrays([[0.0], [1e140]])
    assert np.ptp(datasets.normalize(huge, "unit").points) == pytest.approx(np.sqrt(2))
    for convention in ("pm1", "unit01", "unit"):
        with pytest.raises(BadInput, match="rescaled") as caught:
            datasets.normalize(tiny, convention)
        one_line(caught)
    same = datasets.Data(np.ones((3, 2)), (), (2,), "by hand", (0.0, 1.0))
    with pytest.raises(BadInput, match="identical"):
        datasets.normalize(same, "pm1")


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.exists(), reason="MNIST is not on this machine")
def test_mnist_reference_numbers():
    data = datasets.load(MNIST)
    assert data.points.dtype == np.uint8
    assert data.shape == (28, 28)
    pair = datasets.select(data, "1,8")
    assert pair.points.shape == (12593, 784)
    tops = {
        "all": top_eigenvalue(datasets.normalize(data).points),
        "pair": top_eigenvalue(datasets.normalize(pair).points),
        "unit01": top_eigenvalue(datasets.normalize(pair, "unit01").points),
    }
    assert abs(tops["all"] - 20.4675) < 6e-5
    assert abs(tops["pair"] - 30.4644) < 6e-5
    assert abs(tops["unit01"] - 7.6161) < 6e-5
    # t_S = 1/2 log Lambda of "unit", by the scales alone.
    for part, top, expected in (
        (data, tops["all"], 2.1659),
        (pair, tops["pair"], 2.5173),
    ):
        shift = np.log(datasets.scale(part, "unit") / datasets.scale(part, "pm1"))
        assert abs(0.5 * np.log(top) + shift - expected) < 6e-5
