"""Branches of fixed points and leading eigenvalues at the sizes of the issue.

    python benchmarks/symmetry.py

One branch of 200 points in d = 64 of a mixture of 16, after compilation; the 8 leading
eigenvalues of the Jacobian of an empirical law of 10,000 points in d = 4,096, without
the matrix; all critical times of the mixture. CPU-seconds of the process, wall time
(only of use on a quiet machine) and peak memory.
"""

import json
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np

jax.config.update("jax_enable_x64", True)

from jaxwin.analysis import jacobian, symmetry
from jaxwin.processes import VariancePreserving
from jaxwin.targets import Empirical, GaussianMixture

RESULTS = Path(__file__).parent / "results"
CLOCK = VariancePreserving(0.1, 20.0)
DIMENSION, POINTS, COUNT = 4096, 10_000, 8


def main() -> None:
    """Measure, print and store."""
    row = {**_branches(), **_eigenvalues(), "jax": version("jax")}
    text = json.dumps(row, indent=1)
    print(text)
    (RESULTS / "symmetry.json").write_text(text + "\n")


def _branches() -> dict[str, Any]:
    draws = np.random.default_rng(0)
    law = GaussianMixture.isotropic(draws.normal(size=(16, 64)), 0.05)
    go = lambda k: symmetry.branch(
        law, CLOCK, law.means[k], 0.1, times=(0.02, 0.95), step=0.05
    )
    first, _ = _timed(lambda: go(0))
    taken, found = zip(*(_timed(lambda k=k: go(k)) for k in (1, 2, 3)), strict=True)
    critical, times = _timed(lambda: symmetry.critical_times(law, CLOCK))
    again, _ = _timed(lambda: symmetry.critical_times(law, CLOCK))
    return {
        "branch_points": [len(one.time) for one in found],
        "branch_first_cpu_s": first[0],
        "branch_cpu_s": [cpu for cpu, _ in taken],
        "branch_wall_s": [wall for _, wall in taken],
        "transitions": len(times.transitions.multiplicity),
        "critical_times_cpu_s": critical[0],
        "critical_times_again_cpu_s": again[0],
    }


def _eigenvalues() -> dict[str, Any]:
    # A spectrum as of images: variances fall with the rank.
    spread = np.arange(1, 129) ** -0.75
    draws = np.random.default_rng(1)
    basis = np.linalg.qr(draws.normal(size=(DIMENSION, 128)))[0]
    points = 8 * (draws.normal(size=(POINTS, 128)) * spread) @ basis.T
    law = Empirical(points.astype(np.float32))
    alpha, sigma = CLOCK.levels(0.6, law.blocks.points.dtype)
    x = alpha * law.sample(jr.key(0)) + sigma * jr.normal(jr.key(1), (DIMENSION,))
    go = lambda: jax.block_until_ready(
        jacobian.leading(law, x.astype(alpha.dtype), alpha, sigma, COUNT)
    )
    first, _ = _timed(go)
    again, found = _timed(go)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "eigenvalues": np.round(np.asarray(found.normalised), 6).tolist(),
        "largest_residual": float(np.max(found.residual)),
        "converged": bool(found.converged),
        "eigenvalues_first_cpu_s": first[0],
        "eigenvalues_cpu_s": again[0],
        "matrix_mib": DIMENSION**2 * 4 // 2**20,
        "data_mib": DIMENSION * POINTS * 4 // 2**20,
        "peak_mib": peak,
    }


def _timed(call: Any) -> tuple[tuple[float, float], Any]:
    start = time.process_time(), time.perf_counter()
    found = call()
    ends = time.process_time(), time.perf_counter()
    cpu, wall = (round(b - a, 2) for a, b in zip(start, ends, strict=True))
    return (cpu, wall), found


if __name__ == "__main__":
    main()
