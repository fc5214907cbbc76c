"""Exact backward paths along the class direction, and the three regimes they cross."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._typing import Key
from jaxwin.analysis import Crossing, collapse, speciation
from jaxwin.io import field
from jaxwin.plots import paths
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import times_table
from jaxwin.report.reproduce._clones import clusters
from jaxwin.report.reproduce._entry import Entry
from jaxwin.samplers import ExactTransition, FromLaw, trajectory
from jaxwin.scores import ExactScore
from jaxwin.targets import Empirical

if TYPE_CHECKING:
    import matplotlib.figure

DIMENSION, POINTS, PATHS = 256, 2000, 24
TIMES = np.append(np.linspace(5.0, 0.05, 199), 0.0)
EXACT = OrnsteinUhlenbeck()


class Trajectories(eqx.Module):
    """Backward paths of the exact empirical score of n points of two clusters.

    q = m . x / |m|, which ends near +-|m|; `nearest_changes` is true where the nearest
    data point is another one than at the time before (noisier).
    """

    t_S: Crossing
    t_C: Crossing
    num_points: int = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    path: Float[np.ndarray, "p t"] = field(("path_number", "noise"), "noise widths")
    nearest_changes: Bool[np.ndarray, "p t"] = field(("path_number", "noise"), "")
    last_change: Float[np.ndarray, " p"] = field(("path_number",), "OU time")


def measure(seed: int) -> Trajectories:
    """Draw the points, then run every path by exact transitions on one grid."""
    population = clusters(DIMENSION)
    data_key, path_key = jr.split(jr.key(seed))
    law = Empirical(jax.vmap(population.sample)(jr.split(data_key, POINTS)))
    path, changes = _paths(law, jnp.asarray(TIMES), path_key)
    changed, path = np.asarray(changes), np.asarray(path)
    # Without a change the first place, the noisiest time.
    steps = np.arange(TIMES.size)
    last = TIMES[np.max(np.where(changed, steps, 0), axis=1)]
    return Trajectories(
        noise=TIMES,
        path=path,
        nearest_changes=changed,
        last_change=last,
        t_S=speciation.times(population).curvature,
        t_C=collapse.two_cluster_time(float(DIMENSION), 1.0, DIMENSION, POINTS),
        num_points=POINTS,
        dimension=DIMENSION,
    )


@eqx.filter_jit
def _paths(
    law: Empirical, times: Float[Array, " t"], key: Key
) -> tuple[Float[Array, "p t"], Bool[Array, "p t"]]:
    """Coordinate along the class direction, and where the nearest point changes."""
    score = ExactScore(law, EXACT)
    start_key, key = jr.split(key)
    begin = FromLaw(law, EXACT, times[0])
    alphas, sigmas = EXACT.levels(times, law.centre.dtype)

    def one(replica: Array) -> tuple[Float[Array, " t"], Bool[Array, " t"]]:
        x = begin(jr.fold_in(start_key, replica))
        xs = trajectory(ExactTransition(law), score, x, times, key, replica)
        near = jax.lax.map(lambda now: law.nearest(*now), (xs, alphas, sigmas))
        changes = jnp.any(near[1:] != near[:-1], axis=1)
        return xs.sum(axis=1) / np.sqrt(DIMENSION), jnp.append(False, changes)

    return jax.vmap(one)(jnp.arange(PATHS, dtype=jnp.int32))


def _study(measuring: Measuring) -> Study:
    found = measure(measuring.seed)
    mean = found.last_change.mean()
    error = found.last_change.std(ddof=1) / np.sqrt(PATHS)
    table = times_table(
        f"Backward paths of n = {POINTS:,} points of two clusters, d = {DIMENSION}",
        [[("t_S  curvature", found.t_S), ("t_C  log n = I(t)", found.t_C)]],
        f"The nearest data point changes last at {mean:.2f} ± {error:.2f} (mean of "
        f"{PATHS} paths).",
    )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={
            "n": POINTS,
            "d": DIMENSION,
            "t_S": found.t_S.to_json(),
            "t_C": found.t_C.to_json(),
            "last_change": {
                "mean": float(mean),
                "stderr": float(error),
            },
        },
        figures={"trajectories": _figure(found)},
        table=table,
        count=PATHS,
    )


def _figure(found: Trajectories) -> "matplotlib.figure.Figure":
    return paths(
        found.noise,
        found.path,
        [
            ("I noise", float(found.t_S.time), float(found.noise[0])),
            ("II one class", float(found.t_C.time), float(found.t_S.time)),
            ("III one point", 0.0, float(found.t_C.time)),
        ],
        [("t_S", float(found.t_S.time)), ("t_C", float(found.t_C.time))],
        "OU time (generation runs to the right)",
        "q = m·x / |m|",
        dots=found.last_change,
    )


ENTRY = Entry(
    name="dynamical-regimes-trajectories",
    title="Exact backward paths along the class direction, regimes I, II, III shaded",
    source="arXiv:2402.18491, section 1",
    published="none available",
    make=_study,
)
