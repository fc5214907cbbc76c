from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import speciation
from jaxwin.plots._style import BLUE, INK, NORMAL, SMALL, new_figure, tidy

if TYPE_CHECKING:
    import matplotlib.figure

# Eigenvalues below this part of the largest are left out of view.
FLOOR = 1e-5


def spectrum(result: speciation.Spectrum) -> "matplotlib.figure.Figure":
    """Leading eigenvalues of the covariance, and when each direction emerges.

    The right axis reads an eigenvalue as the OU time log(1 + eigenvalue) / 2 at which
    signal and noise are equal along its direction. The bar at the first is one standard
    error over fresh data.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    values = np.asarray(result.eigenvalues)
    rank = np.arange(1, values.size + 1)
    figure = new_figure()
    axes = figure.add_subplot()
    axes.set_yscale("log", nonpositive="mask")
    axes.plot(rank, values, "-o", color=BLUE, markersize=5, linewidth=1)
    error = float(result.stderr)
    if error > 0:
        axes.errorbar(1, values[0], error, color=BLUE, capsize=3)
    seen = values[values > FLOOR * values[0]]
    low, high = min(seen.min(), values[0] - error), max(seen.max(), values[0] + error)
    low = max(low, float(FLOOR * values[0]))
    margin = max((high / low) ** 0.08, 1.1)
    axes.set_ylim(low / margin, high * margin)
    axes.set_xlim(0.5, values.size + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.set_xlabel("principal direction")
    axes.set_ylabel("eigenvalue (data units²)")
    _plain_ticks(axes, low, high)
    tidy(axes)

    times = _round_times(low / margin, high * margin)
    right = axes.secondary_yaxis("right")
    right.yaxis.set_major_locator(FixedLocator(list(np.expm1(2 * times))))
    right.yaxis.set_minor_locator(NullLocator())
    right.set_yticks(np.expm1(2 * times), labels=[f"{time:.4g}" for time in times])
    right.set_ylabel("½ log(1 + eigenvalue), OU time", color=INK, fontsize=NORMAL)
    right.tick_params(colors=INK, labelsize=SMALL)
    right.spines["right"].set_color(INK)
    return figure


def _plain_ticks(axes: Any, low: float, high: float) -> None:
    """Numbers as people write them, also where the range is less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    digits = (1, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5)
    spread = LogLocator() if high > 1e3 * low else LogLocator(subs=digits)
    axes.yaxis.set_major_locator(spread)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _round_times(low: float, high: float) -> np.ndarray:
    """Round OU times whose eigenvalues lie in the range."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    ends = 0.5 * np.log1p([low, high])
    wide = ends[1] > 20 * ends[0]
    locator = LogLocator(subs=(1, 3)) if wide else MaxNLocator(6, steps=[1, 2, 5, 10])
    times = np.asarray(locator.tick_values(*ends))
    return times[(times >= ends[0]) & (times <= ends[1]) & (times > 0)]
