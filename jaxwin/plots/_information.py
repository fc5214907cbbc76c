from typing import TYPE_CHECKING

from jaxwin.analysis import information as information_results
from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    changing_until,
    interval,
    new_figure,
    right_note,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure


def information(
    result: information_results.ClassInformation,
) -> "matplotlib.figure.Figure":
    """Information about the class in a noised sample, and where guidance can act.

    The shaded interval, from 95 % to 5 % of the entropy H of the classes, is where the
    class is decided; the band is one standard error.
    """
    noise, nats, low, high = result.noise, result.information, result.low, result.high
    entropy = float(result.entropy)
    figure = new_figure(height=3.0)
    axes = figure.add_subplot()
    both = bool(low.found) and bool(high.found)
    if both:
        ends = float(low.time), float(high.time)
        axes.axvspan(*ends, color=GREEN, alpha=0.16, linewidth=0)
        axes.text(
            sum(ends) / 2,
            1.06 * entropy,
            "guidance acts here",
            color=GREEN,
            ha="center",
        )
    bounds = nats - result.stderr, nats + result.stderr
    axes.fill_between(noise, *bounds, color=BLUE, alpha=0.3, linewidth=0)
    axes.plot(noise, nats, color=BLUE, linewidth=2)
    for part, crossing in ((0.95, low), (0.05, high)):
        level = part * entropy
        axes.axhline(level, color=INK, linewidth=1, linestyle=":")
        right_note(axes, f"{part:.0%} of H", level, INK)
        if bool(crossing.found):
            interval(axes, crossing, level, ORANGE)
    end = changing_until(noise, nats[None], rest=0.01)
    if both:
        end = max(end, 1.1 * float(high.high))
    axes.set_xlim(0, min(end, float(noise[-1])))
    axes.set_ylim(0, 1.16 * entropy)
    axes.set_xlabel("OU time (more noise →)")
    axes.set_ylabel("I(class; x_t), nats")
    tidy(axes)
    return figure
