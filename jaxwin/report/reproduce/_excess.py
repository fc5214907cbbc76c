"""Excess entropy of two clusters against time: collapse, for three dimensions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxwin.analysis import Crossing, collapse, stack, sweep, unstack
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import Empirical

DIMENSIONS = (256, 1024, 4096)
POINTS = 20_000
# The paper's times, t = 8 (1 - 0.98 k / 20).
TIMES = np.sort(8 * (1 - 0.98 * np.arange(20) / 20))
# Released with the paper, 250,000 draws: time, f / alpha, standard error (0.0023 at
# every time of d = 256; others where they are known).
PUBLISHED = {
    256: ([0.944, 1.336, 2.120, 2.904], [0.0054, 0.1597, 0.7498, 0.9326]),
    1024: ([2.904, 3.296], [0.7852, 0.8869]),
    4096: ([3.688], [0.8144]),
}


class Excess(eqx.Module):
    """Excess entropy f(t) / alpha of n points of clusters at +-(1, ..., 1), sigma = 1.

    One set of data points with their Gaussians serves all times: errors are correlated
    along each curve, and are given these n points.
    """

    num_points: int = eqx.field(static=True)
    draws: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    dimension: Int[np.ndarray, " d"] = field(("dimension",), "")
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    excess: Float[np.ndarray, "d t"] = field(("dimension", "noise"), "alpha", "f")
    stderr: Float[np.ndarray, "d t"] = field(("dimension", "noise"), "alpha")
    finite_size: Float[np.ndarray, "d t"] = field(
        ("dimension", "noise"), "alpha", "f by the Gaussian law of log-weights"
    )
    leading: Float[np.ndarray, "d t"] = field(
        ("dimension", "noise"), "alpha", "f at leading order in d, 0 after t_C"
    )
    own_weight: Float[np.ndarray, "d t"] = field(("dimension", "noise"), "probability")
    own_weight_stderr: Float[np.ndarray, "d t"] = field(
        ("dimension", "noise"), "probability"
    )
    t_half: Crossing = field(("dimension",), "", "own weight 1/2, measured")
    t_log2: Crossing = field(("dimension",), "", "d f = log 2, measured")
    t_information: Crossing = field(("dimension",), "", "log n = I(t), exact")
    t_leading: Float[np.ndarray, " d"] = field(("dimension",), "OU time", "t_C")


def measure(measuring: Measuring) -> Excess:
    """One pass over the points of each dimension."""
    found = []
    keys = measuring.keys(len(DIMENSIONS))
    # The largest first: what it leaves behind in memory fits the others.
    for d, key in reversed(list(zip(DIMENSIONS, keys, strict=True))):
        law = Empirical(points(d, measuring.seed))
        # The population's spectrum: that of the points would take O(n d^2) more.
        spread = np.ones(d)
        spread[0] += d
        options = measuring.options(f"d = {d}", key)
        found.insert(0, collapse.read(sweep(law, TIMES, **options), spread))
    log_n = np.log(POINTS)
    each = lambda name: np.stack([getattr(one, name) for one in found])
    law = [[_finite_size(d, t) for t in TIMES] for d in DIMENSIONS]
    return Excess(
        dimension=np.asarray(DIMENSIONS),
        noise=TIMES,
        excess=each("excess") / log_n,
        stderr=each("excess_stderr") / log_n,
        finite_size=np.asarray(law),
        leading=np.stack([_leading(d, TIMES) for d in DIMENSIONS]),
        own_weight=each("own_weight"),
        own_weight_stderr=each("own_weight_stderr"),
        t_half=stack([one.t_half for one in found]),
        t_log2=stack([one.t_log2 for one in found]),
        t_information=stack(
            [collapse.two_cluster_time(float(d), 1.0, d, POINTS) for d in DIMENSIONS]
        ),
        t_leading=np.array(
            [float(collapse.leading_time(log_n / d, 1.0)) for d in DIMENSIONS]
        ),
        num_points=POINTS,
        draws=found[0].count,
        method=found[0].method + ", float32 points",
    )


def points(dimension: int, seed: int) -> Float[jax.Array, "n d"]:
    """Points of the two clusters; in float32, which halves the memory."""
    generator = np.random.default_rng([seed, dimension])
    z = generator.standard_normal((POINTS, dimension), np.float32)
    side = generator.integers(0, 2, (POINTS, 1)).astype(np.float32) * 2 - 1
    return jnp.asarray(z + side)


@jax.jit
def _law(dimension: jax.Array, time: jax.Array) -> jax.Array:
    found = collapse.two_cluster_finite_size(dimension, 1.0, dimension, POINTS, time)
    return found.excess / np.log(POINTS)


def _finite_size(dimension: int, time: float) -> float:
    return float(_law(jnp.asarray(float(dimension)), jnp.asarray(time)))


def _leading(dimension: int, times: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """1 - log(Gamma / Delta) / (2 alpha), until it is zero."""
    rate = np.log(POINTS) / dimension
    return np.clip(1 - 0.5 * np.log1p(1 / np.expm1(2 * times)) / rate, 0, None)


def _study(measuring: Measuring) -> Study:
    found = measure(measuring)
    fine = np.linspace(TIMES[0], TIMES[-1], 151)
    series = [
        Series(
            f"d = {d}",
            (TIMES, found.excess[i], found.stderr[i]),
            (fine, np.array([_finite_size(d, t) for t in fine])),
            (np.array(PUBLISHED[d][0]), np.array(PUBLISHED[d][1])),
        )
        for i, d in enumerate(DIMENSIONS)
    ]
    drawn = beside(
        series,
        "OU time (dotted: t_C at leading order, for each d)",
        "excess entropy f / α",
        marks=[("", time) for time in found.t_leading],
        ylim=(-0.02, 1.05),
    )
    table = plain_table(
        f"Collapse onto n = {POINTS:,} points, {found.draws:,} draws",
        ["d", "own weight ½", "d f = log 2", "log n = I(t)", "t_C, leading"],
        "± one standard error given these points; errors along a curve are correlated.",
    )
    rows = []
    times = zip(
        DIMENSIONS,
        unstack(found.t_half),
        unstack(found.t_log2),
        unstack(found.t_information),
        found.t_leading,
        strict=True,
    )
    for d, half, log2, exact, leading in times:
        add_row(table, str(d), str(half), str(log2), str(exact), f"{leading:.4f}")
        rows.append(
            {
                "d": d,
                "t_half": half.to_json(),
                "t_log2": log2.to_json(),
                "t_information": exact.to_json(),
                "t_leading": float(leading),
            }
        )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={"n": POINTS, "draws": found.draws, "dimensions": rows},
        figures={"excess": drawn},
        table=table,
        largest_error=float(found.own_weight_stderr.max()),
        count=found.draws,
        kept=8 * TIMES.size,
    )


ENTRY = Entry(
    name="dynamical-regimes-excess",
    title="Excess entropy f(t) / α for d = 256, 1024, 4096, n = 20,000",
    source="arXiv:2402.18491, section 3",
    published="points",
    make=_study,
)
