"""Denoising score matching from data to a denoiser, in one call."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin._files import PathLike, sha256
from jaxwin._typing import AnyArray
from jaxwin.execution import Progress
from jaxwin.learned._batches import AbstractBatches, Fresh, Stored
from jaxwin.learned._checkpoint import read_about, read_arrays, write_arrays
from jaxwin.learned._config import Network, Training
from jaxwin.learned._denoiser import NetworkDenoiser
from jaxwin.learned._fit import EVERY, Watch, fit, loss_of_chunks
from jaxwin.learned._levels import AbstractLevels, LogNormal, Weighting
from jaxwin.learned._loss import BINS, DenoisingLoss
from jaxwin.targets import AbstractLabelledTarget, AbstractTarget

WEIGHTINGS = ("network", "noise", "denoised")


class Trained(NamedTuple):
    """A trained network, and how its loss fell.

    denoiser: with the averaged parameters. step: at the end of each chunk. loss,
    loss_stderr: means over a chunk, as weighted. by_level: mean of |F - F*|^2 / d in
    bins of log(sigma / (alpha s)), NaN where a bin is empty; `edges` of the bins.
    failures: chunks that were undone since the loss was not finite. origin: what it was
    trained on, of JSON, as whoever trained it says; kept by `save`.
    """

    denoiser: NetworkDenoiser
    network: Network
    training: Training
    step: np.ndarray
    loss: Float[np.ndarray, " c"]
    loss_stderr: Float[np.ndarray, " c"]
    by_level: Float[np.ndarray, "c b"]
    edges: Float[np.ndarray, " e"]
    failures: int
    origin: dict[str, Any] | None = None

    @property
    def parameters(self) -> int:
        """How many numbers the network has."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.denoiser.state))


def train(
    data: AbstractTarget | AnyArray,
    network: Network | None = None,
    training: Training | None = None,
    *,
    labels: AnyArray | None = None,
    levels: AbstractLevels | None = None,
    weighting: Weighting = "network",
    folder: PathLike | None = None,
    resume: bool = False,
    every: float = EVERY,
    progress: Progress | None = None,
    devices: Sequence[Any] | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Train a denoiser by denoising score matching.

    Parameters, optimizer and data are float32. Compiled once for all steps; a run of
    equal configuration in the same process compiles nothing.

    Args:
        data: A law, of which every batch is fresh, or points (n, d).
        network: Which network; an MLP of these points if left out.
        training: How; the defaults of `Training` if left out.
        labels: (n,) of the points, from 0; a law has its own. Used where the network
            has `num_labels`.
        levels: Law of the noise levels; `LogNormal()` if left out.
        weighting: What errors count, see `relative_weight`.
        folder: Where checkpoints are kept, one folder that is replaced; it stays.
        resume: Go on from there: to the same bits as a run that was never stopped, on
            the same devices.
        every: Seconds between checkpoints.
        progress: Called with a `Status` after each chunk.
        devices: Spread each batch over these devices.
        watch: What is looked at on the way, of the denoiser at that step.

    Raises:
        BadInput: Points that are not (n, d) and finite, or all equal; labels of another
            length or out of range; a network of another dimension; and as `fit`.
        FloatingPointError: The loss became NaN again and again.

    References:
        Karras et al. (2022), arXiv:2206.00364, section 5; Vincent (2011).
    """
    network = (
        Network(kind="mlp", dimension=_dimension(data)) if network is None else network
    )
    training = Training() if training is None else training
    levels = LogNormal() if levels is None else levels
    check_one_of(weighting, WEIGHTINGS, "weighting")
    batches, mean, std = _source(data, labels, network)
    graph, params, fixed = nnx.split(network.build(training.seed), nnx.Param, ...)
    loss = DenoisingLoss(
        batches=batches,
        levels=levels,
        mean=mean,
        std=std,
        fixed=fixed,
        graph=graph,
        weighting=weighting,
        num_labels=network.num_labels,
        label_dropout=training.label_dropout,
        batch_size=training.batch_size,
    )
    made = lambda average: NetworkDenoiser(
        state=nnx.merge_state(average, fixed),
        mean=mean,
        std=std,
        label=jnp.asarray(network.num_labels, jnp.int32),
        graph=graph,
        num_labels=network.num_labels,
    )
    inner = watch
    if watch is not None:
        look = watch.look
        seen = lambda step, average: look(step, made(average))
        inner = Watch(watch.at, seen, watch.found)
    course = fit(
        loss,
        params,
        training,
        about={
            "network": dataclasses.asdict(network),
            "training": dataclasses.asdict(training),
            "loss": _fingerprint(loss),
            "devices": 1 if devices is None else len(devices),
        },
        folder=folder,
        resume=resume,
        every=every,
        progress=progress,
        devices=devices,
        watch=inner,
    )
    sums, counts = np.moveaxis(np.asarray(course.records, np.float64), 2, 0)
    with np.errstate(invalid="ignore"):
        by_level = sums / counts
    mean_loss, stderr = loss_of_chunks(course, training)
    return Trained(
        denoiser=made(course.average),
        network=network,
        training=training,
        step=training.chunk * (1 + np.arange(training.chunks)),
        loss=mean_loss,
        loss_stderr=stderr,
        by_level=by_level,
        edges=np.asarray(BINS),
        failures=int(course.failures),
    )


def save(trained: Trained, folder: PathLike) -> None:
    """Write the trained denoiser, its configuration and its losses into a folder.

    Raises:
        BadInput: `folder` cannot hold a result of ours.
    """
    number = lambda a: [float(v) if np.isfinite(v) else None for v in np.ravel(a)]
    about = {
        "network": dataclasses.asdict(trained.network),
        "training": dataclasses.asdict(trained.training),
        "failures": trained.failures,
        "step": trained.step.tolist(),
        "loss": number(trained.loss),
        "loss_stderr": number(trained.loss_stderr),
        "by_level": [number(row) for row in trained.by_level],
        "edges": number(trained.edges),
        "origin": trained.origin,
    }
    write_arrays(folder, _arrays(trained.denoiser), about)


def load(folder: PathLike) -> Trained:
    """What `save` wrote, or the network in a folder of `jaxwin train`, bit for bit.

    Raises:
        BadInput: No folder of a trained network, or one that was changed or cut.
    """
    inner = Path(folder) / "network"
    folder = inner if inner.is_dir() else folder
    about = read_about(folder)
    if "by_level" not in about:
        raise BadInput(
            f"`folder` is {str(folder)!r}, a checkpoint of training that has not "
            f"ended; end it by resuming, and save what it returns."
        )
    number = lambda rows: np.array(rows, float)  # None becomes NaN
    network, training = _configurations(about)
    graph, params, fixed = nnx.split(network.build(), nnx.Param, ...)
    zeros = jnp.zeros(network.dimension, jnp.float32)
    blank = NetworkDenoiser(
        state=nnx.merge_state(params, fixed),
        mean=zeros,
        std=jnp.ones((), jnp.float32),
        label=jnp.asarray(network.num_labels, jnp.int32),
        graph=graph,
        num_labels=network.num_labels,
    )
    state, mean, std = read_arrays(folder, _arrays(blank))
    return Trained(
        denoiser=eqx.tree_at(
            lambda d: (d.state, d.mean, d.std), blank, (state, mean, std)
        ),
        network=network,
        training=training,
        step=np.array(about["step"]),
        loss=number(about["loss"]),
        loss_stderr=number(about["loss_stderr"]),
        by_level=number(about["by_level"]),
        edges=number(about["edges"]),
        failures=about["failures"],
        origin=about.get("origin"),
    )


def _arrays(denoiser: NetworkDenoiser) -> tuple[Any, Any, Any]:
    return denoiser.state, denoiser.mean, denoiser.std


def _configurations(about: dict[str, Any]) -> tuple[Network, Training]:
    kept = dict(about["network"])
    if kept["shape"] is not None:
        kept["shape"] = tuple(kept["shape"])
    return Network(**kept), Training(**about["training"])


def _dimension(data: AbstractTarget | AnyArray) -> int:
    if isinstance(data, AbstractTarget):
        return data.dimension
    return np.shape(data)[-1] if np.ndim(data) == 2 else 1


def _source(
    data: AbstractTarget | AnyArray, labels: AnyArray | None, network: Network
) -> tuple[AbstractBatches, Float[Array, " d"], Float[Array, ""]]:
    """Batches, and mean and spread of the data."""
    single = lambda a: jnp.asarray(np.asarray(a, np.float64), jnp.float32)
    if isinstance(data, AbstractTarget):
        if labels is not None:
            raise BadInput("`labels` are given beside a law, which has its own.")
        moments = data.moments()
        mean = np.asarray(moments.mean, np.float64)
        variance = float(moments.total_variance()) / data.dimension
        count = data.num_labels if isinstance(data, AbstractLabelledTarget) else 0
        floats = lambda a: a.astype(jnp.float32) if eqx.is_inexact_array(a) else a
        batches = Fresh(jax.tree.map(floats, data))
    else:
        given = np.asarray(data)
        if given.ndim != 2 or not given.size or given.dtype.kind == "c":
            raise BadInput(
                f"`data` has shape {given.shape} and type {given.dtype}; it must be "
                f"(n, d), one point a row, of real numbers."
            )
        points = given.astype(np.float64)
        if not np.all(np.isfinite(points)):
            raise BadInput("`data` holds NaN or infinity; drop those rows.")
        mean, variance = points.mean(axis=0), points.var(axis=0).mean()
        # The variance of equal numbers is rounding, not always zero.
        variance = variance * np.any(np.ptp(points, axis=0) > 0)
        rows = _checked_labels(labels, len(points))
        count = int(rows.max()) + 1 if labels is not None else 0
        batches = Stored(single(points), jnp.asarray(rows, jnp.int32))
    if network.dimension != mean.size:
        raise BadInput(
            f"`network` is of dimension {network.dimension} and the data of "
            f"{mean.size}; they must agree."
        )
    if not variance > 0:
        raise BadInput("`data` is one point, repeated: there is nothing to learn.")
    if network.num_labels and not 0 < count <= network.num_labels:
        raise BadInput(
            f"`network` knows {network.num_labels} labels and the data have {count}; "
            f"give labels from 0 to {network.num_labels - 1}."
        )
    return batches, single(mean), single(np.sqrt(variance))


def _checked_labels(labels: AnyArray | None, count: int) -> np.ndarray:
    if labels is None:
        return np.zeros(count, np.int32)
    found = np.asarray(labels)
    numbers = found.dtype.kind in "biuf" and found.shape == (count,)
    whole = lambda: (found >= 0) & (found == found // 1) & (found < 2**31)
    if not numbers or not np.all(whole()):
        raise BadInput(
            f"`labels` has shape {found.shape} and type {found.dtype}; it must be "
            f"({count},), whole numbers from 0 and below 2^31, one a point."
        )
    return found.astype(np.int32)


def _fingerprint(loss: DenoisingLoss) -> str:
    """Of data, noise levels and weighting."""
    leaves, structure = jax.tree.flatten((loss.batches, loss.mean, loss.levels))
    kinds = re.sub(r"0x[0-9a-f]+", "", str(structure))
    arrays = [sha256(np.asarray(a)) for a in leaves]
    return sha256(json.dumps([loss.weighting, kinds, *arrays]).encode())
