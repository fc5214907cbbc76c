"""The general-class time: when two classes of any kind can no longer be told apart."""

from collections.abc import Callable

import equinox as eqx
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from jaxwin.analysis._crossing import Crossing, read_off, stack
from jaxwin.analysis._sweep import LEAST_NOISES, Draws, Sweep
from jaxwin.io import field

# Share of the float type's logarithmic range in which weights are right.
RANGE = 0.95


class GeneralClassTimes(eqx.Module):
    """Where mean and standard deviation of log P_a(x) / P_b(x) are equal, x from a.

    `crossing` has a row for each pair (a, b): x from a, then x from b with the sign
    turned. For two Gaussian classes of one covariance it is where r = 1, as phi at
    0.775; it needs no difference of means.
    """

    pair: Int[np.ndarray, "p 2"] = field(("pairs", "side"), "label")
    crossing: Crossing = field(("pairs", "side"), "")


def general_times(found: Sweep, feature: int = 0) -> GeneralClassTimes:
    """General-class times of the pairs of a feature, the own point left out.

    P_a is the noised empirical law of class a. With the own point in, each class would
    know its points and not its law. The search begins at the noise from which on all
    weights that it needs are within the range of the float type.

    References:
        Biroli et al., arXiv:2402.18491; shared theory, speciation 5.16 (mean = sd).
    """
    of = found.features[feature]
    draws = found.draws(of, own=False)

    def time(a: int, b: int) -> Crossing:
        own = draws[a]
        alone = min(np.asarray(of.count(found.counts))[[a, b]]) < 2
        if alone or not own.batch.size:
            return read_off(*_never(found))
        return _mean_is_deviation(found, own, a, b)

    sides = [stack([time(a, b), time(b, a)]) for a, b in np.asarray(of.pairs).tolist()]
    return GeneralClassTimes(np.asarray(of.pairs), stack(sides))


def _mean_is_deviation(found: Sweep, draws: Draws, a: int, b: int) -> Crossing:
    start = _first_known(draws.log_likelihood, [a, b], found.others.dtype)
    log_likelihood = draws.log_likelihood[:, start:]
    gap = log_likelihood[..., a] - log_likelihood[..., b]
    # In units of its largest, which keeps squares in range; the crossing stays.
    largest = np.abs(gap).max(axis=0)
    gap = gap / np.where(largest > 0, largest, 1)
    powers = np.stack([gap, gap**2], axis=1)
    return mean_is_deviation(
        found.coordinate[start:],
        powers.mean(axis=0),
        draws.sums(powers),
        draws.counts,
        found.clock,
    )


def mean_is_deviation(
    coordinate: Float[np.ndarray, " t"],
    powers: Float[np.ndarray, "2 t"],
    block_sums: Float[np.ndarray, "b 2 t"],
    block_counts: Float[np.ndarray, " b"],
    clock: Callable[[Array], ArrayLike],
) -> Crossing:
    """Where E[L] = sd(L), from averages of L and L^2, over draws and in each block.

    Args:
        coordinate: As in `read_off`.
        powers: E[L] and E[L^2] at each noise.
        block_sums: Sums of L and L^2 over the draws of each block.
        block_counts: Draws in each block; blocks without any are left out.
        clock: As in `read_off`.
    """
    some = block_counts > 0
    means = block_sums[some] / block_counts[some, None, None]

    def excess(curves: np.ndarray) -> np.ndarray:
        mean, square = curves[..., 0, :], curves[..., 1, :]
        return mean - np.sqrt(np.clip(square - mean**2, 0, None))

    return read_off(
        coordinate, powers, means, block_counts[some], 0.0, clock, statistic=excess
    )


def _first_known(
    log_likelihood: Float[np.ndarray, "n t c"], pair: list[int], dtype: np.dtype
) -> int:
    """The noise from which on no weight of the pair vanishes beside the largest.

    Weights are summed in units of the largest, in `dtype`: far smaller ones are lost,
    and with them how much smaller they are.
    """
    reach = -RANGE * np.log(np.finfo(dtype).tiny)
    below = log_likelihood.max(axis=-1) - log_likelihood[..., pair].min(axis=-1)
    lost = np.flatnonzero(np.any(below > reach, axis=0))
    start = lost[-1] + 1 if lost.size else 0
    return int(min(start, log_likelihood.shape[1] - LEAST_NOISES))


def _never(found: Sweep) -> tuple:
    """A single point has no law of its own, no draw no mean: nothing crosses."""
    flat = np.full(found.noise.size, -1.0)
    return found.coordinate, flat, flat[None], np.ones(1), 0.0, found.clock
