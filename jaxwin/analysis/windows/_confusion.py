"""Which label a sample of one label ends in, noised and taken back, at every noise."""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, Real

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._sweep import Sweep
from jaxwin.analysis.windows._directions import directions
from jaxwin.analysis.windows._flips import (
    Flips,
    closed_flips,
    measured_flips,
    quadrature_flips,
    simulated_rows,
)
from jaxwin.analysis.windows._pairs import checked_level
from jaxwin.analysis.windows._source import (
    Source,
    as_observed,
    drawn,
    law_and_clock,
)
from jaxwin.analysis.windows._view import takes
from jaxwin.channels import AbstractObserved
from jaxwin.execution import Estimate, run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.targets import GaussianMixture

AXES = ("noise", "class", "other_class")
Method = Literal["closed", "quadrature", "sampled", "simulated"]


class Confusion(eqx.Module):
    """A_ij(t) = E[p(class j | x_t) | class i]: noised from class i, it ends in j.

    The identity at no noise where classes do not overlap, rows of class weights at full
    noise. Exact labels make A_ij = E_p[r_i r_j] / w_i, r = p(label | x_t): flips are
    found and a class keeps what it does not lose, so that w_i A_ij = w_j A_ji and
    w A = w hold to rounding whatever the error of the flips. Not so where a model is
    simulated: a wrong one has no detailed balance. A row without noised points, or
    without weight, is NaN.

    error: largest error of E_p[r_i r_j] where it is not sampled. block_means: of the
    matrix, over blocks of draws, for bootstraps of whole curves.
    """

    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    matrix: Float[np.ndarray, "t c c"] = field(AXES, "probability", nullable=True)
    stderr: Float[np.ndarray, "t c c"] = field(AXES, "probability", nullable=True)
    log_prior: Float[np.ndarray, " c"] | None = field(
        ("class",), "", "log-weights of the classes", nullable=True, default=None
    )
    block_means: Float[np.ndarray, "b t c c"] | None = field(
        ("block", *AXES), "probability", nullable=True, default=None
    )
    block_counts: Real[np.ndarray, " b"] | None = field(
        ("block",), "", "draws in each block", default=None
    )
    error: float | None = eqx.field(static=True, default=None)
    method: str = eqx.field(static=True, default="")


def confusion(
    source: Source,
    noises: AnyArray,
    *,
    method: Method | None = None,
    process: AbstractProcess | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> Confusion:
    """The confusion of labels at every noise; nothing is simulated for exact labels.

    In this order: closed forms (two components of one covariance or about one mean,
    equal components at equal distances, any number), quadrature where labels depend on
    one or two dimensions, exact soft labels of noised points, U-turns of a model.

    Args:
        source: A labelled law, or anything observed.
        noises: Times of the process, or noises of the source's channel.
        method: "closed", "quadrature", "sampled" or "simulated"; the first that the
            source allows if left out.
        process: The clock of a law; OU if left out.
        num_replicas: Noised points, where sampled or simulated.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give 128 blocks for the bootstrap.
        options: Handed on to `execution.run`.

    Raises:
        BadInput: The source does not allow the method.
        ValueError: A component is singular where sigma = 0 (quadrature and closed).

    References:
        Li, Karan & Chen, arXiv:2502.00921, section 2; E_p[r_i r_j]: derived.
    """
    observed = as_observed(source, process)
    noise = np.atleast_1d(np.asarray(noises, float))
    if method is not None:
        methods = ("closed", "quadrature", "sampled", "simulated")
        check_one_of(method, methods, "method")
    found = None
    if method in (None, "closed", "quadrature"):
        found = _known(observed, noise, method)
    if found is not None:
        flips, used = found
        return _of_flips(noise, flips, np.asarray(observed.log_label_prior()), used)
    if method in ("closed", "quadrature"):
        raise BadInput(
            f"`method` is {method!r}, which `source` does not allow: no closed form, "
            f"or labels that depend on more than two dimensions; use 'sampled'."
        )
    if method is None:
        method = "sampled" if observed.has_exact_labels else "simulated"
    if method == "sampled" and not observed.has_exact_labels:
        raise BadInput(
            "`method` is 'sampled', and `source` has no exact labels; use 'simulated'."
        )
    key = jr.key(0) if key is None else key
    function = measured_flips if method == "sampled" else simulated_rows
    law = drawn(observed, noise) if method == "sampled" else observed
    replica = eqx.Partial(function, law, jnp.asarray(noise))
    estimate = run(replica, num_replicas, key, block_size=block_size, **options)
    make = _of_estimate if method == "sampled" else _of_rows
    return make(noise, estimate, np.asarray(observed.log_label_prior()))


def _known(
    observed: AbstractObserved, noise: np.ndarray, method: str | None
) -> tuple[Flips, str] | None:
    """Flips without draws."""
    law_clock = law_and_clock(observed)
    if law_clock is None:
        return None
    law, clock = law_clock
    dtype = observed.log_label_prior().dtype
    alphas, sigmas = clock.levels(jnp.asarray(noise), dtype)
    if method != "quadrature":
        flips = closed_flips(law, alphas, sigmas)
        if flips is not None:
            return flips, "closed"
    if method == "closed" or not takes(law):
        return None
    within = None
    if isinstance(law, GaussianMixture):
        within = directions(law)
        alphas, sigmas = checked_level(law, alphas, sigmas)
    return quadrature_flips(law, within, alphas, sigmas), "quadrature"


def _of_flips(
    noise: np.ndarray, flips: Flips, log_prior: np.ndarray, method: str
) -> Confusion:
    matrix = _matrix(flips.flow, np.exp(log_prior.astype(float)))
    return Confusion(
        noise,
        matrix,
        np.where(np.isnan(matrix), np.nan, 0.0),
        log_prior=log_prior.astype(float),
        error=flips.error,
        method=method,
    )


def _of_estimate(
    noise: np.ndarray, estimate: Estimate, log_prior: np.ndarray
) -> Confusion:
    weights = np.exp(log_prior.astype(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        stderr = estimate.stderr / weights[:, None]
    return Confusion(
        noise,
        _matrix(estimate.mean, weights),
        np.where(weights[:, None] > 0, stderr, np.nan),
        log_prior=log_prior.astype(float),
        block_means=_matrix(estimate.block_means, weights),
        block_counts=estimate.block_counts,
        method="sampled",
    )


def _matrix(
    flow: Float[np.ndarray, " *s c c"], weights: Float[np.ndarray, " c"]
) -> Float[np.ndarray, " *s c c"]:
    """A from flows between different labels; the diagonal is not looked at."""
    own = np.eye(weights.size, dtype=bool)
    flow = np.where(own, 0, flow)
    with np.errstate(divide="ignore", invalid="ignore"):
        flips = flow / weights[:, None]
        kept = 1 - flow.sum(axis=-1) / weights
    matrix = np.where(own, kept[..., None], flips)
    return np.where(weights[:, None] > 0, matrix, np.nan)


def _of_rows(noise: np.ndarray, estimate: Estimate, log_prior: np.ndarray) -> Confusion:
    """Row averages of soft labels over the starts of each label: a ratio of means."""
    share, rows = estimate.mean["start"], estimate.mean["rows"]
    blocks = estimate.block_means
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = rows / share[:, None]
        moved = blocks["rows"] - matrix[None] * blocks["start"][:, None, :, None]
        # The ratio's linear part: blocks whose average is the ratio itself.
        each = matrix[None] + moved / share[:, None]
    part = (estimate.block_counts / estimate.count)[:, None, None, None]
    spread = np.sum((part * (each - matrix[None])) ** 2, axis=0)
    return Confusion(
        noise,
        matrix,
        np.sqrt(spread * len(each) / (len(each) - 1)),
        log_prior=log_prior.astype(float),
        block_means=each,
        block_counts=estimate.block_counts,
        method="simulated",
    )


def class_confusion(
    found: Sweep, feature: int = 0, *, keep_blocks: bool = False
) -> Confusion:
    """The confusion of a feature's classes by exact soft labels, own points in.

    Args:
        found: A pass over a data set, whose class shares are the weights.
        feature: Which of its features.
        keep_blocks: Whether batches are kept, of which `survival` makes intervals.
    """
    of = found.features[feature]
    weights = np.asarray(of.count(found.counts), float) / found.num_points
    own = np.eye(of.num_classes, dtype=bool)
    blocks, squares = [], 0.0
    # Batch by batch: products of all draws at once would be many times the pass.
    for log_posterior in found.log_posterior(of):
        r = np.exp(log_posterior)
        flow = np.where(
            own,
            (r * -np.expm1(log_posterior))[..., None],
            r[..., None] * r[..., None, :],
        )
        blocks.append(flow.mean(axis=0))
        squares = squares + np.sum(flow**2, axis=0)
    mean = np.mean(blocks, axis=0)
    variance = np.clip(squares / found.count - mean**2, 0, None)
    present = np.isin(np.arange(of.num_classes), np.asarray(of.of_label)[found.label])
    rows = present[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        stderr = np.sqrt(variance / (found.count - 1)) / weights[:, None]
        log_prior = np.log(weights)
    return Confusion(
        found.noise,
        np.where(rows, _matrix(mean, weights), np.nan),
        np.where(rows, stderr, np.nan),
        log_prior=log_prior,
        block_means=_matrix(np.stack(blocks), weights) if keep_blocks else None,
        block_counts=found.batches if keep_blocks else None,
        method="sampled",
    )
