"""How many samples are copies of data points."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._streaming import coordinate_sum
from jaxwin._typing import AnyArray
from jaxwin.metrics._metric import Metric
from jaxwin.metrics._samples import as_pair

# Data points seen together: 1 MiB of distances to a block of samples in float32.
BLOCK = 512
SAMPLES = 512


def memorised_fraction(
    samples: AnyArray, data: AnyArray, ratio: float = 1 / 3
) -> Metric:
    """Share of samples much nearer to one data point than to every other.

    A sample counts where d_1 < ratio d_2, d_1 and d_2 its distances to the nearest data
    point and the second nearest, and where d_1 = 0: then d_1 / d_2 = 0/0, of a data
    point that is there twice, counts as 0. A sample near such a pair has d_1 = d_2 and
    does not count: drop duplicates first. About 0 for fresh samples in 16 dimensions or
    more; by chance about `ratio` on the line.

    Distances are sums of squared differences, right in float32 for a sample that is a
    data point; O(m n d) work, memory of the two sets and one block. The standard error
    is that of independent samples by Jeffreys' posterior, sqrt(a b / ((m + 1)^2 (m +
    2))) for a - 1/2 copies and b - 1/2 others, so that it does not vanish at 0 and 1.
    Not differentiable: a count.

    Args:
        samples: m samples, (m, d) or (m,).
        data: n data points, (n, d) or (n,).
        ratio: In (0, 1].

    Raises:
        ValueError: Shapes, fewer than 2 of either, entries not finite, `ratio`.

    References:
        Yoon et al. (2023), Diffusion probabilistic models generalize when they fail to
        memorize; Bonnaire et al., arXiv:2505.17638.
    """
    if not 0 < ratio <= 1:
        raise BadInput(f"`ratio` is {ratio}; it must lie in (0, 1]: 1/3 is usual.")
    x, points = as_pair(samples, data)
    nearest, second = jax.lax.map(
        lambda x: _two_nearest(x, points), x, batch_size=min(SAMPLES, len(x))
    )
    copy = (nearest <= 0) | (nearest < ratio**2 * second)
    # Wrong numbers inside a trace give NaN.
    known = jnp.isfinite(nearest) & jnp.isfinite(second)
    copies = jnp.sum(jnp.where(known, copy.astype(x.dtype), jnp.nan))
    m = len(x)
    a, b = copies + 0.5, m - copies + 0.5
    stderr = jnp.sqrt(a * b / (m + 2)) / (m + 1)
    return Metric(copies / m, stderr)


def _two_nearest(
    x: Float[Array, " d"], points: Float[Array, "n d"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The two smallest squared distances to data points, block by block."""
    n, d = points.shape
    size = min(BLOCK, n)
    count = -(-n // size)
    blocks = jnp.pad(points, ((0, count * size - n), (0, 0))).reshape(count, size, d)
    first = size * jnp.arange(count, dtype=jnp.int32)

    def body(least: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
        rows, start = block
        square = coordinate_sum(lambda a, b: (a - b) ** 2, rows, x)
        real = start + jnp.arange(size, dtype=jnp.int32) < n
        square = jnp.where(real, square, jnp.inf)
        place = jnp.argmin(square)
        others = jnp.where(jnp.arange(size) == place, jnp.inf, square)
        four = jnp.concatenate([least, jnp.stack([square[place], others.min()])])
        return jnp.sort(four)[:2], None

    start = jnp.full(2, jnp.inf, x.dtype)
    least, _ = jax.lax.scan(body, start, (blocks, first))
    return least[0], least[1]
