"""Where along the clock classes are decided: the times worth measuring."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis.speciation._clone_agreement import clone_agreement
from jaxwin.channels import AbstractObserved

# A pilot over everything a float type can tell, in minus the log-SNR.
FURTHEST, PILOT_TIMES, PILOT = 80.0, 161, 256
# Share of phi's way that is left to either side.
REST = 0.003


def decided_times(
    observed: AbstractObserved, count: int = 64, key: Key | None = None
) -> Float[np.ndarray, " t"]:
    """Noises, uniform in the channel's coordinate, over which phi falls.

    A pilot of few draws over the whole clock tells where phi of all classes leaves its
    value at no noise and reaches that at full noise; a step of the pilot is added at
    either end. Where phi does not move the whole clock is kept.

    Args:
        observed: A labelled law through a Gaussian channel: minus the log-SNR is the
            coordinate.
        count: How many noises.
        key: Of the pilot; `jax.random.key(1)` if left out.
    """
    key = jr.key(1) if key is None else key
    coordinate = np.linspace(-FURTHEST, FURTHEST, PILOT_TIMES)
    noises = np.asarray(observed.noise_at(jnp.asarray(coordinate)))
    pilot = clone_agreement(observed, noises, num_replicas=PILOT, key=key)
    first, last = pilot.phi[0], pilot.phi[-1]
    left = pilot.phi < first - REST * (first - last)
    arrived = pilot.phi <= last + REST * (first - last)
    low, high = 0, PILOT_TIMES - 1
    if first > last and left.any():
        low = max(int(np.argmax(left)) - 1, 0)
        high = min(int(np.argmax(arrived)) + 1, high)
    ends = jnp.linspace(coordinate[low], coordinate[high], count)
    return np.asarray(observed.noise_at(ends))
