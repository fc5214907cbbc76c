"""Cost of the two mixture figures of "Dynamical regimes", each part a cold process.

    python benchmarks/dynamical_regimes.py [clones euler full authors collapse]

clones: phi(t) at 19 times and four dimensions, 10,000 pairs each, exact transitions.
euler: the same by the published scheme, 1,000 steps of Euler-Maruyama from T = 10 with
the shared part run too, in the reduced space. full: a run in full dimension (1,024)
beside a reduced one. authors: what the published way costs, a fresh run in full
dimension for every branch time, from the measured cost of a move and its exact number
of moves. collapse: f^e / alpha of 20,000 points at 20 times, three dimensions, beside
the published points and the finite-size law.
CPU seconds (two cores for N s are 2 N) and peak memory are those of the whole process,
compilation included. float32. Writes benchmarks/results/dynamical_regimes_*.json.
"""

import os
import sys

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
if __name__ == "__main__" and "--part" in sys.argv:
    DEVICES = f" --xla_force_host_platform_device_count={CORES}"
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + DEVICES

import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
DIMENSIONS, PAIRS, STEPS, START = (256, 1024, 4096, 16384), 10_000, 1000, 10.0
BRANCHES = np.arange(1.0, 10.1, 0.5)
NUM_POINTS, DRAWS = 20_000, 8_000
TIMES = np.sort(8 * (1 - 0.98 * np.arange(20) / 20))
# f^e / alpha read off the released arrays, and its standard error.
PUBLISHED = {
    256: ({0.944: 0.0054, 1.336: 0.1597, 2.12: 0.7498, 2.904: 0.9326}, 0.0023),
    1024: ({2.904: 0.7852, 3.296: 0.8869}, 0.0046),
    4096: ({3.688: 0.8144}, 0.0091),
}


def clusters(dimension: int):
    """Two clusters at +-(1, ..., 1), of unit variance."""
    from jaxwin.targets import GaussianMixture

    mean = np.ones(dimension, np.float32)
    return GaussianMixture.isotropic(np.stack([mean, -mean]), np.float32(1))


def closed_form(dimension: int, times: np.ndarray) -> np.ndarray:
    """The exact phi."""
    import jax
    import jax.numpy as jnp

    from jaxwin.analysis import speciation
    from jaxwin.processes import OrnsteinUhlenbeck

    ou, distance = OrnsteinUhlenbeck(), 2 * np.sqrt(dimension)

    def phi(t):
        return speciation.agreement(
            speciation.separation(distance, 1.0, ou.alpha(t), ou.sigma(t))
        )

    return np.asarray(jax.jit(jax.vmap(phi))(jnp.asarray(times)))


def simulated(step, law, branches: np.ndarray, pairs: int, seed: int, **options):
    """The library's measurement."""
    import jax.random as jr

    from jaxwin.analysis import speciation
    from jaxwin.processes import OrnsteinUhlenbeck
    from jaxwin.scores import ExactScore

    score = ExactScore(law, OrnsteinUhlenbeck())
    return speciation.simulated_agreement(
        step, score, branches, pairs, jr.key(seed), **options
    )


def compared(dimension: int, found) -> dict:
    """Deviations from the closed form where at least 10 pairs should disagree."""
    exact = closed_form(dimension, found.noise)
    rare = (1 - exact) * found.count < 10
    error = np.sqrt(exact * (1 - exact) / found.count)
    z = ((found.phi - exact) / np.where(rare, 1, error))[~rare]
    return {
        "d": dimension,
        "phi": np.round(found.phi, 4).tolist(),
        "stderr": np.round(found.stderr, 4).tolist(),
        "largest_z": round(float(np.abs(z).max()), 2),
        "chi2_per_point": round(float(np.mean(z**2)), 2),
        "crossing": str(found.crossing),
        "t_S": round(0.5 * np.log(dimension), 4),
    }


def clones() -> list[dict]:
    """Part clones."""
    from jaxwin.samplers import ExactTransition

    rows = []
    for dimension in DIMENSIONS:
        law = clusters(dimension)
        found = simulated(ExactTransition(law), law, BRANCHES, PAIRS, dimension)
        rows.append(compared(dimension, found))
    return rows


def euler() -> list[dict]:
    """Part euler."""
    from jaxwin.samplers import EulerMaruyama

    run = {"shared": True, "num_steps": STEPS, "start_time": START, "hard": True}
    step, rows = EulerMaruyama(), []
    for dimension in DIMENSIONS:
        found = simulated(step, clusters(dimension), BRANCHES, PAIRS, dimension, **run)
        rows.append(compared(dimension, found))
    return rows


def full() -> list[dict]:
    """Part full: four branches, since a crossing needs so many."""
    from jaxwin.samplers import EulerMaruyama

    dimension, steps, branches = 1024, 200, np.array([2.5, 3.0, 3.5, 4.0])
    run = {"shared": True, "num_steps": steps, "start_time": START, "hard": True}
    step, law = EulerMaruyama(), clusters(dimension)
    whole, less = (
        simulated(step, law, branches, 2000, seed, reduce=reduce, **run)
        for seed, reduce in ((1, False), (2, True))
    )
    z = (whole.phi - less.phi) / np.hypot(whole.stderr, less.stderr)
    return [
        {
            "d": dimension,
            "steps": steps,
            "branches": branches.tolist(),
            "full": np.round(whole.phi, 4).tolist(),
            "reduced": np.round(less.phi, 4).tolist(),
            "z": np.round(z, 2).tolist(),
        }
    ]


def authors() -> list[dict]:
    """Part authors: a fresh run for every branch time, scaled from 256 runs."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from jaxwin.processes import OrnsteinUhlenbeck, uniform
    from jaxwin.samplers import EulerMaruyama, sample_block
    from jaxwin.scores import ExactScore

    ou, runs, steps = OrnsteinUhlenbeck(), 256, 20
    go = eqx.filter_jit(sample_block)
    # One move a step before the branch, two after it.
    before = np.round((START - BRANCHES) / START * STEPS)
    moves = PAIRS * int(np.sum(before + 2 * (STEPS - before)))
    rows = []
    for dimension in DIMENSIONS:
        score = ExactScore(clusters(dimension), ou)
        xs = jr.normal(jr.key(0), (runs, dimension), jnp.float32)
        times = jnp.asarray(uniform(ou, 3.0, 2.0, steps), jnp.float32)
        call = lambda score=score, xs=xs, times=times: jax.block_until_ready(
            go(EulerMaruyama(), score, xs, times, jr.key(1), 0)
        )
        call()
        start = time.process_time()
        for _ in range(3):
            call()
        taken = (time.process_time() - start) / 3
        move = taken / (runs * steps)
        rows.append(
            {
                "d": dimension,
                "us_a_move": round(1e6 * move, 3),
                "moves": moves,
                "core_s_scaled": round(moves * move),
            }
        )
    return rows


def collapse_curves() -> list[dict]:
    """Part collapse."""
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from jaxwin.analysis import collapse, sweep
    from jaxwin.targets import Empirical

    rows = []
    # The largest first, into a memory that is not yet in pieces.
    for dimension in sorted(PUBLISHED, reverse=True):
        rng = np.random.default_rng(dimension)
        points = rng.standard_normal((NUM_POINTS, dimension), np.float32)
        direction = rng.standard_normal(dimension, np.float32)
        centre = np.sqrt(np.float32(dimension)) * direction / np.linalg.norm(direction)
        # In place: the points are most of the memory.
        points[::2] += centre
        points[1::2] -= centre
        law = Empirical(points)
        del points
        start = time.process_time()
        found = sweep(law, TIMES, num_replicas=DRAWS, key=jr.key(dimension))
        spectrum = np.ones(dimension)
        spectrum[0] += dimension
        curve = collapse.read(found, spectrum)
        taken = time.process_time() - start
        log_n, d = np.log(NUM_POINTS), dimension
        theory = jax.jit(
            jax.vmap(
                lambda t, d=d: (
                    collapse.two_cluster_finite_size(
                        float(d), 1.0, float(d), NUM_POINTS, t
                    ).excess
                )
            )
        )
        law_values = np.asarray(theory(jnp.asarray(TIMES))) / log_n
        excess, error = curve.excess / log_n, curve.excess_stderr / log_n
        points_given, given_error = PUBLISHED[dimension]
        beside = []
        for t, published in points_given.items():
            k = int(np.argmin(np.abs(TIMES - t)))
            z = (excess[k] - published) / np.hypot(error[k], given_error)
            beside.append(
                {
                    "t": t,
                    "measured": round(float(excess[k]), 4),
                    "stderr": round(float(error[k]), 4),
                    "published": published,
                    "z": round(float(z), 2),
                    "law": round(float(law_values[k]), 4),
                }
            )
        rows.append(
            {
                "d": dimension,
                "core_s": round(taken, 1),
                "excess": np.round(excess, 4).tolist(),
                "stderr": np.round(error, 4).tolist(),
                "law": np.round(law_values, 4).tolist(),
                "t_log2": str(curve.t_log2),
                "t_half": str(curve.t_half),
                "beside": beside,
            }
        )
    return rows


PARTS: dict[str, Callable[[], list[dict]]] = {
    "clones": clones,
    "euler": euler,
    "full": full,
    "authors": authors,
    "collapse": collapse_curves,
}


def stored(part: str) -> Path:
    """Where a part's rows are kept."""
    return RESULTS / f"dynamical_regimes_{part}.json"


def measure(part: str) -> dict:
    """One part in a process of its own, and what that used."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        start = time.perf_counter()
        command = [sys.executable, __file__, "--part", part, str(out)]
        process = subprocess.Popen(command)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        if status:
            raise SystemExit(f"part {part} failed with {status}")
        rows = json.loads(out.read_text())
    return {
        "part": part,
        "wall_s": round(wall, 1),
        "core_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": round(used.ru_maxrss / 1024),
        "rows": rows,
    }


def main() -> None:
    """The parts named, or all: store each and print it."""
    if "--part" in sys.argv:
        part, out = sys.argv[-2:]
        Path(out).write_text(json.dumps(PARTS[part]()))
        return
    machine = {
        "processor": platform.machine(),
        "cores": CORES,
        "python": platform.python_version(),
        "jax": version("jax"),
    }
    for part in sys.argv[1:] or PARTS:
        found = measure(part)
        if part == "authors":
            whole = sum(row["core_s_scaled"] for row in found["rows"])
            found["core_s_of_the_figure"] = whole
            for ours in ("clones", "euler"):
                if stored(ours).exists():
                    spent = json.loads(stored(ours).read_text())["core_s"]
                    found[f"over_{ours}"] = round(whole / spent)
        stored(part).write_text(
            json.dumps({"machine": machine} | found, indent=1) + "\n"
        )
        print("  ".join(f"{k} {v}" for k, v in found.items() if k != "rows"))
        for row in found["rows"]:
            print("   ", "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
