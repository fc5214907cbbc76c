"""The command line: bad input gets one line and exit code 2, and leaves nothing."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray
from faults import count_calls, fail_at, intercept, tree

from jaxwin import cli
from jaxwin._files import locked
from jaxwin.cli import _common, _terminal
from jaxwin.cli._report import Report
from jaxwin.execution import Status, _info, next_look, run as run_blocks

GENERATOR = np.random.default_rng(0)
POINTS = GENERATOR.normal(size=(40, 3))
LABELS = np.arange(40) % 2
# Points of two clusters, small enough for a whole run in seconds.
CLUSTERS = POINTS + 4.0 * LABELS[:, None]
KEEP_PROGRAMS = _common.keep_programs
PROGRAM = [sys.executable, "-c", "from jaxwin.cli import run; run()"]
# The same, sent the signal of Ctrl-C after a thousand replicas.
INTERRUPTED = """
import contextlib, os, signal
from jaxwin import cli
from jaxwin.cli import _terminal

# A shell's background jobs, and what they start, ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
stages = _terminal.stages

@contextlib.contextmanager
def watched(quiet, resume):
    with stages(quiet, resume) as stage:
        def of_stage(name):
            show = stage(name)
            def then(status):
                show(status)
                if status.done > 1000:
                    os.kill(os.getpid(), signal.SIGINT)
            return then
        yield of_stage

_terminal.stages = watched
cli.run()
"""


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Run in an empty folder, where `jaxwin-report` would be made."""
    monkeypatch.chdir(tmp_path)
    # The configuration of this process is not for a command to change.
    monkeypatch.setattr(_common, "keep_programs", lambda: None)


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
    "unknown format": (lambda path: path.write_bytes(b"\x89PNG\r\n"), "npy"),
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
        (["--points", "0"], "at least 2"),
        (["--out", ""], "`--out` is ''"),
        (["--points", "many"], "many"),
        (["--normalize", "l2"], "l2"),
        (["--seed", "x"], "--seed"),
        (["--seed", "-1"], "`seed` is -1"),
        (["--seed", "4294967296"], "`seed` is 4294967296"),
        (["--precision", "float16"], "float16"),
        (["--until-stderr", "soon"], "soon"),
        (["--until-stderr", "0"], "`until_stderr` is 0"),
        (["--until-stderr", "nan"], "`until_stderr` is nan"),
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


def test_data_comes_from_the_options():
    table = "age,sex,size\n3,f,1.5\n4,m,1.25\n3,m,1.75\n"
    Path("people").write_text(table)
    data = Report(file="people", x="size", labels="sex,age").data()
    np.testing.assert_array_equal(data.points[:, 0], [1.5, 1.25, 1.75])
    assert [(f.name, f.classes) for f in data.features] == [
        ("sex", ("f", "m")),
        ("age", ("3", "4")),
    ]
    # The file of points may be given as `--x FILE`.
    assert Report(x="people", labels="sex").data().points.shape == (3, 2)
    assert Report().data().name == "digits"


@pytest.mark.parametrize("option", ["x", "labels"])
def test_columns_need_a_file(capsys, option):
    assert "no file is given" in refused(capsys, "report", f"--{option}", "size")


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "jaxwin 0.1.0\n"


ARGV = "report data.npz --classes 0,1 --quick --json --precision float32 --seed 3"


def started(
    folder: Path, cache: Path, *more: str, program: Sequence[str] = PROGRAM
) -> subprocess.Popen:
    """The command in a process of its own, at float32.

    The offset of the data, which float32 cannot hold, must not matter.
    """
    np.savez(folder / "data.npz", x=CLUSTERS + 1e9, y=LABELS)
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    # JAX has set it in this process.
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.Popen(
        [*program, *ARGV.split(), *more],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run: its folder, what it printed, and its cache of programs."""
    folder, cache = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("cache")
    process = started(folder, cache)
    out, err = process.communicate()
    run = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    return folder, run, cache


@pytest.mark.slow
@pytest.mark.long
def test_json_is_all_of_standard_output(finished):
    folder, run, _ = finished
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary == json.loads((folder / "jaxwin-report/summary.json").read_text())
    assert (summary["n"], summary["d"], summary["seed"]) == (40, 3, 3)
    assert summary["precision"] == "float32"
    assert summary["normalization"] == "none"


@pytest.mark.slow
def test_folder_is_whole(finished):
    folder, *_ = finished
    names = {path.name for path in (folder / "jaxwin-report").iterdir()}
    files = {"index.html", "results.nc", "summary.json", "schedule.json", "jaxwin.json"}
    assert names == files | {"figures"}
    figures = {path.name for path in (folder / "jaxwin-report/figures").iterdir()}
    assert {"agreement.png", "collapse.svg", "spectrum.png"} <= figures
    assert [path.name for path in folder.iterdir() if path.name[0] == "."] == []


@pytest.fixture(scope="module")
def diagnosed() -> Any:
    """The same diagnosis from Python, in float64."""
    from jaxwin import report

    return report.diagnose(CLUSTERS, LABELS, quick=True, seed=3)


@pytest.fixture(scope="module")
def called(diagnosed) -> dict[str, Any]:
    """Its summary."""
    from jaxwin import report

    return report.summary(diagnosed)


@pytest.mark.slow
@pytest.mark.long
def test_a_failed_write_is_one_line_and_leaves_what_was_there(
    diagnosed, capsys, monkeypatch
):
    """At the first and last writes, fsyncs and renames, and at some between."""
    from jaxwin import report
    from jaxwin.report import _write

    monkeypatch.setattr(report, "diagnose", lambda *args, **options: diagnosed)
    monkeypatch.setattr(_write, "figures", lambda diagnosis: {})
    monkeypatch.setattr(_write, "page", lambda *args, **options: "a page")
    command = ["report", "--quiet", "--json"]
    total = count_calls(monkeypatch, lambda: cli.main(command))
    assert total > 12
    capsys.readouterr()

    def fails(k: int, code: int) -> None:
        before = tree(Path())
        with monkeypatch.context() as patch:
            intercept(patch, fail_at(k, OSError(code, os.strerror(code))))
            assert cli.main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("jaxwin: `--out` is 'jaxwin-report', which cannot be ")
        assert os.strerror(code) in line
        assert tree(Path()) == before, k

    Path("jaxwin-report/index.html").write_text("earlier")
    for k in [0, 1, *range(2, total - 4, 7), *range(total - 4, total)]:
        fails(k, errno.ENOSPC)
    shutil.rmtree("jaxwin-report")
    for k in (0, total // 2, total - 1):
        fails(k, errno.EACCES)


@pytest.mark.slow
def test_results_open_in_plain_xarray(diagnosed, called, tmp_path):
    """Curves with units; conventions and provenance in the attributes."""
    from jaxwin import report

    report.write(diagnosed, tmp_path / "report")
    with xarray.open_dataset(
        tmp_path / "report/results.nc", decode_times=False
    ) as data:
        phi = data["features.0.agreement.phi"]
        assert phi.attrs["units"] == "probability"
        assert data[phi.dims[0]].attrs["units"] == "time of the channel"
        np.testing.assert_array_equal(phi, diagnosed.agreement.phi)
        assert data.attrs["normalization"] == "none"
        assert data.attrs["space"] in ("data", "span")
        assert json.loads(data.attrs["jaxwin_provenance"])["jaxwin"]
        half = data["collapse.t_half.time"]
        assert half.attrs["units"] == "OU time"
        assert float(half) == called["t_half"]["value"]
        assert data["features.0.confusion.matrix"].shape == (64, 2, 2)


@pytest.mark.slow
def test_command_and_call_give_the_same_numbers(finished, called):
    _, run, _ = finished
    found, expected = json.loads(run.stdout), called
    for key in ("t_half", "t_rest", "t_log2", "t_gauss", "t_phi_all"):
        assert found[key]["value"] == pytest.approx(expected[key]["value"], abs=0.02)
    assert found["t_S"]["mean"]["value"] == pytest.approx(
        expected["t_S"]["mean"]["value"], abs=1e-5
    )


def test_a_long_list_of_classes_is_no_file_name():
    words = ["report", ",".join(map(str, range(200)))]
    assert _common.last_part(words[1]) == words[1]


@pytest.mark.slow
def test_output_nobody_can_take():
    """A reader that left is no fault; a full disk is one line, exit code 2."""
    command = [*PROGRAM, "runs"]
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            run = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert run.returncode == 2
        (line,) = run.stderr.splitlines()
        assert line.startswith("jaxwin: standard output cannot be written")
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")
    narrow = os.environ | {"PYTHONIOENCODING": "latin-1"}
    run = subprocess.run([*PROGRAM, "runs"], env=narrow, capture_output=True)
    assert run.returncode == 0


def test_interrupt_is_one_line_and_leaves_nothing(capsys, monkeypatch):
    from jaxwin import report

    def interrupted(*args, stage, **options):
        stage("class agreement")(Status(1, 2, 1.0, 0.5, 0.1))
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "diagnose", interrupted)
    assert cli.main(["report", "--quiet"]) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "jaxwin: interrupted; no result was written; --resume goes on from what is "
        "finished.\n"
    )
    assert list(Path().iterdir()) == []


@pytest.mark.slow
@pytest.mark.long
def test_interrupted_run_resumes_to_the_same_numbers(called, capsys, monkeypatch):
    @contextlib.contextmanager
    def impatient(quiet, resume):
        def stage(name):
            def show(status):
                if name == "late start" and status.done > 1000:
                    raise KeyboardInterrupt

            return show

        yield stage

    np.savez("data.npz", x=CLUSTERS, y=LABELS)
    command = ["report", "data.npz", "--quick", "--seed", "3", "--json", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(_terminal, "stages", impatient)
        assert cli.main(command) == 130
    parts = sorted(Path(".jaxwin-report.blocks").iterdir())
    names = ["Gaussian-classes-1", "classes-and-collapse", "late-start"]
    assert [part.name for part in parts] == names
    assert not Path("jaxwin-report").exists()
    capsys.readouterr()
    assert cli.main([*command, "--resume"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {**found, "name": called["name"]} == called
    assert sorted(path.name for path in Path().iterdir()) == [
        "data.npz",
        "jaxwin-report",
    ]


@pytest.mark.slow
def test_until_stderr_measures_longer_and_says_where_it_gave_up(called, capsys):
    from jaxwin import report

    found = report.diagnose(CLUSTERS, LABELS, quick=True, seed=3, until_stderr=0.004)
    assert found.agreement is not None
    counts = found.agreement.count, found.collapse.count
    errors = found.agreement.stderr.max(), found.collapse.own_weight_stderr.max()
    assert max(errors) < 0.004
    # Looks in blocks of 64, a quick diagnosis at least.
    looks = [32]
    while looks[-1] < 512:
        looks.append(next_look(looks[-1] + 1, 32))
    assert {count // 64 for count in counts} <= set(looks)
    assert max(counts) > called["replicas"] == 2048
    assert "until_stderr=0.004" in found.call
    told = report.largest_error(found), found.collapse.count
    Report(until_stderr=0.004).tell_reached(*told)
    assert capsys.readouterr().err == ""
    Report(until_stderr=1e-4).tell_reached(*told)
    assert "--until-stderr 0.0001 was not reached" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_interrupted_process_resumes_to_the_same_numbers(finished, tmp_path):
    _, run, cache = finished
    program = [sys.executable, "-c", INTERRUPTED]
    process = started(tmp_path, cache, program=program)
    blocks = tmp_path / ".jaxwin-report.blocks"
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.endswith("--resume goes on from what is finished.\n")
    assert not (tmp_path / "jaxwin-report").exists()
    assert list(blocks.glob("*/*.blocks")) != []
    process = started(tmp_path, cache, "--resume")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out) == json.loads(run.stdout)
    assert not blocks.exists()


@pytest.mark.slow
def test_programs_are_kept_in_the_cache_folder_of_the_user(finished, monkeypatch):
    _, run, cache = finished
    # XLA's false alarms about programs from the cache are not shown.
    assert "cpu_aot_loader" not in run.stderr
    assert len(list((cache / "jaxwin" / "programs").glob("*/*"))) > 10
    set_to = {}
    monkeypatch.setattr(jax.config, "update", set_to.__setitem__)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    KEEP_PROGRAMS()
    (machine,) = (cache / "jaxwin" / "programs").iterdir()
    assert set_to["jax_compilation_cache_dir"] == str(machine)
    set_to.clear()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    KEEP_PROGRAMS()
    assert "jax_compilation_cache_dir" not in set_to


@pytest.mark.parametrize("off", [False, True])
def test_cache_can_be_switched_off(monkeypatch, off):
    asked = []
    monkeypatch.setattr(_common, "keep_programs", lambda: asked.append(True))
    Report(no_cache=off).configure()
    assert asked == ([] if off else [True])


def stopped(place: Path, limit: int = 40) -> None:
    """A run of 64 replicas that was stopped by its replica `limit`."""

    def broken(limit, key, i):
        return jnp.where(i < limit, 0.5 + 0 * jr.normal(key), jnp.nan)

    function = eqx.Partial(broken, jnp.asarray(limit))
    with pytest.raises(FloatingPointError):
        run_blocks(function, 64, jr.key(0), block_size=8, folder=place)


def test_numbers_that_become_nan_are_one_line(capsys, monkeypatch):
    def broken(self):
        raise FloatingPointError("the loss became NaN")

    monkeypatch.setattr(Report, "run", broken)
    assert refused(capsys, "report").strip() == "jaxwin: the loss became NaN"


def test_resuming_with_other_data_is_one_line(capsys):
    np.savez("data.npz", x=CLUSTERS, y=LABELS)
    stopped(Path(".jaxwin-report.blocks/classes-and-collapse"))
    line = refused(capsys, "report", "data.npz", "--quick", "--resume")
    assert "another configuration" in line
    assert "start afresh" in line


def test_runs_are_listed_with_state_and_estimate(capsys):
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out == "No runs here.\n"
    stopped(Path("a"))
    stopped(Path(".b.blocks/first"), 3)
    run_blocks(
        eqx.Partial(lambda k, i: i.astype(float) / 63), 64, jr.key(0), folder="c"
    )
    shutil.copytree("a", "damaged")
    for path in Path("damaged").glob("*.blocks"):
        path.write_bytes(path.read_bytes()[:-1])
    Path("theirs").mkdir()
    shutil.copytree("c", ".d.partial")
    Path("broken").mkdir()
    Path("broken/jaxwin.json").write_text('{"made_by": "jaxwin", "configuration": 1}')
    with locked("a"):
        assert cli.main(["runs", "--json"]) == 0
    found = {Path(run["path"]).name: run for run in json.loads(capsys.readouterr().out)}
    assert {name: run["state"] for name, run in found.items()} == {
        "a": "running",
        "first": "stopped",
        "c": "finished",
        "damaged": "damaged",
        "broken": "damaged",
    }
    told = ("done", "total", "mean", "stderr")
    assert [found["a"][key] for key in told] == [40, 64, 0.5, 0]
    assert found["first"]["done"] == 0
    assert found["c"]["mean"] == pytest.approx(0.5)
    assert cli.main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert "40 of 64" in lines[2]
    assert "stopped" in lines[2]
    assert "places" in refused(capsys, "runs", "no places")


def test_info(capsys, monkeypatch):
    monkeypatch.setattr(_info, "_SECONDS", 0.0)
    monkeypatch.setattr(_info, "cpu_features", lambda: {"avx512f"})
    width = "--xla_cpu_prefer_vector_width=512"
    monkeypatch.setenv("XLA_FLAGS", width)
    assert cli.main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["devices"] == {"cpu cpu": 4}
    assert found["versions"]["jax"] == jax.__version__
    assert all(rate > 0 for rate in found["ceilings"].values())
    assert found["flags"][width] is True
    cores = len(os.sched_getaffinity(0))
    count = f"--xla_force_host_platform_device_count={cores}"
    assert found["flags"].get(count, False) is False
    assert cli.main(["info"]) == 0
    shown = capsys.readouterr().out
    assert f"XLA_FLAGS {width}  (set)" in shown
    assert "matrix product" in shown
