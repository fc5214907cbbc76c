"""How a command measures: its seed, how many replicas, where finished blocks are."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.random as jr

from jaxwin._checks import BadInput
from jaxwin._files import PathLike
from jaxwin._typing import Key
from jaxwin.execution import Progress, remove_runs

# Replicas of a full and of a quick run; 128 batches of 64 for the bootstrap.
FULL, QUICK = 8192, 2048
# With `until_stderr`, at most so many times more.
MOST = 16

Stage = Callable[[str], Progress | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measuring:
    """Options that every study takes.

    seed: of all random numbers. num_replicas: in place of `full`, or of a fourth of it
    where `quick`: half the precision. until_stderr: measure until the standard
    errors of curves of probabilities are below it; at least a quick run, at most 16
    times `num_replicas`. folder: where finished blocks are kept, in a folder for each
    stage. resume: go on from them. stage: called with the name of each long stage,
    returns its progress callback.

    Raises:
        BadInput: A seed or an error out of range.
    """

    seed: int = 0
    quick: bool = False
    num_replicas: int | None = None
    full: int = FULL
    until_stderr: float | None = None
    folder: PathLike | None = None
    resume: bool = False
    stage: Stage | None = None

    def __post_init__(self):
        """Check what a person gave."""
        if not 0 <= self.seed < 2**32:
            raise BadInput(
                f"`seed` is {self.seed}; it must lie between 0 and 2^32 - 1."
            )
        if self.until_stderr is not None and not self.until_stderr > 0:
            raise BadInput(
                f"`until_stderr` is {self.until_stderr}; it must be positive."
            )

    def begin(self) -> None:
        """Remove the blocks of an older run, unless it is to be resumed."""
        if self.folder is not None and not self.resume:
            remove_runs(self.folder)

    @property
    def count(self) -> int:
        """Replicas of a plain run."""
        return self.num_replicas or (self.full // 4 if self.quick else self.full)

    @property
    def least(self) -> int:
        """Replicas that are made in any case."""
        return self.count if self.until_stderr is None else min(self.count, QUICK)

    def keys(self, number: int) -> list[Key]:
        """Independent keys, one for each stage."""
        return list(jr.split(jr.key(self.seed), number))

    def options(self, name: str, key: Key) -> dict[str, Any]:
        """What a stage hands on to `execution.run`."""
        most = self.count if self.until_stderr is None else MOST * self.count
        folder = self.folder
        return {
            "num_replicas": most,
            "key": key,
            "until_stderr": self.until_stderr,
            "folder": None if folder is None else Path(folder) / name.replace(" ", "-"),
            "resume": self.resume,
            "progress": self.stage(name) if self.stage is not None else None,
        }
