"""Random numbers and steppers beside their peers: goals 9 to 15 of performance.md.

    python benchmarks/stepper.py

Two-component mixture in 1,024 dimensions, 4,096 particles (a state of 16 MiB), float32.
Rates are G steps x particles x dimensions a core-second; peers that are missing are
left out. The limit of a row with noise are its normals made by C, compiled here, and
nothing else; of the flow, two scores a step as in `score.py`. Bytes are XLA's count of
temporaries.
"""

import _measure  # isort: skip  # threads first

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from _peers import azula_runs, c_normals, diffrax_runs, torch_runs
from score import limit

from jaxwin._random import pair_normals, pair_uniforms
from jaxwin.processes import OrnsteinUhlenbeck, uniform
from jaxwin.samplers import (
    EulerMaruyama,
    HeunFlow,
    reduce_scheme,
    sample,
    sample_block,
)
from jaxwin.samplers._drive import with_normals
from jaxwin.scores import ExactScore
from jaxwin.targets import GaussianMixture

B, D, BLOCK = 4096, 1024, 128
# In a few dimensions a larger block fills the cache.
SMALL_BLOCK = 1024
OU = OrnsteinUhlenbeck()
KEY = jr.key(0)


def mixture(components: int) -> ExactScore:
    """Equal weights, one variance, means of unit length on average."""
    means = np.random.default_rng(0).normal(size=(components, D)) / np.sqrt(D)
    law = GaussianMixture.isotropic(means.astype(np.float32), np.float32(0.5))
    return ExactScore(law, OU)


SCORE = mixture(2)
X = np.random.default_rng(1).normal(size=(B, D)).astype(np.float32)


def grid(steps: int) -> jax.Array:
    """Uniform OU times from 2 to 0.1."""
    return uniform(OU, jnp.float32(2.0), jnp.float32(0.1), steps)


@eqx.filter_jit
def blocks(step, score, xs, times, key):
    """Blocks of replicas outside, the time loop inside."""
    cut = xs.reshape(-1, BLOCK, xs.shape[1])
    first = BLOCK * jnp.arange(len(cut), dtype=jnp.int32)
    run = lambda a: sample_block(step, score, a[0], times, key, a[1])
    return jax.lax.map(run, (cut, first))


@eqx.filter_jit
def vmapped(step, score, xs, times, key):
    """The driver of one replica, under vmap in the same blocks."""
    cut = xs.reshape(-1, BLOCK, xs.shape[1])
    index = jnp.arange(len(xs), dtype=jnp.int32).reshape(-1, BLOCK)
    one = lambda x, i: sample(step, score, x, times, key, i)
    return jax.lax.map(lambda a: jax.vmap(one)(*a), (cut, index))


@eqx.filter_jit
def plain(score, xs, times, key):
    """What most people write: a scan over whole arrays and jax.random.normal."""

    def body(x, interval):
        t, s, key = interval
        h = t - s
        z = jr.normal(key, x.shape, x.dtype)
        drift = -x - 2 * plain_score(score, x, t)
        return x - h * drift + jnp.sqrt(2 * h) * z, None

    keys = jr.split(key, times.size - 1)
    return jax.lax.scan(body, xs, (times[:-1], times[1:], keys))[0]


@eqx.filter_jit
def plain_heun(score, xs, times):
    """Heun's method on the flow, a scan over whole arrays."""
    velocity = lambda x, t: -x - plain_score(score, x, t)

    def body(x, interval):
        t, s = interval
        first = velocity(x, t)
        second = velocity(x - (t - s) * first, s)
        return x - (t - s) / 2 * (first + second), None

    return jax.lax.scan(body, xs, (times[:-1], times[1:]))[0]


def plain_score(score, x, t):
    """Two matrix products and a softmax."""
    means = score.target.means
    alpha, sigma = jnp.exp(-t), jnp.sqrt(-jnp.expm1(-2 * t))
    v = alpha**2 * 0.5 + sigma**2
    logits = x @ (alpha * means.T / v) - alpha**2 / (2 * v) * jnp.sum(means**2, 1)
    weights = jnp.exp(logits - logits.max(axis=1, keepdims=True))
    mean = weights @ means / weights.sum(axis=1, keepdims=True)
    return (alpha * mean - x) / v


@jax.jit
def our_normals(key):
    """64 steps of 128 Ki normals, summed: what the stepper spends on them."""
    shape = 1, D, jnp.float32
    pairs = jnp.arange(64, dtype=jnp.int32)
    made = lambda i: jax.vmap(lambda p: pair_uniforms(key, p, i, *shape)[0])(pairs)

    def body(carry, i):
        even, odd, ready = carry
        a, b = pair_normals(ready)
        return (even + a, odd + b, made(i + 1)), None

    zero = jnp.zeros((64, D), jnp.float32)
    start = zero, zero, made(jnp.int32(0))
    return jax.lax.scan(body, start, jnp.arange(64, dtype=jnp.int32))[0][:2]


class Program(NamedTuple):
    """A compiled function and its arguments: a call waits for the result."""

    function: Callable
    arguments: tuple

    def __call__(self) -> None:
        """One run."""
        jax.block_until_ready(self.function(*self.arguments))

    def temp_mib(self) -> float:
        """Temporaries in MiB."""
        program = self.function.lower(*self.arguments).compile()
        found = getattr(program, "compiled", program).memory_analysis()
        return round(found.temp_size_in_bytes / 2**20, 2)


def ready(function: Callable, *arguments) -> Program:
    """A call that waits for its result."""
    return Program(function, arguments)


def main() -> None:
    """All rows, then the file."""
    xs, times, few = jnp.asarray(X), grid(16), 128
    one = lambda x, t: plain_score(SCORE, x, t)
    peers = diffrax_runs(one, 2.0, 1.9, 16)
    law = np.array(SCORE.target.means), 0.5, np.asarray(times, float)
    torch, azula = torch_runs(*law), azula_runs(*law)
    em = {
        "jaxwin": ready(blocks, EulerMaruyama(), SCORE, xs, times, KEY),
        "jaxwin, vmap": ready(vmapped, EulerMaruyama(), SCORE, xs, times, KEY),
        "plain scan": ready(plain, SCORE, xs, times, KEY),
    }
    heun = {
        "jaxwin": ready(blocks, HeunFlow(), SCORE, xs, times, KEY),
        "plain scan": ready(plain_heun, SCORE, xs, times),
    }
    long = {"jaxwin": ready(blocks, EulerMaruyama(), SCORE, xs[:few], grid(256), KEY)}
    if peers:
        em["diffrax UnsafeBrownianPath"] = ready(peers["unsafe"], xs)
        heun["diffrax"] = ready(peers["heun"], xs)
        tree = diffrax_runs(one, 2.0, 1.9, 256)["tree"]
        long["diffrax VirtualBrownianTree"] = ready(tree, xs[:few])
    if torch:
        em["torch in place"] = lambda: torch["em"](X)
        heun["torch in place"] = lambda: torch["heun"](X)
    if azula:
        em["azula DDPM"] = lambda: azula["ddpm"](X)
        heun["azula Heun"] = lambda: azula["heun"](X)
    numbers = {"jaxwin": ready(our_normals, KEY)}
    if c := c_normals():
        numbers["C, threefry and Box-Muller"] = c
    made = 64 * 128 * 1024
    rows = rows_of("normals", made, numbers)
    fastest = made / (1e9 * rows[-1]["G_per_core_s"]) / made if c else None
    noise = lambda count: None if fastest is None else fastest * count
    work = B * D * 16
    rows += rows_of("EM, 16 steps", work, em, limit=noise(work))
    two_scores = 32 * limit(B, 2, D)
    rows += rows_of("Heun flow, 16 steps", work, heun, limit=two_scores)
    work = few * D * 256
    rows += rows_of("EM, 256 steps, 128 particles", work, long, 3, noise(work))
    for rank in (1, 4, 8):
        score = mixture(rank + 1)
        variants = {
            "jaxwin": reduced(score, grid(256), xs),
            "plain scan": ready(plain, score, xs, grid(256), KEY),
        }
        least = noise(B * (D + rank * 256))
        what = f"reduction to {rank}, samples lifted"
        rows += rows_of(what, B * D * 256, variants, 3, least)
    _measure.store("stepper", rows)


def reduced(score: ExactScore, times: jax.Array, xs: jax.Array) -> Program:
    """Euler-Maruyama in the subspace of the means, the endpoints lifted."""
    scheme, size = reduce_scheme(EulerMaruyama(), score, times), SMALL_BLOCK
    assert scheme is not None

    def block(scheme, times, key, xs, first):
        y = jax.vmap(scheme.inside)(xs)
        return sample_block(EulerMaruyama(), scheme.score, y, times, key, first)

    @eqx.filter_jit
    def run(scheme, times, xs, key):
        first = jnp.arange(0, len(xs), size, dtype=jnp.int32)
        one = lambda a: block(scheme, times, key, *a)
        ys = jax.lax.map(one, (xs.reshape(-1, size, D), first))
        lift = lambda ends, z: scheme.lift(*ends, z)
        ends = ys.reshape(len(xs), -1), xs
        return with_normals(lift, ends, key, 0, times.size - 1, D, xs.dtype)

    return ready(run, scheme, times, xs, KEY)


def rows_of(
    what: str,
    work: float,
    variants: dict[str, Callable],
    rounds: int = 7,
    limit: float | None = None,
) -> list[dict]:
    """Rates of variants that do the same work, and how much faster the first is.

    `limit` are the seconds that the work cannot go below.
    """
    times = _measure.alternate(variants, rounds)
    ours = next(iter(times.values()))["median_s"]
    rate = lambda seconds: round(1e-9 * work / seconds, 4)
    return [
        {
            "what": what,
            "variant": name,
            "G_per_core_s": rate(taken["median_s"]),
            "spread": [rate(taken["high_s"]), rate(taken["low_s"])],
            "first_call_s": taken["first_s"],
            "fraction_of_limit": limit and round(limit / taken["median_s"], 3),
            "temp_mib": call.temp_mib() if isinstance(call, Program) else None,
            "jaxwin_faster": round(taken["median_s"] / ours, 2),
        }
        for (name, taken), call in zip(times.items(), variants.values(), strict=True)
    ]


if __name__ == "__main__":
    main()
