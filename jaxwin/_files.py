"""Files that are whole or absent: atomic writes and folders, hashes, provenance."""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import secrets
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxwin._checks import BadInput

MANIFEST = "jaxwin.json"
_MAKER = "jaxwin"
# A name must leave room for the `.NAME.replaced` beside it (255 bytes on most systems).
_LONGEST_NAME = 240

PathLike = str | os.PathLike[str]


def atomic_write(path: PathLike, data: bytes) -> None:
    """Write a file that is, at every moment, the old one or the whole new one.

    A temporary sibling is written and synchronised, then renamed over `path`. A
    link is followed; the folder must exist.

    Raises:
        BadInput: `path` is no place for a file.
        OSError: The write failed; what was at `path` before is still there.
    """
    place = _resolve(path, "path")
    if not place.parent.is_dir():
        raise BadInput(
            f"`path` is {str(path)!r}; its folder must exist; create it or give "
            f"another path."
        )
    # A device such as /dev/null must not be replaced by a file.
    if os.path.lexists(place) and not place.is_file():
        raise BadInput(
            f"`path` is {str(path)!r}, which is no regular file; give another path."
        )
    token = secrets.token_hex(8)
    temporary = place.with_name(f".{place.name[:32]}.{token}.partial")
    try:
        _write(temporary, data)
        os.replace(temporary, place)
        _sync_folder(place.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(
    place: PathLike, manifest: Mapping[str, Any], name: str = "out"
) -> Iterator[Path]:
    """Build a result folder that is, at every moment, the old one or the whole new one.

    The body fills the folder it is handed, `.NAME.partial` beside `place`. At its
    end the manifest is written, everything is synchronised, an older result is
    renamed to `.NAME.replaced`, the new one is renamed in, and the older one is
    removed. If the body or any of these steps raises, an interrupt included, the
    older result stays and nothing else is left. What a crash left is repaired first.

    Args:
        place: Where the folder shall stand; missing parents are made.
        manifest: Contents of `jaxwin.json`, read when the body has ended; only a
            folder that holds one of ours is ever replaced.
        name: What the messages call `place`.

    Raises:
        BadInput: See `check_place`.
        OSError: A write failed.
    """
    target = check_place(place, name)
    repair(target, name)
    partial, aside = _siblings(target)
    made = _make_parents(target)
    try:
        os.mkdir(partial)
        with locked(partial, name):
            try:
                write_manifest(partial, manifest)
                yield partial
                write_manifest(partial, manifest)
                _sync_tree(partial)
                _swap(target, partial, aside)
            except BaseException:
                with contextlib.suppress(OSError):
                    _remove(partial)
                raise
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in made:
                os.rmdir(folder)
        raise
    # The new result stands; an old one that resists is removed by the next start.
    with contextlib.suppress(OSError):
        _remove(aside)


def check_place(place: PathLike, name: str = "out") -> Path:
    """Refuse, before any work, a place where a result folder cannot stand.

    Returns:
        The place, absolute and with links followed.

    Raises:
        BadInput: It lies below a file, cannot be written, is taken by something
            that is not a result of ours, or another run is writing it.
    """
    target = _resolve(place, name)
    what = f"`{name}` is {str(place)!r}"
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise BadInput(f"`{name}` has a name over {_LONGEST_NAME} bytes; shorten it.")
    if os.path.lexists(target) and not target.is_dir():
        raise BadInput(f"{what}, a file; it must be a folder; give another place.")
    if target.is_dir() and not is_ours(target):
        raise BadInput(
            f"{what}, a folder without our {MANIFEST}; only a result of jaxwin is "
            f"replaced; give another place or move it away."
        )
    ancestor = next((p for p in target.parents if os.path.lexists(p)), target)
    if not ancestor.is_dir():
        raise BadInput(
            f"{what}, below {ancestor.name!r}, which is a file; give another place."
        )
    try:
        # Asking the system for rights is no proof (root, read-only mounts): try.
        # On Linux this file never has a name, so that a crash leaves nothing.
        tempfile.TemporaryFile(dir=ancestor).close()
    except OSError as error:
        raise BadInput(
            f"{what}, which cannot be written ({error.strerror}); give another place."
        ) from error
    partial, _ = _siblings(target)
    if partial.is_dir():
        with locked(partial, name):
            pass
    return target


def repair(place: PathLike, name: str = "out") -> None:
    """Undo what a crash left around `place`: restore the older result, remove rests.

    Raises:
        BadInput: What lies beside `place` under our names is not ours, or another
            run is writing it.
    """
    target = _resolve(place, name)
    partial, aside = _siblings(target)
    for rest in (partial, aside):
        if os.path.lexists(rest) and not is_rest(rest):
            raise BadInput(
                f"`{name}` needs {rest.name!r} beside it, which exists and is not "
                f"ours; move it away or give another place."
            )
    held = locked(partial, name) if partial.is_dir() else contextlib.nullcontext()
    with held:
        if aside.is_dir() and not os.path.lexists(target) and is_ours(aside):
            os.rename(aside, target)
            _sync_folder(target.parent)
        for rest in (aside, partial):
            if rest.is_dir():
                _remove(rest)


def is_ours(folder: PathLike) -> bool:
    """Whether the folder holds a manifest of ours."""
    return bool(read_manifest(folder))


def read_manifest(folder: PathLike) -> dict[str, Any]:
    """The manifest of a folder of ours; empty where there is none."""
    try:
        manifest = json.loads((Path(folder) / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    ours = isinstance(manifest, dict) and manifest.get("made_by") == _MAKER
    return manifest if ours else {}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Mark a folder as ours."""
    text = json.dumps({**manifest, "made_by": _MAKER}, indent=2, allow_nan=False)
    atomic_write(folder / MANIFEST, f"{text}\n".encode())


@contextlib.contextmanager
def locked(folder: PathLike, name: str = "folder") -> Iterator[None]:
    """Hold the lock of a folder; it dies with this process.

    Raises:
        BadInput: Another run holds it; `name` is what the message calls the folder.
    """
    lock = _lock(Path(folder), name)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def sha256(value: Any) -> str:
    """Hexadecimal SHA-256 of bytes, of a file (a `Path`) or of an array.

    An array counts with its type and shape; byte order and memory layout do not.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, os.PathLike):
        with open(value, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    if isinstance(value, str):
        raise TypeError("A string is neither bytes nor a Path: encode it or wrap it.")
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError("An array of Python objects has no bytes of its own to hash.")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


def provenance() -> dict[str, str]:
    """What made a result: versions, devices, command line and time (UTC).

    Folders are cut from absolute paths on the command line: a result that is passed
    on does not tell how its author's machine is laid out.
    """
    import jax

    kinds = Counter(device.device_kind for device in jax.devices())
    command = [os.path.basename(sys.argv[0]), *sys.argv[1:]] if sys.argv else []
    return {
        "jaxwin": _version("jaxwin"),
        "python": platform.python_version(),
        "jax": _version("jax"),
        "jaxlib": _version("jaxlib"),
        "numpy": np.__version__,
        "backend": jax.default_backend(),
        "devices": ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
        "precision": str(jax.numpy.result_type(float)),
        "platform": f"{platform.system()} {platform.machine()}",
        "command": shlex.join(_without_folders(part) for part in command),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _without_folders(argument: str) -> str:
    # At the start or after a separator, never inside a URL or a relative path.
    return re.sub(r"(^|[=,;\"'\s])(?:/[^/=,;\"']+)*/(?=[^/])", r"\1", argument)


def _resolve(path: PathLike, name: str) -> Path:
    text = os.fspath(path)
    if not text or "\0" in text:
        raise BadInput(f"`{name}` is {text!r}; it must be a path; give one.")
    place = Path(os.path.realpath(text))
    if not place.name:
        raise BadInput(f"`{name}` is {text!r}, the root folder; give a path below it.")
    return place


def _siblings(place: Path) -> tuple[Path, Path]:
    return (
        place.with_name(f".{place.name}.partial"),
        place.with_name(f".{place.name}.replaced"),
    )


def is_rest(folder: Path) -> bool:
    """Ours, or a crash came before its manifest or after its manifest's removal."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return is_ours(folder) or all(
        name.startswith(f".{MANIFEST}.") for name in os.listdir(folder)
    )


def _make_parents(place: Path) -> list[Path]:
    """Make the missing parents; return those made, the deepest first."""
    missing = [p for p in place.parents if not os.path.lexists(p)]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
    return missing


def _lock(folder: Path, name: str) -> int | None:
    """Take the lock that dies with this process; None where there are no locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BadInput(
            f"`{name}` is being written by another run; wait or give another place."
        ) from None
    except OSError:
        # Some network file systems know no locks.
        os.close(descriptor)
        return None
    return descriptor


def _write(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(place: Path, partial: Path, aside: Path) -> None:
    """Rename the new folder in, or leave all as it was."""
    try:
        if place.is_dir() and is_ours(place):
            os.rename(place, aside)
        os.rename(partial, place)
        _sync_folder(place.parent)
    except BaseException:
        if not partial.is_dir():
            os.rename(place, partial)
        if aside.is_dir() and not os.path.lexists(place):
            os.rename(aside, place)
        raise


def _remove(folder: Path) -> None:
    """Remove a folder, its manifest last: half removed, it is still known as ours."""
    for path in [folder / name for name in os.listdir(folder) if name != MANIFEST]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    (folder / MANIFEST).unlink(missing_ok=True)
    folder.rmdir()


def _sync_tree(folder: Path) -> None:
    for here, _, files in os.walk(folder):
        for name in files:
            path = Path(here) / name
            if path.is_file() and not path.is_symlink():
                _sync(path)
        _sync_folder(Path(here))


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder; it needs no such step.
    if sys.platform != "win32":
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
