from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from jaxwin.analysis import Crossing, speciation
from jaxwin.plots._style import BLUE, INK, ORANGE, SMALL, WIDTH, new_figure, short, tidy

if TYPE_CHECKING:
    import matplotlib.figure

# Inches a leaf takes, with few classes and with many; and a label's smallest type.
ROOMY, TIGHT, SMALLEST = 0.27, 0.12, 6.5
# Up to so many merges each carries its interval.
MOST_INTERVALS = 60


def merge_tree(
    result: speciation.MergeTree, class_names: Sequence[str]
) -> "matplotlib.figure.Figure":
    """The classes as a tree: read from left to right, noise makes groups one.

    A bar at a merge is its 95 % interval. Groups that are one all along (their merge is
    not found) are joined by a dotted line at no noise. Classes that were not drawn, and
    so are not in the tree, are left out.
    """
    count, found = len(class_names), np.asarray(result.time.found, bool)
    place = np.where(found, np.asarray(result.time.time), 0.0)
    ends = np.where(found, np.asarray(result.time.high), 0.0)
    reach = 1.08 * max(float(ends.max(initial=0.0)), 1e-6)
    joined = zip(result.first.tolist(), result.second.tolist(), strict=True)
    merges = [(a, b, count + k) for k, (a, b) in enumerate(joined)]
    leaves, height = _heights(merges, count)
    across = np.concatenate([np.zeros(count), place])

    each = ROOMY if len(leaves) <= 24 else TIGHT
    figure = new_figure(WIDTH, max(1.8, 0.75 + each * len(leaves)))
    axes = figure.add_subplot()
    for merge, known in zip(merges, found.tolist(), strict=True):
        _draw_merge(axes, height, across, merge, known)
    # One group of all goes on to full noise.
    if len(place):
        axes.plot([place[-1], reach], [height[-1]] * 2, color=BLUE, linewidth=1.4)
    if len(place) <= MOST_INTERVALS:
        _draw_intervals(axes, result.time, height[count:], found)

    # `parse_math` off: a class may be called "$x".
    names = [short(class_names[leaf]) for leaf in leaves]
    axes.set_yticks(range(len(leaves)), labels=names, parse_math=False)
    axes.set_ylim(max(len(leaves), 1) - 0.5, -0.5)
    axes.set_xlim(0, reach)
    axes.set_xlabel("OU time (more noise →)")
    tidy(axes)
    size = SMALL if each == ROOMY else SMALLEST
    axes.tick_params(axis="y", length=0, labelsize=size)
    axes.spines["left"].set_visible(False)
    return figure


def _heights(
    merges: Sequence[tuple[int, int, int]], count: int
) -> tuple[list[int], Float[np.ndarray, " nodes"]]:
    """The leaves from top to bottom, so that no lines cross; heights of nodes."""
    below: dict[int, list[int]] = {}
    leaves_of = lambda node: below.get(node, [node])
    for a, b, node in merges:
        below[node] = leaves_of(a) + leaves_of(b)
    leaves = below[merges[-1][2]] if merges else []
    height = np.full(count + len(merges), np.nan)
    height[leaves] = np.arange(len(leaves))
    for a, b, node in merges:
        height[node] = (height[a] + height[b]) / 2
    return leaves, height


def _draw_merge(
    axes: Any,
    height: Float[np.ndarray, " nodes"],
    across: Float[np.ndarray, " nodes"],
    nodes: tuple[int, int, int],
    found: bool,
) -> None:
    """Two arms and the bar that joins them, of nodes (first, second, their parent)."""
    a, b, parent = nodes
    x = across[parent]
    axes.plot(
        [across[a], x, x, across[b]],
        [height[a], height[a], height[b], height[b]],
        color=BLUE if found else INK,
        linewidth=1.4,
        linestyle="-" if found else ":",
        solid_joinstyle="round",
        # Nodes at no noise would lie half outside.
        clip_on=found,
    )


def _draw_intervals(
    axes: Any,
    crossing: Crossing,
    height: Float[np.ndarray, " m"],
    found: Bool[np.ndarray, " m"],
) -> None:
    """The 95 % intervals at the middle of the merges."""
    time, low, high = (
        np.asarray(leaf)[found] for leaf in (crossing.time, crossing.low, crossing.high)
    )
    # A percentile interval need not hold the point it belongs to.
    arms = np.clip(np.stack([time - low, high - time]), 0, None)
    axes.errorbar(
        time,
        height[found],
        xerr=arms,
        fmt="o",
        markersize=3,
        capsize=2,
        linewidth=1,
        color=ORANGE,
        zorder=3,
    )
