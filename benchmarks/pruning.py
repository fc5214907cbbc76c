"""Certified pruning beside the plain streamed score, one pinned core, CPU time.

    python benchmarks/pruning.py [FILE.npy]

1024 points noised from 60 000 data in 784 dimensions, 120 clusters of standard
deviation 0.2 whose centres are standard normal, or from the data in FILE. In float32,
without and with 64-bit floats (JAX_ENABLE_X64=1); both laws take turns.
"""

import os
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from _measure import alternate, store

from jaxwin.targets import Empirical

ALPHA = 0.8
SIGMAS = 0.02, 0.1, 0.3, 1.0, 3.0, 10.0


def data(rng: np.random.Generator) -> np.ndarray:
    """The data, one row a point."""
    if len(sys.argv) > 1:
        return np.load(sys.argv[1]).astype(np.float32)
    centres = rng.normal(size=(120, 784))
    noise = 0.2 * rng.normal(size=(60_000, 784))
    return (centres[np.arange(60_000) % 120] + noise).astype(np.float32)


def main() -> None:
    """Measure every noise level and store the table."""
    rng = np.random.default_rng(0)
    points, x64 = data(rng), os.environ.get("JAX_ENABLE_X64", "0") == "1"
    laws = {
        "plain": Empirical(points),
        "clustered": Empirical(points, clusters=round(len(points) ** 0.5)),
    }
    score = jax.jit(lambda law, xs, alpha, sigma: law.score_many(xs, alpha, sigma))
    rows = []
    for sigma in SIGMAS:
        clean = points[rng.integers(len(points), size=1024)]
        noise = rng.normal(size=clean.shape)
        xs = jnp.asarray(ALPHA * clean + sigma * noise, jnp.float32)
        args = xs, jnp.float32(ALPHA), jnp.float32(sigma)
        calls = {
            name: partial(lambda *args: jax.block_until_ready(score(*args)), law, *args)
            for name, law in laws.items()
        }
        taken = alternate(calls, rounds=3)
        plain, pruned = (taken[name]["median_s"] for name in ("plain", "clustered"))
        apart = jnp.abs(calls["plain"]() - calls["clustered"]()).max()
        size = jnp.sqrt(jnp.mean(calls["plain"]() ** 2))
        rows.append(
            {
                "sigma": sigma,
                "x64": x64,
                "plain_s": round(plain, 3),
                "clustered_s": round(pruned, 3),
                "ratio": round(plain / pruned, 2),
                "difference": float(f"{apart / size:.1e}"),
            }
        )
    name = "pruning" if len(sys.argv) == 1 else "pruning_file"
    store(name + "_x64" * x64, rows)


if __name__ == "__main__":
    main()
