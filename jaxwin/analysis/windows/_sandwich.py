"""Distances of U-turn laws by Monte Carlo, from above and from below."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._typing import Key
from jaxwin.analysis.windows._sets import weight
from jaxwin.analysis.windows._uturn import sub_mixture
from jaxwin.execution import run
from jaxwin.targets import AbstractLabelledTarget


def sandwich(
    law: AbstractLabelledTarget,
    initial: Bool[np.ndarray, " c"],
    other: Bool[np.ndarray, " c"],
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
    num_replicas: int,
    inner: int,
    key: Key,
    block_size: int,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Bounds of TV = E_p |g - u| / 2, g known as an average over noises only.

    With averages g_1, g_2 of g over independent noises of a clean point,

        E_p sign(g_1 - u) (g_2 - u) <= E_p |g - u| <= E_p |(g_1 + g_2) / 2 - u|:

    no choice of signs exceeds the absolute value, and the absolute value is convex. The
    gap closes as 1 / inner. Clean points come from (p + p^S + p^other) / 3 and carry
    the weight 3 / (1 + p^S / p + p^other / p) <= 3. One clean point and its noises
    serve all levels.

    Returns:
        Lower and upper averages, and the larger of their standard errors.
    """
    if inner < 1:
        raise ValueError(f"`inner` is {inner}; it must be at least 1.")
    laws = law, sub_mixture(law, initial), sub_mixture(law, other)
    replica = eqx.Partial(
        _bounds, laws, jnp.asarray(initial), jnp.asarray(other), alphas, sigmas, inner
    )
    estimate = run(replica, num_replicas, key, block_size=block_size, **options)
    (lower, upper), errors = estimate.mean, estimate.stderr
    return np.asarray(lower), np.asarray(upper), np.maximum(*map(np.asarray, errors))


def _bounds(
    laws: tuple[AbstractLabelledTarget, ...],
    initial: Array,
    other: Array,
    alphas: Array,
    sigmas: Array,
    inner: int,
    key: Key,
    replica: Array,
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    law, log_prior = laws[0], laws[0].log_label_prior()
    which_key, point_key, noise_key = jr.split(jr.fold_in(key, replica), 3)
    x0 = jnp.stack([each.sample(point_key) for each in laws])[
        jr.randint(which_key, (), 0, len(laws))
    ]
    z = jr.normal(noise_key, (2, inner, x0.size), x0.dtype)

    def ratio(x: Array, mask: Array, alpha: Array | float, sigma: Array | float):
        posterior = jnp.exp(law.label_log_posterior(x, alpha, sigma))
        return jnp.sum(jnp.where(mask, posterior, 0)) / weight(log_prior, mask)

    start, aim = (ratio(x0, mask, 1.0, 0.0) for mask in (initial, other))
    share = 3 / (1 + start + aim)

    def at(level: tuple[Array, Array]) -> tuple[Array, Array]:
        alpha, sigma = level
        noised = lambda z: ratio(alpha * x0 + sigma * z, initial, alpha, sigma)
        first, second = jnp.mean(jax.vmap(jax.vmap(noised))(z), axis=1) - aim
        crossed = jnp.sign(first) * second + jnp.sign(second) * first
        return share * crossed / 4, share * jnp.abs(first + second) / 4

    return jax.lax.map(at, (alphas, sigmas))
