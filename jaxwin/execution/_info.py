"""What this machine is and what it reaches: devices, versions, ceilings, flags."""

import dataclasses
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr

_SECONDS = 0.5  # a ceiling is the best call in so long


@dataclasses.dataclass(frozen=True)
class Info:
    """devices: how many of each kind. versions: of Python and packages.

    ceilings: of one device, float32: matrix product in GFLOP/s, exponentials and normal
    random numbers (`jax.random.normal`) in 10^9/s, best wall time. flags: XLA_FLAGS
    worth setting here, and whether they are set.
    """

    devices: dict[str, int]
    cores: int
    versions: dict[str, str]
    ceilings: dict[str, float]
    flags: dict[str, bool]


def info() -> Info:
    """Look at this machine and measure it, in a few seconds.

    Flags are never set by the library; they must stand in XLA_FLAGS before JAX starts.
    """
    packages = ("jaxwin", "jax", "jaxlib", "equinox", "numpy")
    python = ".".join(map(str, sys.version_info[:3]))
    kinds = Counter(f"{d.platform} {d.device_kind}" for d in jax.devices())
    given = os.environ.get("XLA_FLAGS", "").split()
    return Info(
        devices=dict(kinds),
        cores=len(_cores()),
        versions={"python": python} | {name: version(name) for name in packages},
        ceilings=_ceilings(),
        flags={flag: flag in given for flag in _recommended()},
    )


def _ceilings() -> dict[str, float]:
    """Best rates in 10^9 per second of one device at sizes that fill it."""
    size, many = 2048, 2**20
    matrix = jnp.ones((size, size), jnp.float32)
    line = jnp.linspace(-1, 0, many, dtype=jnp.float32)
    highest = jax.lax.Precision.HIGHEST
    product = jax.jit(lambda x: jnp.matmul(x, x, precision=highest))
    # A sum: fresh output buffers would measure the memory, not the function.
    exponential = jax.jit(lambda x: jnp.sum(jnp.exp(x)))
    normals = jax.jit(lambda key: jnp.sum(jr.normal(key, (many,), jnp.float32)))
    return {
        "matrix_product_gflops": 2 * size**3 / _best(product, matrix) / 1e9,
        "exponentials_g": many / _best(exponential, line) / 1e9,
        "normals_g": many / _best(normals, jr.key(0)) / 1e9,
    }


def _best(function: Callable, argument: jax.Array) -> float:
    """Shortest wall time of a call, compilation left out."""
    jax.block_until_ready(function(argument))
    times, end = [], time.perf_counter() + _SECONDS
    while not times or time.perf_counter() < end:
        begun = time.perf_counter()
        jax.block_until_ready(function(argument))
        times.append(time.perf_counter() - begun)
    return min(times)


def _recommended() -> list[str]:
    """Flags that are measured to help on this machine's CPU."""
    if jax.default_backend() != "cpu":
        return []
    flags = []
    if len(_cores()) > 1:
        flags.append(f"--xla_force_host_platform_device_count={len(_cores())}")
    if "avx512f" in cpu_features():
        flags.append("--xla_cpu_prefer_vector_width=512")
    return flags


def _cores() -> range | set[int]:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def cpu_features() -> set[str]:
    """Instruction sets of the CPU, as Linux names them; its family elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":")[1] for line in lines if line.startswith(("flags", "Feat"))]
    return set(named[0].split()) if named else {platform.machine()}
