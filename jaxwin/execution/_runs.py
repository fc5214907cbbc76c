"""What runs there are in a folder, and how far each is."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxwin._checks import BadInput
from jaxwin._files import MANIFEST, PathLike, locked, read_manifest
from jaxwin.execution._checkpoint import block_files, read_blocks

# Results and runs lie in a folder, the parts of a command's run one below.
_DEPTHS = (f"*/{MANIFEST}", f"*/*/{MANIFEST}")


@dataclasses.dataclass(frozen=True)
class RunState:
    """A run or a result on disk.

    state: "running", "stopped" (to be resumed), "finished" or "damaged"; "unfinished"
    is a training that runs or was stopped. done, total: replicas, or steps of training.
    mean, stderr: the watched entry that is known worst so far. None where
    there is none: a finished result keeps no blocks.
    """

    path: Path
    state: str
    done: int | None = None
    total: int | None = None
    mean: float | None = None
    stderr: float | None = None


def runs(folder: PathLike = ".") -> list[RunState]:
    """Runs in a folder, by name: results of commands, and kept blocks."""
    place = Path(folder)
    if not place.is_dir():
        raise BadInput(f"`folder` is {str(folder)!r}; it must be a folder; give one.")
    # `glob` passes by what cannot be read, and finds hidden folders too.
    found = sorted({path.parent for depth in _DEPTHS for path in place.glob(depth)})
    # What a command is building, or a crash left of it, is no result.
    found = [path for path in found if path.suffix not in (".partial", ".replaced")]
    manifests = {path: read_manifest(path) for path in found}
    return [_state(path, about) for path, about in manifests.items() if about]


def _state(path: Path, manifest: dict[str, Any]) -> RunState:
    if "steps" in manifest:
        done, total = manifest["steps"]
        return RunState(path, "unfinished" if done < total else "finished", done, total)
    if "configuration" not in manifest:
        return RunState(path, "finished")
    try:
        return _progress(path, manifest)
    except (BadInput, LookupError, TypeError):
        return RunState(path, "damaged")


def _progress(path: Path, manifest: dict[str, Any]) -> RunState:
    total = manifest["num_replicas"]
    if manifest.get("finished"):
        return RunState(path, "finished", manifest["done"], total, *manifest["reading"])
    try:
        with locked(path):
            state = "stopped"
    except BadInput:
        state = "running"
    files = block_files(path)
    if not files:
        return RunState(path, state, 0, total)
    about, leaves = read_blocks(files[-1])
    done = (about["first"] + len(leaves[0])) * manifest["block_size"]
    return RunState(path, state, done, total, *about["reading"])
