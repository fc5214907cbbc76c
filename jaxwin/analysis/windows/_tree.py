"""Nested groups of labels: the tree of a hierarchy."""

from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Int

from jaxwin._checks import BadInput
from jaxwin.analysis.speciation import MergeTree
from jaxwin.io import field


class Tree(eqx.Module):
    """Groups of labels, any two of which are disjoint or one inside the other.

    Nodes are sorted by size: the single labels first, the root, which holds all labels
    of the tree, last. `parent` of the root is -1. Labels of the law that are in no node
    are left out of the tree.
    """

    groups: Bool[np.ndarray, "node c"] = field(("node", "label"), "", "label in group")
    parent: Int[np.ndarray, " node"] = field(("node",), "node", "-1 of the root")

    @classmethod
    def of_groups(
        cls, groups: Sequence[Sequence[int]], num_labels: int, name: str = "groups"
    ) -> "Tree":
        """The tree of some groups, with every single label and a root of all.

        Args:
            groups: Sets of labels.
            num_labels: Labels of the law.
            name: Of the argument that the groups came by, for messages.

        Raises:
            BadInput: No label, a label that does not exist, or groups that overlap.
        """
        sets = {frozenset(map(int, group)) for group in groups} - {frozenset()}
        labels = frozenset().union(*sets)
        if not labels:
            raise BadInput(
                f"`{name}` names no label; give groups such as [[0, 1], [2]]."
            )
        wrong = [label for label in labels if not 0 <= label < num_labels]
        if wrong:
            raise BadInput(
                f"`{name}` names label {wrong[0]}; the labels are 0 to "
                f"{num_labels - 1}."
            )
        sets |= {frozenset([label]) for label in labels} | {labels}
        ordered = sorted(sets, key=lambda group: (len(group), sorted(group)))
        parent = []
        for i, group in enumerate(ordered):
            for larger in ordered[i + 1 :]:
                if group & larger and not group <= larger:
                    raise BadInput(
                        f"`{name}` holds {sorted(group)} and {sorted(larger)}, which "
                        f"overlap; two groups must be disjoint or one inside the other."
                    )
            above = (j for j, larger in enumerate(ordered) if group < larger)
            parent.append(next(above, -1))
        mask = np.array([[c in group for c in range(num_labels)] for group in ordered])
        return cls(mask, np.array(parent, int))

    @classmethod
    def nested(
        cls, groups: Sequence[Any], num_labels: int | None = None, name: str = "groups"
    ) -> "Tree":
        """The tree of nested lists of labels, such as [[0, 1], [2, [3, 4]]].

        Args:
            groups: Labels and lists of them; every list is a group.
            num_labels: Labels of the law; one more than the largest named if left out.
            name: Of the argument that the groups came by, for messages.

        Raises:
            BadInput: As `of_groups`; an entry that is neither a label nor a list; a
                label or an inner group that is there twice.
        """
        found = list(_flat(groups, name))
        _check_once(found, name)
        most = max((label for group in found for label in group), default=-1)
        count = most + 1 if num_labels is None else num_labels
        return cls.of_groups(found, count, name)

    @classmethod
    def of_merges(cls, merges: MergeTree, num_labels: int) -> "Tree":
        """The tree of classes that merge on the way to noise.

        Args:
            merges: What `speciation.merge_tree` finds.
            num_labels: Number of classes, those that are not in the tree included.
        """
        groups = {c: [c] for c in range(num_labels)}
        pairs = zip(merges.first.tolist(), merges.second.tolist(), strict=True)
        for node, (a, b) in enumerate(pairs, start=num_labels):
            groups[node] = groups[a] + groups[b]
        made = [groups[node] for node in range(num_labels, len(groups))]
        return cls.of_groups(made or list(groups.values()), num_labels)

    @property
    def num_nodes(self) -> int:
        """Number of nodes, leaves and root included."""
        return len(self.parent)

    @property
    def root(self) -> int:
        """The node of all labels of the tree."""
        return self.num_nodes - 1

    @property
    def depth(self) -> int:
        """Steps from the root to the furthest leaf."""
        return max(len(self.path(label)) for label in self.labels) - 1

    @property
    def labels(self) -> list[int]:
        """Labels in the tree."""
        return np.flatnonzero(self.groups[-1]).tolist()

    def group(self, node: int) -> list[int]:
        """Labels of a node."""
        return np.flatnonzero(self.groups[node]).tolist()

    def children(self, node: int) -> list[int]:
        """Nodes right below a node."""
        return np.flatnonzero(self.parent == node).tolist()

    def path(self, label: int) -> list[int]:
        """Nodes that hold a label, from the leaf to the root."""
        return np.flatnonzero(self.groups[:, label]).tolist()

    def ages(self) -> Int[np.ndarray, " node"]:
        """Steps from each node down to its furthest leaf."""
        age = np.zeros(self.num_nodes, int)
        for node, above in enumerate(self.parent):
            if above >= 0:
                age[above] = max(age[above], age[node] + 1)
        return age

    def without(self, nodes: Sequence[int]) -> "Tree":
        """The tree without some inner nodes: their children go to their parents."""
        kept = [self.group(i) for i in range(self.num_nodes) if i not in set(nodes)]
        return Tree.of_groups(kept, self.groups.shape[1])


def _check_once(found: list[list[int]], name: str) -> None:
    """Raise BadInput where a label, or a list but the outermost, is there twice."""
    labels = sorted(found[-1])
    again = [a for a, b in zip(labels, labels[1:], strict=False) if a == b]
    if again:
        raise BadInput(f"`{name}` names label {again[0]} twice; name each label once.")
    inner = [sorted(group) for group in found[:-1]]
    twice = [group for i, group in enumerate(inner) if group in inner[:i]]
    if twice:
        raise BadInput(
            f"`{name}` holds the group {twice[0]} twice; leave brackets out that hold "
            f"nothing but another list."
        )


def _flat(groups: Any, name: str) -> Iterator[list[int]]:
    """Every list of nested lists, with all labels that are in it at any depth.

    The outermost list, which has them all, comes last.
    """
    if isinstance(groups, str) or not isinstance(groups, Sequence | np.ndarray):
        raise BadInput(
            f"`{name}` holds {groups!r}; it must hold labels and lists of them, such "
            f"as [[0, 1], [2, 3]]."
        )
    own = []
    for part in groups:
        if isinstance(part, int | np.integer) and not isinstance(part, bool):
            own.append(int(part))
            continue
        inner = list(_flat(part, name))
        own += inner[-1]
        yield from inner
    yield own
