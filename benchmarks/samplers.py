"""Samplers beside their peers: flow at matched error, adaptive solves, likelihood.

    python benchmarks/samplers.py

Float32, one core, CPU seconds; peers that are missing are left out. Errors are against
closed forms. Along one axis the probability flow keeps quantiles, and the two-component
mixture of the first table has one width, so that across this axis it only rescales:
ends are exact and need no fine solve.

1. Flow: the fewest score evaluations of a ladder whose error, root mean square over
   coordinates and relative to the data's standard deviation, is small enough; equal
   steps of log-SNR for all.
2. Adaptive: 10,000 lanes into a one-dimensional mixture of widths 1e-3 to 1. Times of
   runs under vmap are those of the worst lane.
3. Likelihood: 256 points, on the interpolant, from data (u = 0) to noise (u = 1).
"""

import _measure  # isort: skip  # threads first

import bisect
import functools
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from _sampler_peers import (
    Adaptive,
    Law,
    LogDensities,
    Solver,
    diffrax_adaptive,
    diffrax_likelihood,
    fixed_step_runs,
    flow_matching_likelihood,
    interpolant_velocity,
    torchdiffeq_adaptive,
)
from scipy.special import ndtr

from jaxwin.processes import LinearInterpolant, OrnsteinUhlenbeck, log_snr_uniform
from jaxwin.samplers import (
    DDIM,
    DEIS,
    AbstractStep,
    DPMSolverPP,
    EDMHeun,
    HeunFlow,
    UniPC,
    log_likelihood,
    sample_block,
    solve_flow,
)
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
B, D, BLOCK = 4096, 64, 512
# rho = sigma / alpha at the two ends of the flow.
HIGH, LOW = 50.0, 0.02
LADDER = (6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
ERRORS = (1e-2, 1e-3)
STEPS = {
    "jaxwin UniPC(3)": UniPC(3),
    "jaxwin DPMSolverPP(2)": DPMSolverPP(2),
    "jaxwin DPMSolverPP(3)": DPMSolverPP(3),
    "jaxwin DEIS(3)": DEIS(3),
    "jaxwin HeunFlow": HeunFlow(),
    "jaxwin EDMHeun": EDMHeun(),
    "jaxwin DDIM": DDIM(),
}
LANES, TOLERANCE = 10_000, 1e-5
# OU times; at the last one sigma is the smallest width.
START, END = 3.0, 5e-7
POINTS = 256


def two_clusters() -> Law:
    """Width 1/2, centres four widths from the middle along the diagonal."""
    centre = np.full(D, 2 / np.sqrt(D), np.float32)
    means = np.stack([-centre, centre])
    return Law(means, np.full(2, 0.25, np.float32), np.float32([0.3, 0.7]))


def peaks() -> Law:
    """Narrow peaks in one dimension on a wide ground."""
    means = np.float32([[-1.5], [-0.5], [0.5], [0.0]])
    widths = np.float32([1e-3, 1e-2, 1e-1, 1])
    return Law(means, widths**2, np.full(4, 0.25, np.float32))


def clusters(dimension: int) -> Law:
    """Three of width 1/2, their centres of length 2 on average."""
    rng = np.random.default_rng(3)
    means = 2 / np.sqrt(dimension) * rng.normal(size=(3, dimension))
    weights = np.float32([0.2, 0.3, 0.5])
    return Law(means.astype(np.float32), np.full(3, 0.25, np.float32), weights)


def drawn(law: Law, rho: float, count: int) -> np.ndarray:
    """Points x0 + rho z of the law."""
    rng = np.random.default_rng(1)
    which = rng.choice(len(law.weights), count, p=law.weights.astype(float))
    wide = np.sqrt(law.variances[which, None] + rho**2)
    z = rng.normal(size=(count, law.means.shape[1]))
    return (law.means[which] + wide * z).astype(np.float32)


def mixture(law: Law) -> GaussianMixture:
    """The same law in jaxwin."""
    return GaussianMixture.isotropic(law.means, law.variances, law.weights)


def transported(
    y: np.ndarray, centres: np.ndarray, law: Law, high: float, low: float
) -> np.ndarray:
    """Where the flow of y = x0 + rho z in one dimension ends: the same quantile.

    In float64, by bisection, from the tail that is the smaller.
    """
    variances, weights = law.variances.astype(float), law.weights.astype(float)

    def mass(y, rho, side):
        wide = np.sqrt(variances + rho**2)
        return ndtr(side * (y[:, None] - centres) / wide) @ weights

    left = mass(y, high, 1) < 0.5
    side = np.where(left, 1, -1)[:, None]
    wanted = mass(y, high, side)
    below, above = np.full(len(y), -20.0), np.full(len(y), 20.0)
    for _ in range(60):
        middle = (below + above) / 2
        more = (mass(middle, low, side) < wanted) == left
        below, above = np.where(more, middle, below), np.where(more, above, middle)
    return (below + above) / 2


def transported_clusters(y: np.ndarray, law: Law) -> np.ndarray:
    """Quantiles along the line of the centres; across it the width shrinks."""
    y, top = y.astype(float), law.means[1].astype(float)
    axis = top / np.linalg.norm(top)
    along = y @ axis
    shrink = np.sqrt((0.25 + LOW**2) / (0.25 + HIGH**2))
    ends = transported(along, law.means @ axis, law, HIGH, LOW)
    return shrink * (y - along[:, None] * axis) + ends[:, None] * axis


@eqx.filter_jit
def blocks(step: AbstractStep, score: ExactScore, xs: jax.Array, times: jax.Array):
    """Blocks of replicas outside, the time loop inside."""
    run = lambda x: sample_block(step, score, x, times, jr.key(0))
    cut = xs.reshape(-1, BLOCK, xs.shape[1])
    return jax.lax.map(run, cut).reshape(xs.shape)


@eqx.filter_jit
def one_step(step: AbstractStep, score: ExactScore, x: jax.Array, t, s, mem):
    """A single move without noise."""
    z = jnp.zeros((0, *x.shape), x.dtype)
    return step.step(score.batched, x, t, s, z, jr.key(0), mem)


def stepwise(step: AbstractStep, score: ExactScore, x: jax.Array, times: jax.Array):
    """The same run by single moves: one program serves every length of the grid."""
    mem = step.init(score.batched, x, times[0])
    for t, s in itertools.pairwise(times):
        x, mem = one_step(step, score, x, t, s, mem)
    return x


def ours(run: Callable, step: AbstractStep, score: ExactScore) -> Solver:
    """One of our steps on the OU clock, called as the peers are."""
    start, end = (float(np.log1p(rho**2) / 2) for rho in (HIGH, LOW))
    grid = functools.cache(lambda steps: log_snr_uniform(OU, start, end, steps))

    def solve(y: np.ndarray, evaluations: int) -> np.ndarray:
        times = grid(evaluations // step.evaluations(1))
        x = run(step, score, jnp.asarray(y / np.float32(np.hypot(1, HIGH))), times)
        return np.asarray(x) * np.float32(np.hypot(1, LOW))

    return solve


def flow_rows() -> list[dict]:
    """Evaluations and seconds at matched error."""
    law = two_clusters()
    start, score = drawn(law, HIGH, B), ExactScore(mixture(law), OU)
    exact, scale = transported_clusters(start, law), spread(law)
    peers = fixed_step_runs(law, HIGH, LOW)
    made = lambda run: {name: ours(run, step, score) for name, step in STEPS.items()}
    searched, runs = made(stepwise) | peers, made(blocks) | peers
    error = lambda y: float(np.sqrt(np.mean((y - exact) ** 2)) / scale)
    needed = {
        name: fewest(lambda count, solve=solve: error(solve(start, count)))
        for name, solve in searched.items()
    }
    rows = []
    for i, wanted in enumerate(ERRORS):
        counts = {name: found[i] for name, found in needed.items() if found[i]}
        variants = {
            name: lambda y, name=name, count=count: runs[name](y, count)
            for name, count in counts.items()
        }
        ends, times = measured(variants, start, 5)
        for name in runs:
            row = {"what": f"flow, error {wanted:g}", "variant": name}
            row["evaluations"] = counts.get(name, f"over {LADDER[-1]}")
            row["error"] = shown(error(ends[name])) if name in ends else None
            rows.append(row | seconds(times.get(name)))
    return rows


def spread(law: Law) -> float:
    """Root mean square over coordinates of the data's standard deviation."""
    weights = law.weights.astype(float)
    off = law.means - weights @ law.means
    total = weights @ (law.variances + np.mean(off**2, axis=1))
    return float(np.sqrt(total))


def fewest(error: Callable[[int], float]) -> list[int | None]:
    """For each of ERRORS the first count of the ladder that meets it, by bisection."""
    known = functools.cache(error)
    found = []
    for wanted in ERRORS:
        met = lambda count, wanted=wanted: known(count) <= wanted
        place = bisect.bisect_left(LADDER, True, key=met)
        found.append(LADDER[place] if place < len(LADDER) else None)
    return found


def adaptive_rows() -> list[dict]:
    """Lanes of unequal stiffness into narrow and wide peaks."""
    law = peaks()
    high, low = (float(np.sqrt(np.expm1(2 * t))) for t in (START, END))
    y = drawn(law, high, LANES)
    exact = transported(y[:, 0].astype(float), law.means[:, 0], law, high, low)
    exact /= np.hypot(1, low)
    x, score = y / np.float32(np.hypot(1, high)), ExactScore(mixture(law), OU)
    ends = START, END, TOLERANCE
    runs: dict[str, Callable[[Any], Adaptive]] = {
        "jaxwin, vmap": lambda x: adaptive(score, x),
        **diffrax_adaptive(lambda x, t: line_velocity(jnp, x, t), *ends),
        **torchdiffeq_adaptive(line_velocity, *ends),
    }
    # What the solver costs, and what the score.
    same = diffrax_adaptive(lambda x, t: -x - score(x, t), *ends)
    runs |= {f"{name}, our score": run for name, run in same.items() if "vmap" in name}
    found, times = measured(runs, x, 3)
    return [
        {"what": "adaptive, 10,000 lanes", "variant": name}
        | counted(found[name].evaluations, found[name].rejected)
        | errors(np.asarray(found[name].x)[:, 0] - exact)
        | seconds(taken)
        for name, taken in times.items()
    ]


@eqx.filter_jit
def adaptive(score: ExactScore, xs: jax.Array) -> Adaptive:
    """Ours, each lane with steps of its own."""
    tolerance = {"rtol": TOLERANCE, "atol": TOLERANCE}
    one = lambda x: solve_flow(score, x, START, END, **tolerance)
    found = jax.vmap(one)(xs)
    return Adaptive(found.x, found.evaluations, found.rejected)


def line_velocity(module: Any, x: Any, t: Any) -> Any:
    """-x - score of the peaks on the OU clock, points (..., 1), for jax or torch."""
    convert = module.from_numpy if module.__name__ == "torch" else module.asarray
    law = peaks()
    centres, variances = convert(law.means[:, 0]), convert(law.variances)
    square = module.exp(-2 * t)
    # 1 - e^-2t without the cancellation at the clean end.
    total = square * variances - module.expm1(-2 * t)
    off = module.sqrt(square) * centres - x
    logits = -(off**2) / (2 * total) - 0.5 * module.log(total)
    logits = logits - module.amax(logits, -1)[..., None]
    shares = module.exp(logits)
    shares = shares / shares.sum(-1)[..., None]
    return -x - (shares * off / total).sum(-1)[..., None]


def likelihood_rows() -> list[dict]:
    """Log-densities against the closed form."""
    rows = []
    for dimension in (2, 32, 256):
        law = clusters(dimension)
        xs = drawn(law, 0, POINTS)
        exact = log_density(law, xs)
        for divergence in ("exact", "hutchinson"):
            rows += of_divergence(law, xs, exact, divergence)
    return rows


def of_divergence(
    law: Law, xs: np.ndarray, exact: np.ndarray, divergence: str
) -> list[dict]:
    """One table: ours and the peers', one random direction a point for Hutchinson."""
    score = ExactScore(mixture(law), LinearInterpolant())
    seen = law._replace(means=jnp.asarray(law.means), weights=jnp.log(law.weights))
    velocity = lambda x, u: interpolant_velocity(jax.nn.softmax, seen, x, u)
    whole, size = divergence == "exact", xs.shape[1]
    runs: dict[str, Callable[[Any], LogDensities]] = {
        "jaxwin": lambda x: likelihood(score, x, divergence),
        **diffrax_likelihood(velocity, TOLERANCE, whole),
        **flow_matching_likelihood(law, TOLERANCE, whole),
    }
    if whole:
        same = diffrax_likelihood(score.velocity, TOLERANCE, whole)
        runs |= {f"{name}, our score": run for name, run in same.items()}
    # The slowest here takes a backward pass for each of 256 coordinates.
    rounds = 1 if whole and size > 100 else 3
    found, times = measured(runs, xs, rounds)
    return [
        {"what": f"likelihood, d = {size}, {divergence}", "variant": name}
        | counted(found[name].evaluations, None)
        | errors(np.asarray(found[name].value) - exact)
        | seconds(taken)
        for name, taken in times.items()
    ]


@eqx.filter_jit
def likelihood(score: ExactScore, xs: jax.Array, divergence: str) -> LogDensities:
    """Ours, for every point a direction of its own."""
    options = {"divergence": divergence, "rtol": TOLERANCE, "atol": TOLERANCE}
    ends = jnp.array([1.0, 0.0], jnp.float32)
    one = lambda x, key: log_likelihood(score, x, ends, key=key, **options)
    found = jax.vmap(one)(xs, jr.split(jr.key(2), len(xs)))
    return LogDensities(found.value, found.evaluations)


def log_density(law: Law, xs: np.ndarray) -> np.ndarray:
    """Closed form, in float64."""
    means, variances = law.means.astype(float), law.variances.astype(float)
    square = np.sum((xs[:, None].astype(float) - means) ** 2, axis=2)
    size = xs.shape[1] * np.log(2 * np.pi * variances)
    logs = np.log(law.weights.astype(float)) - 0.5 * (square / variances + size)
    return np.logaddexp.reduce(logs, axis=1)


def measured(runs: dict[str, Callable], x: np.ndarray, rounds: int) -> tuple:
    """What each run finds, and its times."""
    found = {}

    def call(name: str) -> None:
        found[name] = jax.block_until_ready(runs[name](x))

    variants = {name: functools.partial(call, name) for name in runs}
    times = _measure.alternate(variants, rounds)
    return found, times


def counted(evaluations: Any, rejected: Any) -> dict:
    """Mean and worst lane, rejected steps' evaluations included."""
    counts = np.asarray(evaluations)
    worst = None if rejected is None else int(np.max(rejected))
    return {
        "evaluations": round(float(counts.mean()), 1),
        "worst_lane": int(counts.max()),
        "rejected_worst_lane": worst,
    }


def errors(off: np.ndarray) -> dict:
    """Root mean square and largest."""
    rms = float(np.sqrt(np.mean(off**2)))
    return {"rms_error": shown(rms), "max_error": shown(float(np.max(abs(off))))}


def shown(value: float | None) -> float | None:
    """Three digits."""
    return value if value is None else float(f"{value:.3g}")


def seconds(taken: dict[str, float] | None) -> dict:
    """Median and spread; nothing where nothing ran."""
    if taken is None:
        return {"cpu_s": None, "spread_s": None, "first_call_s": None}
    low, high = shown(taken["low_s"]), shown(taken["high_s"])
    return {
        "cpu_s": shown(taken["median_s"]),
        "spread_s": [low, high],
        "first_call_s": taken["first_s"],
    }


def main() -> None:
    """All rows, then the file."""
    rows = [*flow_rows(), *adaptive_rows(), *likelihood_rows()]
    _measure.store("samplers", rows)


if __name__ == "__main__":
    main()
