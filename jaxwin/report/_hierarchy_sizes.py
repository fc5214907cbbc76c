"""The sizes of a hierarchy and of its measurement: checks, cost and memory."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin.channels import (
    AbstractChannel,
    EpsilonBelief,
    Gaussian,
    Masking,
    UniformCorruption,
)
from jaxwin.datasets._memory import physical_memory

CHANNELS: dict[str, AbstractChannel] = {
    "gaussian": Gaussian(),
    "masking": Masking(),
    "uniform": UniformCorruption(),
    "eps_belief": EpsilonBelief(),
}
# Noises of a plain and of a quick run, where they are not given.
NOISES, COARSE = 20, 12
# Starts of a quick run, times noises, leaves and rules: a minute on two cores.
QUICK_WORK, FEWEST_STARTS = 1e9, 16
# Blocks for the bootstrap, and starts in the largest.
BLOCKS, LARGEST = 128, 32
# Observations at once: two turns of each of two starts; how often they are held.
IN_FLIGHT, PROGRAMS = 4, 3
# Leaves at most, in powers of two, and children of a node.
MOST_DOUBLINGS, MOST_CHILDREN = 40, 1024
# Arrays of all blocks, noises and leaves that errors by left-out blocks take.
HOST_COPIES = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """Symbols v, rules m of each, children s, depth L, classes n; how many tables.

    Raises:
        BadInput: Sizes of which there is no unambiguous hierarchy.
    """

    symbols: int
    rules: int
    branching: int
    depth: int
    classes: int
    tables: int

    def __post_init__(self):
        """Check what a person gave."""
        least = {"symbols": 2, "rules": 1, "branching": 2, "classes": 2, "tables": 1}
        for name, bound in (least | {"depth": 1}).items():
            if getattr(self, name) < bound:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)}; it must be at least {bound}."
                )
        v, m, s = self.symbols, self.rules, self.branching
        if self.depth * math.log2(s) > MOST_DOUBLINGS:
            raise BadInput(
                f"`depth` is {self.depth}: {s}^{self.depth} leaves are more than any "
                f"memory holds; take fewer levels or a smaller `branching`."
            )
        if s > MOST_CHILDREN:
            raise BadInput(f"`branching` is {s}; it must be at most {MOST_CHILDREN}.")
        if m > v ** (s - 1):
            raise BadInput(
                f"`rules` is {m}, more than v^(s - 1) = {v}^{s - 1} = {v ** (s - 1)}: "
                f"tuples would have several parents; take fewer rules or more symbols."
            )
        if self.classes * m > v**s:
            raise BadInput(
                f"`classes` is {self.classes}, more than v^s / m = {v**s // m}: tuples "
                f"would have several parents; take fewer."
            )

    @property
    def leaves(self) -> int:
        """Leaves s^L."""
        return self.branching**self.depth

    def starts(self, num_turns: int, noises: int, runs: int, quick: bool) -> int:
        """Starts of one run, two turns each; fewer where `quick`.

        Raises:
            BadInput: Too few turns for errors.
        """
        if num_turns < 8:
            raise BadInput(f"`turns` is {num_turns}; errors need at least 8.")
        starts = num_turns // 2
        if not quick:
            return starts
        work = noises * self.leaves * self.symbols * self.rules * runs
        few = max(FEWEST_STARTS, int(QUICK_WORK / work))
        return max(4, min(starts // 4, few))


def block_size(starts: int) -> int:
    """Starts in a block: 128 blocks where they are many, an even number in each."""
    return max(2, min(LARGEST, starts // BLOCKS // 2 * 2))


def needed_bytes(sizes: Sizes, noises: int, starts: int, itemsize: int) -> int:
    """Bytes of a run beside those of the programs themselves.

        3 * 4 [2 d v + 2 v sum_{l<=L} s^l + 3 k m s^(L-1)] + 2 B T d
            + 6 (N / B) T d

    numbers, the last of 8 bytes: four observations in flight, each with evidence and
    noise of the d = s^L leaves, messages and marginals, and the terms of the
    k = max(v, n) times m rules of the lowest level, their weights and shares, and what
    programs hold besides (3 times in all); what is counted of a block of B starts at T
    noises; all N / B blocks on the host. Measured, v = 8, m = 3, s = 2, T = 10: at
    L = 16 680 MB for 8 starts (told: 675) and 916 for 32 (1052), at L = 14 1320 MB for
    300 (1320).
    """
    v, s, d = sizes.symbols, sizes.branching, sizes.leaves
    nodes = sum(s**level for level in range(sizes.depth + 1))
    rules = max(v, sizes.classes) * sizes.rules * (d // s)
    size = block_size(starts)
    flying = PROGRAMS * IN_FLIGHT * (2 * d * v + 2 * v * nodes + 3 * rules)
    device = flying + 2 * size * noises * d
    host = HOST_COPIES * -(-starts // size) * noises * d
    return itemsize * device + 8 * host


def check_memory(sizes: Sizes, noises: int, starts: int) -> None:
    """Raise BadInput if a run needs more than the memory that is free."""
    itemsize = jnp.zeros(0).dtype.itemsize
    needed = needed_bytes(sizes, noises, starts, itemsize)
    free = free_memory()
    if free and needed > free:
        raise BadInput(
            f"a tree of {sizes.branching}^{sizes.depth} = {sizes.leaves:,} leaves at "
            f"{noises} noises and {2 * starts:,} turns needs about "
            f"{1e-9 * needed:.3g} GB, and {1e-9 * free:.3g} GB are free on this "
            f"machine; lower `depth`, `symbols`, `turns` or the number of `noises`."
        )


def free_memory() -> int:
    """Bytes of memory that programs can still have; all of it where Linux is not."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return physical_memory()


class Asked(NamedTuple):
    """What is to be measured: at how many noises, `starts` of each run."""

    sizes: Sizes
    channels: tuple[str, ...]
    noises: Float[np.ndarray, " t"] | None
    num_noises: int
    starts: int
    deep: bool
    quick: bool


def checked(
    *,
    symbols: int,
    rules: int,
    branching: int,
    depth: int,
    classes: int | None,
    channel: Any,
    noises: Any,
    num_turns: int,
    tables: int,
    deep: bool,
    quick: bool,
) -> Asked:
    """The arguments of `hierarchy_of`.

    Raises:
        BadInput: As there.
    """
    classes = symbols if classes is None else classes
    sizes = Sizes(
        symbols=symbols,
        rules=rules,
        branching=branching,
        depth=depth,
        classes=classes,
        tables=tables,
    )
    names = _channels(channel)
    given = _noises(noises, names)
    count = (COARSE if quick else NOISES) if given is None else len(given)
    starts = sizes.starts(num_turns, count, len(names) * tables, quick)
    return Asked(sizes, names, given, count, starts, deep, quick)


def _channels(given: Any) -> tuple[str, ...]:
    """Names of channels, each once.

    Raises:
        BadInput: A name that is none, or no name.
    """
    names = given.split(",") if isinstance(given, str) else list(given)
    names = tuple(dict.fromkeys(str(name).strip() for name in names))
    for name in names or ("",):
        check_one_of(name, CHANNELS, "channel")
    return names


def _noises(given: Any, channels: tuple[str, ...]) -> Float[np.ndarray, " t"] | None:
    """Noises as they were given: SNRs of the Gaussian channel, or fractions.

    Raises:
        BadInput: Noises that do not increase, are few, or are outside of the channel.
    """
    if given is None:
        return None
    try:
        noises = np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"`noises` is {given!r}; it must be a list of numbers."
        ) from error
    snr = "gaussian" in channels
    if snr and len(channels) > 1:
        raise BadInput(
            "`noises` are SNRs of the gaussian channel and fractions of the others; "
            "give them for one at a time."
        )
    if noises.ndim != 1 or noises.size < 4 or not np.all(np.diff(noises) > 0):
        shown = ",".join(f"{noise:g}" for noise in noises.ravel()[:9])
        raise BadInput(
            f"`noises` is {shown!r}; it must be at least 4 strictly increasing numbers."
        )
    inside = (noises > 0) & (noises < np.inf) if snr else (noises >= 0) & (noises <= 1)
    if not inside.all():
        what = "an SNR, finite and positive" if snr else "in [0, 1]"
        raise BadInput(
            f"`noises` holds {noises[~inside].min():g}; the noise of "
            f"{', '.join(channels)} must be {what}."
        )
    return noises
