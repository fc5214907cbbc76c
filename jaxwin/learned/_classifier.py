"""A classifier of clean points: labels of samples, and features to compare them in."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from flax import nnx
from jaxtyping import Array, DTypeLike, Float, Int, PyTree

from jaxwin._checks import BadInput
from jaxwin._files import PathLike, sha256
from jaxwin._typing import AnyArray, Key, Point
from jaxwin.execution import Progress
from jaxwin.learned._batches import Stored
from jaxwin.learned._config import Training
from jaxwin.learned._fit import fit
from jaxwin.learned._initial import scaled, zero

# Of the layer before the last, in which samples are compared.
FEATURES = 64
# Share of the features that are dropped in training: without it a small data set makes
# a classifier that is too sure.
DROPOUT = 0.3
DEFAULT = Training(num_steps=1500, batch_size=128, learning_rate=2e-3, ema=0.99)


class Classifier(eqx.Module):
    """Class probabilities of a clean point, and features of it.

    features: the values of the last hidden layer. Points are centred by `mean` and
    divided by `std`, as those it was trained on.
    """

    state: PyTree[Array]
    mean: Float[Array, " d"]
    std: Float[Array, ""]
    graph: nnx.GraphDef = eqx.field(static=True)
    num_labels: int = eqx.field(static=True)

    def features(self, x: Point) -> Float[Array, " f"]:
        """The last hidden layer at one point."""
        return self._network(x)[0]

    def log_probabilities(self, x: Point) -> Float[Array, " c"]:
        """Log-probabilities of the classes of one clean point."""
        return jax.nn.log_softmax(self._network(x)[1])

    def __call__(self, x: Point) -> Float[Array, " c"]:
        """Probabilities of the classes of one clean point."""
        return jnp.exp(self.log_probabilities(x))

    def _network(self, x: Point) -> tuple[Float[Array, " f"], Float[Array, " c"]]:
        if x.shape != self.mean.shape:
            raise BadInput(
                f"`x` has {x.size} coordinates; the classifier was made for "
                f"{self.mean.size}."
            )
        own = lambda a: (
            a.astype(x.dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a
        )
        network = nnx.merge(self.graph, jax.tree.map(own, self.state))
        features, logits = network((x - own(self.mean))[None] / own(self.std), None)
        return own(features[0]), own(logits[0])


class TrainedClassifier(NamedTuple):
    """A classifier; its accuracy and mean log-loss (nats) on points it never saw."""

    classifier: Classifier
    accuracy: float
    log_loss: float
    held_out: int


def train_classifier(
    points: AnyArray,
    labels: AnyArray,
    *,
    held_out: tuple[AnyArray, AnyArray],
    shape: tuple[int, int, int] | None = None,
    training: Training = DEFAULT,
    folder: PathLike | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainedClassifier:
    """Train a classifier: two convolutions for images, else two layers.

    Args:
        points: (n, d).
        labels: (n,) from 0.
        held_out: Points and labels that it is judged by and never sees.
        shape: (height, width, channels) of images; left out, points are vectors.
        training: How.
        folder: Where checkpoints are kept.
        resume: Go on from there.
        progress: Called after each chunk.

    Raises:
        BadInput: Arrays that do not fit together or are not finite; fewer than two
            classes.
    """
    x, y = _checked(points, labels, "points")
    x_test, y_test = _checked(*held_out, "held_out")
    count = int(max(y.max(), y_test.max())) + 1
    if count < 2:
        raise BadInput("`labels` hold one class; a classifier needs two.")
    if x_test.shape[1] != x.shape[1] or (shape and np.prod(shape) != x.shape[1]):
        raise BadInput(
            f"`points` have {x.shape[1]} coordinates, those held out "
            f"{x_test.shape[1]}, and `shape` is {shape}; they must agree."
        )
    mean = jnp.asarray(x.mean(axis=0), jnp.float32)
    std = jnp.asarray(np.sqrt(x.var(axis=0).mean()), jnp.float32)
    network = _Network(x.shape[1], shape, count, rngs=nnx.Rngs(training.seed))
    graph, params, fixed = nnx.split(network, nnx.Param, ...)
    batches = Stored(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32))
    loss = _LabelLoss(batches, mean, std, fixed, graph, training.batch_size)
    course = fit(
        loss,
        params,
        training,
        about={
            "classifier": {"shape": shape, "classes": count, "features": FEATURES},
            "training": dataclasses.asdict(training),
            "data": [sha256(x), sha256(y)],
        },
        folder=folder,
        resume=resume,
        progress=progress,
    )
    state = nnx.merge_state(course.average, fixed)
    made = Classifier(state, mean, std, graph, count)
    told = np.asarray(_told(made, jnp.asarray(x_test, jnp.float32)), np.float64)
    rows = np.arange(len(y_test))
    return TrainedClassifier(
        classifier=made,
        accuracy=float(np.mean(told.argmax(axis=1) == y_test)),
        log_loss=float(-np.mean(told[rows, y_test])),
        held_out=len(y_test),
    )


@eqx.filter_jit
def _told(classifier: Classifier, points: Float[Array, "n d"]) -> Float[Array, "n c"]:
    return jax.vmap(classifier.log_probabilities)(points)


class _Network(nnx.Module):
    """Convolutions at full and half resolution, a hidden layer, a linear one."""

    def __init__(
        self,
        dimension: int,
        shape: tuple[int, int, int] | None,
        count: int,
        *,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        common = {
            "dtype": dtype,
            "kernel_init": scaled,
            "bias_init": zero,
            "rngs": rngs,
        }
        self.shape = shape
        if shape is None:
            layers = [nnx.Linear(dimension, 128, **common)]
            inside = 128
        else:
            layers = [
                nnx.Conv(shape[2], 32, (3, 3), **common),
                nnx.Conv(32, 64, (3, 3), strides=(2, 2), **common),
            ]
            inside = 64 * (-(-shape[0] // 2)) * (-(-shape[1] // 2))
        self.layers = nnx.List(layers)
        self.hidden = nnx.Linear(inside, FEATURES, **common)
        self.leave = nnx.Linear(FEATURES, count, **common)

    def __call__(
        self, x: Float[Array, "b d"], key: Key | None
    ) -> tuple[Float[Array, "b f"], Float[Array, "b c"]]:
        """Features and logits of a block; with a key some features are dropped."""
        h = x if self.shape is None else x.reshape(-1, *self.shape)
        for layer in self.layers:
            h = nnx.silu(layer(h))
        features = nnx.silu(self.hidden(h.reshape(len(x), -1)))
        kept = features
        if key is not None:
            stays = jr.bernoulli(key, 1 - DROPOUT, features.shape)
            kept = jnp.where(stays, features / (1 - DROPOUT), 0)
        return features, self.leave(kept)


class _LabelLoss(eqx.Module):
    """Mean negative log-probability of the labels of a batch."""

    batches: Stored
    mean: Float[Array, " d"]
    std: Float[Array, ""]
    fixed: PyTree[Array]
    graph: nnx.GraphDef = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)

    def __call__(
        self, params: PyTree[Array], key: Key, spread: jax.sharding.Sharding | None
    ) -> tuple[Float[Array, ""], Float[Array, "1 2"]]:
        """Loss; share of points that are told right, and 1, to be summed over steps."""
        data_key, drop_key = jr.split(key)
        x, label = self.batches.draw(data_key, self.batch_size)
        if spread is not None:
            x, label = jax.lax.with_sharding_constraint((x, label), spread)
        network = nnx.merge(self.graph, params, self.fixed)
        told = jax.nn.log_softmax(
            network((x - self.mean[None]) / self.std, drop_key)[1]
        )
        each = -jnp.take_along_axis(told, label[:, None], axis=1)[:, 0]
        right = jnp.mean((jnp.argmax(told, axis=1) == label).astype(x.dtype))
        return jnp.mean(each), jnp.stack([right, jnp.ones_like(right)])[None]


def _checked(
    points: AnyArray, labels: AnyArray, name: str
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
    x, y = np.asarray(points, np.float64), np.asarray(labels)
    if x.ndim != 2 or y.shape != (len(x),) or not len(x):
        raise BadInput(
            f"`{name}` has shape {x.shape} and its labels {y.shape}; they must be "
            f"(n, d) and (n,)."
        )
    if not np.all(np.isfinite(x)):
        raise BadInput(f"`{name}` holds NaN or infinity; drop those rows.")
    if np.any(y != np.floor(y)) or y.min() < 0:
        raise BadInput(f"labels of `{name}` must be whole numbers from 0.")
    return x, y.astype(np.int64)
