"""What laws of many symbols share: rows of probabilities, and sums over many sites."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import require
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray
from jaxwin.targets._discrete import AbstractDiscreteLaw


def log_rows(rows: AnyArray, name: str) -> Float[Array, "... q"]:
    """Logs of probabilities along the last axis, normalised; -inf where one is zero.

    Raises:
        ValueError: Negative or infinite entries, or rows that do not sum to one (a
            run-time error where `rows` is traced).
    """
    rows = as_float(rows)
    if not rows.size or rows.shape[-1:] < (2,):
        raise ValueError(
            f"`{name}` has shape {rows.shape}; its last axis must hold the "
            f"probabilities of at least two symbols."
        )
    message = (
        f"`{name}` must be probabilities >= 0 that sum to 1 within 1e-3 along the last "
        f"axis; divide them by their sums."
    )
    test = lambda p: (p >= 0) & (abs(p.sum(-1, keepdims=True) - 1) <= 1e-3)
    rows = require(rows, test, message)
    # The slope of a probability of zero is NaN, and only its own in this form.
    return jnp.log(rows) - jnp.log(jnp.sum(rows, axis=-1, keepdims=True))


def check_num_sites(num_sites: int) -> int:
    """`num_sites`, refused unless it is a whole number >= 1.

    Raises:
        ValueError: It is not.
    """
    whole = isinstance(num_sites, int | np.integer) and not isinstance(num_sites, bool)
    if not whole or num_sites < 1:
        raise ValueError(
            f"`num_sites` is {num_sites!r}; it must be a whole number >= 1."
        )
    return int(num_sites)


def check_values(values: Float[Array, " q"], num_symbols: int) -> Float[Array, " q"]:
    """`values`, refused unless there is one a symbol.

    Raises:
        ValueError: There is not.
    """
    if values.shape != (num_symbols,):
        raise ValueError(
            f"`values` has shape {values.shape}; it must be ({num_symbols},), one "
            f"number a symbol."
        )
    return values


def log_sum(values: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Log of the sum of exponentials; -inf with slope zero where nothing is."""
    top = jax.lax.stop_gradient(jnp.max(values, axis=axis, keepdims=True))
    top = jnp.maximum(top, jnp.finfo(values.dtype).min)
    mass = jnp.sum(jnp.exp(values - top), axis=axis)
    log_mass = jnp.log(jnp.where(mass > 0, mass, 1))
    return jnp.where(mass > 0, jnp.squeeze(top, axis) + log_mass, -jnp.inf)


def log_mean(
    log_p: Float[Array, "... q"], logits: Float[Array, "... q"]
) -> Float[Array, "..."]:
    """Log of sum_a p(a) exp(logits[a]) for logits <= 0 and p that sums to one.

    Where evidence is weak only what it changes is summed, log(1 + sum_a p(a) (exp(
    logits[a]) - 1)): what rounding leaves of the sum of p would add up over the sites.
    """
    change = jnp.sum(jnp.exp(log_p) * jnp.expm1(logits), axis=-1)
    weak = change > -0.5
    near = jnp.log1p(jnp.where(weak, change, 0))
    return jnp.where(weak, near, log_sum(log_p + logits, axis=-1))


def pair_sum(rows: Float[Array, "n ..."]) -> Float[Array, "..."]:
    """Sum over the first axis by halves: it errs by log2(n), not n, roundings."""
    while len(rows) > 1:
        half = len(rows) // 2
        odd = rows[2 * half :]
        rows = jnp.concatenate([rows[:half] + rows[half : 2 * half], odd])
    return rows[0]


def joint_of_terms(
    terms: Float[Array, "n c"],
    log_weights: Float[Array, " c"],
    taken_out: Float[Array, " n"],
) -> tuple[Float[Array, ""], Float[Array, " c"]]:
    """Log P(class, evidence), as a part common to all classes and the rest.

    Args:
        terms: What each site adds to a class's log-evidence; -inf excludes the class.
        log_weights: Of the classes.
        taken_out: What was taken out of the terms of every class alike.
    """
    alive = jnp.all(terms > -jnp.inf, axis=0) & (log_weights > -jnp.inf)
    kept = jnp.where(alive[None], terms, 0)
    # Differences before sums: sums over many sites would round away the classes.
    reference = jax.lax.stop_gradient(kept[:, jnp.argmax(alive)])
    each = jnp.where(alive, log_weights, 0) + pair_sum(kept - reference[:, None])
    return pair_sum(reference + taken_out), jnp.where(alive, each, -jnp.inf)


def agreeing(
    law: AbstractDiscreteLaw, logits: Float[Array, "n q"]
) -> tuple[Float[Array, "n q"], Float[Array, " c"]]:
    """The evidence and the classes given it; none if no class can have given it."""
    _, each = law.joint_log_evidence(logits)
    agree = jnp.any(each > -jnp.inf)
    return jnp.where(agree, logits, 0), jnp.where(agree, each, law.log_label_prior())
