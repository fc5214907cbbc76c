"""Candidates as a person hands them over, and which of them are training points."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.channels import AbstractObserved, Gaussian, Observed


def checked_points(
    model: AbstractObserved, points: AnyArray, name: str, least: int = 1
) -> Float[np.ndarray, "m d"]:
    """Points in the model's dimension and type.

    Raises:
        BadInput: Another shape, fewer than `least`, or not finite.
    """
    shape = jax.eval_shape(model.start, jr.key(0))[0]
    array = np.asarray(points)
    if array.ndim != 2 or array.shape[1] != shape.size:
        raise BadInput(
            f"`{name}` has shape {array.shape}; it must be (m, {shape.size}), one "
            f"point a row, in the dimension of the model."
        )
    if len(array) < least:
        raise BadInput(
            f"`{name}` holds {len(array)} points; it must hold at least {least}."
        )
    array = array.astype(shape.dtype)
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if wrong.size:
        raise BadInput(f"`{name}` is not finite in row {wrong[0]}; drop such rows.")
    return array


def checked_noises(model: AbstractObserved, noises: AnyArray) -> np.ndarray:
    """Noise levels, increasing, at which something is left to guess.

    Raises:
        BadInput: Not a list of increasing levels, or sigma = 0 at the first.
    """
    array = np.atleast_1d(np.asarray(noises, float))
    if array.ndim != 1 or not array.size or not np.all(np.diff(array) > 0):
        raise BadInput(
            f"`noises` is {array.tolist()}; it must be a list of increasing levels: "
            f"sort it, or take numpy.linspace."
        )
    if isinstance(model, Observed) and isinstance(model.channel, Gaussian):
        sigma = np.asarray(model.channel.process.sigma(jnp.asarray(array)))
        if not np.all(sigma > 0):
            raise BadInput(
                f"`noises` holds {array[~(sigma > 0)][0]:g}, where sigma is not "
                f"positive; a U-turn without noise comes back to any point."
            )
    return array


def own_log_weights(
    points: Float[Array, "n d"],
    log_weights: Float[Array, " n"],
    candidates: Float[np.ndarray, "m d"],
) -> Float[np.ndarray, " m"]:
    """Log of the weight of all data points equal to each candidate; -inf for none."""
    # Plus zero: minus zero is the same number, of other bytes.
    rows, place = np.asarray(candidates) + 0.0, {}
    for i, row in enumerate(rows):
        place.setdefault(row.tobytes(), []).append(i)
    total = np.zeros(len(rows))
    weights = np.exp(np.asarray(log_weights, np.float64))
    for point, weight in zip(np.asarray(points), weights, strict=True):
        total[place.get((point + 0.0).tobytes(), [])] += weight
    with np.errstate(divide="ignore"):
        return np.log(total)
