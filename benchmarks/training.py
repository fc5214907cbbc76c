"""Training throughput beside a plain PyTorch loop of the same networks.

    python benchmarks/training.py

Points a second on two threads, the two taking turns in one process: the loss of EDM,
Adam, clipping of gradients and an average of parameters in both. Wall time, since two
threads are compared, on a machine that does nothing else. Needs torch (CPU wheels);
without it our rows stand alone.
"""

import importlib.util
import json
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from flax import nnx

from jaxwin.datasets import digits, normalize
from jaxwin.learned import LogNormal, Network, Training
from jaxwin.learned._batches import Stored
from jaxwin.learned._fit import _begun, advance
from jaxwin.learned._loss import DenoisingLoss

THREADS, ROUNDS = 2, 7
RESULTS = Path(__file__).parent / "results"
# Network, batch, steps of a round.
CASES = {
    "U-Net, 8 x 8": (
        Network(kind="unet", dimension=64, shape=(8, 8, 1), width=32, depth=2),
        128,
        20,
    ),
    "MLP, d = 16": (Network(kind="mlp", dimension=16, width=128, depth=3), 512, 100),
}


def main() -> None:
    """Measure, print and store."""
    rows = {name: _row(*case) for name, case in CASES.items()}
    torch = importlib.util.find_spec("torch")
    about = {
        "threads": THREADS,
        "rounds": ROUNDS,
        "jax": version("jax"),
        "flax": version("flax"),
        "torch": version("torch") if torch else "absent",
    }
    text = json.dumps({**about, "rows": rows}, indent=1)
    print(text)
    (RESULTS / "training.json").write_text(text + "\n")


def _row(network: Network, batch: int, steps: int) -> dict[str, Any]:
    if network.shape is None:
        points = np.random.default_rng(0).normal(size=(4096, network.dimension))
    else:
        points = normalize(digits()).points
    variants = {"jaxwin": _ours(network, points, batch)}
    variants |= _theirs(network, points, batch)
    first = {name: _wall(train, 1) for name, train in variants.items()}
    for train in variants.values():
        train(steps)
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, train in variants.items():
            taken[name].append(steps * batch / _wall(train, steps))
    row: dict[str, Any] = {
        name: {
            "points_per_s": round(statistics.median(rates)),
            "low": round(min(rates)),
            "high": round(max(rates)),
            "first_step_s": round(first[name], 2),
        }
        for name, rates in taken.items()
    }
    if "torch" in taken:
        ratios = [a / b for a, b in zip(taken["jaxwin"], taken["torch"], strict=True)]
        row["ratio"] = {
            "median": round(statistics.median(ratios), 2),
            "low": round(min(ratios), 2),
            "high": round(max(ratios), 2),
        }
    return row


def _ours(network: Network, points: np.ndarray, batch: int) -> Any:
    training = Training(num_steps=100_000, batch_size=batch)
    graph, params, fixed = nnx.split(network.build(), nnx.Param, ...)
    loss = DenoisingLoss(
        batches=Stored(jnp.asarray(points, jnp.float32), jnp.zeros(len(points), int)),
        levels=LogNormal(0.0),
        mean=jnp.asarray(points.mean(axis=0), jnp.float32),
        std=jnp.asarray(np.sqrt(points.var(axis=0).mean()), jnp.float32),
        fixed=fixed,
        graph=graph,
        weighting="network",
        num_labels=0,
        label_dropout=0.0,
        batch_size=batch,
    )
    key = jr.key(0)
    course = [_begun(loss, params, training, key)]

    def train(count: int) -> None:
        course[0] = advance(course[0], loss, key, training, None, count)
        jax.block_until_ready(course[0])

    return train


def _theirs(network: Network, points: np.ndarray, batch: int) -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch
    from _torch_networks import MLP, UNet, steps

    torch.set_num_threads(THREADS)
    if network.shape is None:
        made = MLP(network.dimension, network.width, network.depth)
    else:
        made = UNet(network.shape[0], network.width, network.depth)
    ours = sum(a.size for a in jax.tree.leaves(nnx.state(network.build(), nnx.Param)))
    assert sum(p.numel() for p in made.parameters()) == ours
    return {"torch": steps(made, points, batch)}


def _wall(train: Any, count: int) -> float:
    start = time.perf_counter()
    train(count)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
