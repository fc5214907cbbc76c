"""At which noises a hierarchy is looked at, where nobody says."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import hierarchy
from jaxwin.channels import AbstractChannel
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.targets import RandomHierarchy

# All that could matter: SNRs of one-hots, and fractions.
SNR_RANGE, FRACTIONS = (60.0, 0.05), (0.02, 0.98)
# Noises on which the mean field is looked at, and turns of a pilot; noises besides,
# below the fractions above, where trees are so large that these are many leaves.
FINE, PILOT_BLOCKS, FEW = 197, 4, 5
# From where every level keeps so much of what it can lose, to where none does.
KEPT, LOST = 0.95, 0.1


def mean_field_grid(sizes: Sizes, count: int) -> Float[np.ndarray, " t"]:
    """Noises eps around the fall of the mean-field class curve, and of the leaves'."""
    v, m, s, n = sizes.symbols, sizes.rules, sizes.branching, sizes.classes
    noise = fractions(sizes.leaves, FINE)
    places = jnp.asarray(noise, float)
    curves = hierarchy.mean_field_curves(places, v, float(m), s, sizes.depth, n)
    kept = np.asarray(curves.kept, float)[:, ::-1]
    chance = np.array([1 / n] + [1 / v] * sizes.depth)
    return spread(noise, (kept - chance) / (1 - chance), count)


def pilot_grid(
    law: RandomHierarchy,
    channel: AbstractChannel,
    is_gaussian: bool,
    count: int,
    **options: Any,
) -> Float[np.ndarray, " t"]:
    """Noises around the fall of the class and of the leaves, by a short run.

    Args:
        law: The hierarchy.
        channel: What it is seen through.
        is_gaussian: Whether noises are OU times rather than fractions.
        count: How many.
        options: Of the run, `key` and `block_size`.
    """
    if is_gaussian:
        first, last = SNR_RANGE
        places = np.linspace(-math.log(first), -math.log(last), count)
    else:
        places = fractions(law.num_sites, count)
    to_noise = ou_times if is_gaussian else lambda noise: noise
    turns = PILOT_BLOCKS * options["block_size"]
    found = hierarchy.level_curves(
        law, channel, to_noise(places), num_turns=max(16, turns), **options
    )
    excess = (found.same - found.chance) / (1 - found.chance)
    return to_noise(spread(places, excess, count))


def fractions(leaves: int, count: int = 2) -> Float[np.ndarray, " t"]:
    """Fractions that are looked at: from half a leaf of the tree on, then evenly."""
    first, last = FRACTIONS
    few = np.geomspace(0.5 / leaves, first, FEW + 1)[:-1] if first * leaves > 1 else []
    return np.append(few, np.linspace(first, last, count))


def ou_times(minus_log_snr: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """OU times of SNRs e^{-x}: t = ln(1 + e^x) / 2."""
    return 0.5 * np.log1p(np.exp(minus_log_snr))


def spread(
    places: Float[np.ndarray, " p"], excess: Float[np.ndarray, "p l"], count: int
) -> Float[np.ndarray, " t"]:
    """Places half of which lie evenly, and half along the fall of the class.

    Args:
        places: Increasing with noise.
        excess: Of the levels, root first: 1 where all is kept and 0 by chance.
        count: How many.
    """
    kept = np.logical_and.accumulate(excess.min(axis=1) > KEPT)
    lost = np.logical_and.accumulate((excess.max(axis=1) < LOST)[::-1])[::-1]
    first = max(int(kept.sum()) - 1, 0)
    last = min(len(places) - int(lost.sum()), len(places) - 1)
    if last - first < 2:
        first, last = 0, len(places) - 1
    places = places[first : last + 1]
    fall = np.maximum.accumulate(1 - excess[first : last + 1, 0])
    even = (places - places[0]) / (places[-1] - places[0])
    way = fall[-1] - fall[0]
    fallen = (fall - fall[0]) / way if way > 0 else even
    return np.interp(np.linspace(0, 2, count), even + fallen, places)
