from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import windows
from jaxwin.plots._beside import COLORS
from jaxwin.plots._style import (
    INK,
    NORMAL,
    SMALL,
    first_shown,
    legend,
    new_figure,
    short,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

# Nodes of which the law of decision times is drawn.
MOST_NODES = 6


def timeline(
    result: windows.Timeline, names: Sequence[str]
) -> "matplotlib.figure.Figure":
    """How samples are decided on their way back, and when in law.

    Above, for single samples, the posterior of the label they end in: it leaps to one
    in the window. Below, for groups of the tree, the share of the samples of that
    branch which are decided at each noise.

    Args:
        result: What was followed.
        names: Of the nodes of the tree.
    """
    figure = new_figure(height=5.4)
    above, below = figure.subplots(2, 1, sharex=True)
    noise = result.noise
    for i, rows in enumerate(result.posterior):
        path = result.tree.path(int(result.label[i]))
        # A label that the tree leaves out has no node to be decided.
        if not path:
            continue
        leaf = path[0]
        color = COLORS[i % len(COLORS)]
        label = f"sample {i + 1}: {short(names[leaf])}"
        above.plot(noise, rows[:, leaf], color=color, linewidth=1.3, label=label)
        place = result.decision.time[i, leaf]
        if bool(result.decision.found[i, leaf]):
            above.plot(float(place), result.level, "o", color=color, markersize=5)
    above.axhline(result.level, color=INK, linewidth=1, linestyle=":")
    above.set_ylabel("posterior of its end")
    above.set_ylim(0, 1.03)
    shown = _shown(result)
    for k, node in enumerate(shown):
        share = decided_share(result, node)
        color = COLORS[k % len(COLORS)]
        style = "-" if k < len(COLORS) else "--"
        label = short(names[node], 22)
        below.plot(noise, share, style, color=color, linewidth=1.6, label=label)
    below.set_ylabel("share decided")
    below.set_ylim(0, 1.03)
    below.set_xlabel("OU time (more noise →)")
    moving = np.flatnonzero(
        np.any([decided_share(result, node) > 0.005 for node in shown], axis=0)
    )
    last = noise[min(int(moving[-1]) + 2, noise.size - 1)] if moving.size else noise[-1]
    for axes in (above, below):
        axes.set_xlim(first_shown(noise, float(last)), float(last))
        tidy(axes)
        _beside(axes)
    return figure


def decided_share(result: windows.Timeline, node: int) -> np.ndarray:
    """Share of a node's samples that are decided at each noise of the timeline."""
    state = result.state[:, node]
    on = state != windows.OFF_BRANCH
    if not on.any():
        return np.zeros(result.noise.size)
    time = np.where(
        state == windows.WITHIN, np.asarray(result.decision.time)[:, node], 0
    )
    time = np.where(state == windows.EARLIER, np.inf, time)
    time = np.where(state == windows.NEVER, -np.inf, time)
    return np.mean(time[on][None] >= result.noise[:, None], axis=1)


def _shown(result: windows.Timeline) -> list[int]:
    """Groups, largest first, and then single labels, but the root."""
    inner = [n for n in range(result.tree.root) if len(result.tree.group(n)) > 1]
    leaves = [n for n in range(result.tree.root) if len(result.tree.group(n)) == 1]
    on = lambda node: bool(np.any(result.state[:, node] != windows.OFF_BRANCH))
    chosen = [n for n in [*reversed(inner), *leaves] if on(n)]
    return chosen[:MOST_NODES]


def _beside(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        legend(axes, loc="upper left", bbox_to_anchor=(1, 1))
    axes.yaxis.label.set(color=INK, fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
