"""Distances between two sub-mixtures along noise, in three tiers with their errors."""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, Real

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.windows._distance_tiers import (
    Asked,
    centred,
    closed,
    one_draw,
    quadrature,
)
from jaxwin.analysis.windows._divergences import KINDS, Kind, finished
from jaxwin.analysis.windows._sets import Labels, members
from jaxwin.analysis.windows._source import Source, as_observed
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess

Method = Literal["closed", "quadrature", "sampled"]
METHODS = ("closed", "quadrature", "sampled")


class Distance(eqx.Module):
    """A distance between two noised sub-mixtures at every noise.

    error: a bound where the method is "closed" (rounding) or "quadrature" (on a plane
    the spread of three rules), the standard error where it is "sampled"; block_means
    are then those of the distance (of BC for Hellinger's) over blocks of draws.
    """

    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    value: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    error: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    block_means: Float[np.ndarray, "b t"] | None = field(
        ("block", "noise"), "", default=None
    )
    block_counts: Real[np.ndarray, " b"] | None = field(
        ("block",), "", "draws in each block", default=None
    )
    kind: str = eqx.field(static=True, default="total_variation")
    method: str = eqx.field(static=True, default="")


def distance(
    source: Source,
    first: Labels,
    second: Labels,
    noises: AnyArray,
    *,
    kind: Kind = "total_variation",
    method: Method | None = None,
    process: AbstractProcess | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> Distance:
    """A distance between two sub-mixtures at every noise, with its error.

    In this order: the closed form between two single components (`pair_table`);
    quadrature where the components of both sets differ in one or two dimensions; draws
    from p' = (p^A + p^B) / 2, or from the source where its weights cannot be changed,
    each with its exact label posterior:

        1 - TV = E_p' min(u, v) = E_p'[2 min(p^A, p^B) / (p^A + p^B)],
        BC = E_p' sqrt(u v),  KL = E_p' u log(u / v),  chi2 = E_p' u^2 / v - 1,

    u = p^A / p', v = p^B / p'; Hellinger's is sqrt(2 (1 - BC)).

    Args:
        source: A labelled law, or anything observed with exact labels.
        first: Labels A; the sets may overlap.
        second: Labels B.
        noises: Times of the process, or noises of the source's channel.
        kind: KL is KL(A || B), chi2 that of A from B; sampled, chi2 has heavy tails,
            and its error means little where it is large.
        method: "closed", "quadrature" or "sampled"; the first that the source allows if
            left out.
        process: The clock of a law; OU if left out.
        num_replicas: Draws, where sampled.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Draws at once; the defaults give 128 blocks for bootstraps.
        options: Handed on to `execution.run`.

    Raises:
        BadInput: A set is empty, without weight or names what is no label; the source
            does not allow the method; a component is singular where sigma = 0.
    """
    check_one_of(kind, KINDS, "kind")
    if method is not None:
        check_one_of(method, METHODS, "method")
    observed = as_observed(source, process)
    noise = np.atleast_1d(np.asarray(noises, float))
    log_prior = observed.log_label_prior()
    sets = ((first, "first"), (second, "second"))
    asked = Asked(kind, *(members(labels, log_prior, name) for labels, name in sets))
    for name, tier in (("closed", closed), ("quadrature", quadrature)):
        known = tier(observed, noise, asked) if method in (None, name) else None
        if known is not None:
            value, error = (np.asarray(array) for array in known)
            return Distance(noise, value, error, kind=kind, method=name)
    if method in ("closed", "quadrature"):
        raise BadInput(
            f"`method` is {method!r}, which `source` does not allow for this distance "
            f"between these sets; leave it out, or use 'sampled'."
        )
    if not observed.has_exact_labels:
        raise BadInput(
            "`source` has no exact label posterior, which distances are made of."
        )
    key = jr.key(0) if key is None else key
    law, log_drawn = centred(observed, noise, asked)
    replica = eqx.Partial(
        one_draw,
        law,
        jnp.asarray(noise),
        log_prior,
        log_drawn,
        jnp.asarray(asked.first),
        jnp.asarray(asked.second),
        kind=kind,
    )
    estimate = run(replica, num_replicas, key, block_size=block_size, **options)
    value, error = finished(
        kind, jnp.asarray(estimate.mean), jnp.asarray(estimate.stderr)
    )
    return Distance(
        noise,
        np.asarray(value),
        np.asarray(error),
        block_means=estimate.block_means,
        block_counts=estimate.block_counts,
        kind=kind,
        method="sampled",
    )
