"""How rows are measured: one pinned core, one thread, CPU time, variants in turn.

Import this before numpy, jax or torch: it sets their threads. CPU time of one thread on
one core is stable on a shared machine, where wall time is not.
"""

import os

THREADS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " " + THREADS
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import importlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "jax",
    "equinox",
    "diffrax",
    "torch",
    "azula",
    "pykeops",
    "diffusionlab",
    "ott-jax",
    "POT",
    "torchdiffeq",
    "k-diffusion",
    "diffusers",
    "flow_matching",
    "numpy",
    "scipy",
)


def peer(name: str) -> ModuleType | None:
    """A package that may be missing; its rows are then reported as absent."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def alternate(
    variants: dict[str, Callable[[], Any]], rounds: int = 7
) -> dict[str, dict[str, float]]:
    """CPU seconds of each variant, called in turn: first call, median and spread."""
    first = {name: _seconds(call) for name, call in variants.items()}
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, call in variants.items():
            taken[name].append(_seconds(call))
    return {
        name: {
            "first_s": round(first[name], 3),
            "median_s": statistics.median(seconds),
            "low_s": min(seconds),
            "high_s": max(seconds),
        }
        for name, seconds in taken.items()
    }


def store(name: str, rows: list[dict[str, Any]]) -> None:
    """Write rows with what they ran on, one file for each jax, and print them."""
    stack = f"jax{version('jax')}"
    flags = os.environ["XLA_FLAGS"].replace(THREADS, "").strip()
    machine = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        "flags": flags,
    }
    suffix = "_flags" if flags else ""
    path = RESULTS / f"{name}_{stack}{suffix}.json"
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
