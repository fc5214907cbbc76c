"""Arrays on disk by orbax: whole or absent, checked, and refused where foreign."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxwin._checks import BadInput
from jaxwin._files import PathLike, atomic_folder, is_ours, read_manifest

FORMAT = 1
_ARRAYS = "arrays"


def write_arrays(
    place: PathLike,
    tree: PyTree[Any],
    about: Mapping[str, Any],
    name: str = "folder",
    steps: tuple[int, int] | None = None,
    notes: Sequence[Any] = (),
) -> None:
    """Write the leaves of a tree into a folder of ours, replacing an older one.

    place: Where the folder shall stand; at every moment the old one or the new one.
    about: What `read_about` gives back, of JSON.
    steps: Done and in all, of a training under way, for `execution.runs`.
    notes: What was seen on the way, of JSON; `read_notes` gives it back.

    Raises:
        BadInput: `place` cannot hold a folder of ours.
        OSError: A write failed.
    """
    # Slow to import, and not needed to use a network.
    import orbax.checkpoint as ocp

    about = plain(about)
    leaves = {
        f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))
    }
    manifest: dict[str, Any] = {"format": FORMAT, "about": about, "digest": ""}
    manifest |= plain({"notes": list(notes)})
    if steps is not None:
        manifest["steps"] = steps
    with atomic_folder(place, manifest, name) as partial:
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save((partial / _ARRAYS).absolute(), leaves)
        manifest["digest"] = _digest(partial / _ARRAYS, manifest)


def read_about(place: PathLike, name: str = "folder") -> dict[str, Any]:
    """What was said of the arrays in a folder of ours.

    Raises:
        BadInput: No such folder, or none that `write_arrays` made.
    """
    if not Path(place).is_dir():
        raise BadInput(f"`{name}` is {str(place)!r}; there is no such folder.")
    manifest = read_manifest(place) if is_ours(place) else {}
    known = {"digest", "about", "notes"} <= manifest.keys()
    if not (known and isinstance(manifest["about"], dict)):
        raise BadInput(
            f"`{name}` is {str(place)!r}, which holds no network of jaxwin; give the "
            f"folder that training wrote."
        )
    if manifest.get("format") != FORMAT:
        raise BadInput(
            f"`{name}` is {str(place)!r}, of format {manifest.get('format')}; this "
            f"version reads {FORMAT}: train anew."
        )
    return manifest["about"]


def read_notes(place: PathLike) -> list[Any]:
    """What was seen on the way to the arrays of a folder that `read_about` accepts."""
    return list(read_manifest(place).get("notes", []))


def read_arrays(place: PathLike, like: PyTree[Any], name: str = "folder") -> PyTree:
    """The tree that `write_arrays` wrote, of the structure, shapes and types of `like`.

    Raises:
        BadInput: As `read_about`; files that were changed, cut or lost; arrays of other
            shapes.
    """
    import orbax.checkpoint as ocp

    read_about(place, name)
    arrays, manifest = Path(place) / _ARRAYS, read_manifest(place)
    if _digest(arrays, manifest) != manifest["digest"]:
        raise BadInput(
            f"`{name}` is {str(place)!r}, whose files were changed or cut since they "
            f"were written; remove the folder, and train or resume from an older one."
        )
    with ocp.PyTreeCheckpointer() as checkpointer:
        found = checkpointer.restore(arrays.absolute())
    leaves, structure = jax.tree.flatten(like)
    stored = [found[key] for key in sorted(found)]
    signature = lambda leaves: [(np.shape(a), np.asarray(a).dtype) for a in leaves]
    if signature(stored) != signature(leaves):
        raise BadInput(
            f"`{name}` is {str(place)!r}, which holds another network: "
            f"{len(stored)} arrays, and {len(leaves)} of given shapes are wanted."
        )
    made = [jax.numpy.asarray(a) for a in stored]
    return jax.tree.unflatten(structure, made)


def plain(about: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists, numbers of NumPy those of Python."""
    return json.loads(json.dumps(about, default=lambda number: number.item()))


def _digest(folder: Path, manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what is said and of all files of a folder, names and contents."""
    said = [manifest[key] for key in ("about", "notes")]
    total = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + b"\0")
        with open(path, "rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
