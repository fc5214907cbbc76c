"""Do 95 % intervals of the times cover? Given the data, and over fresh data.

    python benchmarks/coverage.py [CASE ...]

Given the data, replicates differ in their key; the truth is where the mean curve of
all of them crosses, more than 10^7 noised points of that data set. (A replicate is one
in 1,221 of its own truth: that makes its distance 0.04 % smaller.) Over fresh data,
every replicate has a data set of its own; the truth is where the mean curve of 4,000
further data sets crosses, with its error stated in standard errors of a replicate. A
curve is the same unbiased average at any number of noised points.

Data are Gaussian classes of unit variance in float32; work is done for many replicates
by one compiled program, on one thread.
Writes benchmarks/results/coverage_CASE_jaxVERSION.json.
"""

import os

THREADS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " " + THREADS
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import dataclasses
import functools
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin.analysis import Crossing, Feature, collapse, speciation, sweep, unstack
from jaxwin.analysis._crossing import crossing_place, over_fresh_data, read_off
from jaxwin.analysis._sweep import BATCH, COARSE, Sweep, _batch
from jaxwin.analysis.speciation._class_agreement import log_odds, pair_blocks
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report import noise_times
from jaxwin.targets import Empirical, PointGroups

OU = OrnsteinUhlenbeck()


@dataclasses.dataclass(frozen=True)
class Case:
    """Classes at `apart` times the first axes, drawn with `weights`.

    num_times: noise levels. noised: noised points of a replicate. fresh: whether every
    replicate has data of its own; the truth is then from `truths` other data sets, of
    `few` noised points each.
    """

    num_points: int
    dimension: int
    weights: tuple[float, ...]
    apart: float
    fresh: bool
    num_times: int
    noised: int
    replicates: int
    truths: int = 0
    few: int = 0

    def law(self, seed: int) -> Empirical:
        """A data set."""
        rng = np.random.default_rng(seed)
        labels = rng.choice(len(self.weights), self.num_points, p=self.weights)
        means = self.apart * np.eye(len(self.weights), self.dimension)
        points = means[labels] + rng.normal(size=(self.num_points, self.dimension))
        return Empirical(points.astype(np.float32), labels)

    @functools.cached_property
    def times(self) -> np.ndarray:
        """Levels of the data set of seed 0, for all."""
        return noise_times(np.asarray(self.law(0).points), count=self.num_times)

    @property
    def features(self) -> tuple[Feature]:
        """The classes, and all their pairs."""
        classes = len(self.weights)
        pairs = np.stack(np.triu_indices(classes, 1), axis=1).astype(np.int32)
        return (Feature(tuple(range(classes)), pairs),)

    @property
    def levels(self) -> dict[str, float]:
        """What is crossed, in the order of `curves`."""
        pairs = {f"t_phi {a} | {b}": 0.775 for a, b in self.features[0].pairs}
        ends = {"t_half": 0.5, "t_rest": 0.0, "t_log2": float(np.log(2))}
        return {"t_phi_all": 0.775} | pairs | ends


CASES = {
    "given_3d": Case(400, 3, (0.5, 0.3, 0.2), 2.0, False, 16, 8192, 1221),
    "given_8d": Case(1000, 8, (0.6, 0.4), 2.0, False, 12, 8192, 1221),
    "fresh_3d": Case(400, 3, (0.5, 0.3, 0.2), 2.0, True, 64, 1024, 1000, 4000, 256),
}


def pass_over(case: Case, law: Empirical, num_batches: int, key: jax.Array) -> Sweep:
    """A `sweep` without its parts over fresh data, in a single compiled program."""
    alphas, sigmas = OU.levels(jnp.asarray(case.times), law.centre.dtype)
    groups = PointGroups(law, 1)
    batches = jnp.arange(num_batches, dtype=jnp.int32)
    kept = _batches(groups, case.features, alphas, sigmas, key, batches)
    return Sweep(
        process=OU,
        features=case.features,
        noise=case.times,
        coordinate=-np.asarray(OU.log_snr(jnp.asarray(case.times))),
        label=np.asarray(kept["label"], np.int64),
        others=np.asarray(kept["others"], np.float64),
        counts=np.bincount(np.asarray(law.labels), minlength=law.num_labels),
        left_out=None,
        smaller={},
    )


@eqx.filter_jit
def _batches(groups, features, alphas, sigmas, key, batches):
    one = lambda i: _batch(groups, features, alphas, sigmas, key, i)["kept"]
    return jax.lax.map(one, batches)


def curves(found: Sweep) -> np.ndarray:
    """The curves that cross, in the order of `Case.levels`."""
    feature = found.features[0]
    draws = found.draws(feature, own=True)
    pairs = [
        pair_blocks(draws[a], draws[b], log_odds(a, b))[0] for a, b in feature.pairs
    ]
    rest = found.log_rest()
    points = (
        np.asarray(feature.purity(found.log_masses_with_own())),
        1 / (1 + np.exp(np.minimum(rest, 700))),
        rest,
        np.logaddexp(0, rest),
    )
    phi, *others = (values.mean(axis=(0, 1)) for values in points)
    return np.stack([phi, *pairs, *others])


def crossings(found: Sweep) -> list[Crossing]:
    """The times given these data as the report has them, as in `Case.levels`."""
    agreement = speciation.class_agreement(found)
    collapsed = collapse.read(found, np.ones(1))
    ends = [getattr(collapsed, name) for name in ("t_half", "t_rest", "t_log2")]
    return [agreement.crossing, *unstack(agreement.pairs.crossing), *ends]


def fresh_crossings(case: Case, found: Sweep) -> list[Crossing]:
    """The times over fresh data, read as the report does, without its bootstraps."""
    without = found.left_out
    each = zip(
        curves(found),
        (*without.phi, *without.pairs[0], *without.own),
        case.levels.values(),
        strict=True,
    )
    at, clock = found.coordinate, found.clock
    return [over_fresh_data(at, *one, clock, stride=COARSE) for one in each]


def given(case: Case) -> list[dict]:
    """Replicates of one data set that differ in their noise."""
    law, total, measured = case.law(1), 0.0, []
    for seed in range(case.replicates):
        found = pass_over(case, law, case.noised // BATCH, jr.key(seed))
        measured.append(crossings(found))
        total = total + curves(found)
    at = found.coordinate
    truths = [
        float(OU.time(-crossing_place(at, curve, level)))
        for curve, level in zip(
            total / case.replicates, case.levels.values(), strict=True
        )
    ]
    return rows(case, measured, truths, [0.0] * len(truths))


def fresh(case: Case) -> list[dict]:
    """Replicates on data sets of their own."""
    return rows(case, fresh_replicates(case), *fresh_truths(case))


def fresh_replicates(case: Case) -> list[list[Crossing]]:
    """The times of every data set."""
    measured = []
    for seed in range(1, case.replicates + 1):
        found = sweep(
            case.law(seed),
            case.times,
            features=case.features,
            num_replicas=case.noised,
            key=jr.key(seed),
        )
        measured.append(fresh_crossings(case, found))
    return measured


def fresh_truths(case: Case) -> tuple[list[float], list[float]]:
    """Where the mean curves of further data sets cross, and errors of that."""
    each = []
    for seed in 10**6 + np.arange(case.truths):
        found = pass_over(case, case.law(seed), case.few // BATCH, jr.key(seed))
        each.append(curves(found))
    each, counts = np.stack(each), np.full(case.truths, case.few)
    at, clock = found.coordinate, found.clock
    truths = [
        read_off(at, values.mean(axis=0), values, counts, level, clock)
        for values, level in zip(
            np.moveaxis(each, 1, 0), case.levels.values(), strict=True
        )
    ]
    return [float(t.time) for t in truths], [float(t.stderr) for t in truths]


def rows(case: Case, measured: list, truths: list, errors: list) -> list[dict]:
    """How often each interval holds the truth."""
    found = []
    for i, (name, truth) in enumerate(zip(case.levels, truths, strict=True)):
        of = [crossing[i] for crossing in measured]
        low, high, spread, value = (
            np.array([float(getattr(one, key)) for one in of])
            for key in ("low", "high", "stderr", "time")
        )
        reached = np.array([bool(one.found) for one in of])
        inside = reached & (low <= truth) & (truth <= high)
        found.append(
            {
                "time": name,
                "coverage_percent": round(100 * inside.mean(), 2),
                "replicates": len(of),
                "too_high": int(np.sum(low > truth)),
                "too_low": int(np.sum(high < truth)),
                "not_reached": int(np.sum(~reached)),
                "truth": round(truth, 6),
                "truth_error": round(float(errors[i] / np.nanmedian(spread)), 3),
                "scatter": round(float(np.nanstd(value)), 6),
                "stderr": round(float(np.nanmean(spread)), 6),
                "bias": round(float(np.nanmean(value) - truth), 6),
            }
        )
    return found


def main() -> None:
    """The cases named, or all."""
    jax.config.update("jax_enable_x64", True)
    for name in sys.argv[1:] or CASES:
        case = CASES[name]
        start = time.process_time()
        found = fresh(case) if case.fresh else given(case)
        seconds = round(time.process_time() - start)
        sizes = dataclasses.asdict(case) | {"cpu_s": seconds}
        from _measure import store  # pins this process, which has no more to measure

        store(f"coverage_{name}", [sizes, *found])


if __name__ == "__main__":
    main()
