"""What classes a Gaussian start is given, block by block, by controlled averages."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key
from jaxwin.analysis.late_start._gaussian import GaussianClean, gaussian_clean
from jaxwin.execution import run
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractLabelledTarget

MIN_BLOCKS = 32
# Leading directions of the control variates, fewer where there are many classes: all
# products of a class with a feature are kept, so many a noise at most.
MOST_DIRECTIONS, MOST_PRODUCTS = 8, 512


class Given(NamedTuple):
    """Class weights E p(c | x) over a start: means, blocks and replicas in each."""

    weight: Float[np.ndarray, "t c"]
    blocks: Float[np.ndarray, "b t c"]
    counts: np.ndarray

    @property
    def share(self) -> Float[np.ndarray, " b"]:
        """The part of all replicas in each block."""
        return self.counts / self.counts.sum()

    def stderr(self) -> Float[np.ndarray, "t c"]:
        """Standard error of the weights."""
        return block_stderr(self.blocks, self.weight, self.share)


def given_weights(
    law: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Float[np.ndarray, " t"],
    num_replicas: int,
    key: Key,
    *,
    vanilla: bool = False,
    **options: Any,
) -> Given:
    """Average p(c | x) over a start, with the control variates of `misplaced`.

    Args:
        law: The data.
        process: The clock.
        times: Its times, sigma > 0.
        num_replicas: Draws.
        key: Random key.
        vanilla: Whether x is drawn from the prior of the process, the same at every
            time, in place of the Gaussian with the exact moments of p_t.
        options: Those of `execution.run`.
    """
    start = gaussian_clean(law, _num_directions(law.num_labels))
    alphas, sigmas = process.levels(jnp.asarray(times), start.mean.dtype)
    if vanilla:
        std = jnp.asarray(process.prior().std, start.mean.dtype)
        replica = eqx.Partial(_of_prior, law, std, start.directions, alphas, sigmas)
    else:
        replica = eqx.Partial(_observables, law, start, alphas, sigmas)
    fixed: dict[str, Any] = {
        "watch": lambda result: result[0],
        "min_blocks": MIN_BLOCKS,
    }
    estimate = run(replica, num_replicas, key, **fixed | options)
    counts = estimate.block_counts
    posterior, features, products = estimate.block_means
    blocks = _controlled(posterior, features, products, counts)
    share = (counts / estimate.count)[:, None, None]
    return Given(np.sum(share * blocks, axis=0), blocks, counts)


def noise_floor(given: Given) -> Float[np.ndarray, " t"]:
    """Half the sum of |weight - its mean| that noise alone shows."""
    # The mean of |N(0, s^2)| is sqrt(2 / pi) s.
    return np.sum(given.stderr(), axis=1) / np.sqrt(2 * np.pi)


def block_stderr(
    blocks: Float[np.ndarray, "b ..."], mean: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Standard error of a mean, from the spread of its block values."""
    count = len(blocks)
    share = share.reshape(-1, *(1,) * (blocks.ndim - 1))
    spread = np.sum((share * (blocks - mean)) ** 2, axis=0)
    return np.sqrt(spread * count / (count - 1))


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
    return _with_features(posterior, start.whitened(y, z, alphas, sigmas))


def _of_prior(
    law: AbstractLabelledTarget,
    std: Array,
    directions: Float[Array, "d k"],
    alphas: Array,
    sigmas: Array,
    key: Key,
    replica: Array,
) -> tuple[Float[Array, "t c"], Float[Array, "t f"], Float[Array, "t c f"]]:
    """As `_observables`, of one draw of the prior at every noise."""
    size = directions.shape[0]
    z = jr.normal(jr.fold_in(key, replica), (size,), directions.dtype)

    def at(level: tuple[Array, Array]) -> Array:
        return law.label_log_posterior(std * z, *level)

    posterior = jnp.exp(jax.lax.map(at, (alphas, sigmas)))
    w = jnp.matmul(z, directions, precision="highest")
    w = jnp.broadcast_to(w[None], (alphas.size, w.size))
    return _with_features(posterior, w)


def _with_features(
    posterior: Float[Array, "t c"], w: Float[Array, "t k"]
) -> tuple[Float[Array, "t c"], Float[Array, "t f"], Float[Array, "t c f"]]:
    """Hermite features w_i, w_i w_j and (w_i^2 - 1) / sqrt(2), and all products."""
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
