"""How likely a sample of a set of labels is to stay in it, and where it stops to."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from jaxwin._checks import BadInput
from jaxwin.analysis._crossing import (
    Crossing,
    crossing_place,
    read_off,
    stack,
    unstack,
)
from jaxwin.analysis.windows._confusion import Confusion
from jaxwin.analysis.windows._sets import Labels, members
from jaxwin.channels import AbstractChannel, AbstractObserved, Gaussian
from jaxwin.io import field

# Shares of what a set can lose that are kept at the early, middle and late time.
SHARES = {"early": 0.95, "middle": 0.5, "late": 0.05}
# Fewer noises make no cubic.
LEAST = 4
# Crossings of a known curve closer than this are one.
ROUNDING = 1e-9


class Survival(eqx.Module):
    """P(label in S after a U-turn | in S before), for sets of labels S.

    From one at no noise (where labels do not overlap) to the weight of S at full noise;
    `normalised` = (survival - w_S) / (1 - w_S) falls from one to zero. Where it is
    0.95, 0.5 and 0.05 are the early, the middle and the late time. The set of all
    labels is never left: its survival is one and its times are not found.
    """

    early: Crossing = field(("set",), "")
    middle: Crossing = field(("set",), "")
    late: Crossing = field(("set",), "")
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    survival: Float[np.ndarray, "s t"] = field(
        ("set", "noise"), "probability", nullable=True
    )
    stderr: Float[np.ndarray, "s t"] = field(
        ("set", "noise"), "probability", nullable=True
    )
    normalised: Float[np.ndarray, "s t"] = field(("set", "noise"), "", nullable=True)
    weight: Float[np.ndarray, " s"] = field(("set",), "probability")

    def to_json(self) -> dict:
        """The curves as they are, and the times of each set as a list."""
        times = {
            name: [time.to_json() for time in unstack(getattr(self, name))]
            for name in SHARES
        }
        number = lambda value: None if np.isnan(value) else float(value)
        curves = {
            name: [[number(value) for value in row] for row in getattr(self, name)]
            for name in ("survival", "stderr", "normalised")
        }
        known = {"noise": self.noise.tolist(), "weight": self.weight.tolist()}
        return {**times, **curves, **known}


def survival(
    confusion: Confusion,
    sets: Sequence[Labels],
    clock: AbstractChannel | AbstractObserved | None = None,
) -> Survival:
    """Survival of sets of labels, with the times at which they are forgotten.

        P = sum_{i, j in S} w_i A_ij / w_S = 1 - sum_{i in S, j not in S} w_i A_ij / w_S

    Times of sampled confusions have intervals, by a bootstrap of whole curves. Others
    are read off by local cubic interpolation, once more from every second noise: low
    and high are the difference away and the error is a fourth of it, zero below 1e-9.

    Args:
        confusion: Of all labels, at 4 noises or more for times to be found.
        sets: Sets of labels, such as [[0], [0, 1]].
        clock: The channel, or what was observed, whose noises these are; a Gaussian
            channel along OU time if left out.

    Raises:
        BadInput: A set is empty, without weight or names what is no label; the
            confusion does not know the weights of its labels.
    """
    if confusion.log_prior is None:
        raise BadInput("`confusion` has no `log_prior`, the weights of its labels.")
    clock = Gaussian() if clock is None else clock
    log_prior = jnp.asarray(confusion.log_prior)
    masks = [members(labels, log_prior, f"sets[{s}]") for s, labels in enumerate(sets)]
    curves = [_curve(confusion, np.exp(confusion.log_prior), mask) for mask in masks]
    coordinate = np.asarray(clock.coordinate(jnp.asarray(confusion.noise)))
    return Survival(
        **{
            name: stack(
                [_time(c, confusion.noise, coordinate, level, clock) for c in curves]
            )
            for name, level in SHARES.items()
        },
        noise=confusion.noise,
        survival=np.stack([c.kept for c in curves]),
        stderr=np.stack([c.stderr for c in curves]),
        normalised=np.stack([c.normal(c.kept) for c in curves]),
        weight=np.array([c.weight for c in curves]),
    )


class _Curve(NamedTuple):
    """Survival of one set, over all draws and in blocks of them."""

    kept: Float[np.ndarray, " t"]
    blocks: Float[np.ndarray, "b t"] | None
    counts: Real[np.ndarray, " b"] | None
    weight: float
    whole: bool

    @property
    def stderr(self) -> Float[np.ndarray, " t"]:
        if self.blocks is None or self.counts is None:
            return np.where(np.isnan(self.kept), np.nan, 0.0)
        share = (self.counts / self.counts.sum())[:, None]
        spread = np.sum((share * (self.blocks - self.kept[None])) ** 2, axis=0)
        return np.sqrt(spread * len(share) / (len(share) - 1))

    def normal(self, curve: Float[np.ndarray, " *b t"]) -> Float[np.ndarray, " *b t"]:
        if self.whole:
            return np.ones_like(curve)
        return (curve - self.weight) / (1 - self.weight)


def _curve(
    confusion: Confusion,
    weights: Float[np.ndarray, " c"],
    mask: Bool[np.ndarray, " c"],
) -> _Curve:
    # A label without weight has no row, and nothing ends in it.
    inside = mask & (weights > 0)
    weight = float(weights[inside].sum())

    def kept(matrix: Float[np.ndarray, " *b t c c"]) -> Float[np.ndarray, " *b t"]:
        lost = matrix[..., inside, :][..., ~mask].sum(axis=-1)
        return 1 - np.sum(weights[inside] * lost, axis=-1) / weight

    blocks = confusion.block_means
    return _Curve(
        kept(confusion.matrix),
        None if blocks is None else kept(blocks),
        confusion.block_counts,
        weight,
        not np.any(weights[~mask] > 0),
    )


def _time(
    curve: _Curve,
    noise: Float[np.ndarray, " t"],
    coordinate: Float[np.ndarray, " t"],
    level: float,
    clock: AbstractChannel | AbstractObserved,
) -> Crossing:
    inside, normal = np.isfinite(coordinate), curve.normal(curve.kept)
    known = np.all(np.isfinite(normal))
    if not curve.whole and inside.sum() >= LEAST and known:
        if curve.blocks is not None and curve.counts is not None:
            blocks, counts = curve.normal(curve.blocks), curve.counts
            return read_off(coordinate, normal, blocks, counts, level, clock.noise_at)
        place = crossing_place(coordinate[inside], normal[inside], level)
        if not np.isnan(place):
            return _with_fewer(
                place, coordinate[inside], normal[inside], level, clock.noise_at
            )
    number = lambda value: jnp.asarray(value, float)
    low, high = number(noise.min()), number(noise.max())
    return Crossing(number(np.nan), number(np.nan), low, high, jnp.asarray(False))


def _with_fewer(
    place: float,
    coordinate: Float[np.ndarray, " t"],
    curve: Float[np.ndarray, " t"],
    level: float,
    clock: Callable[[Array], ArrayLike],
) -> Crossing:
    """A crossing with what it differs by from that of every second noise.

    The cubic of half the noises errs by 16 times as much. Where they have no crossing,
    the neighbouring noises are the interval.
    """
    other = np.nan
    if len(curve[::2]) >= LEAST:
        other = crossing_place(coordinate[::2], curve[::2], level)
    if np.isnan(other):
        right = np.clip(np.searchsorted(coordinate, place), 1, len(coordinate) - 1)
        other = max(coordinate[right - 1 : right + 1], key=lambda c: abs(c - place))
    time, second = np.asarray(clock(jnp.asarray([place, other])), float)
    apart = abs(second - time)
    apart = apart if apart >= ROUNDING else 0.0
    number = lambda value: jnp.asarray(value, float)
    ends = number(max(time - apart, min(time, 0.0))), number(time + apart)
    return Crossing(number(time), number(apart / 4), *ends, jnp.asarray(True))
