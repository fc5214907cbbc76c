"""Clone agreement of the classes of a data set, from one pass over it."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from jaxwin.analysis._crossing import over_fresh_data, read_off, stack
from jaxwin.analysis._feature import pair_purity
from jaxwin.analysis._sweep import COARSE, Draws, Sweep
from jaxwin.analysis.speciation._clone_agreement import (
    LEVEL,
    METHOD,
    CloneAgreement,
    PairAgreement,
)

# From log-likelihoods (..., c) to the log-odds of one group against another.
Odds = Callable[[Float[np.ndarray, "n t c"]], Float[np.ndarray, "n t"]]


def class_agreement(
    found: Sweep, feature: int = 0, level: float = LEVEL
) -> CloneAgreement:
    """Clone agreement of all classes of a feature and of its pairs, own points in.

    The pairs are those of the sweep's feature. Intervals are given these data in
    `crossing`, over fresh data of the same size in `fresh`.
    """
    of = found.features[feature]
    at = found.coordinate
    purity = np.asarray(of.purity(found.log_masses_with_own()))
    blocks = purity.mean(axis=1)
    phi = blocks.mean(axis=0)
    points = purity.reshape(-1, phi.size)
    fresh = None
    if found.left_out is not None:
        without = found.left_out.phi[feature]
        fresh = over_fresh_data(at, phi, without, level, found.clock, COARSE)
    weights = np.asarray(of.count(found.counts)) / found.num_points
    return CloneAgreement(
        noise=found.noise,
        phi=phi,
        stderr=points.std(axis=0, ddof=1) / np.sqrt(len(points)),
        crossing=read_off(at, phi, blocks, found.batches, level, found.clock),
        fresh=fresh,
        pairs=_pairs(found, feature, level) if len(of.pairs) else None,
        chance=float(np.sum(weights**2)),
        level=level,
        count=found.count,
        method=METHOD,
    )


def _pairs(found: Sweep, feature: int, level: float) -> PairAgreement:
    of, draws = found.features[feature], found.draws(found.features[feature], own=True)
    curves, errors, crossings, fresh = [], [], [], []
    for p, (a, b) in enumerate(np.asarray(of.pairs).tolist()):
        phi, blocks = pair_blocks(draws[a], draws[b], log_odds(a, b))
        spread = np.sum((blocks - phi) ** 2, axis=0)
        curves.append(phi)
        errors.append(np.sqrt(spread / len(blocks) / (len(blocks) - 1)))
        at, counts = found.coordinate, found.batches
        crossings.append(read_off(at, phi, blocks, counts, level, found.clock))
        if found.left_out is not None and len(found.left_out.pairs[feature]):
            without = found.left_out.pairs[feature][p]
            fresh.append(over_fresh_data(at, phi, without, level, found.clock, COARSE))
    return PairAgreement(
        pair=np.asarray(of.pairs),
        noise=found.noise,
        phi=np.stack(curves),
        stderr=np.stack(errors),
        crossing=stack(crossings),
        fresh=stack(fresh) if fresh else None,
    )


def log_odds(a: int, b: int) -> Odds:
    """Log-odds of class a against b from the log-likelihoods of all classes."""
    return lambda log_likelihood: log_likelihood[..., a] - log_likelihood[..., b]


def pair_blocks(
    first: Draws, second: Draws, odds: Odds
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, "b t"]]:
    """Phi of two groups of draws at equal weights, and block values that average to it.

    phi averages the two sides' mean purities, each the ratio of a sum over its draws
    and their number; blocks enter by the ratio's linear part. NaN where a side has no
    draws.
    """
    if not (first.batch.size and second.batch.size):
        unknown = np.full(first.log_likelihood.shape[1], np.nan)
        return unknown, np.tile(unknown, (first.num_batches, 1))
    sides, blocks = [], []
    for draws in (first, second):
        purity = purities(draws, odds)
        mean = purity.mean(axis=0)
        moved = draws.sums(purity - mean)
        sides.append(mean)
        blocks.append(mean + moved * len(moved) / len(purity))
    return np.mean(sides, axis=0), np.mean(blocks, axis=0)


def purities(draws: Draws, odds: Odds) -> Float[np.ndarray, "n t"]:
    """Posterior purity of each draw between two groups at equal weights."""
    return pair_purity(np.tanh(odds(draws.log_likelihood) / 2))
