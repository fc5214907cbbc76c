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
from jaxwin.analysis._crossing import Crossing, read_off
from jaxwin.analysis._sweep import Sweep
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.execution import run
from jaxwin.processes import AbstractProcess

# Two sets of labels, as masks.
Pair = tuple[Bool[np.ndarray, " c"], Bool[np.ndarray, " c"]]


class Overlaps(NamedTuple):
    """Overlaps 1 - TV = E_p min(r_A / w_A, r_B / w_B), a row a pair of sets.

    Blocks of independent draws, and the clock: all that a bootstrap of times asks for.
    t_max: the end of the clock if the noises go up to it and it is not full noise, NaN
    else: what is not reached within the noises may then be so beyond them.
    """

    noise: Float[np.ndarray, " t"]
    coordinate: Float[np.ndarray, " t"]
    mean: Float[np.ndarray, "p t"]
    stderr: Float[np.ndarray, "p t"]
    blocks: Float[np.ndarray, "b p t"]
    counts: Real[np.ndarray, " b"]
    clock: Callable[[Array], ArrayLike]
    t_max: float = np.nan

    def together(self, pairs: Sequence[int], epsilon: float) -> Crossing:
        """From where on every one of these pairs has TV <= epsilon, with its interval.

        Total variation falls with noise. Where it is small enough at the first noise
        already the time lies anywhere in [0, first noise], which are low and high: the
        first noise is given, and as its own error. Not found where it never holds. The
        smallest overlap is taken in every resample.
        """
        least = lambda curves: curves[..., list(pairs), :].min(axis=-2)
        if least(self.mean)[0] >= 1 - epsilon:
            first = float(self.noise[0])
            return _between(first, first, min(first, 0.0), first)
        return self._read_off(1 - epsilon, least)

    def apart(self, pair: int, epsilon: float) -> Crossing:
        """Up to where a pair has TV >= 1 - epsilon^2, with its interval.

        Where it still holds at the last noise that one is given; it is the least that
        the time can be, unless the clock ends there: `high` is then infinite, and there
        is no error. Not found where it never holds.
        """
        if self.mean[pair, -1] <= epsilon**2:
            last = float(self.noise[-1])
            if np.isfinite(self.t_max):
                return _between(last, 0.0, last, last)
            return _between(last, np.nan, last, np.inf)
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
        t_max=_end_of(observed, noise),
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
        t_max=_end_of_clock(found.process, found.noise),
    )


def _between(time: float, stderr: float, low: float, high: float) -> Crossing:
    """A time that is only known to lie in [low, high]."""
    number = lambda value: jnp.asarray(value, float)
    ends = number(low), number(high)
    return Crossing(number(time), number(stderr), *ends, jnp.asarray(True))


def _end_of(observed: AbstractObserved, noise: Float[np.ndarray, " t"]) -> float:
    if isinstance(observed, Observed) and isinstance(observed.channel, Gaussian):
        return _end_of_clock(observed.channel.process, noise)
    return np.nan


def _end_of_clock(process: AbstractProcess, noise: Float[np.ndarray, " t"]) -> float:
    """Where a clock ends short of full noise, if the noises go that far."""
    last = float(process.domain[1])
    if not (np.isfinite(last) and noise[-1] >= last * (1 - 1e-6)):
        return np.nan
    return last if np.isfinite(float(process.log_snr(jnp.asarray(last)))) else np.nan


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
