"""Branches of fixed points, followed without being told where, on exact equations.

Each law has one order parameter m along its preferred direction, and each exact
equation of state gives the coupling at which m is a fixed point: K(m), an inverse
temperature, 1 / sinh(B) of the clock. The clock is read off K, so that lines go around
their folds.
"""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from jaxwin.analysis import Crossing, stack, unstack
from jaxwin.analysis.symmetry import (
    CriticalTimes,
    FixedBranch,
    branch,
    critical_times,
    potts_times,
    predicted_time,
    spinodal,
)
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.processes import VariancePreserving
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import (
    AbstractTarget,
    GaussianMixture,
    Hypersphere,
    orthogonal_patterns as patterns,
)

if TYPE_CHECKING:
    import matplotlib.figure

CLOCK = VariancePreserving(0.1, 20.0)
WEIGHT, PATTERNS, DIMENSION = 0.6, 3, 3
# Where the search begins, of the whole clock.
BEGIN, TIMES = 0.1, (0.05, 0.6)
SHOWN = (0.05, 0.4)
POINTS = {False: 120, True: 60}
# Next to the centre K(m) is 0 / 0, and at the ends the logarithm of rounding.
INSIDE = 0.05, 0.999
# Where the authors' notebook finds the split: index 707 of 1000 in generation.
PRINTED = 0.293
TIME = "s, time of the process (more noise →)"


class Law(eqx.Module):
    """A law, the clean point from which its branch is followed, and its order."""

    target: AbstractTarget
    begin: Float[np.ndarray, " d"]


class Bifurcations(eqx.Module):
    """Branches, exact lines, and critical times found beside predicted ones."""

    names: tuple[str, ...] = eqx.field(static=True)
    largest_error: float = eqx.field(static=True)
    time: Float[np.ndarray, "l p"] = field(("law", "point"), "s", nullable=True)
    order: Float[np.ndarray, "l p"] = field(("law", "point"), "", nullable=True)
    stable: Float[np.ndarray, "l p"] = field(("law", "point"), "", nullable=True)
    line_time: Float[np.ndarray, "l m"] = field(("law", "place"), "s", nullable=True)
    line_order: Float[np.ndarray, "l m"] = field(("law", "place"), "")
    found: Crossing = field(("law",), "")
    predicted: Crossing = field(("law",), "")


def laws() -> dict[str, Law]:
    """One law for each kind of transition."""
    points = lambda p: GaussianMixture.isotropic([[1.0], [-1.0]], 0.0, [p, 1 - p])
    return {
        "two points": Law(points(0.5), np.array([0.95])),
        f"weights {WEIGHT:g}, {1 - WEIGHT:g}": Law(points(WEIGHT), np.array([-0.95])),
        f"{PATTERNS} patterns": Law(patterns(PATTERNS), np.eye(PATTERNS)[0] * 0.999),
        f"sphere, d = {DIMENSION}": Law(
            Hypersphere(DIMENSION, 1.0), np.eye(DIMENSION)[0] * 0.95
        ),
    }


def measure(points: int) -> Bifurcations:
    """Follow the branch of each law, and find its critical times."""
    names, given = tuple(laws()), list(laws().values())
    follow = lambda law: branch(
        law.target, CLOCK, law.begin, BEGIN, times=TIMES, count=points
    )
    branches = [follow(law) for law in given]
    critical = [critical_times(law.target, CLOCK, starts=24) for law in given]
    orders = [_order(law, one) for law, one in zip(given, branches, strict=True)]
    pad = lambda rows: np.stack(
        [np.pad(r, (0, points - len(r)), constant_values=np.nan) for r in rows]
    )
    places = np.linspace(-0.999, 0.999, 1999)
    lines = [equation(places) for equation in _EQUATIONS]
    # What K(m) of the exact equation misses at the points of the branch.
    misses = [
        np.abs(equation(order) / _coupling(one.time) - 1)[_inside(order)]
        for equation, order, one in zip(_EQUATIONS, orders, branches, strict=True)
    ]
    return Bifurcations(
        names=names,
        time=pad([one.time for one in branches]),
        order=pad(orders),
        stable=pad([one.stable.astype(float) for one in branches]),
        line_time=np.stack([_time(k) for k in lines]),
        line_order=np.stack([places] * len(names)),
        found=stack([_noisiest(one) for one in critical]),
        predicted=stack(_predicted()),
        largest_error=float(max(np.max(miss) for miss in misses)),
    )


def _order(law: Law, one: FixedBranch) -> Float[np.ndarray, " p"]:
    """The clean fixed point along the preferred direction, between -1 and 1."""
    mean = np.asarray(law.target.moments().mean)
    # Weights of patterns: the preferred one beside the mean of the others.
    if mean.size == PATTERNS and np.any(mean != 0):
        return one.clean[:, 0] - one.clean[:, 1]
    return one.clean[:, 0]


def _inside(order: Float[np.ndarray, " p"]) -> np.ndarray:
    return (np.abs(order) > INSIDE[0]) & (np.abs(order) < INSIDE[1])


def _points(m: Float[np.ndarray, " m"], weight: float) -> Float[np.ndarray, " m"]:
    """K of m = tanh(K m + h)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.arctanh(m) - np.arctanh(2 * weight - 1)) / m


def _patterns(m: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """K of log(w / w') = K (w - w'), w = w' + m, w + (N - 1) w' = 1."""
    other = (1 - m) / PATTERNS
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log((other + m) / other) / m


def _sphere(m: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """K of m = A(K m): kappa / m with A(kappa) = m, A = coth kappa - 1 / kappa."""
    kappa = np.geomspace(1e-3, 1e4, 20001)
    order = DIMENSION / 2 - 1
    ratio = scipy.special.ive(order + 1, kappa) / scipy.special.ive(order, kappa)
    size = np.abs(m)
    with np.errstate(divide="ignore", invalid="ignore"):
        fine = np.interp(size, ratio, kappa)
        for _ in range(3):
            a = scipy.special.ive(order + 1, fine) / scipy.special.ive(order, fine)
            slope = 1 - a**2 - (DIMENSION - 1) * a / fine
            fine = np.where(size > 1e-3, fine - (a - size) / slope, fine)
        return fine / size


_EQUATIONS = (
    lambda m: _points(m, 0.5),
    lambda m: _points(m, WEIGHT),
    _patterns,
    _sphere,
)


def _coupling(t: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """K = 1 / sinh(B) = 2 q / (1 - q^2) of the reverse SDE, at unit size."""
    return 1 / np.sinh(-2 * np.asarray(CLOCK.log_alpha(jnp.asarray(t))))


def _time(strength: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """The clock at K; not a number where there is none."""
    some = np.isfinite(strength) & (strength > 0)
    log_alpha = -0.5 * np.arcsinh(1 / np.where(some, strength, 1.0))
    time = np.asarray(CLOCK.time_of_log_alpha(jnp.asarray(log_alpha)))
    return np.where(some & (time < 1), time, np.nan)


def _noisiest(found: CriticalTimes) -> Crossing:
    return unstack(found.transitions.time)[0]


def _predicted() -> list[Crossing]:
    return [
        predicted_time(1.0, CLOCK),
        spinodal(WEIGHT, CLOCK).time,
        potts_times(PATTERNS, CLOCK).spinodal,
        predicted_time(1.0 / DIMENSION, CLOCK),
    ]


def _study(measuring: Measuring) -> Study:
    """Where branches of minima appear, by continuation and in closed form.

    Keys of `summary.json`: `laws`, by name: `found` and `predicted` (s, the noisiest
    transition), `points` of the branch; `largest_error`: of K along all branches,
    relative to the exact equation of state; `printed` (s of two points).
    """
    found = measure(POINTS[measuring.quick])
    pairs = zip(unstack(found.found), unstack(found.predicted), strict=True)
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={
            "laws": {
                name: {
                    "found": one.to_json(),
                    "predicted": other.to_json(),
                    "points": int(np.sum(np.isfinite(found.time[i]))),
                }
                for i, (name, (one, other)) in enumerate(
                    zip(found.names, pairs, strict=True)
                )
            },
            "largest_error": found.largest_error,
            "printed": PRINTED,
        },
        figures={
            f"branch_{key}": _figure(found, i)
            for i, key in enumerate(("points", "weights", "patterns", "sphere"))
        },
        table=_table(found),
        largest_error=found.largest_error,
    )


def _figure(found: Bifurcations, i: int) -> "matplotlib.figure.Figure":
    stable = found.stable[i] == 1
    none = np.zeros(found.time.shape[1])
    pick = lambda some: (found.time[i][some], found.order[i][some], none[some])
    line = found.line_time[i], found.line_order[i]
    series = [Series("stable", pick(stable), line)]
    unstable = found.stable[i] == 0
    if unstable.any():
        series.append(Series("unstable", pick(unstable)))
    critical = unstack(found.predicted)[i]
    return beside(
        series,
        TIME,
        f"order of E[x0 | x], {found.names[i]}",
        marks=[(f"s = {float(critical.time):.4f}", float(critical.time))],
        xlim=SHOWN,
        kinds={"measured": "continuation", "predicted": "exact"},
    )


def _table(found: Bifurcations) -> Any:
    table = plain_table(
        "Where new minima appear in generation, reverse SDE, s",
        ["", "found", "predicted", "difference"],
        "Found from starts at the clean end alone. K along the branches agrees with "
        f"the exact equations of state to {found.largest_error:.1g}. Printed for two "
        f"points: index 707 of 1000, s = {PRINTED}.",
    )
    rows = zip(found.names, unstack(found.found), unstack(found.predicted), strict=True)
    for name, one, other in rows:
        difference = float(one.time) - float(other.time)
        times = (f"{float(t.time):.7f}" for t in (one, other))
        add_row(table, name, *times, f"{difference:.1g}")
    return table


ENTRY = Entry(
    name="symmetry-bifurcation",
    title="Branches of fixed points by continuation: pitchfork, spinodal, first order",
    source="arXiv:2305.19693, section 3 (two points); the others derived",
    published="points",
    make=_study,
)
