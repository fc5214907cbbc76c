from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import Crossing, unstack, windows
from jaxwin.plots._beside import COLORS
from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SMALL,
    changing_until,
    first_shown,
    interval,
    legend,
    new_figure,
    short,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

# More curves than that are drawn in grey, the first and last to be decided in colour.
MOST_COLORED = 10
# With four colours every one of ten curves has a look of its own, and neighbours do not
# hide each other where they coincide.
PALETTE, DASHES = COLORS[:4], ("-", (0, (4, 2)), (0, (1, 1.5)))


def survival(
    result: windows.Survival,
    names: Sequence[str],
    shaded: Sequence[tuple[str, Crossing, Crossing]] = (),
) -> "matplotlib.figure.Figure":
    """What share of each set is still in it after a U-turn, against its noise.

    Bands are one standard error, dots the middle of each fall with its 95 % interval.

    Args:
        result: The curves.
        names: Of the sets.
        shaded: Windows by name, from one time to another; those found are shaded.
    """
    figure = new_figure(height=3.6)
    axes = figure.add_subplot()
    noise = result.noise
    colors, middles = _colors(result), unstack(result.middle)
    for i, (name, color) in enumerate(zip(names, colors, strict=True)):
        curve, error = result.survival[i], result.stderr[i]
        grey = color == INK
        axes.fill_between(
            noise, curve - error, curve + error, color=color, alpha=0.25, linewidth=0
        )
        # Labels with an underscore stay out of the legend.
        label = f"_{i}" if grey else short(str(name))
        axes.plot(
            noise,
            curve,
            linestyle=DASHES[(i + i // len(PALETTE)) % len(DASHES)],
            color=color,
            linewidth=0.8 if grey else 1.8,
            label=label,
        )
        middle = middles[i]
        if bool(middle.found) and not grey:
            height = float(np.interp(float(middle.time), noise, curve))
            interval(axes, middle, height, color)
    if INK in colors:
        axes.plot([], [], color=INK, linewidth=0.8, label="all others")
    end = _shade(axes, shaded, changing_until(noise, result.survival))
    axes.set_xlim(first_shown(noise, end), end)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("OU time of the U-turn (more noise →)")
    axes.set_ylabel("still in its set")
    tidy(axes)
    legend(axes, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def certificate(
    result: windows.Certificate, exact: windows.UturnDistance | None = None
) -> "matplotlib.figure.Figure":
    """The certified distance of a U-turn from a sub-mixture, and the way to it.

    U(T) above and the lower bound below; in between lies the truth, which is drawn
    where it is known.
    """
    figure = new_figure(height=3.2)
    axes = figure.add_subplot()
    noise = np.asarray(result.noise)
    upper, lower = np.asarray(result.upper), np.asarray(result.lower)
    axes.fill_between(
        noise,
        lower,
        np.minimum(upper, 1),
        color=GREEN,
        alpha=0.15,
        linewidth=0,
        label="certified range",
    )
    axes.plot(noise, upper, color=BLUE, linewidth=2, label="U(T), the certificate")
    axes.plot(noise, result.intra, "--", color=BLUE, linewidth=1, label="inside")
    axes.plot(noise, result.leak, ":", color=ORANGE, linewidth=1.4, label="leak")
    axes.plot(noise, lower, color=ORANGE, linewidth=1.4, label="lower bound")
    if exact is not None:
        axes.plot(exact.noise, exact.value, "o", color=INK, markersize=4, label="exact")
    axes.set_ylim(0, 1.05)
    end = changing_until(noise, upper[None])
    axes.set_xlim(first_shown(noise, end), end)
    axes.set_xlabel("OU time T of the U-turn")
    axes.set_ylabel("total variation")
    tidy(axes)
    legend(axes, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _colors(result: windows.Survival) -> list[str]:
    count = len(result.survival)
    if count <= MOST_COLORED:
        return [PALETTE[i % len(PALETTE)] for i in range(count)]
    found = np.asarray(result.middle.found, bool)
    time = np.where(found, np.asarray(result.middle.time), -np.inf)
    colors = [INK] * count
    colors[int(np.argmax(time))], colors[int(np.argmin(time))] = BLUE, ORANGE
    return colors


def _shade(
    axes: Any, shaded: Sequence[tuple[str, Crossing, Crossing]], end: float
) -> float:
    """Shade the windows; the end of the axis, with them."""
    for k, (name, first, last) in enumerate(shaded):
        if not (bool(first.found) and bool(last.found)):
            continue
        low, high = float(first.time), float(last.time)
        if not high > low:
            continue
        end = max(end, min(1.1 * high, 2 * end))
        axes.axvspan(low, high, color=GREEN, alpha=0.12, linewidth=0)
        axes.text(
            low,
            0.02 + 0.06 * (k % 8),
            short(name, 24),
            color=INK,
            fontsize=SMALL,
            ha="left",
        )
    return end
