"""Few steps from a late start: equal steps in time, the last one to the clean end."""

import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import AnyArray
from jaxwin.analysis.late_start._kinds import checked_times
from jaxwin.processes import AbstractProcess, DiscreteDDPM

# On a continuous clock the last evaluation lies here, in units of the clock.
FIRST = 1e-3
# How much of the last interval is left where a step may not reach the clean end.
SHORT = 1e-3
LAST = ("denoise", "step")


def start_grids(
    process: AbstractProcess,
    starts: AnyArray,
    num_steps: int,
    *,
    first: float | None = None,
    last: str = "denoise",
) -> Float[np.ndarray, "s n"]:
    """Falling times of a run of n steps from each start, one row a start.

    linspace(first, start, n), rounded down to whole indices on a discrete table. With
    last = "step" the rows go on to just before the clean end (a thousandth of the last
    interval away, for a step that evaluates there).

    Args:
        process: The clock.
        starts: Where runs begin, increasing.
        num_steps: n >= 1.
        first: The last time at which the score is seen; index 0 on a discrete table,
            0.001 otherwise, if left out.
        last: "denoise", the last step is a posterior mean; "step", one of the sampler.

    Raises:
        BadInput: n < 1, starts off the clock, whole indices too few for n steps.
    """
    check_one_of(last, LAST, "last")
    if num_steps < 1:
        raise BadInput(f"`num_steps` is {num_steps}; it must be at least 1.")
    starts = checked_times(process, starts, "starts")
    table = isinstance(process, DiscreteDDPM)
    low = float(process.domain[0])
    first = (0.0 if table else low + FIRST) if first is None else first
    if not low < first:
        raise BadInput(
            f"`first` is {first:g}; it must lie above {low:g}, the clean end."
        )
    share = np.linspace(1, 0, num_steps) if num_steps > 1 else np.ones(1)
    rows = first + share[None] * (starts[:, None] - first)
    if table:
        # Just below a whole number by rounding is that number.
        rows = np.floor(rows + 1e-9)
    if not np.all(np.diff(rows, axis=1) < 0):
        raise BadInput(
            f"`starts` begin at {starts[0]:g}, which leaves no room for {num_steps} "
            f"steps down to {first:g}: start later, or take fewer steps."
        )
    if last == "step":
        ends = low + SHORT * (rows[:, -1:] - low)
        rows = np.concatenate([rows, ends], axis=1)
    return rows
