"""Figures of what noised data tell: shares of entropies, and windows of levels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.analysis import unstack
from jaxwin.plots import INK, Series, beside, level_name
from jaxwin.report.reproduce._told_measured import Told, Windows

if TYPE_CHECKING:
    import matplotlib.figure

SNR = "SNR γ = ᾱ / (1 − ᾱ) (more noise →)"
# The axis of windows goes so many times beyond them, twice on the side of names.
REACH = 1.35


def _falling(
    figure: "matplotlib.figure.Figure", most: float, least: float
) -> "matplotlib.figure.Figure":
    """Much noise to the right, by logarithms of SNR."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes = figure.axes[0]
    axes.set_xscale("log")
    axes.set_xlim(most, least)
    steps = (1.0, 2.0, 3.0, 5.0) if most < 20 * least else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", colors=INK)
    return figure


def information_told(found: Told) -> "matplotlib.figure.Figure":
    """Shares of entropies told: of the word, and of some levels."""
    depth = found.share.shape[1] - 1
    word = found.word / found.entropy, found.word_stderr / found.entropy
    series = [Series("whole word", (found.snr, *word), (found.snr, word[0]))]
    for level in sorted({0, depth // 3, 2 * depth // 3, depth}):
        share, error = found.share[:, level], found.share_stderr[:, level]
        name = level_name(level, depth)
        series.append(Series(name, (found.snr, share, error), (found.snr, share)))
    ylabel = "share of the entropy told"
    figure = beside(series, SNR, ylabel, ylim=(0.0, 1.03), kinds=False)
    return _falling(figure, found.snr[-1], found.snr[0])


def two_forms(found: Mapping[str, Told]) -> "matplotlib.figure.Figure":
    """I(x0; x) measured, on half the integral of the squared error over SNR.

    Both of the same rule tables: what more draws would not remove is common to them.
    """
    series = [
        Series(
            name,
            (one.snr, one.word / one.entropy, one.word_sampling_stderr / one.entropy),
            (one.snr, one.integral / one.entropy),
        )
        for name, one in found.items()
    ]
    kinds = {"measured": "I(x₀; x)", "predicted": "½ ∫ MMSE dγ"}
    ylabel = "share of the word's entropy"
    figure = beside(series, SNR, ylabel, ylim=(0.0, 1.03), kinds=kinds)
    snr = next(iter(found.values())).snr
    return _falling(figure, snr[-1], snr[0])


def window_bars(found: Windows) -> "matplotlib.figure.Figure":
    """A bar for each level, from 3/4 to 1/4 of what can be lost; the class on top."""
    depth = found.before.size - 1
    rows = np.arange(depth + 1.0)
    ends = [unstack(one) for one in (found.early, found.half, found.late)]
    early, half, late = (np.array([float(c.time) for c in one]) for one in ends)
    # Names stand beyond the arms.
    least = np.fmin(late, [float(one.low) for one in ends[2]])
    figure = beside(
        [Series("half lost", (half, rows, np.zeros(depth + 1)))],
        SNR,
        "",
        kinds=False,
    )
    axes = figure.axes[0]
    look_of = axes.get_lines()[0]
    color = look_of.get_color()
    axes.hlines(rows, late, early, colors=color, linewidths=5, alpha=0.35)
    for crossings, place in ((ends[0], early), (ends[2], late)):
        arms = np.array(
            [
                [place[i] - float(one.low), float(one.high) - place[i]]
                for i, one in enumerate(crossings)
            ]
        )
        look = {"fmt": "|", "color": color, "capsize": 2, "elinewidth": 1}
        axes.errorbar(place, rows, xerr=np.clip(arms, 0, None).T, **look)
    for row, gained in enumerate(found.gained):
        axes.annotate(
            f"{100 * gained:+.0f} %",
            (least[row], row),
            (8, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            color=INK,
            fontsize=8.5,
        )
    axes.set_yticks(rows, labels=[level_name(i, depth) for i in range(depth + 1)])
    axes.set_ylim(depth + 0.5, -0.5)
    axes.set_title(
        "from 3/4 to 1/4 of what can be lost; share of its entropy told there",
        color=INK,
        fontsize=8.5,
    )
    return _falling(figure, REACH * early.max(), least.min() / REACH**2)
