import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults import CALLS, count_calls, fail_at, intercept, tree

from jaxwin import _files
from jaxwin._checks import BadInput
from jaxwin._files import (
    MANIFEST,
    atomic_folder,
    atomic_write,
    check_place,
    is_ours,
    provenance,
    repair,
    sha256,
)


def make(place: Path, text: str) -> None:
    with atomic_folder(place, {"text": text}) as folder:
        (folder / "figures").mkdir()
        (folder / "figures" / "a.txt").write_text(text)
        (folder / "b.txt").write_text(text)


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("data", [b"", b"new", bytes(300_000)])
def test_atomic_write_makes_and_replaces(tmp_path, data):
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")
    atomic_write(str(path), data)
    assert tree(tmp_path) == {"a.bin": data}


def test_atomic_write_survives_short_writes(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(_files.os, "write", lambda fd, data: real(fd, data[:7]))
    atomic_write(tmp_path / "a", bytes(range(100)))
    assert (tmp_path / "a").read_bytes() == bytes(range(100))


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC])
def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch, code):
    path = tmp_path / "a"
    total = count_calls(monkeypatch, lambda: atomic_write(path, b"old"))
    assert total == 4
    # The last call synchronises the folder: the new file is already whole.
    for k, after in zip(range(total), [b"old"] * 3 + [b"new"], strict=True):
        with monkeypatch.context() as patch:
            intercept(patch, fail_at(k, OSError(code, os.strerror(code))))
            with pytest.raises(OSError, match=os.strerror(code)):
                atomic_write(path, b"new")
        assert tree(tmp_path) == {"a": after}


def test_atomic_write_refuses_what_is_no_place_for_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(p.name for p in tmp_path.iterdir())
    for bad in ("file/below", "missing/a", ".", "pipe"):
        with pytest.raises(BadInput) as caught:
            atomic_write(tmp_path / bad, b"x")
        one_line(caught)
    with pytest.raises(BadInput):
        atomic_write("", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_atomic_write_follows_links_and_takes_long_names(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    atomic_write(tmp_path / ("é" * 120), b"long")


def test_folder_is_made_with_parents_and_replaced(tmp_path):
    place = tmp_path / "deep" / "er" / "out"
    make(place, "old")
    make(place, "new")
    assert tree(place.parent).keys() == {
        "out",
        "out/b.txt",
        "out/figures",
        "out/figures/a.txt",
        f"out/{MANIFEST}",
    }
    assert (place / "b.txt").read_text() == "new"
    manifest = json.loads((place / MANIFEST).read_text())
    assert manifest == {"text": "new", "made_by": "jaxwin"}


def test_manifest_is_read_when_the_body_has_ended(tmp_path):
    manifest = {}
    with atomic_folder(tmp_path / "out", manifest):
        manifest["files"] = 3
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["files"] == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, OSError])
@pytest.mark.parametrize("exists", [False, True])
def test_nothing_is_left_when_the_body_raises(tmp_path, error, exists):
    place = tmp_path / "new" / "out"
    if exists:
        make(place, "old")
    before = tree(tmp_path)

    def half() -> None:
        with atomic_folder(place, {}) as folder:
            (folder / "half").write_text("x")
            raise error

    with pytest.raises(error):
        half()
    assert tree(tmp_path) == before


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("exists", [False, True])
def test_failed_folder_leaves_the_old_one(tmp_path, monkeypatch, code, exists):
    rehearsal, place = tmp_path / "rehearsal", tmp_path / "stage" / "out"
    if exists:
        make(rehearsal, "old")
        make(place, "old")
    total = count_calls(monkeypatch, lambda: make(rehearsal, "new"))
    assert total > 12
    before = tree(tmp_path)
    for k in range(total):
        with monkeypatch.context() as patch:
            intercept(patch, fail_at(k, OSError(code, os.strerror(code))))
            with pytest.raises(OSError, match=os.strerror(code)):
                make(place, "new")
        assert tree(tmp_path) == before, k


def test_interrupt_at_any_call_leaves_the_old_folder(tmp_path, monkeypatch):
    place = tmp_path / "out"
    make(place, "old")
    total = count_calls(monkeypatch, lambda: make(place, "old"))
    before = tree(tmp_path)
    for k in range(total):
        with monkeypatch.context() as patch:
            intercept(patch, fail_at(k, KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                make(place, "new")
        assert tree(tmp_path) == before, k


@pytest.mark.parametrize("exists", [False, True])
def test_a_start_repairs_what_a_crash_left(tmp_path, monkeypatch, exists):
    stage, crashes = tmp_path / "stage", tmp_path / "crashes"
    crashes.mkdir()
    stage.mkdir()
    if exists:
        make(stage / "out", "old")
    # What a power cut before each call would leave.
    copied = set()

    def snapshot(i):
        if i not in copied:
            copied.add(i)
            with monkeypatch.context() as patch:
                for name, function in real.items():
                    patch.setattr(os, name, function)
                shutil.copytree(stage, crashes / f"{i}")

    names = (*CALLS, "mkdir", "rmdir", "unlink")
    real = {name: getattr(os, name) for name in names}
    with monkeypatch.context() as patch:
        intercept(patch, snapshot, names)
        make(stage / "out", "new")
    assert len(copied) > 15

    seen = set()
    for crash in crashes.iterdir():
        place = crash / "out"
        check_place(place)
        repair(place)
        assert {p.name for p in crash.iterdir()} <= {"out"}, crash
        text = (place / "b.txt").read_text() if place.exists() else None
        seen.add(text)
        if text is not None:
            assert is_ours(place)
            assert (place / "figures" / "a.txt").read_text() == text
        make(place, "again")
        assert {p.name for p in crash.iterdir()} == {"out"}, crash
        assert (place / "b.txt").read_text() == "again"
    # With an old result there is always one; the removal of the old comes last.
    assert seen == {"old" if exists else None, "new"}


def test_old_moved_aside_and_new_not_in_is_restored(tmp_path):
    make(tmp_path / "out", "old")
    (tmp_path / "out").rename(tmp_path / ".out.replaced")
    make(tmp_path / "other", "new")
    (tmp_path / "other").rename(tmp_path / ".out.partial")
    repair(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "b.txt").read_text() == "old"


def test_a_removal_cut_short_is_finished_by_the_next_start(tmp_path, monkeypatch):
    def cut(path):
        raise OSError(errno.EIO, "cut short")

    listdir = os.listdir
    make(tmp_path / "out", "old")
    with monkeypatch.context() as patch:
        # The manifest would come first; it must go last.
        patch.setattr(os, "listdir", lambda path: sorted(listdir(path))[::-1])
        patch.setattr(shutil, "rmtree", cut)
        make(tmp_path / "out", "new")
        assert is_ours(tmp_path / ".out.replaced")
    make(tmp_path / "out", "newer")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("rest", [".out.partial", ".out.replaced"])
def test_a_persons_folder_under_our_names_is_not_removed(tmp_path, rest):
    (tmp_path / rest).mkdir()
    (tmp_path / rest / "thesis.tex").write_text("x")
    with pytest.raises(BadInput) as caught:
        make(tmp_path / "out", "new")
    assert rest in one_line(caught)
    assert tree(tmp_path).keys() == {rest, f"{rest}/thesis.tex"}


def test_two_runs_do_not_share_a_place(tmp_path):
    with atomic_folder(tmp_path / "out", {}) as folder:
        for second in (check_place, repair, lambda place: make(place, "x")):
            with pytest.raises(BadInput, match="another run"):
                second(tmp_path / "out")
        assert folder.is_dir()
    assert is_ours(tmp_path / "out")
    make(tmp_path / "out", "later")


def test_a_killed_run_holds_no_lock(tmp_path):
    script = (
        "import os, sys; from jaxwin._files import atomic_folder\n"
        "with atomic_folder(sys.argv[1], {}) as f:\n"
        "    (f / 'x').write_text('x'); os.kill(os.getpid(), 9)"
    )
    place = tmp_path / "out"
    code = subprocess.run([sys.executable, "-c", script, str(place)]).returncode
    assert code == -9
    assert [p.name for p in tmp_path.iterdir()] == [".out.partial"]
    make(place, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def bad_places(folder: Path) -> list[str]:
    (folder / "file").write_text("x")
    (folder / "theirs").mkdir()
    (folder / "theirs" / "notes.txt").write_text("x")
    (folder / "empty").mkdir()
    (folder / "config").mkdir()
    (folder / "config" / MANIFEST).write_text('{"line_length": 88}')
    (folder / "broken").mkdir()
    (folder / "broken" / MANIFEST).write_text("{")
    (folder / "loop").symlink_to("loop")
    return [
        "file",
        "file/out",
        "file/a/b\nc",
        "theirs",
        "empty",
        "config",
        "broken",
        ".",
        "loop",
        "x" * 250,
        "a\0b",
    ]


@pytest.mark.parametrize("case", range(11))
def test_bad_places_are_refused_before_any_work(tmp_path, case):
    bad = bad_places(tmp_path)[case]
    before = tree(tmp_path)
    place = f"{tmp_path}/{bad}"
    with pytest.raises(BadInput) as caught:
        check_place(place, "--out")
    assert "`--out`" in one_line(caught)
    with pytest.raises(BadInput), atomic_folder(place, {}):
        pytest.fail("the body must not run")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("place", ["", "/"])
def test_places_without_a_name(place):
    with pytest.raises(BadInput) as caught:
        check_place(place)
    one_line(caught)


def test_place_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(_files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(BadInput) as caught:
        check_place(tmp_path / "out")
    assert "Read-only" in one_line(caught)


def test_check_place_leaves_no_trace_and_follows_links(tmp_path):
    make(tmp_path / "out", "old")
    (tmp_path / "link").symlink_to("out")
    before = tree(tmp_path)
    assert check_place(tmp_path / "link") == (tmp_path / "out").resolve()
    assert check_place(tmp_path / "a" / "b") == tmp_path.resolve() / "a" / "b"
    assert tree(tmp_path) == before
    make(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out" / "b.txt").read_text() == "new"


def test_sha256(tmp_path):
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256(b"") == empty
    (tmp_path / "a").write_bytes(b"")
    assert sha256(tmp_path / "a") == empty
    x = np.arange(6.0).reshape(2, 3)
    different = [x, x.T, x.ravel(), x.astype(np.float32), x + 1, np.float64(0.0)]
    assert len({sha256(v) for v in different}) == len(different)
    assert sha256(x) == sha256(np.asfortranarray(x)) == sha256(x.astype(">f8"))
    with pytest.raises(TypeError):
        sha256("text")
    with pytest.raises(TypeError):
        sha256(np.array([None]))


def test_provenance_tells_no_folders(monkeypatch):
    command = [
        "/home/ada/.venv/bin/jaxwin",
        "report",
        "/home/ada/my data/x.npy",
        "--out=/home/ada/out/",
        "--x",
        "rel/y.npz",
        "https://host/a/b",
        '{"means": "/home/ada/m.npz"}',
        "/",
    ]
    monkeypatch.setattr(sys, "argv", command)
    facts = provenance()
    assert facts["command"] == (
        "jaxwin report x.npy --out=out/ --x rel/y.npz https://host/a/b "
        '\'{"means": "m.npz"}\' /'
    )
    assert facts["devices"] == "4 x cpu"
    assert facts["precision"] == "float64"
    assert facts["time"].endswith("+00:00")
    assert str(Path.cwd()) not in json.dumps(facts)
    for key in ("jaxwin", "python", "jax", "jaxlib", "numpy", "backend", "platform"):
        assert facts[key] not in ("", "unknown")
