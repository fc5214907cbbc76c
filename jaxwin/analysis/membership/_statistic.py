"""How far points move in a U-turn through a model, and whether they come back."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin._typing import AnyArray
from jaxwin.analysis.membership._measure import METHODS, reconstruct
from jaxwin.analysis.membership._points import checked_noises, checked_points
from jaxwin.channels import AbstractObserved
from jaxwin.io import field, to_json


class MembershipStatistic(eqx.Module):
    """R_T(x) = E|X' - x|^2 after a U-turn of x at noise T; low for training points.

    `returned` is the probability A_ii(T) that X' comes from the kernel of training
    point x; NaN where x is none. Where the model is no data set it is that X' has the
    label of x. Errors are over the noise, whose draws all points and levels share:
    given the model and the points.
    """

    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    distance: Float[np.ndarray, "t m"] = field(("noise", "point"), "data units^2")
    stderr: Float[np.ndarray, "t m"] = field(("noise", "point"), "data units^2")
    returned: Float[np.ndarray, "t m"] = field(
        ("noise", "point"), "probability", nullable=True
    )
    returned_stderr: Float[np.ndarray, "t m"] = field(
        ("noise", "point"), "probability", nullable=True
    )

    def to_json(self) -> dict[str, Any]:
        """Curves as lists."""
        return to_json(self)


def statistic(
    model: AbstractObserved, candidates: AnyArray, noises: AnyArray, **options: Any
) -> MembershipStatistic:
    """Measure R_T and the return probability of every candidate.

        R_T(x) = E_y [ |E[X' | y] - x|^2 + tr Cov[X' | y] ],    y = alpha x + sigma z

    the bracket in closed form where the posterior is known: for data sets, kernel
    density and mixtures of one isotropic variance streamed over their points
    ("streamed": memory beyond the data does not grow with their number); for any other
    exact law on the Gaussian channel by its posterior mean and trace ("moments"); else
    by U-turns of the model itself ("simulated"). In one dimension and for few points
    the average over z is a quadrature and the errors are zero ("quadrature", 1e-11).

    Args:
        model: Such as `Observed(Empirical(points, bandwidth=h), Gaussian())`.
        candidates: (m, d) points.
        noises: Levels of the channel, increasing, sigma > 0.
        options: `num_draws` of the noise (512), `key` (`jax.random.key(0)`),
            `block_size` of draws at once (4), `method` to insist on one of those above,
            and the options of `execution.run`.

    Raises:
        BadInput: Candidates of another dimension or not finite, noises that do not
            increase, a method that the model does not allow.

    References:
        windows of single points (S_init = {i}): Li & Chen, arXiv:2403.01633; the
        closed form is derived.
    """
    points = checked_points(model, candidates, "candidates")
    levels = checked_noises(model, noises)
    found = reconstruct(model, points, levels, **options)
    return MembershipStatistic(
        noise=levels,
        distance=found.mean["distance"],
        stderr=found.stderr["distance"],
        returned=found.mean["returned"],
        returned_stderr=found.stderr["returned"],
        count=found.count,
        method=METHODS[found.tier],
    )
