"""What the windows of a law or of data are, put together."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import speciation, stack, windows
from jaxwin.analysis.information import ClassRate
from jaxwin.io import field
from jaxwin.report._fairness import Fairness
from jaxwin.report._measuring import Measuring
from jaxwin.report._membership import Membership
from jaxwin.targets import AbstractLabelledTarget

EPSILON = 0.1
# Trees of more classes are not read by anybody; their pairs grow as the square.
MOST_CLASSES = 64
# Samples whose decisions are drawn, and those that make the law of decision times.
SHOWN, PATHS = 5, 512


class Windows(eqx.Module):
    """Windows of every group of classes; OU times.

    survival: of the group of every node of the tree, but the root. narrowing: the
    window of Definition 4 in which the group of a node is chosen within its parent's.
    certificate: of the U-turn from `initial` into `target`; exact: its distance where
    that is known. rate: of the information about the class, of a law. agreement,
    merges: of data, as `report` has them. inside, outside:
    the largest separation of class means in the parent's group, and the smallest from
    the node's group to the rest.
    """

    tree: windows.MixtureTree
    survival: windows.Survival
    confusion: windows.Confusion
    after: Any = field(("narrowing",), "OU time", "T_after, a node but the root each")
    before: Any = field(("narrowing",), "OU time", "T_before")
    phi: Float[np.ndarray, " t"] = field(
        ("noise",), "probability", "clones in one class: sum_i w_i A_ii"
    )
    certificate: windows.Certificate | None = None
    exact: windows.UturnDistance | None = None
    timeline: windows.Timeline | None = None
    rate: ClassRate | None = None
    agreement: speciation.CloneAgreement | None = None
    merges: speciation.MergeTree | None = None
    fairness: Fairness | None = None
    membership: Membership | None = None
    name: str = eqx.field(static=True, default="")
    classes: tuple[str, ...] = eqx.field(static=True, default=())
    answers: tuple[str, ...] = eqx.field(static=True, default=())
    method: str = eqx.field(static=True, default="")
    epsilon: float = eqx.field(static=True, default=EPSILON)
    turn: tuple[tuple[int, ...], tuple[int, ...]] = eqx.field(
        static=True, default=((), ())
    )
    bandwidth: float | None = eqx.field(static=True, default=None)
    dimension: int = eqx.field(static=True, default=0)
    num_points: int | None = eqx.field(static=True, default=None)
    inside: Float[np.ndarray, " w"] | None = field(
        ("narrowing",), "data units", "largest separation in the parent", default=None
    )
    outside: Float[np.ndarray, " w"] | None = field(
        ("narrowing",), "data units", "smallest separation from the rest", default=None
    )


class Asked(eqx.Module):
    """What is asked of the windows, as in `windows_of`."""

    epsilon: float
    tree: Sequence[Any] | None
    initial: Sequence[int] | None
    target: Sequence[int] | None


def assembled(
    tree: windows.MixtureTree,
    found: Sequence[windows.Window],
    confusion: windows.Confusion,
    epsilon: float,
    turn: tuple[list[int], list[int]],
    means: Any,
    **rest: Any,
) -> Windows:
    nodes = range(tree.tree.num_nodes - 1)
    assert confusion.log_prior is not None
    weights = np.exp(confusion.log_prior)
    own = np.diagonal(confusion.matrix, axis1=1, axis2=2)
    inside = outside = None
    if means is not None:
        inside, outside = _separations(tree.tree, np.asarray(means, float))
    return Windows(
        tree=tree,
        survival=windows.survival(confusion, [tree.tree.group(i) for i in nodes]),
        # Blocks have done their work.
        confusion=eqx.tree_at(
            lambda c: (c.block_means, c.block_counts),
            confusion,
            (None, None),
            is_leaf=lambda leaf: leaf is None,
        ),
        after=stack([each.after for each in found]),
        before=stack([each.before for each in found]),
        answers=tuple(each.answer for each in found),
        method=found[0].method if found else "",
        epsilon=epsilon,
        turn=(tuple(turn[0]), tuple(turn[1])),
        phi=np.nansum(weights * own, axis=1),
        inside=inside,
        outside=outside,
        **rest,
    )


def narrowings(tree: windows.Tree) -> list[tuple[list[int], list[int]]]:
    """The group of every node but the root within its parent's."""
    return [
        (tree.group(node), tree.group(int(tree.parent[node])))
        for node in range(tree.root)
    ]


def turn_between(tree: windows.Tree, asked: Asked) -> tuple[list[int], list[int]]:
    """From where the certificate's U-turn starts, and where it is to end."""
    initial = tree.labels[:1] if asked.initial is None else list(asked.initial)
    if asked.target is not None:
        return initial, list(asked.target)
    above = [
        tree.group(node)
        for node in range(tree.num_nodes)
        if set(initial) < set(tree.group(node))
    ]
    return initial, above[0] if above else tree.group(tree.root)


def _separations(
    tree: windows.Tree, means: Float[np.ndarray, "c d"]
) -> tuple[np.ndarray, np.ndarray]:
    """Largest separation inside each parent, smallest from each node to the rest."""
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1)
    whole = tree.groups[tree.root]
    inside, outside = [], []
    for node in range(tree.root):
        own, parent = tree.groups[node], tree.groups[tree.parent[node]]
        inside.append(apart[np.ix_(parent, parent)].max())
        outside.append(apart[np.ix_(own, whole & ~own)].min())
    return np.array(inside), np.array(outside)


def timeline_of(
    law: AbstractLabelledTarget | None,
    tree: windows.Tree,
    noise: Float[np.ndarray, " t"],
    key: Key,
    measuring: Measuring,
) -> windows.Timeline | None:
    """Decisions of single samples; nothing where there is no law to go back by."""
    if law is None:
        return None
    count = PATHS // 4 if measuring.quick else PATHS
    return windows.decision_timeline(
        law, tree, noise, num_samples=count, shown=SHOWN, key=key
    )
