"""Cost of starting: imports, and a first small result with cold and warm cache.

    python benchmarks/cli_start.py [ROUNDS]

CPU seconds of whole processes on one pinned core, the rows taken in turn, medians of
ROUNDS (default 7); goal 17 of the performance page. The first result is the mean of 256
replicas of a 64-step Euler-Maruyama run in 16 dimensions. A cold cache is an empty one.
Writes benchmarks/results/cli_start.json, and the table on standard output.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "cli_start.json"
FIRST_RESULT = """
import equinox as eqx, jax, jax.numpy as jnp, jax.random as jr
from jaxwin.execution import run
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.samplers import EulerMaruyama, sample
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

def path_end(score, times, key, replica):
    start_key, path_key = jr.split(key)
    start = score.process.prior().sample(jr.fold_in(start_key, replica), 16)
    return sample(EulerMaruyama(), score, start, times, path_key, replica)

law = GaussianMixture.isotropic(means=[[1.0] * 16, [-1.0] * 16], variances=1.0)
score = ExactScore(law, OrnsteinUhlenbeck())
run(eqx.Partial(path_end, score, jnp.linspace(2.0, 0.01, 65)), 256, jr.key(0))
"""
PROGRAMS = {
    "python": "",
    "jax and equinox": "import jax, equinox",
    "jaxwin and GaussianMixture": "import jaxwin; jaxwin.targets.GaussianMixture",
    "jaxwin --version": "from jaxwin.cli import main; main(['--version'])",
    "first result, no cache": FIRST_RESULT,
    "first result, cold cache": FIRST_RESULT,
    "first result, warm cache": FIRST_RESULT,
}


def cpu_seconds(program: str, cache: str | None) -> float:
    """CPU time of one process on one core."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if cache is not None:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"a program failed with {status}:\n{program}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure every row and store the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as warm:
        cpu_seconds(FIRST_RESULT, warm)
        for _ in range(rounds):
            for name, program in PROGRAMS.items():
                with tempfile.TemporaryDirectory() as empty:
                    caches = {"cold": empty, "warm": warm}
                    words = name.split()
                    cache = next((caches[w] for w in words if w in caches), None)
                    times[name].append(cpu_seconds(program, cache))
    rows = {
        name: {
            "median_s": round(statistics.median(found), 3),
            "spread_s": [round(min(found), 3), round(max(found), 3)],
        }
        for name, found in times.items()
    }
    ours, theirs = "jaxwin and GaussianMixture", "jax and equinox"
    difference = rows[ours]["median_s"] - rows[theirs]["median_s"]
    result = {
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "jax": version("jax"),
            "equinox": version("equinox"),
        },
        "rounds": rounds,
        "cpu": rows,
        "import_of_jaxwin_alone_s": round(difference, 3),
    }
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    # One entry for each version of JAX.
    stored[f"jax {version('jax')}"] = result
    RESULTS.write_text(json.dumps(stored, indent=2) + "\n")
    for name, row in rows.items():
        low, high = row["spread_s"]
        print(f"{name:28} {row['median_s']:6.3f} s  ({low:.3f} to {high:.3f})")
    print(f"{'jaxwin alone':28} {difference:6.3f} s")


if __name__ == "__main__":
    main()
