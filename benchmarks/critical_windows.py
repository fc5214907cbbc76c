"""Windows of 10,000 mixtures in one program, beside a SciPy loop and simulation.

    python benchmarks/critical_windows.py

Eight components in 64 dimensions, four classes of two, 64 levels of log-SNR 8 ... -12,
random means, weights and variances: one isotropic variance, or rank 4 over one
variance with factors of every component. Mixtures a core-second by CPU time on one
pinned core, variants in turn; compilation apart.

loop: `_window_loop.py`, one mixture after another in float64, its numbers compared with
ours. Tables: those of pairs at all levels are kept too, not only windows, curves of
certificates and their lowest points. Simulation: survival of the eight components at
all levels by U-turns of Euler-Maruyama in the reduced space, 1,000 from every component
and level, 500 steps from the noisiest level and their share from the others; from the
measured cost of a move and the exact number of moves.
"""

import _measure  # isort: skip  # threads first

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from _window_loop import Law, windows

from jaxwin.analysis.windows import WindowTable, sweep_windows
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.samplers import EulerMaruyama, sample_block
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture, reduce

jax.config.update("jax_enable_x64", True)

COUNT, K, D, RANK, LEVELS, BLOCK, EPSILON = 10_000, 8, 64, 4, 64, 80, 0.1
LABELS = np.repeat(np.arange(K // 2), 2)
GRID = np.linspace(8.0, -12.0, LEVELS)
ALPHAS, SIGMAS = np.sqrt(1 / (1 + np.exp(-GRID))), np.sqrt(1 / (1 + np.exp(GRID)))
# Mixtures of a call of the loop, and of a sweep that keeps all tables.
LOOPED, KEPT = {"isotropic": 24, "low rank": 8}, 2_000
STEPS, RUNS, TIMED = 500, 1_000, 250
# Steps from each level: from the cleanest none.
SHARES = np.round(STEPS * np.arange(LEVELS) / (LEVELS - 1)).astype(int)
# What roots of the loop and its search for the lowest certificate leave.
AGREE, AGREE_BEST_TIME = 1e-6, 1e-3
OU = OrnsteinUhlenbeck()
Parameters = dict[str, np.ndarray]


class Program(NamedTuple):
    """A compiled function and its arguments: a call waits for the result."""

    compiled: Callable
    arguments: tuple
    compile_s: float

    @classmethod
    def of(cls, function: Any, *arguments: Any) -> "Program":
        """Compile it."""
        start = time.process_time()
        compiled = function.lower(*arguments).compile()
        return cls(compiled, arguments, round(time.process_time() - start, 2))

    def __call__(self) -> Any:
        """One run."""
        return jax.block_until_ready(self.compiled(*self.arguments))

    def temp_mib(self) -> float:
        """Temporaries in MiB."""
        found = self.compiled.compiled.memory_analysis()
        return round(found.temp_size_in_bytes / 2**20, 2)


def parameters(kind: str) -> Parameters:
    """Of all mixtures: classes apart, the two components of a class near."""
    rng = np.random.default_rng(8)
    near = rng.uniform(0.3, 1.2, (COUNT, 1, 1, 1)) * rng.normal(size=(COUNT, 4, 2, D))
    means = 3 * rng.normal(size=(COUNT, 4, 1, D)) + near
    given = {
        "means": means.reshape(COUNT, K, D),
        "variances": rng.uniform(0.3, 2.0, COUNT),
        "weights": rng.dirichlet(np.full(K, 5.0), COUNT),
    }
    if kind == "low rank":
        given["factors"] = 0.25 * rng.normal(size=(COUNT, K, D, RANK))
    return given


def mixture(given: Parameters) -> GaussianMixture:
    """One of them."""
    kind = GaussianMixture.low_rank if "factors" in given else GaussianMixture.isotropic
    return kind(**given, labels=LABELS)


@eqx.filter_jit
def sweep(laws, alphas, sigmas, epsilon, tables):
    """All mixtures, in blocks that fit a cache."""
    arrays, rest = eqx.partition(laws, eqx.is_array)

    def one(law):
        found = sweep_windows(eqx.combine(law, rest), alphas, sigmas, epsilon)
        large = lambda t: (t.variation_lower, t.variation_upper, t.bhattacharyya)
        return found if tables else eqx.tree_at(large, found, (None,) * 3)

    return jax.lax.map(one, arrays, batch_size=BLOCK)


def swept(given: Parameters, dtype: type, tables: bool, count: int = COUNT) -> Program:
    """The sweep of some mixtures as a program."""
    given = {name: jnp.asarray(a[:count], dtype) for name, a in given.items()}
    laws = eqx.filter_vmap(mixture)(given)
    numbers = (jnp.asarray(a, dtype) for a in (ALPHAS, SIGMAS, EPSILON))
    return Program.of(sweep, laws, *numbers, tables)


def looped(given: Parameters, count: int) -> Callable[[], list[dict]]:
    """The loop over the first of them."""
    names = "means", "variances", "weights", "factors"
    laws = []
    for i in range(count):
        means, variance, weights, factors = (
            given[name][i] if name in given else None for name in names
        )
        laws.append(Law(means, variance, weights, LABELS, factors))
    return lambda: [windows(law, GRID, EPSILON) for law in laws]


def differences(ours: WindowTable, loop: list[dict]) -> dict[str, float]:
    """The largest of each field; what does not exist must be the same."""
    found, apart = {}, ~np.eye(K, dtype=bool)
    for name in loop[0]:
        theirs = np.stack([one[name] for one in loop])
        mine = np.asarray(getattr(ours, name), float)[: len(loop)]
        there = np.isfinite(theirs) & (apart if name.startswith("pair") else True)
        if hasattr(ours, f"{name}_found"):
            exists = np.asarray(getattr(ours, f"{name}_found"))[: len(loop)]
            exists = exists & (apart if name.startswith("pair") else True)
            found[f"{name}_found"] = int(np.sum(there != exists))
            there &= exists
        found[name] = float(np.abs(mine - theirs)[there].max())
    return found


@eqx.filter_jit
def uturns(score, log_snrs, key):
    """Survival of every component from the first log-SNR: simulated and exact."""
    law, times = score.target, OU.time(log_snrs)

    def component(k):
        only = jnp.where(jnp.arange(K) == k, 0, -jnp.inf).astype(law.means.dtype)
        alone = eqx.tree_at(lambda law: law.log_weights, law, only)
        clean_key, noise_key, path_key = jr.split(jr.fold_in(key, k), 3)
        clean = jax.vmap(lambda i: alone.sample(jr.fold_in(clean_key, i)))(
            jnp.arange(TIMED)
        )
        noise = jr.normal(noise_key, clean.shape, clean.dtype)
        xs = OU.alpha(times[0]) * clean + OU.sigma(times[0]) * noise
        ends = sample_block(EulerMaruyama(), score, xs, times, path_key)
        back = lambda points, t: jnp.exp(
            jax.vmap(lambda x: law.label_log_posterior(x, OU.alpha(t), OU.sigma(t))[k])(
                points
            )
        )
        exact = back(xs, times[0])
        spread = jnp.sqrt(jnp.sum(exact * (1 - exact))) / TIMED
        return back(ends, times[-1]).mean(), exact.mean(), spread

    return jax.lax.map(component, jnp.arange(K))


def simulated(given: Parameters, level: int) -> Program:
    """U-turns of the first mixture from one level."""
    law = mixture({name: a[0].astype(np.float32) for name, a in given.items()})
    reduction = reduce(law)
    assert reduction is not None
    # Labels are the components here.
    inner = reduction.target
    inner = GaussianMixture(
        inner.means, inner.covariance, inner.log_weights, jnp.arange(K), K
    )
    log_snrs = np.linspace(GRID[level], GRID[0], SHARES[level] + 1, dtype=np.float32)
    score = ExactScore(inner, OU)
    return Program.of(uturns, score, jnp.asarray(log_snrs), jr.key(0))


def rows_of(kind: str) -> list[dict]:
    """All rows of a kind of mixtures."""
    given, count = parameters(kind), LOOPED[kind]
    variants = {
        "sweep, float32": swept(given, np.float32, False),
        "sweep, float64": swept(given, np.float64, False),
        "sweep, float32, tables": swept(given, np.float32, True, KEPT),
        "sweep, float64, tables": swept(given, np.float64, True, KEPT),
        "loop, float64": looped(given, count),
        "simulation, float32": simulated(given, LEVELS - 1),
    }
    mixtures = (COUNT, COUNT, KEPT, KEPT, count)
    taken = _measure.alternate(variants, 5)
    loop = variants["loop, float64"]()
    medians = {name: t["median_s"] for name, t in taken.items()}
    rate = {n: m / medians[n] for n, m in zip(variants, mixtures, strict=False)}
    single, double = (rate[f"sweep, float{b}"] for b in (32, 64))
    rows = []
    for name, done in zip(rate, mixtures, strict=True):
        program, spread = variants[name], (taken[name]["high_s"], taken[name]["low_s"])
        row = {
            "what": kind,
            "variant": name,
            "mixtures_per_core_s": round(rate[name], 1),
            "spread": [round(done / seconds, 1) for seconds in spread],
            "sweep_float64_faster": round(double / rate[name], 1),
            "sweep_float32_faster": round(single / rate[name], 1),
        }
        if isinstance(program, Program):
            row |= {"compile_s": program.compile_s, "temp_mib": program.temp_mib()}
            found = differences(program(), loop)
            if "float64" in name:
                assert max(v for n, v in found.items() if n != "best_time") < AGREE
                assert found["best_time"] < AGREE_BEST_TIME
            row["largest_differences"] = {
                n: float(f"{v:.1e}") for n, v in found.items()
            }
        rows.append(row)
    return [*rows, simulation_row(given, kind, taken["simulation, float32"], rate)]


def simulation_row(
    given: Parameters, kind: str, taken: dict, rate: dict[str, float]
) -> dict:
    """Seconds a mixture from those of a move, and whether the simulation is right."""
    move = taken["median_s"] / (K * TIMED * STEPS)
    moves = K * RUNS * int(SHARES.sum())
    # Where classes begin to mix: the simulation is compared there.
    level = int(np.searchsorted(-GRID, 2.0))
    program = simulated(given, level)
    ends, exact, spread = (np.asarray(a, float) for a in program())
    faster = {
        f"sweep_float{b}_faster": round(rate[f"sweep, float{b}"] * moves * move)
        for b in (64, 32)
    }
    noisiest = K * RUNS * STEPS * move
    return {
        "what": kind,
        "variant": "simulation, float32",
        "dimensions": program.arguments[0].target.dimension,
        "us_a_move": round(1e6 * move, 4),
        "us_a_move_spread": [
            round(1e6 * taken[key] / (K * TIMED * STEPS), 4)
            for key in ("low_s", "high_s")
        ],
        "runs_a_component_and_level": RUNS,
        "largest_stderr": round(0.5 / RUNS**0.5, 4),
        "moves": moves,
        "core_s_a_mixture_scaled": round(moves * move, 2),
        **faster,
        "core_s_of_the_noisiest_level": round(noisiest, 2),
        "log_snr_compared": round(float(GRID[level]), 3),
        "exact_survival": np.round(exact, 3).tolist(),
        "largest_z": round(float(np.abs((ends - exact) / spread).max()), 2),
    }


def main() -> None:
    """All rows, then the file."""
    _measure.store("critical_windows", [*rows_of("isotropic"), *rows_of("low rank")])


if __name__ == "__main__":
    main()
