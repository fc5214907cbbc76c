"""What a symmetry breaking is, put together: times, branches, potentials, starts."""

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxwin.analysis import late_start, symmetry
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.report._symmetry_classes import ClassOverlap
from jaxwin.targets import AbstractDenoiser

# Slopes of each fixed point that are kept.
MOST_SLOPES = 8


class Branches(eqx.Module):
    """Branches of fixed points, one a row; rows of fewer points end in NaN.

    transition: by which transition (its number, the noisiest is 0) a branch was found;
    of_parent: whether it is the branch that breaks, or one of the new minima, followed
    around their turn. Rows of the central branch of a law without transition: -1.
    """

    transition: Int[np.ndarray, " b"] = field(("branch",), "")
    of_parent: Bool[np.ndarray, " b"] = field(("branch",), "")
    time: Float[np.ndarray, "b p"] = field(
        ("branch", "point"), "time of the process", nullable=True
    )
    clean: Float[np.ndarray, "b p d"] = field(
        ("branch", "point", "coordinate"), "data units", "E[x0 | x]", nullable=True
    )
    slopes: Float[np.ndarray, "b p k"] = field(
        ("branch", "point", "slope"), "", "1 is marginal", nullable=True
    )
    stable: Bool[np.ndarray, "b p"] = field(("branch", "point"), "", "a minimum")

    def rows(self, transition: int, of_parent: bool) -> list[int]:
        """Numbers of the branches of a transition."""
        chosen = (self.transition == transition) & (self.of_parent == of_parent)
        return np.flatnonzero(chosen).tolist()

    def length(self, row: int) -> int:
        """How many points a branch has."""
        return int(np.sum(np.isfinite(self.time[row])))


def stacked_branches(
    found: list[tuple[int, bool, symmetry.FixedBranch]],
) -> Branches | None:
    """Branches of several lengths as rows."""
    if not found:
        return None
    longest = max(len(branch.time) for _, _, branch in found)
    count = min(MOST_SLOPES, found[0][2].slopes.shape[1])

    def rows(name: str, blank: float | bool) -> np.ndarray:
        arrays = [np.asarray(getattr(branch, name)) for _, _, branch in found]
        shape = (len(arrays), longest, *arrays[0].shape[1:])
        full = np.full(shape, blank, arrays[0].dtype)
        for row, array in zip(full, arrays, strict=True):
            row[: len(array)] = array
        return full

    return Branches(
        transition=np.array([number for number, _, _ in found]),
        of_parent=np.array([parent for _, parent, _ in found]),
        time=rows("time", np.nan),
        clean=rows("clean", np.nan),
        slopes=rows("slopes", np.nan)[:, :, :count],
        stable=rows("stable", False),
    )


class Starts(eqx.Module):
    """The automatic late start beside what a vanilla start misplaces at each time."""

    automatic: late_start.AutomaticStart
    vanilla: late_start.StartLaw


class Symmetry(eqx.Module):
    """Symmetry breaking of a law, of data, or of any denoiser, along one clock.

    profile: the potential along the line from the parent of the first transition to a
    new minimum, zero at the parent. starts: None for a denoiser that is no law. axes:
    directions of the coordinates in the space of the data, where they are others; then
    centre is their origin.
    """

    critical: symmetry.CriticalTimes
    branches: Branches | None = None
    profile: symmetry.Profile | None = None
    starts: Starts | None = None
    axes: Float[np.ndarray, "o d"] | None = field(
        ("original", "coordinate"), "", "directions of the coordinates", default=None
    )
    centre: Float[np.ndarray, " o"] | None = field(
        ("original",), "data units", "origin of the coordinates", default=None
    )


class Subject(eqx.Module):
    """What is studied: a denoiser on a clock, and what is known of its data.

    law_like: whether it has a density. bandwidth, num_points, kept: of data only; kept
    is the share of the variance in the coordinates. dimension: of the space of the
    data, where the coordinates are fewer.
    """

    denoiser: AbstractDenoiser
    process: AbstractProcess
    drift: symmetry.Drift
    name: str = eqx.field(static=True)
    clock: str = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    directions: int = eqx.field(static=True)
    times: tuple[float, float] | None = eqx.field(static=True, default=None)
    eta: float | None = eqx.field(static=True, default=None)
    classes: tuple[str, ...] = eqx.field(static=True, default=())
    num_points: int | None = eqx.field(static=True, default=None)
    bandwidth: float | None = eqx.field(static=True, default=None)
    bandwidth_factor: float | None = eqx.field(static=True, default=None)
    kept: float = eqx.field(static=True, default=1.0)
    axes: Float[np.ndarray, "o d"] | None = None
    centre: Float[np.ndarray, " o"] | None = None


class Cascade(eqx.Module):
    """The result with what only the summary and the figures need.

    overlaps: of each transition, None without classes.
    """

    subject: Subject
    result: Symmetry
    overlaps: tuple[ClassOverlap | None, ...]
