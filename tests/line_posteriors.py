"""Posteriors of densities on the line by brute force, in extended precision.

Plain numpy, nothing of jaxwin: the window in which the posterior lives is searched, and
cut into hundreds of pieces.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

NODES, WEIGHTS = (v.astype(np.longdouble) for v in np.polynomial.legendre.leggauss(20))
PIECES = 40
DROP = 60.0
LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Density:
    """Density ~ exp(psi(u)) with all its mass within [low, high], smooth but at cuts.

    Its logarithm is concave, or `bumpy`: then it is cut everywhere, and the noise must
    not be narrow.
    """

    psi: Callable[[np.ndarray], np.ndarray]
    centre: float
    scale: float
    cuts: tuple[float, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    bumpy: bool = False


def window(density: Density, exponent, near: list) -> tuple:
    """Top of the exponent and where it is down by DROP, or the end of the density."""
    low, high = np.longdouble(density.low), np.longdouble(density.high)
    inside = [np.clip(v, low, high) for v in near]
    places = np.unique(np.concatenate([np.atleast_1d(v) for v in inside]))
    for _ in range(60):
        values = exponent(places)
        best = int(np.argmax(values))
        left, right = max(best - 1, 0), min(best + 1, places.size - 1)
        if places[right] - places[left] == 0:
            break
        places = np.linspace(places[left], places[right], 9, dtype=np.longdouble)
    top = places[int(np.argmax(exponent(places)))]
    highest = exponent(top)

    def edge(sign):
        end = high if sign > 0 else low
        step = np.longdouble(1e-30) * (1 + abs(top))
        while exponent(np.clip(top + sign * step, low, high)) > highest - DROP:
            if np.clip(top + sign * step, low, high) == end:
                return end
            step *= 2
        return np.clip(top + sign * step, low, high)

    return edge(-1), top, edge(1)


def pieces(density: Density, exponent, near: list) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights of a quadrature over exp(exponent)."""
    if density.bumpy:
        ends = np.linspace(density.low, density.high, 4 * PIECES, dtype=np.longdouble)
        cuts = np.asarray(density.cuts, ends.dtype)
        cuts = cuts[(cuts > density.low) & (cuts < density.high)]
        ends = np.unique(np.concatenate([ends, cuts]))
    else:
        low, top, high = window(density, exponent, near)
        cuts = [c for c in (*density.cuts, top) if low < c < high]
        marks = np.sort(np.array([low, *cuts, high], np.longdouble))
        ends = np.concatenate(
            [
                np.linspace(a, b, max(PIECES // (marks.size - 1), 4) + 1)[:-1]
                for a, b in zip(marks[:-1], marks[1:], strict=True)
            ]
            + [marks[-1:]]
        )
    half = np.diff(ends) / 2
    places = (ends[:-1] + half)[:, None] + half[:, None] * NODES
    return places.ravel(), (half[:, None] * WEIGHTS).ravel()


@lru_cache
def log_mass(density: Density) -> float:
    """Log of the integral of exp(psi)."""
    spread = density.centre + density.scale * np.linspace(-50, 50, 801)
    places, weights = pieces(density, density.psi, [spread.astype(np.longdouble)])
    values = density.psi(places)
    top = values.max()
    return top + np.log(np.sum(weights * np.exp(values - top)))


@dataclass(frozen=True)
class Posterior:
    """Log-density of x, mean and variance of u given x, score of x.

    evidence: the log of the same integral, with exp(psi) as it stands.
    """

    log_density: float
    mean: float
    variance: float
    score: float
    evidence: float


def share_below(
    density: Density, x: float, alpha: float, sigma: float, u: float
) -> float:
    """Probability of less than u given x."""
    below = posterior(replace(density, high=u), x, alpha, sigma)
    return float(np.exp(below.evidence - posterior(density, x, alpha, sigma).evidence))


def posterior(density: Density, x: float, alpha: float, sigma: float) -> Posterior:
    """By brute force, in v = u - x / alpha where the noise is narrow."""
    x, alpha, sigma = map(np.longdouble, (x, alpha, sigma))  # pyright: ignore
    origin = x / alpha if sigma < alpha * density.scale else 0 * x
    missing = x - alpha * origin if origin == 0 else 0 * x
    moved = replace(
        density,
        psi=lambda v: density.psi(origin + v),
        centre=density.centre - origin,
        cuts=tuple(np.longdouble(c) - origin for c in density.cuts),
        low=np.longdouble(density.low) - origin,
        high=np.longdouble(density.high) - origin,
    )
    exponent = lambda v: moved.psi(v) - 0.5 * ((missing - alpha * v) / sigma) ** 2
    spread = np.linspace(-50, 50, 801).astype(np.longdouble)
    near = [moved.centre + moved.scale * spread, np.asarray(moved.cuts, spread.dtype)]
    if alpha > 0:
        near.append((missing + sigma * spread) / alpha)
    places, weights = pieces(moved, exponent, near)
    values = exponent(places)
    top = values.max()
    mass = weights * np.exp(values - top)
    total = mass.sum()
    mass = mass / total
    mean = np.sum(mass * places)
    from_x = np.sum(mass * (alpha * places - missing))
    evidence = float(top + np.log(total) - np.log(sigma)) - 0.5 * LOG_TWO_PI
    return Posterior(
        evidence - float(log_mass(density)),
        float(origin + mean),
        float(np.sum(mass * (places - mean) ** 2)),
        float(from_x / sigma**2),
        evidence,
    )
