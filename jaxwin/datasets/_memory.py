"""Whether a data set fits into the memory of this machine."""

import os

from jaxwin._checks import BadInput

# The analyses hold the points, and as much again while they work on them.
_SHARE = 0.4


def check_fits(num_points: int, dimension: int) -> None:
    """Raise BadInput if that many points in float64 are too much for the memory."""
    memory = physical_memory()
    most = int(_SHARE * memory / (8 * dimension)) if memory else num_points
    if num_points > most:
        raise BadInput(
            f"`x` has {num_points} points in {dimension} dimensions, "
            f"{8e-9 * num_points * dimension:.3g} GB in double precision, and this "
            f"machine has {1e-9 * memory:.3g} GB of memory; draw some of them: "
            f"--points {most} fits."
        )


def check_holds(num_bytes: int, what: str) -> None:
    """Raise BadInput if what is to be read is too much for the memory."""
    memory = physical_memory()
    if memory and num_bytes > _SHARE * memory:
        raise BadInput(
            f"{what} take {1e-9 * num_bytes:.3g} GB, and this machine has "
            f"{1e-9 * memory:.3g} GB of memory; give fewer, or a .npy file of them, of "
            f"which only the points drawn are read."
        )


def physical_memory() -> int:
    """Bytes of memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
