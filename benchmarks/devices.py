"""Backward runs on one and on two CPU devices of the same two cores: goal 19.

    python benchmarks/devices.py

The label probabilities of 4,096 Euler-Maruyama runs of 128 steps, a mixture of two
components in 1,024 dimensions, not reduced. Each number of devices has a process of its
own; both take turns, and the best of 5 counts, as wall time needs a quiet machine.
"""

import json
import os
import subprocess
import sys
import time

ROUNDS = 5
FLAG = "--xla_force_host_platform_device_count"


def measure() -> tuple[float, float]:
    """Wall time and CPU time of one run, compiled before."""
    import jax
    import jax.numpy as jnp

    from jaxwin.processes import OrnsteinUhlenbeck
    from jaxwin.samplers import EulerMaruyama, simulate
    from jaxwin.scores import ExactScore
    from jaxwin.targets import GaussianMixture

    mean = jax.random.normal(jax.random.key(0), (1024,))
    law = GaussianMixture.isotropic(jnp.stack([mean, -mean]), 0.5)
    score, times = ExactScore(law, OrnsteinUhlenbeck()), jnp.linspace(2.0, 0.1, 129)

    def run(seed: int) -> None:
        options = {"reduce": False, "block_size": 128}
        simulate(EulerMaruyama(), score, times, 4096, jax.random.key(seed), **options)

    run(0)
    wall, cpu = time.perf_counter(), time.process_time()
    run(1)
    return time.perf_counter() - wall, time.process_time() - cpu


def best(devices: int) -> tuple[float, float]:
    """One process with so many devices."""
    environment = os.environ | {"XLA_FLAGS": f"{FLAG}={devices}"}
    command = [sys.executable, __file__, "--one"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    wall, cpu = json.loads(done.stdout)
    return wall, cpu


def main() -> None:
    """Both numbers of devices in turn, and the table."""
    if sys.argv[1:] == ["--one"]:
        print(json.dumps(measure()))
        return
    found = {1: [], 2: []}
    for _ in range(ROUNDS):
        for devices, taken in found.items():
            taken.append(best(devices))
    load = os.getloadavg()[0]
    rows = [
        {
            "devices": devices,
            "wall_s": round(min(wall for wall, _ in taken), 3),
            "cpu_s": round(min(cpu for _, cpu in taken), 3),
            "wall_spread_s": [
                round(f(wall for wall, _ in taken), 3) for f in (min, max)
            ],
        }
        for devices, taken in found.items()
    ]
    one, two = rows
    two["wall_ratio"] = round(one["wall_s"] / two["wall_s"], 2)
    two["cpu_ratio"] = round(two["cpu_s"] / one["cpu_s"], 2)
    two["load"] = round(load, 1)
    from _measure import store  # pins this process, which has nothing more to measure

    store("devices", rows)


if __name__ == "__main__":
    main()
