"""A run that is cut anywhere resumes to the same bits; what does not fit is refused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import replicas
from replicas import BLOCK_SIZE, KEY, NUM_REPLICAS, digest, example
from test_files import intercept

from jaxwin._checks import BadInput
from jaxwin._files import MANIFEST, atomic_folder, locked
from jaxwin.execution import Replica, _checkpoint, run

COUNT = 60  # 7 whole blocks and a short one


def noisy(scale, key, replica):
    return {"a": scale * jr.normal(jr.fold_in(key, replica), (3,)), "b": scale[0]}


FUNCTION = eqx.Partial(noisy, jnp.arange(3.0))


def once(function: Replica = FUNCTION, count=COUNT, key=KEY, block_size=8, **options):
    return run(function, count, key, block_size=block_size, **options)


@pytest.fixture
def every_block(monkeypatch):
    """Each block is saved at once, in a file of its own."""
    monkeypatch.setattr(_checkpoint, "_COST", 0)
    monkeypatch.setattr(_checkpoint, "_LOSS", 1e18)


@pytest.fixture
def folder(tmp_path, every_block) -> Path:
    """A finished run: 7 files of one block each."""
    place = tmp_path / "run"
    once(folder=place)
    assert len(list(place.glob("*.blocks"))) == 7
    return place


def refused(folder: Path, **changes) -> str:
    """The one line with which a folder is not resumed from; nothing in it changes."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BadInput) as caught:
        once(**{"folder": folder, "resume": True} | changes)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kept", range(8))
def test_any_split_gives_the_same_bits(folder, kept):
    for path in sorted(folder.glob("*.blocks"))[kept:]:
        path.unlink()
    done = []
    resumed = once(
        folder=folder, resume=True, progress=lambda status: done.append(status.done)
    )
    assert eqx.tree_equal(resumed, once())
    assert done[0] == max(8 * kept, 8)
    assert done[-1] == COUNT
    # What is there is not computed again.
    assert len(done) == 8 - max(kept - 1, 0)


def test_a_run_is_extended_and_shortened(folder):
    for count in (200, 90, 17, 200):
        found = once(count=count, folder=folder, resume=True)
        assert eqx.tree_equal(found, once(count=count))


def test_without_resume_a_run_starts_afresh(folder):
    other = eqx.Partial(noisy, jnp.ones(3))
    once(other, count=20, folder=folder)
    assert len(list(folder.glob("*.blocks"))) == 2
    assert eqx.tree_equal(once(other, folder=folder, resume=True), once(other))


def test_resuming_where_nothing_is_starts(tmp_path):
    place = tmp_path / "deep" / "run"
    assert eqx.tree_equal(once(folder=place, resume=True), once())
    # What a crash before the first manifest leaves.
    shutil.rmtree(place)
    place.mkdir()
    (place / f".{MANIFEST}.0123.partial").touch()
    assert eqx.tree_equal(once(folder=place, resume=True), once())
    assert list(place.glob(".*")) == []


def test_saves_are_few_when_blocks_are_quick(tmp_path):
    once(count=2400, folder=tmp_path / "run")
    assert len(list((tmp_path / "run").glob("*.blocks"))) < 40


def test_an_error_keeps_the_blocks_before_it(tmp_path):
    def broken(limit, key, replica):
        return jnp.where(replica < limit, jr.normal(jr.fold_in(key, replica)), jnp.nan)

    function = eqx.Partial(broken, jnp.asarray(44))
    with pytest.raises(FloatingPointError, match="replica 44"):
        once(function, folder=tmp_path / "run")
    files = _checkpoint.block_files(tmp_path / "run")
    assert sum(len(_checkpoint.read_blocks(file)[1][0]) for file in files) == 5


# Refusals


def compiled_in(value):
    """A function with an array in its program, not among its leaves."""
    constant = np.full(70, value)
    nested = eqx.filter_jit(lambda key: jr.normal(key, (70,)) @ jnp.asarray(constant))
    return eqx.Partial(lambda key, i: nested(jr.fold_in(key, i)))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("data", {"function": eqx.Partial(noisy, jnp.array([0.0, 1.0, 2.000001]))}),
        ("data", {"function": eqx.Partial(noisy, jnp.array([1.0, 0.0, 2.0]))}),
        ("key", {"key": jr.key(6)}),
        ("key", {"key": jr.key(5, impl="rbg")}),
        ("block size", {"block_size": 4}),
        ("program", {"function": eqx.Partial(lambda s, k, i: noisy(2 * s, k, i))}),
    ],
)
def test_another_configuration_is_refused(folder, part, changes):
    if part == "program":
        changes = {"function": eqx.Partial(changes["function"], jnp.arange(3.0))}
    message = refused(folder, **changes)
    assert "another configuration" in message
    assert part in message
    others = {"data", "key", "block size", "program"} - {part}
    if part in ("data", "block size", "program"):
        assert not any(f"other {other}" in message for other in others - {"program"})


def test_arrays_that_are_compiled_in_are_part_of_the_program(tmp_path):
    place = tmp_path / "run"
    once(compiled_in(1.0), folder=place)
    assert "other program" in refused(place, function=compiled_in(1.0 + 1e-9))
    again = once(compiled_in(1.0), folder=place, resume=True)
    assert eqx.tree_equal(again, once(compiled_in(1.0)))


def test_another_jax_is_refused(folder, monkeypatch):
    monkeypatch.setattr("jax.__version__", "0.0.1")
    assert "other jax" in refused(folder)


@pytest.mark.parametrize("length", [0, 5, 13, 40, 100, 300, -1])
def test_truncated_file_is_refused(folder, length):
    path = sorted(folder.glob("*.blocks"))[3]
    path.write_bytes(path.read_bytes()[:length])
    message = refused(folder)
    assert path.name in message
    assert "truncated" in message


@pytest.mark.parametrize("seed", range(8))
def test_altered_file_is_refused(folder, seed):
    path = sorted(folder.glob("*.blocks"))[seed % 7]
    data = bytearray(path.read_bytes())
    # Half in the header, half anywhere.
    end = data.index(b"\n") if seed % 2 else len(data)
    data[random.Random(seed).randrange(end)] ^= 1 << seed
    path.write_bytes(data)
    assert path.name in refused(folder)


def test_a_number_altered_with_care_is_refused(folder):
    path = sorted(folder.glob("*.blocks"))[0]
    data = path.read_bytes()
    at = data.index(b"\x93NUMPY") + 128 + 3
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert "altered: its checksum does not fit" in refused(folder)


def test_missing_file_is_refused(folder):
    files = sorted(folder.glob("*.blocks"))
    files[2].unlink()
    assert "is not preceded by block 2" in refused(folder)


def test_file_of_another_run_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    once(key=jr.key(9), folder=other)
    name = sorted(path.name for path in other.glob("*.blocks"))[-1]
    shutil.copy(other / name, folder / name)
    assert "belongs to another configuration" in refused(folder)


def test_another_format_is_refused(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"format": 2}))
    assert "is of format 2, this version reads 1" in refused(folder)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    path = sorted(folder.glob("*.blocks"))[0]
    path.write_bytes(path.read_bytes().replace(b"blocks 1 ", b"blocks 7 "))
    assert "is of format 7, this version reads 1" in refused(folder)


def test_a_folder_in_use_is_refused(folder):
    with locked(folder):
        assert "is being written by another run" in refused(folder)


def test_what_is_not_ours_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("years of work")
    refused(tmp_path / "theirs")
    refused(tmp_path / "theirs", resume=False)
    with atomic_folder(tmp_path / "result", {"command": "report"}):
        pass
    assert "format None" in refused(tmp_path / "result")


@pytest.mark.usefixtures("every_block")
def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_checkpoint, "atomic_write", full)
    with pytest.raises(BadInput, match="No space left on device") as caught:
        once(folder=tmp_path / "run")
    assert "\n" not in str(caught.value)


# Crashes


@pytest.mark.usefixtures("every_block")
def test_a_crash_at_any_call_resumes_to_the_same_bits(tmp_path, monkeypatch):
    crashes, straight = tmp_path / "crashes", once()
    copied = []

    def snapshot(i):
        # Only folders that exist; copying itself calls nothing that is watched.
        if (tmp_path / "run").is_dir():
            shutil.copytree(tmp_path / "run", crashes / f"{i}")
            copied.append(i)

    with monkeypatch.context() as patch:
        intercept(patch, snapshot, ("write", "fsync", "replace"))
        once(folder=tmp_path / "run")
    assert len(copied) > 25
    for i in copied[::3]:
        again = once(folder=crashes / f"{i}", resume=True)
        assert eqx.tree_equal(again, straight), i


def killed_and_resumed(folder: Path, moments: list[float]) -> str:
    """What a run prints that was killed so long after its first progress."""
    program = [sys.executable, replicas.__file__, str(folder)]
    environment = os.environ | {"XLA_FLAGS": "", "JAX_ENABLE_X64": "1"}
    for moment in moments:
        process = subprocess.Popen(
            program, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    last = subprocess.run(
        program, stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    return last.stdout.split()[-1]


@pytest.mark.slow
@pytest.mark.long
def test_sigkill_at_random_moments(tmp_path):
    """12 of them. The run takes at least 125 blocks of 5 ms from its start."""
    moments = np.random.default_rng(12).uniform(0, [0.06, 0.12], (6, 2)).ravel()
    found = killed_and_resumed(tmp_path / "run", moments.tolist())
    straight = run(example(), NUM_REPLICAS, KEY, block_size=BLOCK_SIZE)
    assert found == digest(straight)
