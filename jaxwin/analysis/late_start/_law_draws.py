"""KL and TV of the noised law and a start, by draws of both."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Index, Key
from jaxwin.execution import run
from jaxwin.processes import AbstractProcess
from jaxwin.samplers import FromMoments, FromPrior
from jaxwin.targets import AbstractTarget


class Apart(NamedTuple):
    """KL(p_t | start) in nats and TV(p_t, start), with standard errors."""

    divergence: Float[np.ndarray, " t"]
    divergence_stderr: Float[np.ndarray, " t"]
    variation: Float[np.ndarray, " t"]
    variation_stderr: Float[np.ndarray, " t"]


def drawn_apart(
    target: AbstractTarget,
    process: AbstractProcess,
    start: FromMoments | FromPrior,
    times: Float[np.ndarray, " t"],
    num_replicas: int,
    key: Key,
    **options: Any,
) -> Apart:
    """Average over the even mixture m of both, one draw of each a replica.

        KL = E_m[(p log(p / q) - p + q) / m],    TV = E_m[|p - q| / (p + q)]

    Terms are >= 0 and the factors p / m and q / m at most 2: the spread is of the size
    of KL and TV themselves, also where these are small, and no tail is heavy.

    Args:
        target: The clean law, whose noised density p is known.
        process: The clock.
        start: The law q at any one time.
        times: Times of `process`.
        num_replicas: Draws of each.
        key: Random key.
        options: Those of `execution.run`.
    """
    dtype = target.moments().mean.dtype
    alphas, sigmas = process.levels(jnp.asarray(times), dtype)
    replica = eqx.Partial(_terms, target, start, alphas, sigmas)
    found = run(replica, num_replicas, key, **options)
    (kl, tv), (kl_error, tv_error) = found.mean, found.stderr
    return Apart(kl, kl_error, tv, tv_error)


def _terms(
    target: AbstractTarget,
    start: FromMoments | FromPrior,
    alphas: Array,
    sigmas: Array,
    key: Key,
    replica: Index,
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    clean_key, noise_key, start_key = jr.split(jr.fold_in(key, replica), 3)
    clean = target.sample(clean_key)
    z = jr.normal(noise_key, clean.shape, clean.dtype)

    def at(level: tuple[Array, Array]) -> tuple[Array, Array]:
        alpha, sigma = level
        now = start.at(alpha, sigma) if isinstance(start, FromMoments) else start

        def term(x: Array) -> tuple[Array, Array]:
            log_p = target.log_density(x, alpha, sigma)
            return _term(now.log_density(x) - log_p)

        of_p, of_q = term(alpha * clean + sigma * z), term(now(start_key))
        return (of_p[0] + of_q[0]) / 2, (of_p[1] + of_q[1]) / 2

    return jax.lax.map(at, (alphas, sigmas))


def _term(ratio: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Both integrands over m, of log(q / p)."""
    gap = jnp.tanh(ratio / 2)  # (q - p) / (q + p)
    return 2 * gap - 2 * jax.nn.sigmoid(-ratio) * ratio, jnp.abs(gap)
