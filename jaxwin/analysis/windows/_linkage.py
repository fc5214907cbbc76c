"""The tree of a mixture by single linkage on how long its labels are told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.cluster.hierarchy
import scipy.spatial.distance
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin.analysis.windows._pairs import pair_table
from jaxwin.analysis.windows._threshold_roots import CLEANEST, levels
from jaxwin.analysis.windows._tree import Tree
from jaxwin.targets import GaussianMixture

# Levels on which pairs are followed, over everything that float64 can tell.
LEVELS = 1601
# Merges this close in log-SNR are one: rounding would order them.
TIE = 1e-6


def linkage_tree(law: GaussianMixture, epsilon: float) -> Tree:
    """Groups of labels that become one, pair by pair, on the way to noise.

    The separation of two labels is the log-SNR at which the first pair of components
    across them falls to TV eps (its upper bound where covariances differ); groups are
    those of single linkage, equal separations at once. Labels without weight are left
    out.

    Raises:
        ValueError: The law is traced.
    """
    if not is_concrete(law):
        raise ValueError("`law` must be concrete: a tree is no array; build it first.")
    present = np.flatnonzero(np.asarray(law.log_label_prior()) > -np.inf)
    if present.size == 1:
        return Tree.of_groups([present.tolist()], law.num_labels)
    place = -_places(law, epsilon)[np.ix_(present, present)]
    np.fill_diagonal(place, place.min() - 1)
    place = place - place.min()
    condensed = scipy.spatial.distance.squareform(place, checks=False)
    merges = scipy.cluster.hierarchy.linkage(condensed, "single")
    groups = []
    for height in merges[:, 2]:
        of = scipy.cluster.hierarchy.fcluster(merges, height + TIE, "distance")
        groups += [present[of == c].tolist() for c in np.unique(of)]
    return Tree.of_groups(groups, law.num_labels)


def _places(law: GaussianMixture, epsilon: float) -> Float[np.ndarray, "c c"]:
    """Log-SNR at which each pair of labels falls to eps, the largest over its pairs."""
    log_snr = jnp.linspace(CLEANEST, -CLEANEST, LEVELS)
    table = np.asarray(_variations(law, log_snr.astype(law.means.dtype)))
    # The first level on which the bound holds, and what is left to the one before.
    below = table <= epsilon
    last = np.where(below.any(axis=0), np.argmax(below, axis=0), LEVELS - 1)
    before = np.maximum(last - 1, 0)
    pick = lambda index: np.take_along_axis(table, index[None], axis=0)[0]
    high, low = pick(before), pick(last)
    falls = high > low
    share = np.where(falls, (high - epsilon) / np.where(falls, high - low, 1), 1)
    grid = np.asarray(log_snr)
    place = grid[before] + np.clip(share, 0, 1) * (grid[last] - grid[before])
    labels, here = np.asarray(law.labels), np.asarray(law.log_weights) > -np.inf
    found = np.full((law.num_labels, law.num_labels), -np.inf)
    pairs = np.argwhere(here[:, None] & here[None])
    np.maximum.at(found, tuple(labels[pairs].T), place[tuple(pairs.T)])
    return np.maximum(found, found.T)


@jax.jit
def _variations(law: GaussianMixture, log_snr: Array) -> Float[Array, "t k k"]:
    at = lambda place: pair_table(law, *levels(place)).total_variation
    return jax.lax.map(at, log_snr)
