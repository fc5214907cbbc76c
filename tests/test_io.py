import errno
import json
import os
import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from jaxwin import _files, io
from jaxwin._checks import BadInput


class Moment(eqx.Module):
    """Stands in for a crossing: a nested result with its own JSON."""

    time: Any = io.field((), "OU time", "where the curve crosses")
    found: Any = io.field((), "")

    def to_json(self) -> dict:
        return {"value": float(self.time) if bool(self.found) else None}


class Curve(eqx.Module):
    time: Any = io.field(("time",), "OU time")
    value: Any = io.field(("time",), "nats", "excess entropy")
    rank: Any = io.field(("rank",), "")
    method: str = eqx.field(static=True, default="exact")


class Everything(eqx.Module):
    # Plain fields first: type checkers take those by `io.field` to have defaults.
    moment: Moment
    curve: Curve
    curves: dict[str, Curve]
    pair: tuple[Moment, Moment]
    law: str = eqx.field(static=True)
    empty: str = eqx.field(static=True)
    number: int = eqx.field(static=True)
    big: int = eqx.field(static=True)
    ratio: float = eqx.field(static=True)
    exact: bool = eqx.field(static=True)
    nothing: None = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    words: tuple[str, ...] = eqx.field(static=True)
    time: Any = io.field(("time",), "OU time", "noise times")
    single: Any = io.field(("time",), "variance")
    double: Any = io.field((), "nats")
    count: Any = io.field(("time",), "")
    small: Any = io.field(("pixel",), "")
    flag: Any = io.field((), "")
    flags: Any = io.field(("time",), "")
    none_yet: Any = io.field(("nothing",), "")
    names: tuple[str, ...] = io.field(("label",), "", static=True)
    missing: Any = io.field((), "OU time", nullable=True)
    absent: Any = io.field((), "")
    moments: Any = io.field(("pair",), "OU time")


def moment(time=1.25, found=True):
    return Moment(jnp.asarray(time), jnp.asarray(found))


def curve(size=3, rank=2):
    times = jnp.linspace(0.5, 1.5, size)
    return Curve(times, times**2, np.arange(rank) + 10)


def everything():
    return Everything(
        time=np.array([0.1, 0.2]),
        single=jnp.array([1.5, -np.inf], jnp.float32),
        double=jnp.float64(np.pi),
        count=np.array([1, -(2**40)]),
        small=np.array([0, 255], np.uint8),
        flag=jnp.asarray(True),
        flags=np.array([True, False]),
        none_yet=np.zeros(0, np.float32),
        names=("épreuve", "", "数"),
        missing=np.float64(np.nan),
        absent=None,
        moment=moment(),
        moments=jax.vmap(lambda t: Moment(t, t > 1))(jnp.array([0.5, 2.0, 3.0])),
        curve=curve(),
        curves={"a": curve(4), "b": curve(5, rank=3)},
        pair=(moment(0.5), moment(0.0, False)),
        law="mélange",
        empty="",
        number=3,
        big=2**70,
        ratio=0.1,
        exact=True,
        nothing=None,
        shape=(8, 8),
        words=("é", ""),
    )


def test_importing_io_loads_no_xarray():
    code = "import sys, jaxwin.io; assert not {'xarray', 'h5netcdf'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_layout():
    dataset = io.to_dataset(everything())
    assert dataset["single"].dims == ("time",)
    assert dataset["single"].units == "variance"
    assert dataset["time"].description == "noise times"
    assert "time" in dataset.coords
    # A nested result with its own times owns that dimension, a nested one without
    # shares the outer; vmapped ones stand on the axes of the outer field.
    assert dataset["curve.value"].dims == ("curve.time",)
    assert dataset["curves.b.value"].dims == ("curves.b.time",)
    assert dataset["moments.time"].dims == ("pair",)
    assert dataset["moments.time"].units == "OU time"
    assert dataset["pair.1.found"].dims == ()
    assert dataset["curve.time"].sizes == {"curve.time": 3}
    assert "absent" not in dataset
    assert dataset.attrs["absent"] == "null"
    assert dataset.attrs["exact"] == "true"
    assert dataset.attrs["nothing"] == "null"
    assert json.loads(dataset.attrs["words"]) == ["é", ""]
    assert json.loads(dataset.attrs["shape"]) == [8, 8]
    assert dataset.attrs["big"] == str(2**70)
    assert dataset.attrs["curve.method"] == "exact"
    assert dataset.attrs["jaxwin_result"] == "Everything"
    assert all(isinstance(v, str | int | float) for v in dataset.attrs.values())


def test_dimension_without_coordinate_is_shared_or_gets_its_own_name():
    class Plain(eqx.Module):
        value: Any = io.field(("rank",), "")

    dataset = io.to_dataset(
        {k: Plain(np.zeros(n)) for k, n in {"a": 2, "b": 2, "c": 3}.items()}
    )
    dims = {name: dataset[name].dims for name in dataset.data_vars}
    assert dims == {"a.value": ("rank",), "b.value": ("rank",), "c.value": ("c.rank",)}


def test_round_trip(tmp_path):
    result = everything()
    io.save(result, tmp_path / "results.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["results.nc"]
    loaded = io.load(tmp_path / "results.nc")
    expected = io.to_dataset(result)
    assert set(loaded.variables) == set(expected.variables)
    for name in expected.variables:
        before, after = expected[name], loaded[name]
        assert before.dims == after.dims, name
        np.testing.assert_array_equal(after.values, before.values, err_msg=str(name))
        if before.dtype.kind != "U":
            assert before.dtype == after.dtype, name
        assert before.attrs == after.attrs, name
    assert loaded["single"].dtype == np.float32
    assert loaded["flags"].dtype == bool
    assert list(loaded["names"].values) == ["épreuve", "", "数"]
    made = json.loads(loaded.attrs.pop("jaxwin_provenance"))
    assert made["jax"] == jax.__version__
    assert loaded.attrs == expected.attrs


def test_units_of_time_are_not_made_dates(tmp_path):
    class Clocked(eqx.Module):
        wall: Any = io.field((), "seconds")
        since: Any = io.field((), "days since 2000-01-01")

    io.save(Clocked(1.5, 2.0), tmp_path / "a.nc")
    loaded = io.load(tmp_path / "a.nc")
    assert float(loaded["wall"]) == 1.5
    assert float(loaded["since"]) == 2.0


def test_a_dataset_and_half_precision_are_saved(tmp_path):
    class Half(eqx.Module):
        a: Any = io.field(("x",), "")
        b: Any = io.field(("x",), "")

    half = Half(jnp.ones(2, jnp.bfloat16), np.ones(2, np.float16))
    io.save(io.to_dataset(half), str(tmp_path / "a.nc"))
    loaded = io.load(str(tmp_path / "a.nc"))
    assert loaded["a"].dtype == loaded["b"].dtype == np.float32


def test_undeclared_and_wrong_axes_are_refused():
    class Undeclared(eqx.Module):
        x: Any

    class Declared(eqx.Module):
        x: Any = io.field(("t",), "")
        y: Any = io.field(("t",), "")

    ones = np.ones(2)
    for wrong in (
        Undeclared(ones),
        Declared(np.ones((2, 2)), ones),
        Declared(ones, np.ones(3)),
        Declared(ones, ones * 1j),
        Declared(ones, np.array([None, 1])),
    ):
        with pytest.raises(ValueError, match="`[xy]`"):
            io.to_dataset(wrong)


def test_json():
    summary = io.to_json(everything_finite())
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary
    assert summary["count"] == [1, -(2**40)]
    assert summary["flags"] == [True, False]
    assert summary["flag"] is True
    assert summary["missing"] is None
    assert summary["absent"] is None
    assert summary["moment"] == {"value": 1.25}
    assert summary["pair"] == [{"value": 0.5}, {"value": None}]
    assert summary["curves"]["b"]["rank"] == [10, 11, 12]
    assert summary["names"] == ["épreuve", "", "数"]
    assert summary["none_yet"] == []
    assert summary["big"] == 2**70
    # The outermost result is laid out, not asked.
    assert io.to_json(moment()) == {"time": 1.25, "found": True}
    assert io.to_json({"m": moment()}) == {"m": {"value": 1.25}}


def everything_finite():
    result = everything()
    return eqx.tree_at(
        lambda r: (r.single, r.moments), result, (np.ones(2, np.float32), moment())
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, float("nan"), np.array([0, np.nan])])
def test_json_refuses_what_it_cannot_hold(value):
    with pytest.raises(ValueError, match=r"`time` .* JSON"):
        io.to_json(Moment(value, True))
    with pytest.raises(ValueError, match="JSON"):
        io.to_json({"a": {"b": value}})
    with pytest.raises(TypeError, match="`a.b`"):
        io.to_json({"a": {"b": object()}})


def test_nullable_is_for_nan_alone():
    class Maybe(eqx.Module):
        x: Any = io.field(("t",), "", nullable=True)

    assert io.to_json(Maybe(np.array([1.0, np.nan]))) == {"x": [1.0, None]}
    with pytest.raises(ValueError, match="inf"):
        io.to_json(Maybe(np.array([np.inf])))


def test_write_json(tmp_path):
    path = tmp_path / "summary.json"
    io.write_json(path, {"name": "é\udc80", "n": 3})
    assert "é" in path.read_text()
    assert json.loads(path.read_text()) == {"name": "é\udc80", "n": 3}
    with pytest.raises(ValueError, match="JSON"):
        io.write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text())["n"] == 3
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC])
def test_failed_save_leaves_the_old_result(tmp_path, monkeypatch, name, code):
    path = tmp_path / "results.nc"
    io.save(moment(), path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, name, fail)
        with pytest.raises(OSError, match=os.strerror(code)):
            io.save(moment(3.0), path)
    assert [p.name for p in tmp_path.iterdir()] == ["results.nc"]
    assert path.read_bytes() == before


def bad_files(good: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"time,value\n1,2\n",
        "netCDF3": b"CDF\x01" + bytes(100),
        "truncated": good[: len(good) // 2],
        "cut by one": good[:-1],
        "signature alone": good[:8],
        "damaged": good[:200] + b"\xff" * 400 + good[600:],
    }


@pytest.mark.parametrize("case", range(7))
def test_load_refuses_what_is_no_result(tmp_path, case):
    io.save(curve(), tmp_path / "good.nc")
    path = tmp_path / "bad.nc"
    path.write_bytes(
        list(bad_files((tmp_path / "good.nc").read_bytes()).values())[case]
    )
    with pytest.raises(BadInput) as caught:
        io.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.nc", ".", "a\nb"])
def test_load_refuses_what_is_no_file(tmp_path, name):
    with pytest.raises(BadInput) as caught:
        io.load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_save_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput):
        io.save(curve(), tmp_path / "file" / "results.nc")
    assert isinstance(io.to_dataset(curve()), xarray.Dataset)
