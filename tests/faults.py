"""Faults planted in calls of the operating system, and what is on disk after them."""

import itertools
import os
from pathlib import Path

from jaxwin import _files

CALLS = ("write", "fsync", "rename", "replace")


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def intercept(monkeypatch, hook, names=CALLS):
    """Call `hook(i)` before the i-th of the named functions of `os`."""
    counter = itertools.count()

    def watched(real):
        def call(*args, **kwargs):
            hook(next(counter))
            return real(*args, **kwargs)

        return call

    for name in names:
        monkeypatch.setattr(_files.os, name, watched(getattr(os, name)))
    return counter


def fail_at(k, error):
    def hook(i):
        if i == k:
            raise error

    return hook


def count_calls(monkeypatch, action) -> int:
    with monkeypatch.context() as patch:
        counter = intercept(patch, lambda i: None)
        action()
        return next(counter)
