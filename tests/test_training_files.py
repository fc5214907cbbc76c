"""Checkpoints of training: resumed to the same bits, or refused in one line."""

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from descents import (
    BOWL,
    DELTAS,
    NETWORK,
    SHORT,
    START,
    TRAINING,
    descend,
    same,
    stop_after,
)
from faults import intercept, tree

from jaxwin._checks import BadInput
from jaxwin._files import MANIFEST, atomic_folder
from jaxwin.execution import runs
from jaxwin.learned import (
    EvenTime,
    LogNormal,
    Watch,
    load,
    save,
    train,
)
from jaxwin.learned._fit import fit
from jaxwin.processes import VariancePreserving
from jaxwin.targets import GaussianMixture


@pytest.fixture(autouse=True)
def _standard_promotion():
    """Optax mixes types."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def trained():
    with jax.numpy_dtype_promotion("standard"):
        return train(DELTAS, NETWORK, TRAINING)


@pytest.mark.parametrize("chunks", [1, 4, 6])
def test_interrupted_run_resumes_to_the_same_bits(tmp_path, chunks):
    whole = descend()
    with pytest.raises(KeyboardInterrupt):
        descend(folder=tmp_path / "run", every=0.0, progress=stop_after(chunks))
    told = []
    options = {"folder": tmp_path / "run", "resume": True}
    assert same(descend(**options, progress=told.append), whole)
    # What is there is not computed again; nor is a finished run.
    assert len(told) == 6 - chunks
    assert same(descend(**options, progress=stop_after(1)), whole)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_kill_in_a_write_resumes_to_the_same_bits(tmp_path, monkeypatch):
    """Also between the renames, when the last checkpoint stands aside."""
    whole, place = descend(), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        descend(folder=place, every=0.0, progress=stop_after(2))
    copies = []

    def keep(_):
        """The folder as it is when the process is killed before this call."""
        kept = tmp_path.parent / f"{tmp_path.name}-{len(copies)}"
        # Orbax may be at work in another thread.
        with contextlib.suppress(OSError):
            shutil.copytree(tmp_path, kept)
            copies.append(kept)

    with monkeypatch.context() as patch:
        intercept(patch, keep, ("rename", "replace"))
        with pytest.raises(KeyboardInterrupt):
            descend(folder=place, resume=True, every=0.0, progress=stop_after(1))
    # Of the manifest, of the old folder aside, and of the new one in.
    assert len(copies) >= 3
    assert any(not (kept / "run").exists() for kept in copies)
    for kept in copies:
        told = []
        options = {"folder": kept / "run", "resume": True}
        assert same(descend(**options, progress=told.append), whole)
        # No step of a checkpoint that ended is lost.
        assert len(told) == 4
        assert [p.name for p in kept.iterdir()] == ["run"]


PROGRAM = """
import sys, time
import jax, numpy as np
from descents import DELTAS, NETWORK, TRAINING
from jaxwin.learned import train
def tell(status):
    print("at", status.done // TRAINING.batch_size, flush=True)
trained = train(DELTAS, NETWORK, TRAINING, folder=sys.argv[1], resume=True, every=0.0,
                progress=tell)
leaves = jax.tree.leaves((trained.denoiser.state, trained.loss))
np.savez(sys.argv[2], *[np.asarray(leaf) for leaf in leaves])
"""


@pytest.mark.slow
@pytest.mark.long
def test_killed_runs_resume_to_the_same_bits(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    command = [sys.executable, "-c", PROGRAM]
    result = tmp_path / "result.npz"
    subprocess.run(
        [*command, str(tmp_path / "whole"), str(tmp_path / "whole.npz")],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    rng, done = random.Random(0), 0
    for _ in range(5):
        process = subprocess.Popen(
            [*command, str(tmp_path / "cut"), str(result)],
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        # A chunk and its checkpoint take some 0.1 s: the kill comes anywhere in them.
        try:
            process.wait(rng.uniform(0.0, 0.3))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        step = int(line.split()[1])
        # One after the checkpoint that it went on from, never from the beginning.
        assert step > done
        done = step
        process.stdout.close()
        if result.exists():
            break
    last = subprocess.run(
        [*command, str(tmp_path / "cut"), str(result)],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    assert b"at 25\n" not in last.stdout
    with np.load(result) as found, np.load(tmp_path / "whole.npz") as wanted:
        assert len(found.files) > 10
        for name in wanted.files:
            np.testing.assert_array_equal(found[name], wanted[name])


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """The folder of a run that was interrupted half-way."""
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        descend(folder=place, every=0.0, progress=stop_after(3))
    return place


def biggest(folder: Path) -> Path:
    files = [p for p in (folder / "arrays").rglob("*") if p.is_file()]
    return max(files, key=lambda p: p.stat().st_size)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit(folder: Path, change: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


DAMAGE = {
    "truncated": (lambda p: os.truncate(biggest(p), 40), "changed or cut"),
    "empty": (lambda p: os.truncate(biggest(p), 0), "changed or cut"),
    "flipped": (lambda p: flip(biggest(p), 17), "changed or cut"),
    "lost": (lambda p: biggest(p).unlink(), "changed or cut"),
    "no arrays": (lambda p: shutil.rmtree(p / "arrays"), "changed or cut"),
    "renamed": (lambda p: biggest(p).rename(p / "arrays" / "b"), "changed or cut"),
    "manifest lost": (lambda p: (p / MANIFEST).unlink(), "without our jaxwin.json"),
    "manifest cut": (lambda p: os.truncate(p / MANIFEST, 30), "without our jaxwin"),
    "of a command": (
        lambda p: edit(p, lambda m: m.pop("digest")),
        "holds no network of jaxwin",
    ),
    "format": (lambda p: edit(p, lambda m: m.update(format=7)), "of format 7"),
    "another run": (
        lambda p: edit(p, lambda m: m["about"].update(run=[1, 3])),
        "a checkpoint of another run",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_checkpoints_are_refused_and_kept(checkpoint, name):
    damage, told = DAMAGE[name]
    damage(checkpoint)
    before = tree(checkpoint.parent)
    with pytest.raises(BadInput) as caught:
        descend(folder=checkpoint, resume=True)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(checkpoint.parent) == before


def test_places_are_refused_before_any_step(tmp_path):
    told = []
    (tmp_path / "file").write_text("mine")
    (tmp_path / "foreign").mkdir()
    for place in ("file", "foreign", "file/below"):
        for resume in (True, False):
            with pytest.raises(BadInput, match="`folder`"):
                descend(folder=tmp_path / place, resume=resume, progress=told.append)
    assert told == []
    assert set(tree(tmp_path)) == {"file", "foreign"}


def test_arrays_of_another_shape_are_refused(checkpoint):
    before = tree(checkpoint)
    with pytest.raises(BadInput, match="another network"):
        fit(
            BOWL, {**START, "c": jnp.zeros(3, jnp.float32)}, SHORT,
            about={"run": (1, 2)}, folder=checkpoint, resume=True,
        )  # fmt: skip
    assert tree(checkpoint) == before


def test_loaded_is_saved(trained, tmp_path):
    origin = {"digest": "of the law", "selection": {"pca": 3, "classes": "1,8"}}
    nowhere = trained._replace(failures=2, origin=origin)
    nowhere.by_level[0, 0] = np.nan
    save(nowhere, tmp_path / "net")
    found = load(tmp_path / "net")
    assert same(found, nowhere)
    for name in ("network", "training", "failures", "origin"):
        assert getattr(found, name) == getattr(nowhere, name)
    for name in ("step", "loss", "loss_stderr", "by_level", "edges"):
        one, other = getattr(found, name), getattr(nowhere, name)
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert found.denoiser.graph == nowhere.denoiser.graph
    edit(tmp_path / "net", lambda m: m["about"]["loss"].__setitem__(0, 0.5))
    with pytest.raises(BadInput, match="changed or cut"):
        load(tmp_path / "net")
    with pytest.raises(BadInput, match="there is no such folder"):
        load(tmp_path / "nothing")
    with atomic_folder(tmp_path / "report", {"command": "report"}):
        pass
    with pytest.raises(BadInput, match="no network of jaxwin"):
        load(tmp_path / "report")


@pytest.fixture
def interrupted(trained, tmp_path) -> Path:
    del trained  # compiled
    with pytest.raises(KeyboardInterrupt):
        train(
            DELTAS, NETWORK, TRAINING, folder=tmp_path / "run", every=0.0,
            progress=stop_after(2),
        )  # fmt: skip
    return tmp_path / "run"


def test_training_resumes_with_its_configuration_only(interrupted, trained):
    before = tree(interrupted)
    with pytest.raises(BadInput, match="has not ended"):
        load(interrupted)
    going_on = lambda data=DELTAS, network=NETWORK, training=TRAINING, **more: train(
        data, network, training, folder=interrupted, resume=True, **more
    )
    rates = dataclasses.replace(TRAINING, learning_rate=1e-3)
    clocks = [EvenTime(VariancePreserving(0.1, b)) for b in (20.0, 10.0)]
    others: list[dict[str, Any]] = [
        {"data": DELTAS + 1e-3},
        {"data": GaussianMixture.isotropic(DELTAS, np.zeros(2))},
        {"network": dataclasses.replace(NETWORK, width=16)},
        {"training": rates},
        {"labels": np.array([0, 1])},
        {"levels": LogNormal(0.0)},
        {"levels": clocks[0]},
        {"weighting": "noise"},
    ]
    for other in others:
        with pytest.raises(BadInput, match="a checkpoint of another run"):
            going_on(**other)
        assert tree(interrupted) == before
    finished = going_on()
    assert same(finished.denoiser, trained.denoiser)
    np.testing.assert_array_equal(finished.loss, trained.loss)


def test_shape_and_numbers_of_numpy_do_not_hinder_a_resume(tmp_path):
    about = {"network": {"shape": (7, 9, 2), "width": np.int64(3)}}
    options = {"about": about, "folder": tmp_path / "run"}
    whole = fit(BOWL, START, SHORT, **options)
    assert same(fit(BOWL, START, SHORT, **options, resume=True), whole)


def test_clocks_of_one_kind_are_told_apart(tmp_path):
    # Their parameters are arrays, which their names do not show.
    options = {"folder": tmp_path / "run", "every": 0.0}
    tiny = dataclasses.replace(TRAINING, num_steps=1, chunk=1, batch_size=2)
    slow, fast = (EvenTime(VariancePreserving(0.1, b)) for b in (20.0, 10.0))
    train(DELTAS, NETWORK, tiny, levels=slow, **options)
    with pytest.raises(BadInput, match="another run"):
        train(DELTAS, NETWORK, tiny, levels=fast, **options, resume=True)


def test_runs_tell_how_far_a_training_is(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        descend(folder=tmp_path / "run", every=0.0, progress=stop_after(2))
    (told,) = runs(tmp_path)
    assert (told.state, told.done, told.total) == ("unfinished", 20, 60)
    descend(folder=tmp_path / "run", resume=True)
    (told,) = runs(tmp_path)
    assert (told.state, told.done, told.total) == ("finished", 60, 60)


def test_looks_on_the_way_survive_a_stop(tmp_path):
    """At the ends of the chunks that hold the steps 1, 25 and 60 of 60, in tens."""

    def looks(**options):
        watch = Watch([1, 25, 60], lambda step, value: [step, float(value["b"])])
        with contextlib.suppress(KeyboardInterrupt):
            descend(watch=watch, **options)
        return watch.found

    whole = looks()
    assert [step for step, _ in whole] == [10, 30, 60]
    place = {"folder": tmp_path / "run", "every": 0.0}
    assert looks(**place, progress=stop_after(4)) == whole[:2]
    assert looks(**place, resume=True) == whole
