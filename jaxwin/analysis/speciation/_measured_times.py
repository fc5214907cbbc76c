"""General-class times of any law whose label posterior is exact, by Monte Carlo."""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_curve
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import stack
from jaxwin.analysis.speciation._clone_agreement import (
    MIN_BLOCKS,
    check_drawn,
    chosen_pairs,
)
from jaxwin.analysis.speciation._general_times import (
    GeneralClassTimes,
    mean_is_deviation,
)
from jaxwin.channels import AbstractObserved
from jaxwin.execution import run

# A ratio beyond e^CERTAIN is certainty: its square stays in the range of float32.
CERTAIN = 1e12


def measured_general_times(
    observed: AbstractObserved,
    noises: AnyArray,
    *,
    pairs: AnyArray | Literal["all"] = "all",
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> GeneralClassTimes:
    """Measure where mean and standard deviation of L = log P_a / P_b are equal.

    L is the log-ratio of the label posterior less that of the prior, so that it needs
    exact labels alone: classes of many components, spins, any channel. One replica
    serves all noise levels and all pairs. The interval, by a bootstrap of whole curves,
    is given the law (for a data set: given these data, the own point in).

    Args:
        observed: A law seen through a channel, such as `Observed(law, Gaussian())`.
        noises: Times of the channel's process, at least 4, increasing.
        pairs: (p, 2) labels, or "all".
        num_replicas: Noised points, over all classes.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give the 128 blocks that the
            bootstrap wants.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Exact label posteriors are not to be had; fewer than 4 noises, or
            noises that do not increase; labels that do not exist or were never drawn.

    References:
        Shared theory, speciation 3.3 (mean = sd).
    """
    if not observed.has_exact_labels:
        raise ValueError(
            "`observed` has no exact label posterior; measure clone agreement by "
            "simulated U-turns instead."
        )
    noises = np.asarray(noises)
    check_curve(noises, "noises")
    key = jr.key(0) if key is None else key
    chosen = chosen_pairs(pairs, np.asarray(observed.log_label_prior()) > -np.inf)
    replica = eqx.Partial(_powers, observed, jnp.asarray(noises), jnp.asarray(chosen))
    fixed: dict[str, Any] = {"min_blocks": MIN_BLOCKS}
    estimate = run(replica, num_replicas, key, block_size=block_size, **fixed | options)
    coordinate = np.asarray(observed.coordinate(jnp.asarray(noises)))
    (powers, share), (block_powers, block_share) = estimate.mean, estimate.block_means
    check_drawn(chosen, share)
    counts = estimate.block_counts
    sides = [
        stack(
            [
                mean_is_deviation(
                    coordinate,
                    powers[p, side] / share[p, side],
                    counts[:, None, None] * block_powers[:, p, side],
                    counts * block_share[:, p, side],
                    observed.noise_at,
                )
                for side in range(2)
            ]
        )
        for p in range(len(chosen))
    ]
    return GeneralClassTimes(chosen, stack(sides))


def _powers(
    observed: AbstractObserved, noises: Array, pairs: Array, key: Key, replica: Array
) -> tuple[Float[Array, "p 2 2 t"], Float[Array, "p 2"]]:
    """L and L^2 for each side of each pair that the draw is of, zero for others.

    L is of the own class against the other: on the second side with the sign turned.
    """
    label, log_posterior = observed.soft_labels(jr.fold_in(key, replica), noises)
    log_likelihood = (log_posterior - observed.log_label_prior()[None]).T
    side = (pairs == label).astype(log_likelihood.dtype)
    ratio = log_likelihood[pairs] - log_likelihood[pairs[:, ::-1]]
    # Both may be -inf in a pair without the draw's class.
    own = side[..., None] > 0
    ratio = jnp.where(own, jnp.clip(ratio, -CERTAIN, CERTAIN), 0)
    return jnp.stack([ratio, ratio**2], axis=2), side
