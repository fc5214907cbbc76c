"""Finished blocks on disk: atomic, checksummed, and refused where they do not fit."""

import contextlib
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxwin._checks import BadInput
from jaxwin._files import (
    PathLike,
    atomic_write,
    check_place,
    is_ours,
    is_rest,
    locked,
    read_manifest,
    sha256,
    write_manifest,
)

FORMAT = 1
_MAGIC = b"jaxwin blocks"
_SUFFIX = ".blocks"
# A save may cost 1/20 of the time, and a kill at most 1/64 of the work: the number of
# files then grows with the logarithm of the time.
_COST, _LOSS = 20, 64

Block = tuple[PyTree[np.ndarray], PyTree[np.ndarray]]
Reading = tuple[float, float]  # mean and standard error of what is known worst


class Checkpoint:
    """Finished blocks of one run in a folder, which nobody else writes meanwhile.

    A file holds consecutive blocks: a line with format, length and SHA-256, then an
    .npz archive. Only whole blocks are kept, so that a run may be extended.
    """

    def __init__(
        self, folder: Path, manifest: Mapping[str, Any], structure: PyTree, resume: bool
    ):
        self._folder, self._manifest = folder, dict(manifest)
        self._treedef = jax.tree.structure(structure)
        self._configuration = sha256(json.dumps(manifest["configuration"]).encode())
        self.saved: list[Block] = self._load() if resume else []
        if not resume:
            # The last file first: what a kill leaves is a whole, shorter run.
            for path in reversed(block_files(folder)):
                path.unlink()
        for rest in folder.glob(".*.partial"):
            rest.unlink()
        write_manifest(folder, self._manifest)
        self._unsaved: list[Block] = []
        self._first = len(self.saved)
        self._reading: Callable[[], Reading] = lambda: (0.0, 0.0)
        self._started = self._last_save = time.monotonic()
        self._cost = 0.0

    def append(self, block: Block, reading: Callable[[], Reading]) -> None:
        """Keep one more whole block; `reading` tells the estimate up to it."""
        self._unsaved.append(block)
        self._reading = reading
        now = time.monotonic()
        wait = max(_COST * self._cost, (now - self._started) / _LOSS)
        if now - self._last_save > wait:
            self.save()

    def save(self) -> None:
        """Write the blocks not yet written."""
        if not self._unsaved:
            return
        begun = time.monotonic()
        about = {
            "configuration": self._configuration,
            "first": self._first,
            "reading": self._reading(),
        }
        means, squares = zip(*self._unsaved, strict=True)
        stack = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
        leaves = jax.tree.leaves((stack(means), stack(squares)))
        buffer = io.BytesIO()
        np.savez(buffer, *leaves, about=np.asarray(json.dumps(about)))
        data = buffer.getvalue()
        header = b"%s %d %d %s\n" % (_MAGIC, FORMAT, len(data), sha256(data).encode())
        with _one_line(self._folder):
            atomic_write(self._folder / f"{self._first:012}{_SUFFIX}", header + data)
        self._first += len(self._unsaved)
        self._unsaved = []
        self._last_save = time.monotonic()
        self._cost = self._last_save - begun

    def finish(self, done: int, reading: Reading) -> None:
        """Note that the run has its answer."""
        self.save()
        ending = {"finished": True, "done": done, "reading": reading}
        with _one_line(self._folder):
            write_manifest(self._folder, self._manifest | ending)

    def _load(self) -> list[Block]:
        manifest = read_manifest(self._folder)
        _check_configuration(self._folder, manifest, self._manifest["configuration"])
        blocks = []
        for path in block_files(self._folder):
            about, leaves = read_blocks(path)
            if about["configuration"] != self._configuration:
                raise _refusal(path, "belongs to another configuration")
            if about["first"] != len(blocks):
                raise _refusal(path, f"is not preceded by block {len(blocks)}")
            half = len(leaves) // 2
            for i in range(len(leaves[0])):
                pick = lambda some, i=i: [np.asarray(leaf[i]) for leaf in some]
                mean = jax.tree.unflatten(self._treedef, pick(leaves[:half]))
                square = jax.tree.unflatten(self._treedef, pick(leaves[half:]))
                blocks.append((mean, square))
        return blocks


@contextlib.contextmanager
def checkpoint(
    folder: PathLike,
    configuration: Mapping[str, str],
    structure: PyTree,
    num_replicas: int,
    block_size: int,
    resume: bool,
) -> Iterator[Checkpoint]:
    """Open the folder of a run; finished blocks are written even if the body raises.

    Raises:
        BadInput: The folder is no place for a run, another run is writing it, or, to be
            resumed, it holds another configuration or a truncated or altered file.
    """
    if is_rest(Path(folder)) and not is_ours(folder):
        shutil.rmtree(folder)  # what a crash before the first manifest left
    place = check_place(folder, "folder")
    manifest = {
        "format": FORMAT,
        "configuration": dict(configuration),
        "num_replicas": num_replicas,
        "block_size": block_size,
    }
    with _one_line(place):
        place.mkdir(parents=True, exist_ok=True)
    with locked(place, "folder"):
        kept = Checkpoint(place, manifest, structure, resume and is_ours(place))
        try:
            yield kept
        finally:
            kept.save()


def remove_runs(folder: PathLike) -> None:
    """Remove the runs in a folder, and the folder if nothing else is in it.

    Raises:
        BadInput: Another process is at one of them.
    """
    place = Path(folder)
    for path in place.glob("*"):
        if is_ours(path):
            with locked(path):
                shutil.rmtree(path)
    with contextlib.suppress(OSError):
        place.rmdir()


def block_files(folder: Path) -> list[Path]:
    """Files of blocks in the order of their blocks."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def read_blocks(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What a file says about its blocks, and their leaves, block axis first.

    Raises:
        BadInput: The file is unreadable, of another format, truncated or altered.
    """
    try:
        header, _, data = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from error
    words = header.removeprefix(_MAGIC).split()
    if not header.startswith(_MAGIC) or len(words) != 3:
        raise _refusal(path, "is altered or truncated: its first line is not ours")
    number, length, digest = (word.decode(errors="replace") for word in words)
    if number != str(FORMAT):
        raise _refusal(path, f"is of format {number}, this version reads {FORMAT}")
    if length.isdecimal() and len(data) < int(length):
        raise _refusal(path, f"is truncated: {len(data)} of {length} bytes are left")
    if length != str(len(data)) or digest != sha256(data):
        raise _refusal(path, "is altered: its checksum does not fit")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        leaves = [archive[f"arr_{i}"] for i in range(len(archive.files) - 1)]
        return json.loads(str(archive["about"])), leaves


def _check_configuration(
    folder: Path, manifest: Mapping[str, Any], wanted: Mapping[str, str]
) -> None:
    if manifest.get("format") != FORMAT:
        number = manifest.get("format")
        raise _refusal(folder, f"is of format {number}, this version reads {FORMAT}")
    found = manifest.get("configuration", {})
    other = [part for part in wanted if found.get(part) != wanted[part]]
    if other:
        what = f"holds blocks of another configuration (other {', '.join(other)})"
        raise _refusal(folder, what)


def _refusal(path: Path, what: str) -> BadInput:
    return BadInput(f"{path.name!r} {what}; start afresh, without resuming.")


@contextlib.contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """A full disk or lost rights are told in one line."""
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"`folder` is {str(folder)!r}, which cannot be written "
            f"({error.strerror}); give another place."
        ) from error
