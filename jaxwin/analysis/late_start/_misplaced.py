"""What a late start misplaces: class weights after exact continuation."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxwin._checks import check_curve
from jaxwin._typing import Key
from jaxwin.analysis._crossing import Crossing, read_off
from jaxwin.analysis.late_start._gaussian import GaussianClean, gaussian_clean
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget

# The share of the class weight that a late start may misplace.
LEVEL = 0.01
MIN_BLOCKS = 32
# Leading directions of the control variates, fewer where there are many classes: all
# products of a class with a feature are kept, so many a noise at most.
MOST_DIRECTIONS, MOST_PRODUCTS = 8, 512
METHOD = "exact soft labels at Gaussian draws (exact continuation, no backward run)"


class LateStart(eqx.Module):
    """Class weight misplaced by a Gaussian start at each noise.

    misplaced = (1/2) sum_c |E p(c | x) - w_c|, x from the Gaussian with the exact
    moments of p_t. `start`: the noise above which at most `level` is misplaced; where
    it is not found, `always` says whether that holds at every noise (else at none).

    Noise in the averages pushes |.| upwards, never down: by at most `floor`, which a
    start that misplaces nothing would show.
    """

    start: Crossing
    always: bool = eqx.field(static=True)
    level: float = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    misplaced: Float[np.ndarray, " t"] = field(("noise",), "probability")
    stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    floor: Float[np.ndarray, " t"] = field(("noise",), "probability", "of noise alone")
    weight: Float[np.ndarray, "t c"] = field(
        ("noise", "class"), "probability", "E p(c | x), what each class is given"
    )


def misplaced(
    law: AbstractLabelledTarget,
    times: ArrayLike,
    *,
    process: AbstractProcess | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    level: float = LEVEL,
    block_size: int = 64,
    **options: Any,
) -> LateStart:
    """Measure what a late start misplaces, along a clock.

    A run that begins at x and is continued by the exact reverse process ends in class
    c with probability p(c | x): no run is needed. One replica is one draw of the
    Gaussian and one noise, which serve all times. Linear and quadratic functions of
    the leading coordinates of x, whose averages are known, take away most of the
    spread; their factors are fitted on the other blocks, so that no bias enters.

    Args:
        law: The data; its exact moments give the Gaussian.
        times: Times of `process`, increasing, sigma > 0.
        process: The clock; OU if left out.
        num_replicas: Draws.
        key: Random key; `jax.random.key(0)` if left out.
        level: The share that may be misplaced.
        block_size: Replicas at once; the defaults give the 128 blocks that the
            bootstrap of `start` wants.
        options: Handed on to `execution.run`; `until_stderr` looks at the plain
            averages E p(c | x), after 32 blocks.

    Raises:
        ValueError: Fewer than 4 times, or times not increasing.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693 (Gaussian late start).
    """
    process = OrnsteinUhlenbeck() if process is None else process
    key = jr.key(0) if key is None else key
    times = np.asarray(times)
    check_curve(times, "times")
    start = gaussian_clean(law, _num_directions(law.num_labels))
    alphas, sigmas = process.levels(jnp.asarray(times), start.mean.dtype)
    replica = eqx.Partial(_observables, law, start, alphas, sigmas)
    fixed = {"watch": lambda result: result[0], "min_blocks": MIN_BLOCKS}
    estimate = run(replica, num_replicas, key, block_size=block_size, **fixed | options)
    counts = estimate.block_counts
    posterior, features, products = estimate.block_means
    given = _controlled(posterior, features, products, counts)
    share = (counts / estimate.count)[:, None, None]
    weight = np.sum(share * given, axis=0)
    excess = weight - np.exp(np.asarray(law.log_label_prior()))
    # Blocks enter |.| by its linear part: their average is then the curve itself.
    blocks = np.sum(np.sign(excess) * (given - weight + excess), axis=2) / 2
    curve = np.sum(np.abs(excess), axis=1) / 2
    # The mean of |N(0, s^2)| is sqrt(2 / pi) s.
    floor = np.sum(_stderr(given, weight, share), axis=1) / np.sqrt(2 * np.pi)
    coordinate = -np.asarray(process.log_snr(jnp.asarray(times)))
    clock = lambda places: process.time(-places)
    # Where the noisy end misplaces too much there is no start: nothing reaches 2.
    reached = 2.0 if curve[-1] > level else level
    return LateStart(
        start=read_off(coordinate, curve, blocks, counts, reached, clock),
        always=bool(np.all(curve <= level)),
        level=level,
        count=estimate.count,
        method=METHOD,
        noise=times,
        misplaced=curve,
        stderr=_stderr(blocks, curve, share[:, 0]),
        floor=floor,
        weight=weight,
    )


def _num_directions(num_labels: int) -> int:
    """As many leading directions as keep the products of one noise few."""
    counts = np.arange(MOST_DIRECTIONS + 1)
    products = num_labels * counts * (counts + 3) // 2
    return int(np.flatnonzero(products <= MOST_PRODUCTS)[-1])


def _observables(
    law: AbstractLabelledTarget,
    start: GaussianClean,
    alphas: Array,
    sigmas: Array,
    key: Key,
    replica: Array,
) -> tuple[Float[Array, "t c"], Float[Array, "t f"], Float[Array, "t c f"]]:
    """p(c | x), features of mean zero and unit covariance, and their products."""
    clean_key, noise_key = jr.split(jr.fold_in(key, replica))
    y = start.draw(clean_key)
    z = jr.normal(noise_key, y.shape, y.dtype)
    posterior = jnp.exp(law.soft_labels_at(y, z, alphas, sigmas))
    w = start.whitened(y, z, alphas, sigmas)
    # Hermite: w_i, w_i w_j and (w_i^2 - 1) / sqrt(2).
    rows, columns = np.triu_indices(w.shape[1], 1)
    squares = (w**2 - 1) / 2**0.5
    features = jnp.concatenate([w, squares, w[:, rows] * w[:, columns]], axis=1)
    return posterior, features, posterior[:, :, None] * features[:, None, :]


def _controlled(
    posterior: Float[np.ndarray, "b t c"],
    features: Float[np.ndarray, "b t f"],
    products: Float[np.ndarray, "b t c f"],
    counts: np.ndarray,
) -> Float[np.ndarray, "b t c"]:
    """Block means of p(c | x) less what the features explain.

    The features have unit covariance, so E[(p - E p) f] is the factor of f; that of a
    block is averaged over the other blocks, which know nothing of its features.
    """
    share = (counts / counts.sum())[:, None, None]
    mean, feature_mean = (
        np.sum(share * leaf, axis=0) for leaf in (posterior, features)
    )
    total = np.einsum("b,btcf->tcf", share[:, 0, 0], products)
    controlled = np.empty_like(posterior)
    for b in range(len(counts)):
        # Sums over the other blocks, from those over all.
        part, rest = share[b], 1 - share[b]
        others = (total - part * products[b]) / rest
        p = (mean - part * posterior[b]) / rest
        f = (feature_mean - part * features[b]) / rest
        factor = others - p[:, :, None] * f[:, None, :]
        controlled[b] = posterior[b] - np.einsum("tcf,tf->tc", factor, features[b])
    return controlled


def _stderr(blocks: np.ndarray, mean: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Standard error of a mean, from the spread of its block values."""
    count = len(blocks)
    spread = np.sum((share * (blocks - mean)) ** 2, axis=0)
    return np.sqrt(spread * count / (count - 1))
