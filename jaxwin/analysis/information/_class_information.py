"""How much of the class a noised point tells, and where most of it is decided."""

from collections.abc import Callable

import equinox as eqx
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from jaxwin.analysis._crossing import Crossing, read_off
from jaxwin.io import field

# Shares of H(c) between which the middle 90 % of the class is decided.
SHARES = 0.95, 0.05


class ClassInformation(eqx.Module):
    """Mutual information I(c; x_t) of class and noised point, along OU time.

    I = H(c) where the class is known, zero at full noise. `low` and `high` are where
    I = 95 % and 5 % of H(c): nine tenths of the class are decided in between.
    """

    low: Crossing
    high: Crossing
    entropy: Float[np.ndarray, ""] = field((), "nats", "H(c) of the class weights")
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    information: Float[np.ndarray, " t"] = field(("noise",), "nats")
    stderr: Float[np.ndarray, " t"] = field(("noise",), "nats")


def class_information(
    block_loss: Float[np.ndarray, "blocks t"],
    block_counts: Real[np.ndarray, " blocks"],
    coordinate: Float[np.ndarray, " t"],
    noises: Float[np.ndarray, " t"],
    log_prior: ArrayLike,
    clock: Callable[[Array], ArrayLike],
) -> ClassInformation:
    """Read the class information off a recorded loss of the exact classifier.

        I(c; x_t) = H(c) - E[-log p(c | x_t)],    H(c) = -sum_c w_c log w_c.

    Args:
        block_loss: Block means of -log p(c_own | x_t) in nats, or of anything else
            whose average is H(c | x_t), such as the posterior's entropy.
        block_counts: Replicas in each block.
        coordinate: Minus the log-SNR at each noise, increasing.
        noises: OU times.
        log_prior: (c,) log class weights; -inf for a class that is absent.
        clock: Increasing map from the coordinate to OU time.

    Raises:
        ValueError: Fewer than 4 noises between the ends of the clock.
    """
    log_prior = np.asarray(log_prior, np.float64)
    present = log_prior[log_prior > -np.inf]
    entropy = -np.sum(np.exp(present) * present)
    block_information = entropy - block_loss
    share = (block_counts / block_counts.sum())[:, None]
    information = np.sum(share * block_information, axis=0)
    spread = np.sum((share * (block_information - information)) ** 2, axis=0)
    blocks = len(block_loss)
    low, high = (
        read_off(
            coordinate,
            information,
            block_information,
            block_counts,
            part * entropy,
            clock,
        )
        for part in SHARES
    )
    return ClassInformation(
        low=low,
        high=high,
        entropy=np.asarray(entropy),
        noise=noises,
        information=information,
        stderr=np.sqrt(spread * blocks / (blocks - 1)),
    )
