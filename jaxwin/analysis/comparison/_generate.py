"""Samples of any denoiser, by one good sampler."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import Key, ScalarLike
from jaxwin.processes import EDM, edm_rho
from jaxwin.samplers import HeunFlow, sample_block
from jaxwin.scores import ExactScore
from jaxwin.targets import AbstractDenoiser

# Ends of a run, in units of the spread of the data, and its steps.
FROM, TO, STEPS = 40.0, 0.01, 24
BATCH = 512


def generate(
    denoiser: AbstractDenoiser,
    count: int,
    key: Key,
    *,
    mean: Float[Array, " d"],
    spread: ScalarLike,
    num_steps: int = STEPS,
) -> Float[Array, "m d"]:
    """Samples by Heun's method on the probability flow of EDM, 2 evaluations a step.

    From N(mean, (40 s)^2 I) to a noise of 0.01 s on the grid of EDM, then the posterior
    mean there; s = `spread`, the standard deviation of a coordinate of the data. The
    start misses the data's variance by a part in 1,600. Order 2 in the steps.

    Args:
        denoiser: Any.
        count: Samples; made in blocks of 512.
        key: Root key.
        mean: Of the data.
        spread: s > 0.
        num_steps: Of Heun's method.

    Raises:
        BadInput: No samples, or no steps.
        FloatingPointError: A run that is not finite.

    References:
        Karras et al. (2022), arXiv:2206.00364, algorithm 1.
    """
    if count < 1 or num_steps < 1:
        raise BadInput(
            f"`count` is {count} and `num_steps` {num_steps}; both must be at least 1."
        )
    mean = jnp.asarray(mean)
    spread = jnp.asarray(spread, mean.dtype)
    # The published clock ends at 80, whatever the units of the data.
    clock = EDM(FROM * spread)
    times = edm_rho(clock, clock.sigma_max, TO * spread, num_steps).astype(mean.dtype)
    blocks = [
        _block(denoiser, clock, mean, times, key, jnp.asarray(first, jnp.int32))
        for first in range(0, count, BATCH)
    ]
    samples = jnp.concatenate(blocks)[:count]
    if not bool(jnp.all(jnp.isfinite(samples))):
        raise FloatingPointError(
            "a sample is NaN or infinite: the denoiser is, on its way."
        )
    return samples


@eqx.filter_jit
def _block(
    denoiser: AbstractDenoiser,
    clock: EDM,
    mean: Float[Array, " d"],
    times: Float[Array, " t"],
    key: Key,
    first: Array,
) -> Float[Array, "b d"]:
    start_key, path_key = jr.split(key)
    numbers = first + jnp.arange(BATCH, dtype=jnp.int32)
    normal = lambda number: jr.normal(
        jr.fold_in(start_key, number), mean.shape, mean.dtype
    )
    xs = mean[None] + times[0] * jax.vmap(normal)(numbers)
    score = ExactScore(denoiser, clock)
    xs = sample_block(HeunFlow(), score, xs, times, path_key, first)
    last = times[-1]
    return xs + last**2 * denoiser.score_many(xs, jnp.ones_like(last), last)
