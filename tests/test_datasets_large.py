"""Files larger than the memory: mapped, read by blocks of rows, refused by size."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxwin import datasets
from jaxwin._checks import BadInput
from jaxwin.datasets import _arrays, _mapped, _memory

RNG = np.random.default_rng(1)
POINTS = RNG.normal(size=(101, 2, 3)).astype(np.float32)
FLAT = POINTS.reshape(101, 6)
LABELS = np.arange(101) % 3


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """A file that counts as large, of 15 blocks of 7 rows."""
    monkeypatch.setattr(_arrays, "BLOCK", 1)
    monkeypatch.setattr(_mapped, "BLOCK", 7 * 6 * 8)
    np.save(tmp_path / "a.npy", POINTS)
    np.save(tmp_path / "y.npy", LABELS)
    return tmp_path


def load(folder: Path, labels: bool = True) -> datasets.Data:
    return datasets.load(
        folder / "a.npy", labels=str(folder / "y.npy") if labels else None
    )


def test_a_large_file_stays_mapped(mapped):
    data = load(mapped)
    assert isinstance(data.points, np.memmap)
    assert not data.points.flags.writeable
    np.testing.assert_array_equal(data.points, FLAT)
    assert data.shape == (2, 3)
    assert data.span == (FLAT.min(), FLAT.max())
    assert isinstance(datasets.select(data).points, np.memmap)
    part = datasets.select(data, "1")
    assert type(part.points) is np.ndarray
    np.testing.assert_array_equal(part.points, FLAT[LABELS == 1])


@pytest.mark.parametrize("convention", ["pm1", "unit01", "unit", "none"])
@pytest.mark.parametrize("num_points", [None, 50])
def test_mapped_or_not_makes_no_difference(mapped, convention, num_points):
    there, here = load(mapped), datasets.from_arrays(POINTS, LABELS)
    one, other = (
        datasets.normalize(datasets.select(d, "0,2", num_points, seed=5), convention)
        for d in (there, here)
    )
    np.testing.assert_array_equal(one.points, other.points)
    np.testing.assert_array_equal(one.center, other.center)
    assert one.scale == other.scale
    np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("kind", ["u1", "i2", "f2", "f8", ">f4", "?", "F"])
def test_types_of_large_files(mapped, kind):
    array = np.maximum(100 * POINTS, 0).astype("f4" if kind == "F" else kind)
    np.save(mapped / "a.npy", np.asfortranarray(array) if kind == "F" else array)
    data = load(mapped)
    np.testing.assert_array_equal(data.points, array.reshape(101, 6))
    assert data.points.dtype.isnative
    # Other orders of bytes or axes are copied.
    assert isinstance(data.points, np.memmap) == (kind not in (">f4", "?", "F"))


@pytest.mark.parametrize("row", [0, 50, 100])
@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")]
)
def test_values_are_checked_in_every_block(mapped, row, value, word):
    array = POINTS.copy()
    array[row, 1, 2] = value
    np.save(mapped / "a.npy", array)
    with pytest.raises(BadInput, match=f"1 of 606 values that are .*{word}"):
        load(mapped)


@pytest.mark.parametrize("row", [1, 50, 100])
def test_one_point_that_differs_is_enough(mapped, row):
    array = np.ones((101, 2, 3))
    np.save(mapped / "a.npy", array)
    with pytest.raises(BadInput, match="101 identical points"):
        load(mapped)
    array[row, 0, 0] = 2
    np.save(mapped / "a.npy", array)
    assert load(mapped).span == (1.0, 2.0)


def test_bad_large_files(mapped):
    content = (mapped / "a.npy").read_bytes()
    (mapped / "a.npy").write_bytes(content[:-1])
    with pytest.raises(BadInput, match="truncated or damaged"):
        load(mapped)
    np.save(mapped / "a.npy", np.array([{}, 1, "a"] * 9), allow_pickle=True)
    with pytest.raises(BadInput, match="never loaded"):
        load(mapped)
    np.save(mapped / "a.npy", np.zeros((0, 5)))
    with pytest.raises(BadInput, match="empty"):
        load(mapped)


def test_pages_are_given_back_of_maps_for_reading_alone(tmp_path):
    """A private map that was written to must keep what was written."""
    np.save(tmp_path / "a.npy", FLAT)
    private = np.load(tmp_path / "a.npy", mmap_mode="c")
    private[50] = 9
    data = datasets.from_arrays(private)
    assert data.span[1] == 9
    np.testing.assert_array_equal(data.points[50], 9)
    # Part of a map: its rows, not those at the start of the file.
    part = datasets.from_arrays(np.load(tmp_path / "a.npy", mmap_mode="r")[40:60])
    drawn = datasets.select(part, num_points=10, seed=2).points
    kept = np.sort(np.random.default_rng(2).permutation(20)[:10])
    np.testing.assert_array_equal(drawn, FLAT[40:60][kept])


def test_small_files_do_not_fall_with_what_is_written_over_them(tmp_path):
    np.save(tmp_path / "a.npy", FLAT)
    data = datasets.load(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(b"")
    np.testing.assert_array_equal(data.points, FLAT)


def test_size_is_checked_against_the_memory(mapped, monkeypatch):
    data = load(mapped, labels=False)
    # 8 bytes a value, 6 values a point, 40 % of the memory.
    monkeypatch.setattr(_memory, "physical_memory", lambda: int(60 * 48 / 0.4) + 1)
    with pytest.raises(BadInput, match="--points 60 fits") as caught:
        datasets.normalize(datasets.select(data))
    assert "101 points in 6 dimensions" in str(caught.value)
    with pytest.raises(BadInput, match="--points 60 fits"):
        datasets.select(data, num_points=61)
    normal = datasets.normalize(datasets.select(data, num_points=60))
    assert normal.points.shape == (60, 6)
    # Where the system does not say, anything goes.
    monkeypatch.setattr(_memory, "physical_memory", lambda: 0)
    assert datasets.normalize(data).points.shape == (101, 6)


def test_the_memory_of_this_machine_is_known():
    path = Path("/proc/meminfo")
    if not path.exists():
        pytest.skip("Linux alone says it in a file")
    first = path.read_text().splitlines()[0].split()
    assert first[0] == "MemTotal:"
    assert _memory.physical_memory() == pytest.approx(1024 * int(first[1]), rel=0.01)


MEASURED = """
import pathlib, re, sys
from jaxwin import datasets
data = datasets.load("a.npy")
part = datasets.select(data, num_points=20_000, seed=1)
normal = datasets.normalize(part, sys.argv[1])
# Not ru_maxrss: it begins with the memory of the process that started this one.
status = pathlib.Path("/proc/self/status").read_text()
(peak,) = re.findall(r"VmHWM:\\s+(\\d+) kB", status)
shape = normal.points.shape
print(peak, *shape, data.span[1], normal.points.nbytes)
"""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory by /proc")
def test_memory_of_a_selection_from_a_large_file(tmp_path):
    """20,000 of 200,000 x 3,072 float32 (2.5 GB) stay below 1.3 GiB in all."""
    path = tmp_path / "a.npy"
    block = RNG.normal(size=(2000, 3072)).astype(np.float32)
    header = {"descr": "<f4", "fortran_order": False, "shape": (200_000, 3072)}
    try:
        with open(path, "wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for i in range(100):
                stream.write((block + np.float32(i)).tobytes())
        top = float((block + np.float32(99)).max())
        for convention in ("none", "pm1", "unit"):
            run = subprocess.run(
                [sys.executable, "-c", MEASURED, convention],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            )
            peak, *rest = run.stdout.split()
            assert rest == ["20000", "3072", str(top), str(8 * 20_000 * 3072)]
            assert int(peak) < 1.3 * 2**20, f"{convention}: {peak} KiB"
    finally:
        path.unlink()
