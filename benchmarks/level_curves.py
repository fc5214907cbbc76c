"""The level-curve figure at the size of the papers: time, memory, compilation.

    python benchmarks/level_curves.py [turns]

L = 10, s = 2, v = 32, m = 8, one rule table, 20 noises of the Gaussian channel, 10,000
U-turns at each, all levels and chi, float32, both cores as two devices. CPU-seconds of
the process, wall time (only of use on a quiet machine) and peak memory; compilation
included, and once alone.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import json
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin.analysis import hierarchy
from jaxwin.channels import Gaussian
from jaxwin.targets import RandomHierarchy

RESULTS = Path(__file__).parent / "results"
SNR = np.linspace(12.0, 3.0, 20)


def main() -> None:
    """Run, print and store."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    noises = 0.5 * np.log1p(1 / SNR)
    law = RandomHierarchy.draw(jr.key(0), 32, 8, 2, 10)
    seconds = lambda: (time.process_time(), time.perf_counter())
    start = seconds()
    found = hierarchy.level_curves(law, Gaussian(), noises, num_turns=turns)
    whole = np.subtract(seconds(), start)
    call = lambda turns, key, replicas: turns.many(key, replicas)
    replica = hierarchy.Turns(law, Gaussian(), jnp.asarray(noises, jnp.float32))
    # Another function, so that nothing is taken from a cache.
    lowered = jax.jit(call).lower(replica, jr.key(0), jnp.arange(32, dtype=jnp.int32))
    start = seconds()
    lowered.compile()
    alone = np.subtract(seconds(), start)
    row = {
        "turns": found.turns,
        "noises": len(noises),
        "cpu_s": round(whole[0], 1),
        "wall_s": round(whole[1], 1),
        "turns_per_core_s": round(len(noises) * found.turns / whole[0]),
        "compile_cpu_s": round(alone[0], 1),
        "compile_wall_s": round(alone[1], 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "class": np.round(found.same[:, 0], 4).tolist(),
        "class_stderr": np.round(found.same_stderr[:, 0], 4).tolist(),
        "chi": np.round(found.chi, 3).tolist(),
        "chi_stderr": np.round(found.chi_stderr, 3).tolist(),
        "snr": SNR.tolist(),
        "jax": version("jax"),
    }
    print(json.dumps(row, indent=1))
    if turns == 10_000:
        text = json.dumps(row, indent=1) + "\n"
        (RESULTS / "level_curves.json").write_text(text)


if __name__ == "__main__":
    main()
