"""The advised grid: half the steps for the class, half for the rest."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin.analysis.clocks._equal import equal
from jaxwin.analysis.clocks._rescaled_entropy import gaussian_rescaled_entropy
from jaxwin.io import field

# What the last evaluation may leave unknown of the data, in widths of the data.
RESIDUAL = 0.03


class TimeGrid(eqx.Module):
    """Where to evaluate a denoiser, from noisy to clean; the last step ends clean."""

    log_snr: Float[np.ndarray, " step"] = field(("step",), "log-SNR", "increasing")
    noise: Float[np.ndarray, " step"] = field(("step",), "OU time", "decreasing")


def advised_grid(
    coordinate: Float[np.ndarray, " t"],
    eigenvalues: Float[np.ndarray, " d"],
    information: Float[np.ndarray, " t"] | None = None,
    count: int = 20,
) -> TimeGrid:
    """A grid of which one half goes by class information, one half by entropy.

        F = (1/2) (1 - I / I_max) + (1/2) S / S_max,

    I the class information and S the rescaled entropy of the Gaussian with the
    covariance of the data, both as shares of their change over the grid; without
    classes S alone. The evaluations divide F into equal parts. They begin at the
    noisy end of the curves and end where even for Gaussian data, for which most is
    left to find, the posterior's spread is 3 % of the data's; information that lies
    beyond the recorded curve counts as there.

    S is not that of the points themselves: a data set as a law has no entropy left
    below its collapse, where a model that generalises still has all its details to
    find, and so fares badly on a grid that ends there (benchmarks/advice.py).

    Args:
        coordinate: Minus the log-SNR of the curves, strictly increasing.
        eigenvalues: Of the covariance of the data.
        information: I(c; x_t) in nats, falling up to noise, or None.
        count: Evaluations, >= 2.

    Raises:
        ValueError: `count` < 2; a noisy end at which the data are not hidden; class
            information that does not fall.
    """
    end = _clean_end(eigenvalues)
    if not end < coordinate[-1]:
        raise ValueError(
            f"`coordinate` ends at {coordinate[-1]:g}, where the data are still seen; "
            f"it must reach beyond {end:g}: add noisier levels."
        )
    # Closely enough that the closed form is followed where nothing was recorded.
    places = np.linspace(end, coordinate[-1], max(coordinate.size, 200))
    cumulative = _share(gaussian_rescaled_entropy(places, eigenvalues))
    if information is not None:
        lost = np.maximum.accumulate(-information)
        cumulative = (cumulative + _share(np.interp(places, coordinate, lost))) / 2
    log_snr = -equal(places, cumulative, count)[::-1]
    return TimeGrid(log_snr=log_snr, noise=np.logaddexp(0, -log_snr) / 2)


def _clean_end(eigenvalues: Float[np.ndarray, " d"]) -> float:
    """Coordinate at which sum_i c_i s / (c_i + s) = RESIDUAL^2 sum_i c_i, s = sigma^2.

    The left side is the posterior's spread for a Gaussian: no law of this covariance
    has a larger one (linear estimates do as well).
    """
    variance = np.maximum(np.asarray(eigenvalues, np.float64), 0)
    # From where the smallest share of the spread is left to where all but some is.
    places = np.log(variance.sum()) + np.linspace(-40, 0, 4001)
    noise = np.exp(places)[:, None]
    left = np.sum(variance * noise / (variance + noise), axis=1)
    return float(np.interp(RESIDUAL**2 * variance.sum(), left, places))


def _share(curve: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """A rising curve as the share of its whole rise."""
    if not curve[-1] > curve[0]:
        raise ValueError("`information` does not fall with noise; leave it out.")
    return (curve - curve[0]) / (curve[-1] - curve[0])
