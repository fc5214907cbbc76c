"""Total variations of the nodes of a tree: closed form, quadrature, or safe bounds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput
from jaxwin.analysis._crossing import Crossing, exact, stack
from jaxwin.analysis.windows._directions import directions
from jaxwin.analysis.windows._pairs import pair_table
from jaxwin.analysis.windows._sets import members
from jaxwin.analysis.windows._threshold_roots import (
    Pairs,
    Sets,
    end_time,
    few_looks,
    largest_pair,
    less_overlap,
    levels,
    sets,
    variation,
)
from jaxwin.analysis.windows._tree import Tree
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# Directions that quadrature takes.
MOST_DIRECTIONS = 2


class Overlap(eqx.Module):
    """A mixture with two sets of components, as weights sqrt(w_i w_j / (w_A w_B))."""

    law: GaussianMixture
    weights: Float[Array, "k k"]


class TreeCurves(eqx.Module):
    """What total variations inside the nodes and to their rests are found from.

    inside: for each node pairs of components, or sets of labels two by two. outside:
    for each node but the root its labels and the rest, or bounds.
    """

    inside: tuple[Pairs | tuple[Sets, ...], ...]
    outside: tuple[Sets | Overlap, ...]
    method: str = eqx.field(static=True)

    def ends(self, level: float) -> Crossing:
        """From where on no two labels of a node are more than the level apart."""
        found = []
        for given in self.inside:
            if isinstance(given, Pairs):
                found.append(end_time(largest_pair, given, _like(given, level)))
                continue
            each = [few_looks(variation, pair, level) for pair in given]
            late = max((float(t) for t, above, _ in each if above), default=0.0)
            found.append(exact(late, all(bool(below) for *_, below in each)))
        return stack(found)

    def starts(self, overlap: float) -> Crossing:
        """Up to where each node shares at most so much with the rest."""
        each = [few_looks(outside_overlap, given, -overlap) for given in self.outside]
        found = [exact(time, above & below) for time, above, below in each]
        return stack([*found, exact(0.0, False)])

    def at(self, alpha: Array, sigma: Array, node: int) -> tuple[Array, Array]:
        """TV of the furthest pair inside a node, and of the node to its rest."""
        log_snr = 2 * (jnp.log(alpha) - jnp.log(sigma))
        given = self.inside[node]
        if isinstance(given, Pairs):
            inside = largest_pair(log_snr, given)
        else:
            each = [variation(log_snr, pair) for pair in given]
            inside = jnp.max(jnp.stack(each)) if each else jnp.zeros(())
        if node == len(self.outside):
            return inside, jnp.ones(())
        return inside, 1 + outside_overlap(log_snr, self.outside[node])


def tree_curves(law: AbstractLabelledTarget, tree: Tree) -> TreeCurves:
    """The best that is known of a law and its tree.

    Raises:
        BadInput: The tree is of another number of labels; a node without weight.
    """
    log_prior = law.log_label_prior()
    if tree.groups.shape[1] != law.num_labels:
        raise BadInput(
            f"`tree` is of {tree.groups.shape[1]} labels and the law of "
            f"{law.num_labels}; build it with `num_labels={law.num_labels}`."
        )
    nodes = [members(mask, log_prior, "tree") for mask in tree.groups]
    inside, methods = _inside(law, nodes)
    outside = []
    for mask in nodes[:-1]:
        given, method = _outside(law, mask, nodes[-1] & ~mask)
        outside.append(given)
        methods.add(method)
    words = [m for m in ("closed form", "quadrature", "bounds") if m in methods]
    return TreeCurves(inside, tuple(outside), ", ".join(words))


def _inside(
    law: AbstractLabelledTarget, nodes: list[Bool[np.ndarray, " c"]]
) -> tuple[tuple[Pairs | tuple[Sets, ...], ...], set[str]]:
    """Pairs of components where these are labels and known, else pairs of labels."""
    labels = np.flatnonzero(nodes[-1]).tolist()
    pairs = [(i, j) for k, i in enumerate(labels) for j in labels[k + 1 :]]
    if isinstance(law, GaussianMixture):
        cross = _cross_pairs(law, nodes)
        known = np.asarray(pair_table(law, 0.5, 0.5).tv_known)
        counts = np.bincount(
            np.asarray(law.labels)[np.asarray(law.log_weights) > -np.inf]
        )
        if np.all(known | ~cross[-1]) and np.all(counts <= 1):
            return tuple(Pairs(law, jnp.asarray(mask)) for mask in cross), {
                "closed form"
            }
        wide = [_directions(law, _one(law, i) | _one(law, j)) for i, j in pairs]
        if max(wide, default=1) > MOST_DIRECTIONS:
            return tuple(Pairs(law, jnp.asarray(mask)) for mask in cross), {"bounds"}
    of = {(i, j): sets(law, _one(law, i), _one(law, j), None) for i, j in pairs}
    each = [
        tuple(of[pair] for pair in pairs if mask[list(pair)].all()) for mask in nodes
    ]
    return tuple(each), {"quadrature"}


def _outside(
    law: AbstractLabelledTarget,
    mask: Bool[np.ndarray, " c"],
    rest: Bool[np.ndarray, " c"],
) -> tuple[Sets | Overlap, str]:
    """A node and the rest by quadrature, or the bound of their overlap.

    1 - TV = int min(p^A, p^B) <= sum_ij sqrt(w_i w_j / (w_A w_B)) BC_ij.
    """
    if not isinstance(law, GaussianMixture):
        return sets(law, mask, rest, None), "quadrature"
    if _directions(law, mask | rest) <= MOST_DIRECTIONS:
        return sets(law, mask, rest, None), "quadrature"
    root = []
    for side in (mask, rest):
        inside = jnp.asarray(side)[law.labels]
        log_weights = jnp.where(inside, law.log_weights, -jnp.inf)
        root.append(jnp.exp(0.5 * jax.nn.log_softmax(log_weights)))
    return Overlap(law, root[0][:, None] * root[1][None]), "bounds"


def outside_overlap(log_snr: Array, given: Sets | Overlap) -> Float[Array, ""]:
    """TV of a node to its rest less one, or a lower bound of it."""
    if isinstance(given, Sets):
        return less_overlap(log_snr, given)
    table = pair_table(given.law, *levels(log_snr))
    return -jnp.minimum(jnp.sum(given.weights * table.bhattacharyya), 1)


def _cross_pairs(
    law: GaussianMixture, nodes: list[Bool[np.ndarray, " c"]]
) -> Bool[np.ndarray, "node k k"]:
    """For each node the pairs of its components that are of different labels."""
    labels, here = np.asarray(law.labels), np.asarray(law.log_weights) > -np.inf
    apart = (labels[:, None] != labels[None]) & here[:, None] & here[None]
    inside = np.stack(nodes)[:, labels]
    return apart[None] & inside[:, :, None] & inside[:, None]


def _directions(law: GaussianMixture, mask: Bool[np.ndarray, " c"]) -> int:
    return directions(law, mask).dimension


def _one(law: AbstractLabelledTarget, label: int) -> Bool[np.ndarray, " c"]:
    return np.arange(law.num_labels) == label


def _like(given: Pairs, level: float) -> Array:
    return jnp.asarray(level, given.law.log_label_prior().dtype)
