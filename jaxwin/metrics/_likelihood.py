"""Mean negative log-density."""

import jax.numpy as jnp

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.metrics._metric import Metric, mean_variance, measured
from jaxwin.metrics._samples import finite_array


def negative_log_likelihood(log_density: AnyArray) -> Metric:
    """Mean of -log p over samples, in nats for a point.

        -1/n sum_i log p(x_i),   standard error sd / sqrt(n)

    Unbiased for the cross-entropy of the sampled law and p; less the entropy of the
    sampled law it is their Kullback-Leibler divergence. O(n).

    Args:
        log_density: Log-densities of n samples under an exact law, (n,), for example
            `jax.vmap(target.log_density, (0, None, None))(xs, alpha, sigma)`.

    Raises:
        ValueError: Not (n,), n < 2, an entry that is not finite (a sample where the law
            has no density: count these apart).

    References:
        Cover & Thomas (2006), Elements of Information Theory, section 2.3.
    """
    values = finite_array(log_density, "log_density")
    if values.ndim != 1 or values.size < 2:
        raise BadInput(
            f"`log_density` has shape {values.shape}; it must be one number for each "
            f"of at least 2 samples: map the law's log-density over them."
        )
    return measured(-jnp.mean(values), mean_variance(values))
