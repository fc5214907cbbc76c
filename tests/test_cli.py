"""The command line: bad input gets one line and exit code 2, and leaves nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxwin import cli
from jaxwin.execution import Status

GENERATOR = np.random.default_rng(0)
POINTS = GENERATOR.normal(size=(40, 3))
LABELS = np.arange(40) % 2
# Points of two clusters, small enough for a whole run in seconds.
CLUSTERS = POINTS + 4.0 * LABELS[:, None]
PROGRAM = [sys.executable, "-c", "from jaxwin.cli import run; run()"]


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Run in an empty folder, where `jaxwin-report` would be made."""
    monkeypatch.chdir(tmp_path)


def refused(capsys, *argv: str) -> str:
    """The one line with which a command is refused, exit code 2."""
    before = sorted(Path().rglob("*"))
    assert cli.main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("jaxwin: ")
    assert sorted(Path().rglob("*")) == before
    return line


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}, None], object), allow_pickle=True)


def truncated(path: Path) -> None:
    np.save(path, POINTS)
    path.write_bytes(path.read_bytes()[:-100])


def with_value(value: float):
    def make(path: Path) -> None:
        points = POINTS.copy()
        points[3, 1] = value
        np.save(path, points)

    return make


def array(value: Any):
    return lambda path: np.save(path, value)


BAD_FILES = {
    "missing file": (lambda path: None, "no such file"),
    "unknown format": (lambda path: path.write_text("x,y\n1,2\n"), "npy"),
    "pickle": (pickled, "object"),
    "truncated": (truncated, "truncated"),
    "zero bytes": (lambda path: path.touch(), "empty"),
    "no points": (array(np.zeros((0, 3))), "empty"),
    "one point": (array(POINTS[:1]), "one point"),
    "a number": (array(np.float64(3.0)), "single number"),
    "NaN": (with_value(np.nan), "NaN"),
    "infinity": (with_value(np.inf), "infinite"),
    "constant": (array(np.ones((9, 3))), "identical"),
    "too wide": (array(1e80 * POINTS), "spreads"),
    "too narrow": (array(1e-80 * POINTS), "spreads"),
    "text": (array(np.array(["a", "b"])), "real numbers"),
    "complex": (array(POINTS + 1j), "real numbers"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file(capsys, kind):
    make, word = BAD_FILES[kind]
    make(Path("data.npy"))
    assert word in refused(capsys, "report", "data.npy")


def test_ragged(capsys):
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros(3), np.zeros(4)]
    np.savez("data.npz", x=ragged, allow_pickle=True)
    assert "object" in refused(capsys, "report", "data.npz", "--x", "x")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--labels", "short.npy"], "entries"),
        (["--labels", "nowhere"], "nowhere"),
        (["--labels", "y.npy", "--classes", "0,7"], "'7'"),
        (["--classes", "0"], "labels"),
        (["--points", "41"], "41"),
        (["--points", "1"], "at least 2"),
        (["--points", "many"], "many"),
        (["--normalize", "l2"], "l2"),
        (["--seed", "x"], "--seed"),
        (["--seed", "-1"], "`seed` is -1"),
        (["--seed", "4294967296"], "`seed` is 4294967296"),
        (["--precision", "float16"], "float16"),
        (["--out", "file/below"], "out"),
        (["--out", "theirs"], "theirs"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_argument(capsys, argv, word):
    np.save("data.npy", POINTS)
    np.save("short.npy", LABELS[:-1])
    np.save("y.npy", LABELS)
    Path("file").write_text("a plain file")
    Path("theirs").mkdir()
    Path("theirs", "thesis.tex").write_text("years of work")
    assert word in refused(capsys, "report", "data.npy", *argv)
    assert Path("theirs", "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("argv", [[], ["nothing"], ["report", "--labels", "y"]])
def test_bad_line(capsys, argv):
    refused(capsys, *argv)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "jaxwin 0.1.0\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run in a process of its own, at float32, with JSON on its output.

    The offset of the data, which float32 cannot hold, must not matter.
    """
    folder = tmp_path_factory.mktemp("run")
    np.savez(folder / "data.npz", x=CLUSTERS + 1e9, y=LABELS)
    argv = "report data.npz --classes 0,1 --quick --json --precision float32 --seed 3"
    run = subprocess.run(
        [*PROGRAM, *argv.split()], cwd=folder, capture_output=True, text=True
    )
    return folder, run


def test_json_is_all_of_standard_output(finished):
    folder, run = finished
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary == json.loads((folder / "jaxwin-report/summary.json").read_text())
    assert (summary["n"], summary["d"], summary["seed"]) == (40, 3, 3)
    assert summary["precision"] == "float32"
    assert summary["normalization"] == "none"


def test_folder_is_whole(finished):
    folder, _ = finished
    names = {path.name for path in (folder / "jaxwin-report").iterdir()}
    files = {"index.html", "results.nc", "summary.json", "jaxwin.json"}
    assert names == files | {"figures"}
    figures = {path.name for path in (folder / "jaxwin-report/figures").iterdir()}
    assert {"agreement.png", "collapse.svg", "spectrum.png"} <= figures
    assert [path.name for path in folder.iterdir() if path.name[0] == "."] == []


def test_command_and_call_give_the_same_numbers(finished):
    from jaxwin import report

    folder, run = finished
    del folder
    found = json.loads(run.stdout)
    diagnosis = report.diagnose(CLUSTERS, LABELS, quick=True, seed=3)
    expected = report.summary(diagnosis)
    for key in ("t_half", "t_rest", "t_log2", "t_gauss", "t_phi_all"):
        assert found[key]["value"] == pytest.approx(expected[key]["value"], abs=0.02)
    assert found["t_S"]["mean"]["value"] == pytest.approx(
        expected["t_S"]["mean"]["value"], abs=1e-5
    )


def test_interrupt_is_one_line_and_leaves_nothing(capsys, monkeypatch):
    from jaxwin import report

    def interrupted(*args, stage, **options):
        stage("class agreement")(Status(1, 2, 1.0, 0.5, 0.1))
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "diagnose", interrupted)
    assert cli.main(["report", "--quiet"]) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "jaxwin: interrupted; nothing was written.\n"
    assert list(Path().iterdir()) == []
