"""The networks of `jaxwin.learned` and their training step, in plain PyTorch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

GROUP = 8


class Embedding(nn.Module):
    """Sines and cosines of the noise level through two layers."""

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer(
            "frequencies", torch.logspace(np.log10(0.5), np.log10(16), width // 2)
        )
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, level):
        """Vectors of a block."""
        phase = level[:, None] * self.frequencies[None]
        told = self.first(torch.cat([phase.sin(), phase.cos()], 1))
        return F.silu(self.second(F.silu(told)))


class MLP(nn.Module):
    """As `jaxwin.learned.MLP`."""

    def __init__(self, dimension: int, width: int, depth: int):
        super().__init__()
        layers = lambda: nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.embedding, self.enter = Embedding(width), nn.Linear(dimension, width)
        self.inner, self.told, self.outer = layers(), layers(), layers()
        self.leave = nn.Linear(width, dimension)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x, level):
        """Values at a block of points."""
        told, h = self.embedding(level), self.enter(x)
        for inner, shift, outer in zip(self.inner, self.told, self.outer, strict=True):
            h = h + outer(F.silu(inner(h) + shift(told)))
        return self.leave(F.silu(h))


class Block(nn.Module):
    """As the residual block of `jaxwin.learned.UNet`."""

    def __init__(self, size: int, told: int):
        super().__init__()
        self.before = nn.GroupNorm(size // GROUP, size)
        self.first = nn.Conv2d(size, size, 3, padding=1)
        self.told = nn.Linear(told, 2 * size)
        self.between = nn.GroupNorm(size // GROUP, size)
        self.second = nn.Conv2d(size, size, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, h, told):
        """One block."""
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        inside = self.between(self.first(F.silu(self.before(h))))
        return h + self.second(F.silu(inside * (1 + scale) + shift))


class UNet(nn.Module):
    """As `jaxwin.learned.UNet`, for even sides."""

    def __init__(self, side: int, width: int, depth: int):
        super().__init__()
        self.side, told = side, 4 * width
        sizes = [width * 2**level for level in range(depth)]
        pairs = list(zip(sizes, sizes[1:], strict=False))
        self.embedding = Embedding(told)
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.ModuleList(Block(size, told) for size in sizes)
        self.halve = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs
        )
        self.middle = Block(sizes[-1], told)
        self.up = nn.ModuleList(Block(size, told) for size in reversed(sizes))
        self.enlarge = nn.ModuleList(
            nn.Conv2d(b, a, 3, padding=1) for a, b in reversed(pairs)
        )
        self.norm = nn.GroupNorm(width // GROUP, width)
        self.leave = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x, level):
        """Values at a block of points."""
        told = self.embedding(level)
        h, skips = self.enter(x.reshape(-1, 1, self.side, self.side)), []
        for i, block in enumerate(self.down):
            h = block(self.halve[i - 1](h) if i else h, told)
            skips.append(h)
        h = self.middle(h, told)
        for i, block in enumerate(self.up):
            if i:
                h = F.interpolate(self.enlarge[i - 1](h), scale_factor=2)
            h = block(h + skips.pop(), told)
        return self.leave(F.silu(self.norm(h))).reshape(x.shape)


def steps(
    network: nn.Module, points: np.ndarray, batch: int, ema: float = 0.999
) -> Callable[[int], float]:
    """A function that trains for so many steps: EDM's loss, Adam, clipping, an EMA."""
    data = torch.as_tensor(points, dtype=torch.float32)
    mean, std = data.mean(0), data.var(0, correction=0).mean().sqrt()
    average = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)

    def train(count: int) -> float:
        for _ in range(count):
            u = data[torch.randint(len(data), (batch,))] - mean
            z = torch.randn_like(u)
            sigma = std * torch.exp(1.2 * torch.randn(batch))[:, None]
            root = (sigma**2 + std**2).sqrt()
            wanted = (sigma * u / std - std * z) / root
            level = torch.log(sigma[:, 0] / std) / 4
            loss = ((network((u + sigma * z) / root, level) - wanted) ** 2).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, list(network.parameters()), 1 - ema)
        return float(loss.detach())

    return train
