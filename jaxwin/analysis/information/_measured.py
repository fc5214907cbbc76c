"""Class information of any law with exact labels, measured at the noise level."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxwin._checks import check_curve
from jaxwin._typing import Key
from jaxwin.analysis.information._class_information import (
    ClassInformation,
    class_information,
)
from jaxwin.channels import AbstractObserved
from jaxwin.execution import run


def measured_class_information(
    observed: AbstractObserved,
    noises: ArrayLike,
    *,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> ClassInformation:
    """I(c; x_t) from the entropies of exact label posteriors.

    One replica is one clean point and one Gaussian, which serve every noise.

    Args:
        observed: A law with exact labels seen through a channel.
        noises: At least 4, increasing.
        num_replicas: Noised points.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give 128 blocks for the bootstrap.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: No exact labels; noises that are no curve.
    """
    if not observed.has_exact_labels:
        raise ValueError("`observed` has no exact label posterior; simulate U-turns.")
    noises = np.asarray(noises)
    check_curve(noises, "noises")
    key = jr.key(0) if key is None else key
    entropy = eqx.Partial(_entropy, observed, jnp.asarray(noises))
    estimate = run(entropy, num_replicas, key, block_size=block_size, **options)
    return class_information(
        estimate.block_means,
        estimate.block_counts,
        np.asarray(observed.coordinate(jnp.asarray(noises))),
        noises,
        observed.log_label_prior(),
        observed.noise_at,
    )


def _entropy(
    observed: AbstractObserved, noises: Array, key: Key, replica: Array
) -> Float[Array, " t"]:
    _, log_p = observed.soft_labels(jr.fold_in(key, replica), noises)
    # 0 log 0 = 0, and its -inf must not meet the zero.
    safe = jnp.where(log_p > -jnp.inf, log_p, 0)
    return -jnp.sum(jnp.exp(log_p) * safe, axis=1)
