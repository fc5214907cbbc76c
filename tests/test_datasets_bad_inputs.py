"""Every bad input is refused in one line that says what to do."""

import numpy as np
import pytest
from bad_inputs import BAD_INPUTS, IMAGES, LABELS, TABLE, idx, npy, npz, read

from jaxwin import cli, datasets
from jaxwin._checks import BadInput
from jaxwin.cli import _common


def one_line(caught) -> str:
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300
    assert message.endswith(".")
    # What it was; what to do.
    assert ";" in message
    return message


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input(tmp_path, monkeypatch, case):
    make, expected = BAD_INPUTS[case]
    with pytest.raises(BadInput) as caught:
        read(**make(tmp_path, monkeypatch))
    assert expected in one_line(caught)


BY_COMMAND = (
    "missing file",
    "wrong IDX magic",
    "CSV non-numeric",
    "images of different sizes",
    "openml no network",
    "one-hot",
    "class emptied by the draw",
    "more than the memory",
)


@pytest.mark.parametrize("case", BY_COMMAND)
def test_bad_input_by_command(tmp_path, monkeypatch, capsys, case):
    make, expected = BAD_INPUTS[case]
    (tmp_path / "input").mkdir()
    options = make(tmp_path / "input", monkeypatch)
    argv = ["report", options.pop("file"), "--out", str(tmp_path / "results" / "out")]
    for name, value in options.items():
        argv += [f"--{name}", str(value)]
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(_common, "keep_programs", lambda: None)
    assert cli.main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("jaxwin: ")
    assert expected in line
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize(
    ("points", "labels", "expected"),
    [
        ([[1, 2], [3]], None, "ragged"),
        ([[1, 2], [3, None]], None, "real numbers"),
        ("text", None, "real numbers"),
        (3, None, "single number"),
        ([], None, "empty"),
        (TABLE, [[1], [2, 3]] * 6, "ragged"),
        (TABLE, [None] * 12, "whole numbers"),
        (TABLE, [1e300] * 12, "1e+300"),
        (TABLE, 3, "one label a point"),
        (TABLE, {}, "no columns"),
        (TABLE, {"a": LABELS, "b" * 90: LABELS[1:]}, "11 entries"),
        (TABLE, {"a": LABELS, "b": np.eye(12)}, "column 'b', has shape (12, 12)"),
    ],
)
def test_bad_arrays(points, labels, expected):
    with pytest.raises(BadInput) as caught:
        datasets.from_arrays(points, labels)
    assert expected in one_line(caught)


@pytest.mark.parametrize(
    "content",
    [npy(TABLE), npz(x=TABLE, y=LABELS), idx(IMAGES)],
    ids=["npy", "npz", "idx"],
)
def test_every_cut_of_a_file_is_refused(tmp_path, content):
    for size in range(0, len(content), 13):
        (tmp_path / "cut").write_bytes(content[:size])
        with pytest.raises(BadInput) as caught:
            datasets.load(tmp_path / "cut")
        one_line(caught)
