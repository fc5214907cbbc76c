from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxwin.plots._style import (
    BLUE,
    INK,
    NORMAL,
    ORANGE,
    SMALL,
    legend,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure

# Inches: of a level, between neighbouring leaves, and at the sides; smallest type.
LEVEL, LEAF, SIDES, SMALLEST = 0.46, 0.21, 0.9, 5.5
NARROWEST, WIDEST = 4.0, 14.0
# Levels between the leaves of both trees, and what a symbol takes of its type's size.
GAP, LETTER = 1.0, 0.62
LARGEST_NODE = 13.0  # points
KEPT, CHANGED = "kept", "changed"

Tree = Sequence[Int[np.ndarray, " _"]]


def kept_tree(
    before: Tree, after: Tree, caption: str = ""
) -> "matplotlib.figure.Figure":
    """A tree of symbols before and after a U-turn, and which of its nodes are kept.

    The tree before hangs down from its root, the one after stands on it, so that leaves
    of one place face each other. A node is filled where its symbol is another one; its
    symbol stands in it where there is room.

    Args:
        before: Symbols of the nodes of each level, root first, s^l of them.
        after: The same of the other tree.
        caption: Such as the channel and its noise.

    Raises:
        ValueError: Trees of different shapes, or levels that are no tree.
    """
    first, second = ([np.asarray(level) for level in tree] for tree in (before, after))
    _check(first, second)
    differ = [a != b for a, b in zip(first, second, strict=True)]
    depth, leaves = len(first) - 1, first[-1].size
    width = float(np.clip(SIDES + LEAF * leaves, NARROWEST, WIDEST))
    figure = new_figure(width, LEVEL * (2 * depth + GAP) + 1.2)
    axes = figure.add_subplot()
    # Points that a leaf has for itself.
    room = 72 * (width - SIDES) / leaves
    heights = np.arange(depth + 1, dtype=float)
    down, up = -heights, heights - 2 * depth - GAP
    for tree, height in ((first, down), (second, up)):
        _draw(axes, tree, differ, height, room)
    for name, height in (("before", 0.0), ("after", up[0])):
        axes.annotate(
            name,
            (0.5, height),
            (LARGEST_NODE, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            color=INK,
            fontsize=NORMAL,
        )
    tidy(axes)
    axes.set_xlim(-0.5 / leaves, 1 + 0.5 / leaves)
    axes.set_ylim(up[0] - 0.5, 0.5)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xticks([])
    names = ["class", *(f"level {i}" for i in range(1, depth)), "leaves"]
    ticks = np.concatenate([down, up])
    axes.set_yticks(ticks, labels=names[: depth + 1] * 2)
    axes.tick_params(axis="y", length=0)
    _explain(axes, differ)
    if caption:
        axes.set_xlabel(caption, fontsize=SMALL)
    return figure


def _check(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> None:
    shapes = [[level.shape for level in tree] for tree in (before, after)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`before` and `after` have levels of shapes {shapes[0]} and {shapes[1]}; "
            f"they must be trees of one shape."
        )
    sizes = [level.size for level in before]
    s = sizes[1] if len(sizes) > 1 else 0
    if any(len(shape) != 1 for shape in shapes[0]) or sizes != [
        s**level for level in range(max(len(sizes), 2))
    ]:
        raise ValueError(
            f"`before` has levels of shapes {shapes[0]}; they must be (1,), (s,), "
            f"(s^2,) and so on, root first."
        )


def _places(count: int) -> Float[np.ndarray, " nodes"]:
    """Places of the nodes of a level, each over the middle of its leaves."""
    return (np.arange(count) + 0.5) / count


def _draw(
    axes: Any,
    tree: Sequence[np.ndarray],
    differ: Sequence[Bool[np.ndarray, " _"]],
    height: Float[np.ndarray, " levels"],
    room: float,
) -> None:
    from matplotlib.collections import LineCollection

    s = tree[1].size
    for level in range(1, len(tree)):
        child = _places(tree[level].size)
        parent = np.repeat(_places(tree[level - 1].size), s)
        ends = (
            np.full_like(child, height[level]),
            np.full_like(child, height[level - 1]),
        )
        lines = np.stack(
            [np.stack([child, ends[0]], -1), np.stack([parent, ends[1]], -1)], axis=1
        )
        axes.add_collection(
            LineCollection(list(lines), colors=INK, linewidths=0.7, zorder=1)
        )
    for level, symbols in enumerate(tree):
        place = _places(symbols.size)
        size = min(LARGEST_NODE, 0.92 * room * symbols.size**-1 * tree[-1].size)
        for changed in (False, True):
            chosen = differ[level] == changed
            axes.scatter(
                place[chosen],
                np.full(chosen.sum(), height[level]),
                s=size**2,
                facecolors=ORANGE if changed else "white",
                edgecolors=ORANGE if changed else BLUE,
                linewidths=1.2,
                gid=CHANGED if changed else KEPT,
                zorder=2,
            )
        digits = max(len(str(symbol)) for symbol in symbols)
        type_size = min(SMALL, 0.9 * size / (LETTER * max(digits, 1.4)))
        if type_size >= SMALLEST:
            for x, symbol, changed in zip(place, symbols, differ[level], strict=True):
                axes.text(
                    x,
                    height[level],
                    str(symbol),
                    color="white" if changed else BLUE,
                    fontsize=type_size,
                    ha="center",
                    va="center_baseline",
                    zorder=3,
                )


def _explain(axes: Any, differ: Sequence[Bool[np.ndarray, " _"]]) -> None:
    """What the two looks are, with how many nodes have them."""
    total = sum(level.size for level in differ)
    changed = int(sum(level.sum() for level in differ))
    looks = {"marker": "o", "linestyle": "none", "markersize": 7}
    for name, number, edge, face in (
        (KEPT, total - changed, BLUE, "white"),
        (CHANGED, changed, ORANGE, ORANGE),
    ):
        label = f"{name}: {number} of {total} nodes"
        axes.plot(
            [], [], markeredgecolor=edge, markerfacecolor=face, label=label, **looks
        )
    legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
