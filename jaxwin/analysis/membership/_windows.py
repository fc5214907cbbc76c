"""The window of every single training point: from where on it is not come back to."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Float

from jaxwin._checks import BadInput, check_curve
from jaxwin._typing import AnyArray
from jaxwin.analysis._crossing import (
    Crossing,
    exact,
    not_reached,
    read_off,
    stack,
    unstack,
)
from jaxwin.analysis.membership._measure import METHODS, Reconstructed, reconstruct
from jaxwin.analysis.membership._points import checked_noises, checked_points
from jaxwin.channels import AbstractObserved
from jaxwin.io import field, to_json

# Where the window begins, its middle, and its end, in normalised return probability.
LEVELS = 0.95, 0.5, 0.05


class ReturnWindows(eqx.Module):
    """Return probability A_ii(T) of training points, and their own critical windows.

    S_init = {i} and S_targ is everything. The middle is where (A_ii - w_i) / (1 - w_i)
    is one half, w_i the weight of the point; early and late where it is 0.95 and 0.05.
    Intervals are over the draws of the noise: given the model and the point.
    """

    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    probability: Float[np.ndarray, "t m"] = field(
        ("noise", "member"), "probability", nullable=True
    )
    stderr: Float[np.ndarray, "t m"] = field(
        ("noise", "member"), "probability", nullable=True
    )
    chance: Float[np.ndarray, " m"] = field(
        ("member",), "probability", "at full noise", nullable=True
    )
    early: Crossing = field(("member",), "")
    middle: Crossing = field(("member",), "")
    late: Crossing = field(("member",), "")

    def to_json(self) -> dict[str, Any]:
        """Curves as lists, crossings one by one."""
        where = lambda self: (self.early, self.middle, self.late)
        return to_json(eqx.tree_at(where, self, tuple(map(unstack, where(self)))))


def return_windows(
    model: AbstractObserved, members: AnyArray, noises: AnyArray, **options: Any
) -> ReturnWindows:
    """Measure the return probability of single training points, and their windows.

    A point on which the curve has no window (a kernel that overlaps with others at no
    noise already) is answered "not reached", one that is no training point likewise,
    and its probability is NaN.

    Args:
        model: As in `statistic`.
        members: (m, d) training points.
        noises: At least 4 levels of the channel, increasing.
        options: Those of `statistic`.

    Raises:
        BadInput: As in `statistic`, or fewer than 4 noises.
    """
    points = checked_points(model, members, "members")
    levels = checked_noises(model, noises)
    check_window(levels)
    return read_windows(model, levels, reconstruct(model, points, levels, **options))


def check_window(noises: Float[np.ndarray, " t"]) -> None:
    """Raise BadInput unless a window can be read off so many noises."""
    try:
        check_curve(noises, "noises")
    except ValueError as error:
        raise BadInput(str(error)) from None


def read_windows(
    model: AbstractObserved,
    noises: Float[np.ndarray, " t"],
    found: Reconstructed,
    count: int | None = None,
) -> ReturnWindows:
    """The windows of the first `count` points of a measurement."""
    curves = found.mean["returned"].T[:count]
    coordinate = np.asarray(model.coordinate(jnp.asarray(noises)), np.float64)

    def read(i: int, level: float) -> Crossing:
        weight = found.chance[i]
        if np.isnan(weight):
            return not_reached(noises)
        level = weight + level * (1 - weight)
        if found.blocks is None or found.counts is None:
            return _root(found, noises, curves[i], i, level)
        blocks = found.blocks["returned"][:, :, i]
        return read_off(
            coordinate, curves[i], blocks, found.counts, level, model.noise_at
        )

    rows = range(len(curves))
    early, middle, late = (stack([read(i, level) for i in rows]) for level in LEVELS)
    return ReturnWindows(
        noise=noises,
        probability=curves.T,
        stderr=found.stderr["returned"][:, :count],
        chance=found.chance[:count],
        early=early,
        middle=middle,
        late=late,
        method=METHODS[found.tier],
    )


def _root(
    found: Reconstructed,
    noises: Float[np.ndarray, " t"],
    curve: Float[np.ndarray, " t"],
    i: int,
    level: float,
) -> Crossing:
    """Where a curve that is known at every noise crosses a level last."""
    above = curve >= level
    changes = np.flatnonzero(above[1:] != above[:-1])
    if not changes.size or found.again is None:
        return not_reached(noises)
    again, ends = found.again, noises[changes[-1] :][:2]
    apart = lambda noise: float(again(noise)["returned"][0, i]) - level
    return exact(jnp.asarray(scipy.optimize.brentq(apart, *ends, xtol=1e-13)))
