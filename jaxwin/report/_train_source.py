"""What a network is trained on: a law, or a split of a data set."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._files import sha256
from jaxwin._typing import Key, Point
from jaxwin.datasets import Data
from jaxwin.learned import Network, Training
from jaxwin.report._split import HELD_OUT, Split, split_data
from jaxwin.targets import (
    AbstractLabelledTarget,
    AbstractTarget,
    Empirical,
)

# Steps and batch of full and quick training, by the kind of network.
STEPS = {"mlp": 6000, "random_features": 6000, "unet": 4000}
BATCH = {"mlp": 512, "random_features": 512, "unet": 128}
QUICK = 8
WIDTH = {"mlp": 128, "random_features": 1024, "unet": 32}
DEPTH = {"mlp": 3, "random_features": 1, "unet": 2}


@dataclasses.dataclass(frozen=True)
class Source:
    """A law that points are drawn from afresh, or data of which some are held out.

    origin: how to have it again, of JSON. name; source: "law" or "data"; digest; of
    data, seed and share of the cut, and selection, the options of `split_data`.
    """

    law: AbstractTarget
    split: Split | None
    origin: dict[str, Any]

    @property
    def name(self) -> str:
        """For titles."""
        return self.origin["name"]

    @property
    def digest(self) -> str:
        """Of the law, or of points, labels and cut."""
        return self.origin["digest"]

    @property
    def dimension(self) -> int:
        """Coordinates of a point."""
        return self.law.dimension

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels; empty without any."""
        if self.split is not None:
            return self.split.classes
        count = (
            self.law.num_labels if isinstance(self.law, AbstractLabelledTarget) else 0
        )
        return tuple(str(i) for i in range(count))

    @property
    def spread(self) -> float:
        """Standard deviation of a coordinate."""
        return float(jnp.sqrt(self.law.moments().total_variance() / self.law.dimension))

    def own_optimum(self, place: str) -> str | None:
        """The optimum whose law the points of one of `draws` are of."""
        return {"population": "population", "training data": "data set"}.get(place)

    def draws(self) -> dict[str, Any]:
        """Where clean points come from, by name: `draw(key)`."""
        if self.split is None:
            return {"population": self.law.sample}
        return {
            "training data": eqx.Partial(row, jnp.asarray(self.split.train)),
            "held-out data": eqx.Partial(row, jnp.asarray(self.split.held_out)),
        }


def row(points: Float[Array, "n d"], key: Key) -> Point:
    """One of the points."""
    return points[jax.random.randint(key, (), 0, len(points))]


def source_of(
    source: AbstractTarget | Data,
    *,
    name: str = "law",
    seed: int = 0,
    held_out: float | None = None,
    **selection: Any,
) -> Source:
    """A law as it is; a data set normalised and cut.

    Raises:
        BadInput: Options of data with a law, and as `split_data`.
    """
    if isinstance(source, Data):
        share = HELD_OUT if held_out is None else held_out
        split = split_data(source, held_out=share, seed=seed, **selection)
        origin = {"name": split.name, "source": "data", "digest": split.digest}
        origin |= {"seed": seed, "share": share, "selection": _told(selection)}
        return Source(Empirical(split.train, split.labels), split, origin)
    given = {"held_out": held_out} | selection
    foreign = [key for key in given if given[key] is not None]
    if foreign:
        raise BadInput(
            f"`{foreign[0]}` is an option of data sets, and a law is given; leave it "
            f"out."
        )
    leaves = [sha256(np.asarray(a)) for a in jax.tree.leaves(source)]
    digest = sha256(" ".join([type(source).__name__, *leaves]).encode())
    return Source(source, None, {"name": name, "source": "law", "digest": digest})


def _told(selection: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, of JSON."""
    plain = lambda value: (
        value if isinstance(value, str) else np.asarray(value).tolist()
    )
    return {key: plain(v) for key, v in selection.items() if v is not None}


def network_for(
    source: Source,
    kind: str | None,
    width: int | None,
    depth: int | None,
    conditional: bool,
    bfloat16: bool,
) -> Network:
    """A U-Net for images, else an MLP, of sizes that train in minutes on two cores."""
    shape = None if source.split is None else source.split.shape
    kind = ("mlp" if shape is None else "unet") if kind is None else kind
    if conditional and not source.classes:
        raise BadInput(
            "`conditional` is asked for and there are no labels; give some, or leave "
            "it out."
        )
    if kind == "unet" and shape is None:
        raise BadInput(
            "`network` is 'unet' and the points are no images; give `shape`, or "
            "network 'mlp'."
        )
    return Network(
        kind=kind,  # pyright: ignore[reportArgumentType]  # checked there
        dimension=source.dimension,
        shape=shape if kind == "unet" else None,
        width=WIDTH.get(kind, 1) if width is None else width,
        depth=DEPTH.get(kind, 1) if depth is None else depth,
        num_labels=len(source.classes) if conditional else 0,
        bfloat16=bfloat16,
    )


def configured(
    source: AbstractTarget | Data,
    *,
    name: str = "law",
    seed: int = 0,
    quick: bool = False,
    network: str | None = None,
    width: int | None = None,
    depth: int | None = None,
    conditional: bool = False,
    bfloat16: bool = False,
    steps: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    **selection: Any,
) -> tuple[Source, Network, Training]:
    """What is trained on what and how, as `train_of` is asked for it.

    Steps that take minutes on two cores if left out; an eighth of them where `quick`.

    Raises:
        BadInput: As `train_of`.
    """
    chosen = source_of(source, name=name, seed=seed, **selection)
    sizes = network_for(chosen, network, width, depth, conditional, bfloat16)
    known = STEPS[sizes.kind] // (QUICK if quick else 1)
    given: dict[str, Any] = (
        {} if learning_rate is None else {"learning_rate": learning_rate}
    )
    how = Training(
        num_steps=known if steps is None else steps,
        batch_size=BATCH[sizes.kind] if batch is None else batch,
        seed=seed,
        **given,
    )
    return chosen, sizes, how
