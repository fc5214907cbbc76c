"""All trees of a tiny hierarchy, one by one: what belief propagation must reproduce."""

import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxwin.targets.random_hierarchy._law import RandomHierarchy

# More trees would fill the memory.
MOST_TREES = 2**20


class Enumeration(NamedTuple):
    """Every tree: symbols of all nodes, (N, s^l) a level, and its log-probability.

    Trees of probability zero are there too. Words repeat only if rules are ambiguous.
    """

    trees: tuple[Int[np.ndarray, "_ _"], ...]
    log_probability: Float[np.ndarray, " n"]


def log_number_of_trees(law: RandomHierarchy) -> float:
    """log(n prod_l m_l^(s^l)), ln n + K ln m where all levels have m rules."""
    inner = [
        law.branching**level * math.log(table.shape[1])
        for level, table in enumerate(law.rules)
    ]
    return math.log(law.num_labels) + sum(inner)


def enumerate_trees(law: RandomHierarchy) -> Enumeration:
    """All trees of a law.

    Raises:
        ValueError: There are more than 2^20.
    """
    if log_number_of_trees(law) > math.log(MOST_TREES):
        raise ValueError(
            f"the law has e^{log_number_of_trees(law):.1f} trees; at most 2^20 can be "
            f"listed: take a smaller depth, branching or number of rules."
        )
    levels = [np.arange(law.num_labels)[:, None]]
    log_p = np.asarray(law.log_weights, float)
    tables = zip(law.rules, law.log_rule_weights, strict=True)
    for rules, log_weights in ((np.asarray(a), np.asarray(b)) for a, b in tables):
        parents = levels[-1]
        count, m = parents.shape[1], rules.shape[1]
        picks = np.array(list(itertools.product(range(m), repeat=count)))
        shape = len(parents), len(picks), count
        above = np.broadcast_to(parents[:, None], shape).reshape(-1, count)
        pick = np.broadcast_to(picks[None], shape).reshape(-1, count)
        levels = [np.repeat(level, len(picks), axis=0) for level in levels]
        levels.append(rules[above, pick].reshape(len(above), -1))
        log_p = np.repeat(log_p, len(picks)) + log_weights[above, pick].sum(axis=1)
    return Enumeration(tuple(levels), log_p)
