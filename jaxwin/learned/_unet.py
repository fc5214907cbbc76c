"""A small convolutional U-Net for images."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float, Int

from jaxwin.learned._embedding import Embedding
from jaxwin.learned._initial import scaled, zero

# Channels that are normalised together.
GROUP = 8


class UNet(nnx.Module):
    """U-Net of residual blocks, for images of up to 32 x 32 pixels.

    `depth` resolutions, each half the last with twice the channels; a block down and a
    block up at each, joined by a skip, and one between. Skips are added, and channels
    are halved before an image is enlarged: on a CPU a step takes half as long as with
    skips that are appended. Sides need not be even. Every block is told noise level and
    label by a scale and a shift of its normalised channels. Points are row-major
    flattenings of `shape` (height, width, channels).

    References:
        Ho, Jain, Abbeel (2020), arXiv:2006.11239, appendix B, without attention; scale
        and shift: Dhariwal, Nichol (2021), arXiv:2105.05233, section 3.1.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 32,
        depth: int = 2,
        num_labels: int = 0,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        self.shape = shape
        told = 4 * width
        common = {"dtype": dtype, "rngs": rngs}
        conv = lambda a, b, init=scaled, **more: nnx.Conv(
            a, b, (3, 3), kernel_init=init, bias_init=zero, **more, **common
        )
        block = lambda size: _Block(size, told, **common)
        sizes = [width * 2**level for level in range(depth)]
        self.embedding = Embedding(told, num_labels, **common)
        self.enter = conv(shape[2], width)
        self.down = nnx.List([block(size) for size in sizes])
        self.halve = nnx.List(
            [conv(a, b, strides=(2, 2)) for a, b in zip(sizes, sizes[1:], strict=False)]
        )
        self.middle = block(sizes[-1])
        self.up = nnx.List([block(size) for size in reversed(sizes)])
        self.double = nnx.List(
            [conv(b, a) for a, b in reversed(list(zip(sizes, sizes[1:], strict=False)))]
        )
        self.norm = nnx.GroupNorm(width, num_groups=None, group_size=GROUP, **common)
        self.leave = conv(width, shape[2], zero)

    def __call__(
        self, x: Float[Array, "b d"], level: Float[Array, " b"], label: Int[Array, " b"]
    ) -> Float[Array, "b d"]:
        """Values at a block of points."""
        told = self.embedding(level, label)
        h = self.enter(x.reshape(-1, *self.shape))
        skips = []
        for i, block in enumerate(self.down):
            h = block(self.halve[i - 1](h) if i else h, told)
            skips.append(h)
        h = self.middle(h, told)
        for i, block in enumerate(self.up):
            if i:
                h = _enlarged(self.double[i - 1](h), skips[-1].shape)
            h = block(h + skips.pop(), told)
        return self.leave(nnx.silu(self.norm(h))).reshape(x.shape)


class _Block(nnx.Module):
    """Two convolutions around a scale and shift, added to their input."""

    def __init__(
        self,
        size: int,
        told: int,
        *,
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        common = {"dtype": dtype, "rngs": rngs}
        layer = {"bias_init": zero, **common}
        norm = lambda: nnx.GroupNorm(size, num_groups=None, group_size=GROUP, **common)
        self.before, self.between = norm(), norm()
        self.first = nnx.Conv(size, size, (3, 3), kernel_init=scaled, **layer)
        self.told = nnx.Linear(told, 2 * size, kernel_init=scaled, **layer)
        self.second = nnx.Conv(size, size, (3, 3), kernel_init=zero, **layer)

    def __call__(
        self, h: Float[Array, "b h w c"], told: Float[Array, "b e"]
    ) -> Float[Array, "b h w c"]:
        scale, shift = jnp.split(self.told(told)[:, None, None], 2, axis=3)
        inside = self.between(self.first(nnx.silu(self.before(h))))
        return h + self.second(nnx.silu(inside * (1 + scale) + shift))


def _enlarged(
    h: Float[Array, "b h w c"], shape: tuple[int, ...]
) -> Float[Array, "b H W c"]:
    """Each pixel twice along each side, cut to the height and width of `shape`."""
    twice = jnp.repeat(jnp.repeat(h, 2, axis=1), 2, axis=2)
    return twice[:, : shape[1], : shape[2]]
