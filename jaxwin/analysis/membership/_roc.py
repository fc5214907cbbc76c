"""How well a statistic tells two sets of points apart: AUC and rates, with intervals.

A low value speaks for the first set, the members. Intervals are over fresh members and
fresh non-members, given their values.
"""

from typing import NamedTuple

import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Float

# False-positive rates at which detectors are compared.
RATES = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
# Draws of the interval of a rate.
DRAWS = 2000
Z = float(scipy.stats.norm.ppf(0.975))


class Placements(NamedTuple):
    """Share of the other set on the right side of each point; half for ties."""

    of_members: Float[np.ndarray, "t m"]
    of_others: Float[np.ndarray, "t k"]

    @property
    def auc(self) -> Float[np.ndarray, " t"]:
        """P(member below non-member) + P(tie) / 2."""
        return self.of_members.mean(axis=1)

    @property
    def stderr(self) -> Float[np.ndarray, " t"]:
        """DeLong's standard error of the AUC."""
        parts = self.of_members, self.of_others
        return np.sqrt(sum(p.var(axis=1, ddof=1) / p.shape[1] for p in parts))

    def interval(self) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
        """95 % on the scale of log-odds, where it stays between 0 and 1.

        Where the sets are apart altogether, the Clopper-Pearson interval of as many
        independent pairs as there are.
        """
        auc, pairs = self.auc, min(p.shape[1] for p in self)
        inside = (auc > 0) & (auc < 1)
        safe = np.where(inside, auc, 0.5)
        wide = Z * self.stderr / (safe * (1 - safe))
        low, high = (
            scipy.special.expit(scipy.special.logit(safe) + side * wide)
            for side in (-1, 1)
        )
        least = 0.025 ** (1 / pairs)
        low = np.where(inside, low, np.where(auc == 1, least, 0.0))
        high = np.where(inside, high, np.where(auc == 1, 1.0, 1 - least))
        return low, high

    def blocks(self, most: int = 256) -> Float[np.ndarray, "b t"]:
        """Values of groups of points whose mean is the AUC, for bootstraps of curves.

        The AUC enters by its linear part: to resample groups then reproduces DeLong's
        variance.
        """
        count = min(most, *(p.shape[1] for p in self))
        total = np.repeat(self.auc[None], count, axis=0)
        for placed in self:
            parts = np.array_split(placed - self.auc[:, None], count, axis=1)
            scale = count / placed.shape[1]
            total = total + scale * np.stack([part.sum(axis=1) for part in parts])
        return total


def placements(
    members: Float[np.ndarray, "t m"], others: Float[np.ndarray, "t k"]
) -> Placements:
    """Where the values of each set lie among those of the other."""

    def above(values: np.ndarray, among: np.ndarray) -> np.ndarray:
        """Share of `among` above each of the values."""
        among = np.sort(among)
        left = np.searchsorted(among, values, side="left")
        right = np.searchsorted(among, values, side="right")
        return 1 - (left + right) / (2 * among.size)

    rows = list(zip(members, others, strict=True))
    of_members = np.stack([above(a, b) for a, b in rows])
    return Placements(of_members, np.stack([1 - above(b, a) for a, b in rows]))


def true_positive_rates(
    members: Float[np.ndarray, "t m"],
    others: Float[np.ndarray, "t k"],
    rates: Float[np.ndarray, " f"] = RATES,
    seed: int = 0,
) -> Float[np.ndarray, "3 t f"]:
    """Share of members below a quantile of the others; the ends of its 95 % interval.

    The share of all others below their sample quantile at f is Beta(k f, k (1 - f))
    (half a count added on both sides), that of members below a threshold with c of m
    below it Beta(c + 1/2, m - c + 1/2) (Jeffreys): the interval is of draws of both.
    """
    generator = np.random.default_rng(seed)
    m, k = members.shape[1], others.shape[1]
    shape = DRAWS, rates.size
    moved = generator.beta(k * rates + 0.5, k * (1 - rates) + 0.5, shape)
    found = []
    for own, other in zip(np.sort(members), np.sort(others), strict=True):
        count = lambda f, own=own, other=other: np.searchsorted(
            own, np.quantile(other, f)
        )
        drawn = count(moved)
        share = generator.beta(drawn + 0.5, m - drawn + 0.5)
        best = count(rates) / m
        low, high = np.quantile(share, [0.025, 0.975], axis=0)
        found.append([best, np.minimum(low, best), np.maximum(high, best)])
    return np.moveaxis(np.asarray(found), 0, 1)
