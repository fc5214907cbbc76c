"""Conditions of a tree at its noises, and what it says about a model of the law."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, check, not_negative
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis.windows._pairs import pair_table
from jaxwin.analysis.windows._theorem import tolerance
from jaxwin.analysis.windows._tree import Tree
from jaxwin.analysis.windows._tree_curves import tree_curves
from jaxwin.io import field
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture
from jaxwin.targets._covariance import Isotropic

# Weights that differ by less are the same, written in other digits.
ROUNDING = 1e-6
# OU time at which leaves of no noise are looked at: smaller than any that matters.
LEAST_NOISE = 1e-12


class TreeConditions(eqx.Module):
    """The conditions of an eps-mixture tree at given noises of its nodes.

    inside: largest TV of two labels of a node, at most eps. outside: TV of a node to
    the rest, at least 1 - eps^2 (one for the root, which has none). Where only bounds
    are known they are on the safe side.
    """

    holds: bool = eqx.field(static=True)
    noise_amount: Float[np.ndarray, " node"] = field(("node",), "OU time")
    inside: Float[np.ndarray, " node"] = field(("node",), "probability")
    outside: Float[np.ndarray, " node"] = field(("node",), "probability")
    met: Bool[np.ndarray, " node"] = field(("node",), "", "both conditions")
    epsilon: Float[np.ndarray, ""] = field((), "", "tolerance")


def tree_conditions(
    law: AbstractLabelledTarget,
    tree: Tree,
    noise_amount: Float[np.ndarray, " node"],
    epsilon: ScalarLike,
) -> TreeConditions:
    """Whether a tree with these noises is an eps-mixture tree of a law.

    Args:
        law: As in `mixture_tree`, such as a model of the law that the tree is of.
        tree: The groups.
        noise_amount: OU time of each node, > 0 but for leaves.
        epsilon: Tolerance, in (0, 1); `stable_epsilon` for a model.

    Raises:
        BadInput: `epsilon` outside (0, 1), or noises of another number or none.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Definition 8.
    """
    given = float(tolerance(epsilon))
    amount = np.asarray(noise_amount, float)
    if amount.shape != (tree.num_nodes,) or not np.all(amount >= 0):
        raise BadInput(
            f"`noise_amount` is {amount.tolist()}; it must hold a time >= 0 for each "
            f"of {tree.num_nodes} nodes: a tree without order has none."
        )
    curves, process = tree_curves(law, tree), OrnsteinUhlenbeck()
    alphas, sigmas = process.levels(jnp.maximum(jnp.asarray(amount), LEAST_NOISE))
    each = [curves.at(alphas[i], sigmas[i], i) for i in range(tree.num_nodes)]
    inside, outside = (np.array([float(pair[i]) for pair in each]) for i in range(2))
    met = (inside <= given) & (outside >= 1 - given**2)
    above = tree.parent[:-1]
    grows = bool(np.all(amount[above] > amount[:-1]))
    return TreeConditions(
        holds=bool(met.all()) and grows,
        noise_amount=amount,
        inside=inside,
        outside=outside,
        met=met,
        epsilon=np.asarray(given),
    )


def stable_epsilon(epsilon: ScalarLike, delta: ScalarLike) -> Float[Array, ""]:
    """Tolerance eps + sqrt(delta) of an eps-mixture tree for a model of the law.

    With TV(p^i, q^i) <= delta / 2 for every label i and the weights of the law, a tree
    of p with its noises is one of q at this tolerance; above one it says nothing.

    Args:
        epsilon: Tolerance of the tree, in (0, 1).
        delta: Twice the error of the model (`model_error`), >= 0.

    Raises:
        BadInput: `epsilon` outside (0, 1).
        ValueError: `delta` is negative.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Corollary 2.
    """
    check(delta, not_negative, "delta", "finite and >= 0")
    epsilon = tolerance(epsilon)
    return epsilon + jnp.sqrt(as_float(delta).astype(epsilon.dtype))


def model_error(law: GaussianMixture, model: GaussianMixture) -> Float[Array, ""]:
    r"""Twice the largest TV(p^i, q^i) of a label in a law and in a model of it.

    Component by component, TV(p^i, q^i) <= sum_k s_k TV(p_k, q_k) + sum_k |s_k - t_k|
    / 2 with the shares s, t of components k within a label: exact for labels of one
    component where the covariances are equal, else an upper bound.

    Args:
        law: The mixture.
        model: One of as many components, of the same labels and label weights.

    Raises:
        BadInput: Components, labels or weights of labels differ.
    """
    same = (
        law.means.shape == model.means.shape
        and law.num_labels == model.num_labels
        and np.array_equal(law.labels, model.labels)
    )
    if not same:
        raise BadInput(
            f"`model` has {len(model.means)} components of dimension "
            f"{model.dimension}; it must have those of the law, {len(law.means)} of "
            f"dimension {law.dimension}, with their labels."
        )
    weights = [np.exp(np.asarray(p.log_label_prior())) for p in (law, model)]
    if not np.allclose(*weights, rtol=0, atol=ROUNDING):
        raise BadInput(
            f"`model` weighs its labels {weights[1].tolist()} and the law "
            f"{weights[0].tolist()}; the corollary is of equal weights: see `fairness`."
        )
    count = len(law.means)
    both = _side_by_side(law, model)
    apart = pair_table(both, 1.0, 0.0).total_variation
    of_component = jnp.diagonal(apart[:count, count:])
    shares = [
        jnp.where(p.log_weights > -jnp.inf, jnp.exp(p.log_weights - prior), 0)
        for p in (law, model)
        for prior in [p.log_label_prior()[p.labels]]
    ]
    each = shares[0] * of_component + 0.5 * jnp.abs(shares[0] - shares[1])
    total = jnp.zeros(law.num_labels, each.dtype).at[law.labels].add(each)
    return 2 * jnp.minimum(jnp.max(total), 1)


def _side_by_side(law: GaussianMixture, model: GaussianMixture) -> GaussianMixture:
    """The components of both, the law's first."""
    means = jnp.concatenate([law.means, model.means])
    covariances = law.covariance, model.covariance
    if all(isinstance(c, Isotropic) for c in covariances):
        each = [c.spectrum()[0][:, 0] for c in covariances]
        return GaussianMixture.isotropic(means, jnp.concatenate(each))
    dense = []
    for covariance in covariances:
        values = covariance.spectrum()[0]
        for k in range(len(law.means)):
            one = jnp.zeros_like(values).at[k].set(values[k])
            dense.append(covariance.dense_sum(one))
    return GaussianMixture.full(means, jnp.stack(dense))
