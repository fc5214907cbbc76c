"""Sliced Wasserstein distance and MMD of 100,000 points beside their peers.

    python benchmarks/metrics.py

Two Gaussians in 16 dimensions, float32, one core. ott-jax and POT have the first and
give no standard error; peers that are missing are left out. Nobody has the second at
this size: beside it stand whole matrices, at 10,000 points, and in numpy. Bytes are
XLA's count of temporaries.
"""

import _measure  # isort: skip  # threads first

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin import metrics

D, PROJECTIONS, BANDWIDTH = 16, 32, 4.0


def samples(n: int) -> tuple[jax.Array, jax.Array]:
    """N points each of two Gaussians a little apart."""
    first, second = jr.split(jr.key(0))
    x = jr.normal(first, (n, D), jnp.float32)
    return x, 1.1 * jr.normal(second, (n, D), jnp.float32) + jnp.float32(0.1)


def sliced(x: jax.Array, y: jax.Array) -> metrics.Metric:
    """Ours: the distance and its error."""
    return metrics.sliced_wasserstein(x, y, jr.key(1), num_projections=PROJECTIONS)


def mmd(x: jax.Array, y: jax.Array) -> metrics.Metric:
    """Ours: the discrepancy and its error."""
    return metrics.mmd(x, y, BANDWIDTH)


def whole(x: jax.Array, y: jax.Array) -> jax.Array:
    """What most people write: three kernel matrices, and no error."""

    def kernel(a, b):
        square = jnp.sum(a**2, 1)[:, None] + jnp.sum(b**2, 1)[None] - 2 * a @ b.T
        return jnp.exp(-square / (2 * BANDWIDTH**2))

    off = lambda k: (k.sum() - len(k)) / (len(k) * (len(k) - 1))
    return off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean()


def numpy_whole(x: np.ndarray, y: np.ndarray) -> float:
    """The same in numpy."""

    def kernel(a, b):
        square = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1)[None] - 2 * a @ b.T
        return np.exp(-square / np.float32(2 * BANDWIDTH**2))

    off = lambda k: (k.sum() - len(k)) / (len(k) * (len(k) - 1))
    return off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean()


def by_rows(x: jax.Array, y: jax.Array) -> jax.Array:
    """As one would write it where whole matrices do not fit: 256 rows at a time."""

    def total(a: jax.Array, b: jax.Array) -> jax.Array:
        square = lambda row: jnp.sum((row[None] - b) ** 2, axis=1)
        row_sum = lambda row: jnp.sum(jnp.exp(-square(row) / (2 * BANDWIDTH**2)))
        return jnp.sum(jax.lax.map(row_sum, a, batch_size=256))

    n = float(len(x))
    off = lambda a: (total(a, a) - n) / (n * (n - 1))
    return off(x) + off(y) - 2 * total(x, y) / n**2


def compiled(function: Callable, *args: jax.Array) -> tuple[Callable, float]:
    """A call that waits, and MiB of temporaries."""
    program = jax.jit(function).lower(*args).compile()
    used = program.memory_analysis().temp_size_in_bytes / 2**20
    return lambda: jax.block_until_ready(program(*args)), round(used, 1)


def peers(x: jax.Array, y: jax.Array) -> dict[str, tuple[Callable, float | None]]:
    """Sliced distances of ott-jax and POT, along as many directions."""
    found: dict[str, tuple[Callable, float | None]] = {}
    with warnings.catch_warnings():
        # jaxopt, which ott-jax imports, warns that it is retired.
        warnings.simplefilter("ignore")
        ott, pot = _measure.peer("ott.tools.sliced"), _measure.peer("ot")
    if ott:
        form = lambda x, y: ott.sliced_wasserstein(
            x, y, n_proj=PROJECTIONS, rng=jr.key(1)
        )[0]
        found["ott-jax"] = compiled(form, x, y)
    if pot:
        a, b = np.asarray(x), np.asarray(y)
        form = lambda: pot.sliced_wasserstein_distance(
            a, b, n_projections=PROJECTIONS, seed=1
        )
        found["POT"] = form, None
    return found


def rows_of(
    what: str, n: int, variants: dict[str, tuple[Callable, Any]], rounds: int
) -> list[dict]:
    """Seconds, memory, and how much faster the first is."""
    calls = {name: call for name, (call, _) in variants.items()}
    taken = _measure.alternate(calls, rounds)
    ours = next(iter(taken.values()))["median_s"]
    return [
        {
            "what": what,
            "points": n,
            "variant": name,
            "core_s": round(taken[name]["median_s"], 3),
            "spread": [round(taken[name][key], 3) for key in ("low_s", "high_s")],
            "temp_mib": mib,
            "jaxwin_faster": round(taken[name]["median_s"] / ours, 2),
        }
        for name, (_, mib) in variants.items()
    ]


def main() -> None:
    """All rows, then the file."""
    many, few = samples(100_000), samples(10_000)
    variants = {"jaxwin, with its error": compiled(sliced, *many)} | peers(*many)
    rows = rows_of(f"sliced W2, {PROJECTIONS} directions", 100_000, variants, 3)
    a, b = (np.asarray(v) for v in few)
    variants = {
        "jaxwin, with its error": compiled(mmd, *few),
        "whole matrices, jax": compiled(whole, *few),
        "256 rows at a time, jax": compiled(by_rows, *few),
        "whole matrices, numpy": (lambda: numpy_whole(a, b), None),
    }
    rows += rows_of("MMD", 10_000, variants, 3)
    # Neither ott-jax nor POT has one, and rows at a time take minutes.
    variants = {"jaxwin, with its error": compiled(mmd, *many)}
    rows += rows_of("MMD", 100_000, variants, 1)
    _measure.store("metrics", rows)


if __name__ == "__main__":
    main()
