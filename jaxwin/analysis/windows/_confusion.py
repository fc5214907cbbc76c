"""Which class a sample of one class ends in, from every noise."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin.analysis._sweep import Sweep
from jaxwin.io import field


class Confusion(eqx.Module):
    """A_ij(t) = E[p(class j | x_t) | class i]: noised from class i, it ends in j.

    The identity at no noise, rows of class weights at full noise. w_i A_ij is symmetric
    in law: a U-turn is reversible. A row without noised points is NaN.
    """

    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    matrix: Float[np.ndarray, "t c c"] = field(
        ("noise", "class", "other_class"), "probability", nullable=True
    )
    stderr: Float[np.ndarray, "t c c"] = field(
        ("noise", "class", "other_class"), "probability", nullable=True
    )


def class_confusion(found: Sweep, feature: int = 0) -> Confusion:
    """The confusion of a feature's classes by exact soft labels, own points in."""
    of = found.features[feature]
    log_posterior = found.log_posterior(of)
    of_draw = np.asarray(of.of_label)[found.label]
    shape = found.noise.size, of.num_classes, of.num_classes
    matrix, stderr = np.full(shape, np.nan), np.full(shape, np.nan)
    for c in range(of.num_classes):
        rows = np.exp(log_posterior[of_draw == c])
        if len(rows) > 1:
            matrix[:, c] = rows.mean(axis=0)
            stderr[:, c] = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    return Confusion(found.noise, matrix, stderr)
