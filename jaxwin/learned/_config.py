"""What is trained and how: configurations that print, compare and are saved."""

import dataclasses
import math
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from jaxwin._checks import BadInput, check_one_of
from jaxwin.learned._mlp import MLP
from jaxwin.learned._random_features import RandomFeatures
from jaxwin.learned._unet import GROUP, UNet

Kind = Literal["mlp", "unet", "random_features"]
KINDS = ("mlp", "unet", "random_features")
LONGEST_SIDE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Which network: its kind and sizes.

    dimension: of a point. shape: (height, width, channels) of images, for "unet".
    width: features of a layer, channels at full resolution, or random features. depth:
    residual layers, or resolutions; random features have none. num_labels: labels it
    can be asked for; 0 for none. bfloat16: compute in bfloat16, parameters stay in
    float32.
    """

    kind: Kind
    dimension: int
    shape: tuple[int, int, int] | None = None
    width: int = 128
    depth: int = 3
    num_labels: int = 0
    bfloat16: bool = False

    def __post_init__(self):
        check_one_of(self.kind, KINDS, "kind")
        for name in ("dimension", "width", "depth"):
            if getattr(self, name) < 1:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)}; it must be at least 1."
                )
        if self.num_labels < 0:
            raise BadInput(f"`num_labels` is {self.num_labels}; it must be at least 0.")
        if self.kind == "unet":
            self._check_image()

    def _check_image(self) -> None:
        shape = self.shape
        if shape is None:
            raise BadInput(
                "`shape` is left out; a U-Net needs (height, width, channels)."
            )
        size = math.prod(shape)
        if len(shape) != 3 or min(shape) < 1 or size != self.dimension:
            raise BadInput(
                f"`shape` is {shape}; it must be (height, width, channels) of the "
                f"{self.dimension} numbers of a point."
            )
        if max(shape[:2]) > LONGEST_SIDE:
            raise BadInput(
                f"`shape` is {shape}; this U-Net takes images of up to {LONGEST_SIDE} "
                f"x {LONGEST_SIDE}: shrink them, or keep principal directions and an "
                f"MLP."
            )
        if self.width % GROUP:
            raise BadInput(
                f"`width` is {self.width}; a U-Net needs a multiple of {GROUP}."
            )

    def build(self, seed: int = 0) -> nnx.Module:
        """The network with fresh parameters."""
        common: dict[str, Any] = {
            "width": self.width,
            "num_labels": self.num_labels,
            "dtype": jnp.bfloat16 if self.bfloat16 else None,
            "rngs": nnx.Rngs(seed),
        }
        if self.kind == "random_features":
            return RandomFeatures(self.dimension, **common)
        if self.kind == "unet":
            assert self.shape is not None
            return UNet(self.shape, depth=self.depth, **common)
        return MLP(self.dimension, depth=self.depth, **common)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained.

    num_steps: rounded up to whole chunks. batch_size: points a step. learning_rate:
    at its peak, after `warmup` steps; it falls to zero as a cosine. clip: of the global
    norm of gradients. ema: decay of the averaged parameters, which are the result; it
    begins faster. label_dropout: share of points trained without their label. chunk:
    steps after which progress is told, finiteness looked at and a checkpoint written
    where one is due. retries: how often a run that has become NaN goes back to before
    the chunk, at half the rate.
    """

    num_steps: int = 4000
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup: int = 100
    clip: float = 1.0
    ema: float = 0.999
    label_dropout: float = 0.1
    chunk: int = 50
    retries: int = 3
    seed: int = 0

    def __post_init__(self):
        for name in ("num_steps", "batch_size", "chunk"):
            if getattr(self, name) < 1:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)}; it must be at least 1."
                )
        for name in ("warmup", "retries"):
            if getattr(self, name) < 0:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)}; it must be at least 0."
                )
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadInput(
                    f"`{name}` is {getattr(self, name)}; it must be positive and "
                    f"finite."
                )
        for name in ("ema", "label_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(
                    f"`{name}` is {getattr(self, name)}; it must be in [0, 1)."
                )

    @property
    def chunks(self) -> int:
        """How many chunks the steps are."""
        return -(-self.num_steps // self.chunk)
