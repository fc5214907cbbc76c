"""Clone agreement of two clusters, by pairs of backward runs, for four dimensions."""

import dataclasses

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from jaxwin.analysis import Crossing, speciation, stack, unstack
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.samplers import ExactTransition
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

DIMENSIONS = (256, 1024, 4096, 16384)
TIMES = np.arange(1.0, 10.25, 0.5)
PAIRS = 10_000
# Counts released with the paper, 10,000 pairs each: time and phi, by dimension.
PUBLISHED = {
    256: ([2.0, 2.5, 3.0, 4.0, 5.0], [0.9775, 0.8620, 0.7012, 0.5343, 0.5027]),
    1024: ([2.5, 3.0, 4.0, 5.0], [0.9944, 0.9122, 0.6216, 0.5245]),
    4096: ([3.0, 4.0, 5.0], [0.9984, 0.8217, 0.5719]),
    16384: ([4.0, 5.0], [0.9854, 0.7295]),
}


class Clones(eqx.Module):
    """Clone agreement of clusters at +-(1, ..., 1), sigma = 1, in each dimension."""

    pairs: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    dimension: Int[np.ndarray, " d"] = field(("dimension",), "")
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    phi: Float[np.ndarray, "d t"] = field(("dimension", "noise"), "probability")
    stderr: Float[np.ndarray, "d t"] = field(("dimension", "noise"), "probability")
    predicted: Float[np.ndarray, "d t"] = field(
        ("dimension", "noise"), "probability", "closed form, by quadrature"
    )
    crossing: Crossing = field(("dimension",), "", "phi = 0.775, measured")
    t_S: Float[np.ndarray, " d"] = field(("dimension",), "OU time", "log(d) / 2")

    @property
    def z(self) -> Float[np.ndarray, "d t"]:
        """Measured less predicted, in standard errors; 0 where nothing scatters."""
        safe = np.where(self.stderr > 0, self.stderr, np.inf)
        return (self.phi - self.predicted) / safe


def measure(measuring: Measuring) -> Clones:
    """Simulate the clones by exact transitions, in the one direction that matters."""
    measuring = dataclasses.replace(measuring, full=PAIRS)
    found = []
    keys = measuring.keys(len(DIMENSIONS))
    for d, key in zip(DIMENSIONS, keys, strict=True):
        law = clusters(d)
        options = measuring.options(f"d = {d}", key)
        found.append(
            speciation.simulated_agreement(
                ExactTransition(law),
                ExactScore(law, OrnsteinUhlenbeck()),
                TIMES,
                options.pop("num_replicas"),
                options.pop("key"),
                hard=True,
                **options,
            )
        )
    return Clones(
        dimension=np.asarray(DIMENSIONS),
        noise=TIMES,
        phi=np.stack([one.phi for one in found]),
        stderr=np.stack([one.stderr for one in found]),
        predicted=np.stack([predicted(d, TIMES) for d in DIMENSIONS]),
        crossing=stack([one.crossing for one in found]),
        t_S=0.5 * np.log(DIMENSIONS),
        pairs=found[0].count,
        method=found[0].method,
    )


def clusters(dimension: int) -> GaussianMixture:
    """Clusters at +-(1, ..., 1) of unit variance."""
    side = np.ones(dimension)
    return GaussianMixture.isotropic(np.stack([side, -side]), 1.0)


def predicted(
    dimension: int, times: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """Phi(r), r = sqrt(d) e^-t."""
    r = np.sqrt(dimension) * np.exp(-times)
    return np.asarray([speciation.agreement(each) for each in r])


def _study(measuring: Measuring) -> Study:
    found = measure(measuring)
    fine = np.linspace(TIMES[0], TIMES[-1], 181)
    series = [
        Series(
            f"d = {d}",
            (TIMES, found.phi[i], found.stderr[i]),
            (fine, predicted(d, fine)),
            (np.array(PUBLISHED[d][0]), np.array(PUBLISHED[d][1])),
        )
        for i, d in enumerate(DIMENSIONS)
    ]
    drawn = beside(
        series,
        "OU time at which the clones part",
        "φ, clones in one class",
        levels=[("0.775", speciation.LEVEL)],
    )
    scatters = found.stderr > 0
    chi2 = float(np.sum(found.z[scatters] ** 2) / scatters.sum())
    table = plain_table(
        f"Clone agreement, {found.pairs:,} pairs a time (chi²/dof to theory "
        f"{chi2:.2f} over {scatters.sum()} points)",
        ["d", "t at φ = 0.775", "½ log d", "largest |z|"],
        found.method,
    )
    rows = []
    crossings = unstack(found.crossing)
    for i, (d, crossing) in enumerate(zip(DIMENSIONS, crossings, strict=True)):
        largest = float(np.abs(found.z[i]).max())
        add_row(table, str(d), str(crossing), f"{found.t_S[i]:.4f}", f"{largest:.1f}")
        rows.append({"d": d, "t_phi": crossing.to_json(), "t_S": float(found.t_S[i])})
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={"pairs": found.pairs, "chi2_per_dof": chi2, "dimensions": rows},
        figures={"clones": drawn},
        table=table,
        largest_error=float(found.stderr.max()),
        count=found.pairs,
    )


ENTRY = Entry(
    name="dynamical-regimes-clones",
    title="Clone agreement of two clusters for d = 256 ... 16384, with theory",
    source="arXiv:2402.18491, section 2",
    published="points",
    make=_study,
)
