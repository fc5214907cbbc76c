"""Hierarchies whose trees can be listed, and what listing says of evidence."""

from typing import NamedTuple

import jax.random as jr
import numpy as np

from jaxwin.targets import RandomHierarchy
from jaxwin.targets.random_hierarchy import enumerate_trees

# T1 of the theory, 24 trees.
T1 = RandomHierarchy(
    [
        [[[0, 1], [1, 2]], [[2, 0], [1, 1]], [[0, 2], [2, 1]]],
        [[[0, 0], [1, 2]], [[2, 1], [0, 2]], [[1, 0], [2, 2]]],
    ]
)
CLEAN = np.array([1, 0, 0, 0])
NOISED = np.array(
    [(0.4, -0.2, 0.2), (1.8, 0, -0.4), (0, 0.24, 0.96), (0.68, -0.16, 0.72)]
)


class Listed(NamedTuple):
    """Sums over all trees, given evidence on leaves and on inner nodes."""

    log_evidence: float
    marginals: list[np.ndarray]
    posterior: np.ndarray


def listed(law: RandomHierarchy, logits: np.ndarray, latents=None) -> Listed:
    """By a sum over every tree, in numpy."""
    trees, log_p = enumerate_trees(law)
    factors = dict(latents or {}) | {law.depth: logits}
    for level, factor in factors.items():
        nodes = np.arange(trees[level].shape[1])
        log_p = log_p + np.asarray(factor)[nodes, trees[level]].sum(axis=1)
    total = np.logaddexp.reduce(log_p)
    p = np.exp(log_p - total)
    sizes = law.symbols_of_levels
    marginals = [
        np.einsum("t,tna->na", p, level[..., None] == np.arange(size))
        for level, size in zip(trees, sizes, strict=True)
    ]
    return Listed(float(total), marginals, p)


def some_law(seed: int) -> RandomHierarchy:
    """A random tiny hierarchy: every size, weight and flag is drawn."""
    rng = np.random.default_rng(seed)
    sizes = [(2, 1), (2, 2), (3, 1), (2, 3)]
    branching, depth = sizes[rng.integers(len(sizes))]
    v, n = int(rng.integers(2, 4)), int(rng.integers(1, 5))
    most = 1 if branching**depth > 4 else 3
    rules, weights = [], []
    ambiguous = bool(rng.integers(2))
    for level in range(depth):
        parents = n if level == 0 else v
        room = most if ambiguous else min(most, v**branching // parents)
        if room < 1:
            return some_law(seed + 1000)
        rules.append(int(rng.integers(1, room + 1)))
        weights.append(rng.dirichlet(np.ones(rules[-1]), size=parents))
    return RandomHierarchy.draw(
        jr.key(seed),
        v,
        tuple(rules),
        branching,
        depth,
        num_classes=n,
        weights=rng.dirichlet(np.ones(n)),
        rule_weights=tuple(weights),
        ambiguous=ambiguous,
    )
