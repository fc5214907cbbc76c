"""Short runs of training: a network that only says a bias, and a tiny one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin.learned import Network, Training
from jaxwin.learned._fit import Course, fit

DELTAS = np.array([[-1.0], [1.0]])
NETWORK = Network(kind="mlp", dimension=1, width=8, depth=1)
TRAINING = Training(
    num_steps=300, batch_size=32, learning_rate=5e-3, warmup=20, chunk=25, ema=0.99
)
# A run of a network that only says a bias: what the loop does, compiled fast.
START = {"a": jnp.array([1.0, -2.0], jnp.float32), "b": jnp.zeros((), jnp.float32)}
SHORT = Training(
    num_steps=60, batch_size=8, learning_rate=0.1, warmup=5, chunk=10, ema=0.9, clip=2.0
)


class Bowl(eqx.Module):
    """|params - wanted - noise|^2 / 2, NaN where its key has an unlucky number."""

    wanted: Any
    bad: Any = 0.0
    blow: Any = 0.0

    def __call__(self, params, key, spread):
        del spread
        noise = jr.normal(key, (2,), jnp.float32)
        gap = params["a"] - self.wanted - noise
        value = (jnp.sum(gap**2) + params["b"] ** 2) / 2
        unlucky = jr.uniform(jr.fold_in(key, 1), (), jnp.float32) < self.bad
        value = jnp.where(unlucky, jnp.nan, value)
        return value, jnp.stack([value, jnp.ones_like(value)])[None]


BOWL = Bowl(jnp.array([0.5, 0.5], jnp.float32), jnp.asarray(0.0, jnp.float32))


def descend(loss: Bowl = BOWL, training: Training = SHORT, **options: Any) -> Course:
    return fit(loss, START, training, about={"run": [1, 2]}, **options)


def same(one: Any, other: Any) -> bool:
    arrays = [jax.tree.leaves(eqx.filter(each, eqx.is_array)) for each in (one, other)]
    return all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(*arrays, strict=True)
    )


def stop_after(chunks: int):
    """A report of progress that interrupts the run."""
    told = []

    def progress(status):
        told.append(status)
        if len(told) == chunks:
            raise KeyboardInterrupt

    return progress
