"""A hierarchy of groups of labels with the interval of noise of each, or none."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxwin._checks import BadInput
from jaxwin._typing import ScalarLike
from jaxwin.analysis._crossing import (
    Crossing,
    exact,
    stack,
    unstack,
)
from jaxwin.analysis.windows._linkage import linkage_tree
from jaxwin.analysis.windows._overlaps import Overlaps, Pair
from jaxwin.analysis.windows._theorem import tolerance
from jaxwin.analysis.windows._thresholds import last_time, limited, unreached
from jaxwin.analysis.windows._tree import Tree
from jaxwin.analysis.windows._tree_curves import tree_curves
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture


class MixtureTree(eqx.Module):
    """An eps-mixture tree, or the answer that this tree is none.

    A node u, a group of labels, takes the noises of [end, start]:

        end(u)    inf{t : TV(p_t^i, p_t^j) <= eps for all labels i, j in u}
        start(u)  sup{t : TV(p_t^u, p_t^rest) >= 1 - eps^2}

    It is resolved where the interval is not empty. `answers` of the nodes:

        "interval"       it is resolved; the root is "vacuous"
        "empty"          it is not
        "not certified"  bounds leave it open (`method`)
        "not resolvable above t_max"  `end` is beyond the end of the clock
        "not reached"    it is beyond the noises measured, in the range of `end`

    The root's has no end (`start` is
    not found), the leaves' begin at zero. The tree is one if all nodes are resolved and
    noises can be chosen that grow from every node to its parent: `noise_amount`, inside
    the intervals; null where there are none. A U-turn from noise_amount(u) then
    scatters a label of u over u: TV <= eps (1 + max(1, W) / sqrt(2)).

    References:
        Li, Karan & Chen, arXiv:2502.00921, Definition 8 and Corollary 1.
    """

    tree: Tree
    method: str = eqx.field(static=True)
    answers: tuple[str, ...] = eqx.field(static=True)
    end: Crossing = field(("node",), "OU time", "T_end")
    start: Crossing = field(("node",), "OU time", "T_start")
    resolved: Bool[np.ndarray, " node"] = field(("node",), "", "interval not empty")
    noise_amount: Float[np.ndarray, " node"] = field(
        ("node",), "OU time", "growing from child to parent", nullable=True
    )
    epsilon: Float[np.ndarray, ""] = field((), "", "tolerance")

    @property
    def answer(self) -> str:
        """Whether it is an eps-mixture tree: "resolved", "unresolved", "no order".

        "not reached" or "not certified" where no node is known to fail, but some are.
        """
        if self.resolved.all() and not np.isnan(self.noise_amount).any():
            return "resolved"
        if {"empty", "not resolvable above t_max"} & set(self.answers):
            return "unresolved"
        for left_open in ("not reached", "not certified"):
            if left_open in self.answers:
                return left_open
        return "not certified" if "bounds" in self.method else "no order"

    def to_json(self) -> dict:
        """Every node with its labels, its answer, its interval and its noise."""
        ends, starts = unstack(self.end), unstack(self.start)
        number = lambda value: None if np.isnan(value) else float(value)
        nodes = [
            {
                "labels": self.tree.group(node),
                "parent": int(self.tree.parent[node]),
                "answer": self.answers[node],
                "end": ends[node].to_json(),
                "start": starts[node].to_json(),
                "resolved": bool(self.resolved[node]),
                "noise_amount": number(self.noise_amount[node]),
            }
            for node in range(self.tree.num_nodes)
        ]
        return {
            "answer": self.answer,
            "epsilon": float(self.epsilon),
            "method": self.method,
            "nodes": nodes,
        }

    def pruned(self) -> Tree:
        """The tree without its unresolved inner nodes."""
        inner = self.tree.groups.sum(axis=1) > 1
        inner[self.tree.root] = False
        return self.tree.without(np.flatnonzero(inner & ~self.resolved).tolist())


def mixture_tree(
    law: AbstractLabelledTarget,
    epsilon: ScalarLike,
    tree: Tree | Sequence[Any] | None = None,
    *,
    process: AbstractProcess | None = None,
    t_max: ScalarLike | None = None,
) -> MixtureTree:
    """The interval of every node of a hierarchy of labels, exactly or by safe bounds.

    Total variations are closed forms between components of one covariance, and
    quadrature (1e-10) where sets of labels differ in at most two directions; elsewhere
    bounds by Bhattacharyya coefficients, O(K^2) in any dimension, with which `end` is
    no earlier and `start` no later than in truth: what is resolved then is.
    `method` says which was used.

    Args:
        law: A mixture, or a law of one dimension with `quadrature_cuts`.
        epsilon: Tolerance, in (0, 1).
        tree: The groups, as a `Tree` or as nested lists; single linkage on the
            separations of pairs if left out.
        process: A clock whose last log-SNR ends the noises; times stay in OU time.
        t_max: OU time that ends them, in place of a process: a node whose interval
            begins later is "not resolvable above t_max".

    Raises:
        BadInput: `epsilon` outside (0, 1); a group of labels without weight; a law of
            another kind without a tree.
    """
    given = float(tolerance(epsilon))
    chosen = _chosen(law, given, tree)
    last = last_time(process, t_max, jnp.asarray(given))
    curves = tree_curves(law, chosen)
    end, start = curves.ends(given), curves.starts(given**2)
    # As in `thresholds`: an end beyond the clock is not reached.
    end = limited(end, end.found & (end.time <= last), last)
    return _assembled(chosen, given, end, start, float(last), curves.method)


def measured_tree(
    measure: Callable[[Sequence[Pair]], Overlaps],
    tree: Tree,
    epsilon: ScalarLike,
) -> MixtureTree:
    """The intervals of a tree from measured total variations, one pass for all.

    Args:
        measure: From pairs of sets to their overlaps: `overlaps` of a law seen through
            a channel, or `class_overlaps` of a pass over data, with the rest of their
            arguments filled in.
        tree: Groups of labels, such as `Tree.of_merges(merge_tree(found), c)`.
        epsilon: Tolerance, in (0, 1).

    Returns:
        Intervals of the times are 95 % ones by a bootstrap of whole curves. Where the
        largest total variation is taken over pairs it is so in every resample.

    Raises:
        BadInput: `epsilon` outside (0, 1).
    """
    given, labels = float(tolerance(epsilon)), tree.labels
    one = lambda label: np.arange(tree.groups.shape[1]) == label
    inside = [(i, j) for k, i in enumerate(labels) for j in labels[k + 1 :]]
    whole = tree.groups[tree.root]
    pairs: list[Pair] = [(one(i), one(j)) for i, j in inside]
    apart = [i for i in range(tree.num_nodes) if i != tree.root]
    pairs += [(tree.groups[i], whole & ~tree.groups[i]) for i in apart]
    # A tree of one label has no pairs: it stands beside itself.
    found = measure(pairs or [(whole, whole)])
    ends = []
    for node in range(tree.num_nodes):
        here = [k for k, (i, j) in enumerate(inside) if tree.groups[node, [i, j]].all()]
        ends.append(found.together(here, given) if here else exact(0.0))
    starts = [found.apart(len(inside) + k, given) for k in range(len(apart))]
    starts.append(exact(0.0, False))
    last = found.t_max if np.isfinite(found.t_max) else np.inf
    method = "overlaps by exact soft labels"
    return _assembled(tree, given, stack(ends), stack(starts), last, method)


def _chosen(
    law: AbstractLabelledTarget, epsilon: float, tree: Tree | Sequence[Any] | None
) -> Tree:
    if isinstance(tree, Tree):
        return tree
    if tree is not None:
        return Tree.nested(tree, law.num_labels, name="tree")
    if not isinstance(law, GaussianMixture):
        raise BadInput(
            f"`tree` is left out and the law a {type(law).__name__}; single linkage "
            f"is that of a GaussianMixture: name the groups, such as [[0, 1], [2]]."
        )
    return linkage_tree(law, epsilon)


def _assembled(
    tree: Tree, epsilon: float, end: Crossing, start: Crossing, last: float, method: str
) -> MixtureTree:
    """The tree with its answers and, where there are any, noises of its nodes."""
    found = np.asarray(end.found)
    # Ends are bounds where everything is, starts wherever something is.
    beyond = "not certified" if method == "bounds" else unreached(last)
    empty = "not certified" if "bounds" in method else "empty"
    low = np.where(found, np.asarray(end.time), np.inf)
    high = np.where(np.asarray(start.found), np.asarray(start.time), -np.inf)
    high[tree.root] = np.inf
    resolved = low <= np.minimum(high, last)
    answers = []
    for node in range(tree.num_nodes):
        if not found[node]:
            answers.append(beyond)
        elif node == tree.root:
            answers.append("vacuous")
        else:
            answers.append("interval" if resolved[node] else empty)
    return MixtureTree(
        tree=tree,
        method=method,
        answers=tuple(answers),
        end=end,
        start=start,
        resolved=resolved,
        noise_amount=_amounts(tree, low, np.minimum(high, last)),
        epsilon=np.asarray(epsilon),
    )


def _amounts(
    tree: Tree, low: Float[np.ndarray, " node"], high: Float[np.ndarray, " node"]
) -> Float[np.ndarray, " node"]:
    """Noises in [low, high] that grow from child to parent; NaN where there are none.

    A node has noises from the latest beginning below it to the earliest end above it.
    The share of them that is taken grows with the height of the node.
    """
    none = np.full(tree.num_nodes, np.nan)
    low, high = low.copy(), high.copy()
    for node, above in enumerate(tree.parent):
        if above >= 0:
            low[above] = max(low[above], low[node])
    # Nothing can be chosen for a node without an interval.
    if not np.all(np.isfinite(low)) or np.any(high == -np.inf):
        return none
    # All larger noises do for the root.
    high[tree.root] = min(high[tree.root], low[tree.root] + 1)
    for node in range(tree.num_nodes - 2, -1, -1):
        high[node] = min(high[node], high[tree.parent[node]])
    if not np.all(low <= high):
        return none
    age = tree.ages()
    amount = low + (high - low) * age / (age[tree.root] + 1)
    inner = np.arange(tree.root)
    grows = amount[tree.parent[inner]] > amount[inner]
    return amount if np.all(grows) else none
