"""Information about the clean point, from the excess entropy of a data set."""

import numpy as np
from jaxtyping import Float


def mutual_information(
    excess: Float[np.ndarray, " t"], num_points: int
) -> Float[np.ndarray, " t"]:
    """Mutual information of data point and noised point, in nats.

        I(x0; x_t) = log n - E log(1 + e^L),

    L the log of the others' weight over the own one: log n where each point is known,
    zero at full noise.

    Args:
        excess: E log(1 + e^L) at each noise, such as `CollapseCurve.excess`.
        num_points: n, equally likely points.

    References:
        Biroli et al., arXiv:2402.18491, section 3 (f = alpha - I / d).
    """
    return np.log(num_points) - excess
