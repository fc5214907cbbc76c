"""Total variation between many pairs of sub-mixtures from one pass of soft labels."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from jaxwin._checks import check_curve
from jaxwin._typing import Key
from jaxwin.analysis._crossing import Crossing, exact, read_off
from jaxwin.analysis._sweep import Sweep
from jaxwin.channels import AbstractObserved
from jaxwin.execution import run

# Two sets of labels, as masks.
Pair = tuple[Bool[np.ndarray, " c"], Bool[np.ndarray, " c"]]


class Overlaps(NamedTuple):
    """Overlaps 1 - TV = E_p min(r_A / w_A, r_B / w_B), a row a pair of sets.

    Blocks of independent draws, and the clock: all that a bootstrap of times asks for.
    """

    noise: Float[np.ndarray, " t"]
    coordinate: Float[np.ndarray, " t"]
    mean: Float[np.ndarray, "p t"]
    stderr: Float[np.ndarray, "p t"]
    blocks: Float[np.ndarray, "b p t"]
    counts: Real[np.ndarray, " b"]
    clock: Callable[[Array], ArrayLike]

    def together(self, pairs: Sequence[int], epsilon: float) -> Crossing:
        """From where on every one of these pairs has TV <= epsilon, with its interval.

        The first noise where it holds there already; not found where it never does. The
        smallest overlap is taken in every resample.
        """
        least = lambda curves: curves[..., list(pairs), :].min(axis=-2)
        if least(self.mean)[0] >= 1 - epsilon:
            return exact(jnp.asarray(float(self.noise[0])))
        return self._read_off(1 - epsilon, least)

    def apart(self, pair: int, epsilon: float) -> Crossing:
        """Up to where a pair has TV >= 1 - epsilon^2, with its interval.

        The last noise where it holds there still; not found where it never does.
        """
        if self.mean[pair, -1] <= epsilon**2:
            return exact(jnp.asarray(float(self.noise[-1])))
        return self._read_off(epsilon**2, lambda curves: curves[..., pair, :])

    def _read_off(
        self, level: float, statistic: Callable[[np.ndarray], np.ndarray]
    ) -> Crossing:
        return read_off(
            self.coordinate,
            self.mean,
            self.blocks,
            self.counts,
            level,
            self.clock,
            statistic=statistic,
        )


def overlaps(
    observed: AbstractObserved,
    noises: ArrayLike,
    pairs: Sequence[Pair],
    *,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> Overlaps:
    """Overlaps of sub-mixtures of any law with exact labels: one pass for all pairs.

    Args:
        observed: A law with exact labels seen through a channel.
        noises: At least 4, increasing.
        pairs: Sets of labels as masks, such as `members` gives.
        num_replicas: Noised points.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give 128 blocks for the bootstrap.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: No exact labels; noises that are no curve.
    """
    if not observed.has_exact_labels:
        raise ValueError(
            "`observed` has no exact label posterior, which overlaps are made of."
        )
    noise = np.asarray(noises)
    check_curve(noise, "noises")
    key = jr.key(0) if key is None else key
    sets = jnp.asarray(np.array(pairs, bool))
    replica = eqx.Partial(_overlap, observed, jnp.asarray(noise), sets)
    found = run(replica, num_replicas, key, block_size=block_size, **options)
    return Overlaps(
        noise=noise,
        coordinate=np.asarray(observed.coordinate(jnp.asarray(noise))),
        mean=found.mean,
        stderr=found.stderr,
        blocks=found.block_means,
        counts=found.block_counts,
        clock=observed.noise_at,
    )


def class_overlaps(found: Sweep, pairs: Sequence[Pair], feature: int = 0) -> Overlaps:
    """Overlaps between sets of classes of a data set, own points in.

    Args:
        found: A pass over the data.
        pairs: Sets of classes as masks.
        feature: Which feature's classes.
    """
    of = found.features[feature]
    weights = np.asarray(of.count(found.counts))
    prior, sets = jnp.asarray(weights / weights.sum()), jnp.asarray(np.array(pairs))
    # Batch by batch: a row a pair of every draw would be many times the pass.
    batches = np.exp(found.log_posterior(of))
    blocks = np.stack([_mean_overlap(batch, prior, sets) for batch in batches])
    return Overlaps(
        noise=found.noise,
        coordinate=found.coordinate,
        mean=blocks.mean(axis=0),
        stderr=blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)),
        blocks=blocks,
        counts=found.batches,
        clock=found.clock,
    )


def _overlap(
    observed: AbstractObserved, noises: Array, sets: Array, key: Key, replica: Array
) -> Float[Array, "p t"]:
    _, log_posterior = observed.soft_labels(jr.fold_in(key, replica), noises)
    prior = jnp.exp(observed.log_label_prior())
    return _smaller_share(jnp.exp(log_posterior), prior, sets)


@jax.jit
def _mean_overlap(posterior: Array, prior: Array, sets: Array) -> Float[Array, "p t"]:
    prior = prior.astype(posterior.dtype)
    return jnp.mean(_smaller_share(posterior, prior, sets), axis=0)


def _smaller_share(
    posterior: Float[Array, " *s t c"],
    prior: Float[Array, " c"],
    sets: Bool[Array, "p 2 c"],
) -> Float[Array, " *s p t"]:
    """min(r_A / w_A, r_B / w_B) at every noise."""
    inside = sets.astype(posterior.dtype)
    weight = jnp.matmul(inside, prior, precision="highest")
    share = (inside / weight[..., None]).reshape(-1, prior.size)
    ratio = jnp.matmul(posterior, share.T, precision="highest")
    pairs = ratio.reshape(*posterior.shape[:-1], *sets.shape[:2])
    return jnp.swapaxes(pairs.min(axis=-1), -1, -2)
