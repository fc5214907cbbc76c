"""Windows of one mixture after another by NumPy and SciPy: the peer of the sweep.

Tables of all pairs and levels are whole arrays, each pair once; decompositions are
batched; roots are `scipy.optimize.brentq` within a step of the grid, the lowest U is
`minimize_scalar` within two. Every function of one level touches no more than the
numbers it needs.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf, erfinv, ndtr, ndtri

# What both are asked for, in log-SNR.
TOLERANCE = 1e-8


class Law(NamedTuple):
    """One mixture: N(m_k, v I + F_k F_k^T), or v I where there are no factors."""

    means: np.ndarray
    variance: float
    weights: np.ndarray
    labels: np.ndarray
    factors: np.ndarray | None = None


class Pairs(NamedTuple):
    """Pairs i < j in their own axes: level by level a sum over the first axis."""

    first: np.ndarray
    second: np.ndarray
    axes: np.ndarray
    along: np.ndarray
    own: np.ndarray
    shared: bool
    size: int

    @property
    def index(self) -> np.ndarray:
        """The pair of components i and j."""
        count = self.own.shape[1]
        table = np.zeros((count, count), int)
        table[self.first, self.second] = np.arange(len(self.first))
        return table + table.T

    def bounds(self, alpha2: Any, noise: Any) -> tuple[Any, ...]:
        """Lower and upper bounds of TV and BC of all pairs, at levels (..., 1)."""
        middle = [alpha2 * axis + noise for axis in self.axes]
        square = sum(alpha2 * a / m for a, m in zip(self.along, middle, strict=True))
        if self.shared:
            exact = erf(np.sqrt(square / 8))
            return exact, exact, np.exp(-square / 8)
        own = [alpha2 * axis + noise for axis in self.own]
        log = self._log_overlap(square, middle, own, self.first, self.second)
        unlike = -np.expm1(log)
        return unlike, np.sqrt(unlike * (2 - unlike)), np.exp(log)

    def of_pairs(self, which: Any, i: Any, j: Any) -> "OfPairs":
        """Some pairs alone, with what their logs need."""
        return OfPairs(
            self.axes[:, which],
            self.along[:, which],
            self.own[:, i],
            self.own[:, j],
            self.shared,
            self.size,
        )

    def _log_overlap(self, square, middle, own, i, j):
        volume = lambda axes: sum(np.log(axis / axes[-1]) for axis in axes[:-1])
        each, last = volume(own), middle[-1]
        pair = own[-1][..., i] / last * (own[-1][..., j] / last)
        logs = each[..., i] + each[..., j] + self.size * np.log(pair)
        return np.minimum(0.25 * logs - 0.5 * volume(middle), 0) - square / 8


class OfPairs(NamedTuple):
    """Some pairs at one level: the axes are the rows of small arrays."""

    axes: np.ndarray
    along: np.ndarray
    own: np.ndarray
    other: np.ndarray
    shared: bool
    size: int

    def square(self, alpha2: float, noise: float) -> np.ndarray:
        """Squared distances of the noised means."""
        return (alpha2 * self.along / (alpha2 * self.axes + noise)).sum(0)

    def log_overlap(self, alpha2: float, noise: float) -> np.ndarray:
        """Logs of the Bhattacharyya coefficients."""
        middle = alpha2 * self.axes + noise
        shift = (alpha2 * self.along / middle).sum(0) / 8
        if self.shared:
            return -shift
        own, other = alpha2 * self.own + noise, alpha2 * self.other + noise
        last = middle[-1]
        pair = own[-1] / last * (other[-1] / last)
        each = np.log(own[:-1] / own[-1] * (other[:-1] / other[-1])).sum(0)
        volume = np.log(middle[:-1] / last).sum(0)
        logs = 0.25 * (each + self.size * np.log(pair)) - 0.5 * volume
        return np.minimum(logs, 0) - shift

    def upper(self, alpha2: float, noise: float) -> np.ndarray:
        """Upper bounds of TV."""
        if self.shared:
            return erf(np.sqrt(self.square(alpha2, noise) / 8))
        return np.sqrt(-np.expm1(2 * self.log_overlap(alpha2, noise)))


def decompose(law: Law) -> Pairs:
    """Pairs in the span of their factors: one batched `eigh` of 2 r x 2 r matrices."""
    means, factors = law.means, law.factors
    count, size = means.shape
    i, j = np.triu_indices(count, 1)
    apart = means[i] - means[j]
    squares = (apart**2).sum(1)
    if factors is None:
        axes = np.full((1, len(i)), law.variance)
        own = np.full((1, count), law.variance)
        return Pairs(i, j, axes, squares[None], own, True, size)
    half = factors / np.sqrt(2)
    pair = np.concatenate([half[i], half[j]], axis=2)
    turned = pair.swapaxes(1, 2)
    added, turn = np.linalg.eigh(turned @ pair)
    inside = (turn.swapaxes(1, 2) @ (turned @ apart[..., None]))[..., 0]
    along = np.where(added > 1e-13, inside**2 / np.maximum(added, 1e-13), 0)
    rest = np.maximum(squares - along.sum(1), 0)
    spikes = np.linalg.eigvalsh(factors.swapaxes(1, 2) @ factors)
    floor = law.variance
    axes = np.vstack([floor + np.maximum(added, 0).T, np.full(len(i), floor)])
    own = np.vstack([floor + spikes.T, np.full(count, floor)])
    return Pairs(i, j, axes, np.vstack([along.T, rest]), own, False, size)


def levels(log_snr: float) -> tuple[float, float]:
    """alpha^2 and sigma^2 of variance one."""
    return 1 / (1 + math.exp(-log_snr)), 1 / (1 + math.exp(log_snr))


def crossing(curve: Any, grid: np.ndarray, values: np.ndarray) -> float:
    """OU time at which a falling curve, given on the grid, is zero."""
    if values[0] <= 0 or values[-1] > 0:
        return math.nan
    first = int(np.count_nonzero(values > 0)) - 1
    place = brentq(curve, grid[first + 1], grid[first], xtol=TOLERANCE)
    return 0.5 * math.log1p(math.exp(-place))


def windows(law: Law, grid: np.ndarray, epsilon: float) -> dict[str, np.ndarray]:
    """What `sweep_windows` finds, times that do not exist as NaN.

    `grid` are falling log-SNRs.
    """
    pairs, weights, labels = decompose(law), law.weights, law.labels
    count, index = len(weights), pairs.index
    alpha2 = 1 / (1 + np.exp(-grid))[:, None]
    lower, upper, overlap = pairs.bounds(alpha2, 1 - alpha2)
    others = [np.flatnonzero(np.arange(count) != i) for i in range(count)]
    high, low = 1 - epsilon**2, epsilon
    found = {name: np.zeros((count, count)) for name in ("pair_end", "pair_start")}
    if pairs.shared:
        for name, at in (
            ("pair_end", math.sqrt(8) * float(erfinv(epsilon))),
            ("pair_start", -2 * float(ndtri(epsilon**2 / 2))),
        ):
            excess = pairs.along[0] / at**2 - pairs.axes[0]
            time = 0.5 * np.log1p(np.where(excess >= 0, excess, np.nan))
            found[name][pairs.first, pairs.second] = time
    else:
        for p, (i, j) in enumerate(zip(pairs.first, pairs.second, strict=True)):
            one = pairs.of_pairs(p, i, j)
            found["pair_end"][i, j] = crossing(
                lambda x, one=one: one.upper(*levels(x)) - low, grid, upper[:, p] - low
            )
            found["pair_start"][i, j] = crossing(
                lambda x, one=one: -math.expm1(one.log_overlap(*levels(x))) - high,
                grid,
                lower[:, p] - high,
            )
    for table in found.values():
        table += table.T
    same = labels[:, None] == labels[None]
    root = np.sqrt(weights)
    curves = {name: np.empty((len(grid), count)) for name in ("intra", "leak")}
    singles = {name: np.empty(count) for name in ("after", "before", "best_time")}
    best_upper = np.empty(count)
    for i, rest in enumerate(others):
        of_i = index[i, rest]
        near = pairs.of_pairs(of_i, np.full_like(rest, i), rest)
        share = weights[rest] / (1 - weights[i])
        logs, roots = np.log(share), np.sqrt(share)

        def told(x, near=near, share=share, logs=logs, roots=roots):
            level = levels(x)
            if near.shared:
                distance = np.sqrt(near.square(*level))
                return high_gap(distance, share, logs)
            return 1 - high - roots @ np.exp(near.log_overlap(*level))

        def high_gap(distance, share, logs):
            shift, half = logs / distance, distance / 2
            common = ndtr(shift - half) + share * ndtr(-shift - half)
            return 1 - high - common.sum(-1)

        if pairs.shared:
            square = alpha2 * pairs.along[0, of_i] / (1 + alpha2 * (law.variance - 1))
            values = high_gap(np.sqrt(square), share, logs)
        else:
            values = 1 - high - overlap[:, of_i] @ roots
        singles["after"][i] = crossing(told, grid, values)
        unlike = lambda x, near=near, w=weights[rest]: w @ near.upper(*levels(x)) - low
        singles["before"][i] = crossing(
            unlike, grid, upper[:, of_i] @ weights[rest] - low
        )
        members = np.flatnonzero(same[i])
        outside = np.flatnonzero(~same[i])
        whole = weights[members].sum()
        inside = members[members != i]
        weight = weights[inside] / whole
        across = index[np.ix_(members, outside)].ravel()
        both = (root[members][:, None] * root[outside]).ravel() / (2 * whole)
        intra = upper[:, index[i, inside]] @ weight
        leak = overlap[:, across] @ both
        curves["intra"][:, i], curves["leak"][:, i] = intra, leak
        a, b = np.repeat(members, len(outside)), np.tile(outside, len(members))
        within = pairs.of_pairs(index[i, inside], np.full_like(inside, i), inside)
        beyond = pairs.of_pairs(across, a, b)

        def total(x, within=within, beyond=beyond, weight=weight, both=both):
            level = levels(x)
            intra = weight @ within.upper(*level)
            return intra + both @ np.exp(beyond.log_overlap(*level))

        u = intra + leak
        best = len(u) - 1 - int(np.argmin(u[::-1]))
        place, value = grid[best], u[best]
        if 0 < best < len(u) - 1:
            ends = grid[best + 1], grid[best - 1]
            lowest = minimize_scalar(
                total, bounds=ends, method="bounded", options={"xatol": 1e-4}
            )
            place, value = lowest.x, lowest.fun
        singles["best_time"][i] = 0.5 * math.log1p(math.exp(-place))
        best_upper[i] = value
    return found | curves | singles | {"best_upper": best_upper}
