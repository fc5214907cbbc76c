"""Labels (classes) of components and data points, and the restriction to some."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import is_concrete, require
from jaxwin._typing import AnyArray

L = TypeVar("L", bound=eqx.Module)


def check_labels(labels: AnyArray, count: int) -> tuple[Int[Array, " k"], int]:
    """Labels 0 ... c - 1 of `count` things, and c.

    Raises:
        ValueError: Another length, traced or non-integer labels, or a gap: a label
            below the largest that nothing carries.
    """
    if not is_concrete(labels):
        raise ValueError("`labels` must be concrete: their number fixes array shapes.")
    values = np.asarray(labels)
    if values.shape != (count,):
        raise ValueError(
            f"`labels` has shape {values.shape}; it must be ({count},), one label each."
        )
    if values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError(
            "`labels` must be integers 0, 1, ...; number the classes with "
            "numpy.unique(labels, return_inverse=True)[1]."
        )
    num_labels = int(values.max()) + 1
    missing = np.setdiff1d(np.arange(num_labels), values)
    if missing.size:
        raise ValueError(
            f"`labels` never takes the value {missing[0]} although it reaches "
            f"{num_labels - 1}; number the classes with "
            f"numpy.unique(labels, return_inverse=True)[1]."
        )
    return jnp.asarray(values, jnp.int32), num_labels


def restricted_log_weights(
    log_weights: Float[Array, "..."],
    labels: Int[Array, "..."],
    mask: Bool[Array, " c"],
    num_labels: int,
) -> Float[Array, "..."]:
    """Log-weights given that the label is one of those in `mask`, renormalised.

    Raises:
        ValueError: Another length, or nothing is left (a run-time error under a
            trace): never NaN.
    """
    mask = jnp.asarray(mask)
    if mask.shape != (num_labels,):
        raise ValueError(
            f"`mask` has shape {mask.shape}; it must be ({num_labels},), one entry a "
            f"label."
        )
    kept = jnp.where(mask[labels], log_weights, -jnp.inf)
    total = jax.nn.logsumexp(kept)
    message = "`mask` leaves no label of positive weight; keep at least one."
    return kept - require(total, lambda total: total > -np.inf, message)


def only_classes(law: L, mask: Bool[Array, " c"]) -> L:
    """A law whose `log_weights` are those of its labels, given a label in `mask`.

    Raises:
        ValueError: As `restricted_log_weights`.
    """
    of: Any = law
    each = jnp.arange(of.log_weights.size)
    log_weights = restricted_log_weights(of.log_weights, each, mask, each.size)
    return eqx.tree_at(lambda law: law.log_weights, law, log_weights)
