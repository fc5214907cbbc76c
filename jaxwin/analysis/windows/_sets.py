"""Sub-mixtures: sets of labels of a law, their weights, and sets inside sets."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, is_concrete
from jaxwin._typing import AnyArray

# Labels of a sub-mixture, such as [0, 2], or one entry a label, True inside.
Labels = Sequence[int] | int | AnyArray


def members(
    labels: Labels, log_prior: Float[Array, " c"], name: str
) -> Bool[np.ndarray, " c"]:
    """The labels of a sub-mixture as a mask.

    Args:
        labels: One label, several, or a mask of booleans.
        log_prior: Log-weights of all labels of the law.
        name: Of the argument.

    Raises:
        BadInput: An empty set, a label that does not exist or is named twice, or a set
            without weight (a traced weight is not looked at).
    """
    count = log_prior.shape[0]
    given = np.atleast_1d(np.asarray(labels))
    if given.dtype == bool:
        if given.shape != (count,):
            raise BadInput(
                f"`{name}` is a mask of shape {given.shape}; it must be ({count},), "
                f"one entry a label."
            )
        mask = given
    else:
        mask = _mask(given, count, name)
    if not mask.any():
        raise BadInput(f"`{name}` is empty; name at least one label.")
    if is_concrete(log_prior):
        if not np.any(np.asarray(log_prior)[mask] > -np.inf):
            raise BadInput(
                f"`{name}` holds labels of no weight only; name one that has weight."
            )
    return mask


def _mask(given: np.ndarray, count: int, name: str) -> Bool[np.ndarray, " c"]:
    if given.size == 0:
        raise BadInput(f"`{name}` is empty; name at least one label.")
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise BadInput(
            f"`{name}` is {given.tolist()}; it must be a list of labels such as [0, 2]."
        )
    wrong = given[(given < 0) | (given >= count)]
    if wrong.size:
        raise BadInput(
            f"`{name}` names label {wrong[0]}; the labels are 0 to {count - 1}."
        )
    if np.unique(given).size < given.size:
        raise BadInput(f"`{name}` is {given.tolist()}; name each label once.")
    return np.isin(np.arange(count), given)


def nested(
    inner: Labels,
    outer: Labels,
    log_prior: Float[Array, " c"],
    names: tuple[str, str] = ("initial", "target"),
) -> tuple[Bool[np.ndarray, " c"], Bool[np.ndarray, " c"]]:
    """Two sets of labels, the first inside the second, as masks.

    Raises:
        BadInput: As `members`; or the first is not inside the second.
    """
    first, second = (
        members(labels, log_prior, name)
        for labels, name in zip((inner, outer), names, strict=True)
    )
    outside = np.flatnonzero(first & ~second)
    if outside.size:
        raise BadInput(
            f"`{names[0]}` holds label {outside[0]}, which is not in `{names[1]}`; the "
            f"first set must lie inside the second."
        )
    return first, second


def weight(
    log_prior: Float[Array, " c"], mask: Bool[np.ndarray | Array, " c"]
) -> Float[Array, ""]:
    """Weight w_S of a sub-mixture; the weights of all labels sum to one."""
    return jnp.sum(jnp.where(mask, jnp.exp(log_prior), 0))


def rest_odds(
    log_prior: Float[Array, " c"], mask: Bool[np.ndarray, " c"]
) -> Float[Array, ""]:
    """W = w_rest / w_S, of what is outside a sub-mixture to what is inside."""
    return weight(log_prior, ~mask) / weight(log_prior, mask)
