"""The elbow of an error curve: the rule of the published figures."""

import numpy as np

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.analysis._crossing import Crossing, exact, not_reached

# A bend this small, of errors of order one or less, is rounding.
ROUNDING = 1e-12


def elbow(times: AnyArray, error: AnyArray) -> Crossing:
    """Where an error curve bends most: the largest second difference.

        argmax_i error_{i+1} - 2 error_i + error_{i-1}

    on equal steps. It is no estimate of the critical time and promises no error there:
    on the two deltas of weight p in `VariancePreserving(0.1, 20)` the weight error of
    the vanilla start bends most at 0.369, 0.341 and 0.311 for p = 0.6, 0.8 and 0.9,
    up to 26 % above the critical time 0.2926, where 0.025, 0.076 and 0.099 of the
    weight is misplaced. Beside a curve with errors it finds their noise as well.

    Args:
        times: At least 3 times in equal steps, increasing.
        error: The error of a start at each.

    Returns:
        The time, to one step; not found where the curve bends nowhere.

    Raises:
        BadInput: Shapes, steps that are not equal, entries that are not finite.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, figure of FID against the start.
    """
    times, error = np.asarray(times, np.float64), np.asarray(error, np.float64)
    if times.ndim != 1 or times.size < 3 or error.shape != times.shape:
        raise BadInput(
            f"`times` has shape {times.shape} and `error` {error.shape}; a second "
            f"difference needs one error at each of at least 3 times."
        )
    steps = np.diff(times)
    if not (steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6)):
        raise BadInput(
            "`times` must increase in equal steps: take numpy.linspace, or interpolate."
        )
    if not np.all(np.isfinite(error)):
        raise BadInput("`error` must be finite everywhere.")
    bend = np.diff(error, 2)
    best = int(np.argmax(bend))
    if not bend[best] > ROUNDING * max(1.0, float(np.max(np.abs(error)))):
        return not_reached(times)
    return exact(times[best + 1])
