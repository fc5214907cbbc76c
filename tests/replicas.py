"""Replica functions that tests run here and in other processes, and what they print.

Run as a program: `replicas.py FOLDER`, a run with its blocks in FOLDER, resumed, that
a test kills; without FOLDER the digest of the same run.
"""

import hashlib
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin.execution import Estimate, run

KEY = jr.key(5)
NUM_REPLICAS, BLOCK_SIZE = 1000, 8


def posterior_mean(points, key, replica):
    """Products, exponentials and sums, whose bits depend on how they are blocked."""
    z = jr.normal(jr.fold_in(key, replica), points.shape[1:], points.dtype)
    logits = z @ points.T
    weight = jnp.exp(logits - logits.max())
    return {"mean": weight @ points / weight.sum(), "top": logits.max()}


def example() -> eqx.Partial:
    points = np.random.default_rng(0).normal(size=(96, 48))
    return eqx.Partial(posterior_mean, jnp.asarray(points, jnp.float32))


def digest(estimate: Estimate) -> str:
    """SHA-256 of every bit of an estimate."""
    leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(estimate)]
    return hashlib.sha256(b"".join(leaves)).hexdigest()


if __name__ == "__main__":

    def told(status):
        sys.stdout.write(f"at {status.done}\n")
        sys.stdout.flush()
        time.sleep(0.005)

    options = {"folder": sys.argv[1], "resume": True} if len(sys.argv) > 1 else {}
    progress = told if options else None
    found = run(
        example(),
        NUM_REPLICAS,
        KEY,
        block_size=BLOCK_SIZE,
        progress=progress,
        **options,
    )
    sys.stdout.write(digest(found))
