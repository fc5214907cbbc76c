"""What belief propagation says of one observation."""

import equinox as eqx
from jaxtyping import Array, Bool, Float


class Beliefs(eqx.Module):
    """Exact posterior probabilities of every node of a tree, root (level 0) first.

    marginals: P(symbol of node j of level l = y | evidence), (s^l, k_l) a level; the
    last is E[x0 | x] of one-hots. log_evidence: log sum_trees P(tree) exp(sum of
    logits), -inf and `contradictory` where no tree explains the evidence; what is below
    the smallest subtrees that nothing explains is then left out of the marginals.
    """

    marginals: tuple[Float[Array, "_ _"], ...]
    log_evidence: Float[Array, ""]
    contradictory: Bool[Array, ""]


class Messages(eqx.Module):
    """Normalised messages of belief propagation, root (level 0) first.

    up: from the evidence below each node, without the prior of the root. down: from all
    other evidence. Their product, normalised, is the marginal.
    """

    up: tuple[Float[Array, "_ _"], ...]
    down: tuple[Float[Array, "_ _"], ...]
