"""The exact score against its limits and its peers, one pinned core, CPU time.

    python benchmarks/score.py [--quick]

Each shape (B points, K components or data points, d dimensions) runs in a process of
its own, on one core with one thread, float32; variants take turns, and a figure is the
median process CPU time of at most 9 rounds. Three noise levels of ours:

    jaxwin                        log-weights about the centre: no rounding to speak of
    jaxwin, two passes            small noise, 64-bit floats off
    jaxwin, float64 log-weights   small noise, 64-bit floats on (a second process)

The limit is 4 B K d / (263 GFLOP/s) + B K / (5 Gexp/s) + 8 B d / (40 GB/s), measured on
one core of the machine of the stored results. Peers that do not import are absent.
Writes the table on standard output and, not with --quick, into
benchmarks/results/score.json: one table for each version of jax.
"""

import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "score.json"
SHAPES = [
    (4096, 2, 1024),
    (65536, 2, 64),
    (8192, 64, 256),
    (4096, 1024, 256),
    (1024, 60000, 784),
]
QUICK = [(256, 2, 64), (256, 300, 32)]
ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1"
) | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    # glibc keeps freed memory: page faults of fresh outputs would drown small rows.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
PEERS = "torch", "pykeops", "diffusionlab"
ALPHA = 0.5
# Above so many numbers an array of shape (B, K, d) does not fit the memory.
TOO_BIG = 2_000_000_000

Variants = dict[str, tuple[Callable[[], object], dict]]


def limit(b: int, k: int, d: int) -> float:
    """Seconds of one core for two products, the exponentials and the points."""
    return 4 * b * k * d / 263e9 + b * k / 5e9 + 8 * b * d / 40e9


def variants(b: int, k: int, d: int) -> Variants:
    """Calls that return the scores, with compile time and temporary bytes."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxwin.targets import Empirical, GaussianMixture

    rng = np.random.default_rng(0)
    means = rng.normal(size=(k, d)).astype(np.float32)
    data, variance = k > 10_000, 0.0 if k > 10_000 else 1.0
    law = Empirical(means) if data else GaussianMixture.isotropic(means, 1.0)
    clean = means[rng.integers(k, size=b)]
    noise = rng.normal(size=(b, d)).astype(np.float32)
    high, low = np.float32(ALPHA * np.sqrt(d / 20)), np.float32(0.01)
    spread = np.float32(ALPHA * np.sqrt(variance))
    at = lambda sigma: ALPHA * clean + np.hypot(sigma, spread) * noise
    x, near = at(high), at(low)
    found: Variants = {}

    def compiled(function: Callable, *args: object) -> tuple[Callable, dict]:
        start = time.process_time()
        program = jax.jit(function).lower(*args).compile()
        seconds = time.process_time() - start
        memory = program.memory_analysis()
        assert memory is not None
        temporary = round(memory.temp_size_in_bytes / 2**20, 2)
        return program, {"compile_s": round(seconds, 2), "temp_mib": temporary}

    single = jnp.float32(ALPHA)
    program, facts = compiled(
        lambda law, xs, alpha, sigma: law.score_many(xs, alpha, sigma),
        *(law, jnp.asarray(x), single, jnp.float32(high)),
    )

    def ours(points: np.ndarray, sigma: np.float32) -> Callable[[], object]:
        args = law, jnp.asarray(points), single, jnp.float32(sigma)
        return lambda: jax.block_until_ready(program(*args))

    found["jaxwin"] = ours(x, high), facts
    if jax.config.read("jax_enable_x64"):
        found["jaxwin, float64 log-weights"] = ours(near, low), facts
        return found
    # A mixture of unit variance has no small noise: its point masses stand for it.
    if not data:
        law = GaussianMixture.isotropic(means, 0.0)
    found["jaxwin, two passes"] = ours(near, low), facts

    level = np.float32(high**2 + spread**2)
    mean_t = jnp.asarray(ALPHA * means)
    jax_args = jnp.asarray(x), mean_t, jnp.asarray(level)

    def plain(x, means, level):
        along = jnp.matmul(x, (means / level).T, precision="highest")
        logits = along - jnp.sum(means**2, axis=1) / (2 * level)
        weight = jnp.exp(logits - logits.max(axis=1, keepdims=True))
        mean = jnp.matmul(weight, means, precision="highest")
        return (mean / weight.sum(axis=1, keepdims=True) - x) / level

    program_plain, facts = compiled(plain, *jax_args)
    found["jax, full logits"] = (
        lambda: jax.block_until_ready(program_plain(*jax_args)),
        facts,
    )

    def log_density(x, means, level):
        square = jnp.sum((x - means) ** 2, axis=1)
        return jax.nn.logsumexp(-0.5 * square / level)

    if b * k * d < TOO_BIG:
        gradient = jax.vmap(jax.grad(log_density), in_axes=(0, None, None))
        program_grad, facts = compiled(gradient, *jax_args)
        found["jax, vmap(grad(logsumexp))"] = (
            lambda: jax.block_until_ready(program_grad(*jax_args)),
            facts,
        )

    host = ALPHA * means

    def with_numpy() -> np.ndarray:
        logits = x @ (host / level).T - np.sum(host**2, axis=1) / (2 * level)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        return (logits @ host / logits.sum(axis=1, keepdims=True) - x) / level

    found["numpy"] = with_numpy, {}
    add_torch(found, x, host, float(level))
    if b * k * d < TOO_BIG:
        add_keops(found, x, host, float(level))
        add_diffusionlab(found, compiled, x, means, variance, float(high))
    return found


def imported(name: str) -> Any:
    """A peer's module, or None where it is absent."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def add_torch(found: Variants, x, means, level: float) -> None:
    """Matrix products and the library's attention."""
    torch = imported("torch")
    if torch is None:
        return
    torch.set_num_threads(1)
    a, m = torch.from_numpy(x), torch.from_numpy(means)

    def products():
        bias = -(m**2).sum(1) / (2 * level)
        weight = torch.softmax(torch.addmm(bias, a, (m / level).T), dim=1)
        return (weight @ m - a) / level

    def attention():
        bias = (-(m**2).sum(1) / (2 * level))[None].expand(len(a), -1)
        keys = (m / level)[None], m[None]
        mean = torch.nn.functional.scaled_dot_product_attention(
            a[None], *keys, attn_mask=bias[None], scale=1.0
        )
        return (mean[0] - a) / level

    found["torch, matrix products"] = products, {}
    found["torch, attention"] = attention, {}


def add_keops(found: Variants, x, means, level: float) -> None:
    """The kernel reduction of KeOps on numpy arrays."""
    keops = imported("pykeops.numpy")
    if keops is None:
        return

    def reduction():
        a, m = keops.LazyTensor(x[:, None, :]), keops.LazyTensor(means[None])
        logits = -((a - m) ** 2).sum(-1) / (2 * level)
        return (logits.sumsoftmaxweight(m, axis=1) - x) / level

    found["KeOps"] = reduction, {}


def add_diffusionlab(
    found: Variants, compiled: Callable, x, means, variance: float, sigma: float
) -> None:
    """DiffusionLab's closed form, under vmap."""
    mixtures = imported("diffusionlab.distributions.gmm.iso_hom_gmm")
    dynamics = imported("diffusionlab.dynamics")
    if mixtures is None or dynamics is None:
        return
    import jax
    import jax.numpy as jnp

    process = dynamics.DiffusionProcess(
        lambda t: ALPHA + 0 * t, lambda t: sigma + 0 * t
    )
    weights = jnp.full((len(means),), 1 / len(means))
    law = mixtures.IsoHomGMM(jnp.asarray(means), jnp.float32(variance), weights)
    score = jax.vmap(lambda x: law.score(x, jnp.float32(0.5), process))
    xs = jnp.asarray(x)
    program, facts = compiled(score, xs)
    found["DiffusionLab"] = lambda: jax.block_until_ready(program(xs)), facts


def measure(b: int, k: int, d: int) -> list[dict]:
    """Rows of one shape: variants take turns in this process."""
    import numpy as np

    found = variants(b, k, d)
    times: dict[str, list[float]] = {name: [] for name in found}
    rounds, results = {}, {}
    for name, (call, _) in found.items():
        results[name] = np.asarray(call())  # warm
        start = time.process_time()
        call()
        rounds[name] = min(9, max(1, int(6 / (time.process_time() - start))))
    for turn in range(9):
        for name, (call, _) in found.items():
            if turn < rounds[name]:
                start = time.process_time()
                call()
                times[name].append(time.process_time() - start)
    ours = statistics.median(times["jaxwin"])
    rows = []
    for name, (_, facts) in found.items():
        median = statistics.median(times[name])
        row = {
            "shape": [b, k, d],
            "variant": name,
            "median_ms": round(1e3 * median, 3),
            "spread_ms": round(1e3 * (max(times[name]) - min(times[name])), 3),
            "rounds": rounds[name],
            "fraction_of_limit": round(limit(b, k, d) / median, 3),
            "ratio_to_jaxwin": round(median / ours, 2),
        }
        if not name.startswith("jaxwin"):
            size = np.sqrt(np.mean(results["jaxwin"] ** 2))
            apart = np.abs(results[name] - results["jaxwin"]).max() / size
            row["difference"] = float(f"{apart:.1e}")
        rows.append(row | facts)
    return rows


def installed(name: str) -> str:
    """Version of a package, or that it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def main() -> None:
    """Measure every shape in processes of its own; store and print the table."""
    if sys.argv[1:2] == ["--shape"]:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        print(json.dumps(measure(*map(int, sys.argv[2].split(",")))))
        return
    quick = "--quick" in sys.argv
    rows = []
    for shape in QUICK if quick else SHAPES:
        for x64 in "0", "1":
            argv = [sys.executable, __file__, "--shape", ",".join(map(str, shape))]
            env = os.environ | ONE_THREAD | {"JAX_ENABLE_X64": x64}
            done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=True)
            new = json.loads(done.stdout.splitlines()[-1])
            rows += [row | {"x64": x64 == "1"} for row in new]
            for row in new:
                cells = [f"{row[key]:>9}" for key in ("median_ms", "ratio_to_jaxwin")]
                cells.append(f"{100 * row['fraction_of_limit']:8.0f} %")
                cells.append(f"{row.get('temp_mib', '-'):>9} MiB")
                print(f"{row['shape']!s:20} {row['variant']:28}", *cells, flush=True)
    packages = "jax", "jaxlib", "numpy", *PEERS
    machine = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(load, 1) for load in os.getloadavg()],
    } | {name: installed(name) for name in packages}
    if not quick:
        tables = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        tables[f"jax {machine['jax']}"] = {"machine": machine, "rows": rows}
        RESULTS.write_text(json.dumps(tables, indent=1) + "\n")
    print(" ".join(f"{key} {value}" for key, value in machine.items()))


if __name__ == "__main__":
    main()
