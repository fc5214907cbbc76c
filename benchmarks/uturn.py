"""U-turn labels of 16 Gaussians in 1,024 dimensions at 64 noise levels, on all cores.

    python benchmarks/uturn.py

One million labels by the exact label posterior, in full dimension and reduced, and a
tenth of them by Euler-Maruyama of 256 steps, beside what its random numbers and its
score cost alone. One CPU device a core; core-seconds are process CPU time.
"""

import os

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
DEVICES = f" --xla_force_host_platform_device_count={CORES}"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + DEVICES

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin._random import pair_normals, pair_uniforms
from jaxwin.execution import run
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.samplers import AbstractStep, EulerMaruyama, sample_block
from jaxwin.scores import ExactScore
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture, reduce

D, K, LEVELS, STEPS, BLOCK = 1024, 16, 64, 256, 128
OU = OrnsteinUhlenbeck()
RESULTS = Path(__file__).parent / "results"


class Exact(eqx.Module):
    """Label of an exact draw from p(x0 | x_t): one pass over all levels."""

    law: AbstractLabelledTarget
    noises: jax.Array

    def __call__(self, key: jax.Array, replica: jax.Array) -> jax.Array:
        """Whether the label returns, at every level."""
        soft_key, choice_key = jr.split(jr.fold_in(key, replica))
        alphas, sigmas = OU.alpha(self.noises), OU.sigma(self.noises)
        label, log_posterior = self.law.soft_labels(soft_key, alphas, sigmas)
        drawn = jr.categorical(choice_key, log_posterior)
        return (drawn == label).astype(jnp.float32)


class Simulated(eqx.Module):
    """Label of the end of a simulated backward run."""

    step: AbstractStep
    score: ExactScore
    grids: jax.Array

    def __call__(self, key: jax.Array, replica: jax.Array) -> jax.Array:
        """One replica; blocks go through `many`."""
        return self.many(key, replica[None])[0]

    def many(self, key: jax.Array, replicas: jax.Array) -> jax.Array:
        """Probability that the label returns, at every level, for a block."""
        start_key, path_key = jr.split(key)
        law = self.score.target

        def start(replica):
            clean_key, noise_key = jr.split(jr.fold_in(start_key, replica))
            clean, label = law.sample_labelled(clean_key)
            return clean, label, jr.normal(noise_key, clean.shape, clean.dtype)

        clean, labels, noise = jax.vmap(start)(replicas)

        def level(times):
            xs = OU.alpha(times[0]) * clean + OU.sigma(times[0]) * noise
            first = replicas[0]
            ends = sample_block(self.step, self.score, xs, times, path_key, first)
            alpha, sigma = OU.alpha(times[-1]), OU.sigma(times[-1])
            log_p = jax.vmap(lambda x: law.label_log_posterior(x, alpha, sigma))(ends)
            return jnp.exp(jnp.take_along_axis(log_p, labels[:, None], 1)[:, 0])

        return jax.lax.map(level, self.grids).T


class Normals(eqx.Module):
    """The random numbers of `Simulated` alone."""

    def __call__(self, key: jax.Array, replica: jax.Array) -> jax.Array:
        """Not used: blocks go through `many`."""
        return jnp.zeros(())

    def many(self, key: jax.Array, replicas: jax.Array) -> jax.Array:
        """Sums of as many Gaussians, in the same half-blocks."""
        shape, pairs = (1, D, jnp.float32), replicas[::2] // 2
        made = lambda i: jax.vmap(lambda p: pair_uniforms(key, p, i, *shape)[0])(pairs)

        def body(carry, i):
            even, odd, ready = carry
            a, b = pair_normals(ready)
            return (even + a, odd + b, made(i + 1)), None

        zero = jnp.zeros((len(pairs), D), jnp.float32)
        steps = jnp.arange(LEVELS * STEPS, dtype=jnp.int32)
        carry, _ = jax.lax.scan(body, (zero, zero, made(steps[0])), steps)
        return jnp.concatenate(carry[:2]).sum(axis=1)


class Scores(eqx.Module):
    """The scores of `Simulated` alone, each at the point the last one gave."""

    score: ExactScore
    grids: jax.Array

    def __call__(self, key: jax.Array, replica: jax.Array) -> jax.Array:
        """Not used: blocks go through `many`."""
        return jnp.zeros(())

    def many(self, key: jax.Array, replicas: jax.Array) -> jax.Array:
        """Two half-blocks, as many times."""
        xs = jnp.zeros((2, len(replicas) // 2, D), jnp.float32)

        def body(carry, t):
            return tuple(self.score.many(x, t) * jnp.float32(0.1) for x in carry), None

        times = self.grids[:, :-1].reshape(-1)
        (even, odd), _ = jax.lax.scan(body, (xs[0], xs[1]), times)
        return jnp.concatenate([even, odd]).sum(axis=1)


def timed(what: str, function: Callable, replicas: int, labels: int) -> dict:
    """Wall and core seconds of a run, compiled before."""
    go = lambda count: run(function, count, jr.key(0), block_size=BLOCK)
    go(2 * BLOCK)
    wall, cpu = time.perf_counter(), time.process_time()
    estimate = go(replicas)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "what": what,
        "labels": labels,
        "wall_s": round(wall, 2),
        "core_s": round(cpu, 2),
        "labels_per_core_s": round(labels / cpu),
        "mean": round(float(np.mean(estimate.mean)), 4),
    }


def main() -> None:
    """All rows, then the file."""
    means = np.random.default_rng(0).normal(size=(K, D)).astype(np.float32)
    law = GaussianMixture.isotropic(means / 4, np.float32(0.5))
    reduction = reduce(law)
    assert reduction is not None
    noises = OU.time(jnp.linspace(4.0, -6.0, LEVELS, dtype=jnp.float32))
    shares = jnp.linspace(1.0, 0.0, STEPS + 1, dtype=jnp.float32)
    grids = 0.005 + (noises[:, None] - 0.005) * shares[None]
    step, score = EulerMaruyama(), ExactScore(law, OU)
    inner = ExactScore(reduction.target, OU)
    many, some = 15_744, 1_536
    rows = [
        timed("exact", Exact(law, noises), many, many * LEVELS),
        timed("exact, reduced", Exact(reduction.target, noises), many, many * LEVELS),
        timed("EM", Simulated(step, score, grids), some, some * LEVELS),
        timed("EM, reduced", Simulated(step, inner, grids), some, some * LEVELS),
        timed("normals of EM alone", Normals(), some, some * LEVELS),
        timed("scores of EM alone", Scores(score, grids), some, some * LEVELS),
    ]
    em, normals, scores = (rows[i]["core_s"] for i in (2, 4, 5))
    rows.append({"what": "EM over its parts", "ratio": em / (normals + scores)})
    machine = {"cores": CORES, "python": platform.python_version()}
    machine |= {"jax": version("jax"), "d": D, "k": K, "levels": LEVELS, "steps": STEPS}
    path = RESULTS / f"uturn_jax{version('jax')}.json"
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
