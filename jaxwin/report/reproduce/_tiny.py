"""A hierarchy of 24 words, whose observations can all be listed."""

import numpy as np
from jaxtyping import Float

from jaxwin.targets import RandomHierarchy
from jaxwin.targets.random_hierarchy import enumerate_trees

# Two levels of two children, three symbols, two rules of each.
RULES = (
    (((0, 1), (1, 2)), ((2, 0), (1, 1)), ((0, 2), (2, 1))),
    (((0, 0), (1, 2)), ((2, 1), (0, 2)), ((1, 0), (2, 2))),
)


def tiny() -> RandomHierarchy:
    """The law: v = n = 3, m = 2, s = 2, L = 2."""
    return RandomHierarchy([np.array(rules) for rules in RULES])


def listed_recomposition(
    site: Float[np.ndarray, "v o"],
) -> tuple[float, Float[np.ndarray, " l"]]:
    """P(class changed), and P(symbol of a level unchanged | it has), levels 1, 2.

    By a sum over all words, all observations and all words again: nothing of belief
    propagation is used.

    Args:
        site: P(what is seen at a site | its symbol).
    """
    trees, log_p = enumerate_trees(tiny())
    p, words = np.exp(log_p), trees[-1]
    seen = np.ones((len(words), 1))
    for symbols in words.T:
        seen = (seen[:, :, None] * site[symbols][:, None]).reshape(len(words), -1)
    joint = p[:, None] * seen
    total = joint.sum(axis=0)
    possible = total > 0
    back = joint[:, possible] / total[possible]
    both = joint[:, possible] @ back.T
    both = both * (trees[0][:, 0][:, None] != trees[0][:, 0][None])
    same = [(one[:, None] == one[None]).mean(axis=-1) for one in trees[1:]]
    kept = np.array([(both * one).sum() for one in same])
    return float(both.sum()), kept / both.sum()


def masked_site(noise: float) -> Float[np.ndarray, "v o"]:
    """Symbols seen or erased, the last observation."""
    v = len(RULES[0])
    return np.concatenate([(1 - noise) * np.eye(v), np.full((v, 1), noise)], axis=1)


def replaced_site(noise: float) -> Float[np.ndarray, "v o"]:
    """Symbols replaced by an even one."""
    v = len(RULES[0])
    return (1 - noise) * np.eye(v) + noise / v
