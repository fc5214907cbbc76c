from typing import TYPE_CHECKING

import numpy as np

from jaxwin.analysis import Crossing, collapse
from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SMALL,
    legend,
    new_figure,
    right_note,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure


def movement(
    result: collapse.CollapseMovement,
    separation: Crossing | None = None,
    order_n: float | None = None,
) -> "matplotlib.figure.Figure":
    """How the collapse moves with the number of data points.

    Args:
        result: Measured (`t_half`) and computed times in parts of the data.
        separation: Times at which classes separate, drawn as a band.
        order_n: Where the order of the two changes; drawn if it is near.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    n, t_half, t_gauss = result.n, result.t_half, result.t_gauss
    figure = new_figure()
    axes = figure.add_subplot()
    axes.set_xscale("log")
    found = np.asarray(t_half.found, bool)
    time = np.asarray(t_half.time)[found]
    arms = np.stack([time - np.asarray(t_half.low)[found], -time])
    arms[1] += np.asarray(t_half.high)[found]
    # A percentile interval need not hold the point it belongs to.
    axes.errorbar(
        n[found],
        time,
        yerr=np.clip(arms, 0, None),
        fmt="-o",
        markersize=5,
        capsize=3,
        color=BLUE,
        label="t_half, measured",
    )
    known = np.asarray(t_gauss.found, bool)
    axes.plot(
        n[known],
        np.asarray(t_gauss.time)[known],
        "--",
        color=INK,
        label="t_gauss, from the spectrum",
    )
    if separation is not None and bool(np.any(separation.found)):
        times = np.asarray(separation.time)[np.asarray(separation.found, bool)]
        low, high = float(np.min(times)), float(np.max(times))
        axes.axhspan(low, high, color=GREEN, alpha=0.25, linewidth=1)
        right_note(axes, "classes separate", high, GREEN)
    low, high = n.min() / 1.25, n.max() * 1.25
    if order_n is not None and low / 20 < order_n < high * 20:
        axes.axvline(order_n, color=ORANGE, linewidth=1.2, linestyle=":")
        axes.annotate(
            f"order changes\nat n ≈ {float(f'{order_n:.2g}'):,.0f}",
            (order_n, 0),
            (-4 if order_n > n.max() else 4, 3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="right" if order_n > n.max() else "left",
            va="bottom",
            color=ORANGE,
            fontsize=SMALL,
        )
        low, high = min(low, order_n / 1.25), max(high, order_n * 1.25)
    axes.set_xlim(low, high)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(0, bottom - 0.05 * (top - bottom)), top + 0.2 * (top - bottom))
    parts = (1, 2, 5) if high < 100 * low else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=parts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("number of data points n")
    axes.set_ylabel("collapse, OU time")
    tidy(axes)
    legend(axes, loc="upper right", bbox_to_anchor=(1, 1.04))
    return figure
