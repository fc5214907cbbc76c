"""U-turns along the probability flow: the monotone map of quantiles on a line."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, finite, is_concrete
from jaxwin._numerics import as_float, segment_logsumexp
from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.analysis.windows._confusion import Confusion
from jaxwin.analysis.windows._line_components import bisected, line_components
from jaxwin.analysis.windows._uturn import on_a_line
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

# Places at which labels are looked up, in widths about each component.
PLACES = np.linspace(-12.0, 12.0, 193)


def flow_map(
    law: GaussianMixture,
    y: ScalarLike,
    alpha: ScalarLike,
    sigma: ScalarLike,
    *,
    end: tuple[ScalarLike, ScalarLike] = (1.0, 0.0),
) -> Float[Array, ""]:
    """Where the probability flow of a law on the line takes a noised point.

    The flow keeps order and carries p_T to p_0, so that it maps quantiles:
    F_0(x) = F_T(y). No solver, no grid; to rounding, in both tails.

    Args:
        law: A mixture of one dimension.
        y: The point at (alpha, sigma).
        alpha: Amplitude of the signal where the flow begins.
        sigma: Standard deviation of the noise there.
        end: (alpha, sigma) where it ends; clean if left out.

    Raises:
        ValueError: More than one dimension.

    References:
        Derived; arXiv:2011.13456, section 4.3, for the flow.
    """
    if law.dimension != 1:
        raise ValueError(
            f"`law` has {law.dimension} dimensions; the flow maps quantiles on a line "
            f"only: solve it with `samplers.solve_flow`."
        )
    y = as_float(y)
    return line_components(law, *end).quantile(
        line_components(law, alpha, sigma).logit(y)
    )


def flow_matrix(
    law: GaussianMixture,
    alpha: ScalarLike,
    sigma: ScalarLike,
    *,
    weights: AnyArray | None = None,
) -> Float[Array, "c c"]:
    """Where labels end when a noised point runs down the probability flow.

        B_ij = P(label of x' is j | x0 of label i, y = alpha x0 + sigma z),

    x' the end of the flow from y and its label the one of largest posterior there. The
    noising is random, the flow is not: B is neither the confusion A of exact posterior
    draws nor in detailed balance. Two equal components of noised half-distance m in
    noised widths, disjoint when clean, flip with probability Phi(-m).

    Args:
        law: The mixture that points start from, on a line or concrete and reducing to
            one (`targets.reduce`; what is orthogonal flows by itself).
        alpha: Amplitude of the signal at the turn.
        sigma: Standard deviation of the noise there, > 0.
        weights: Of the labels in the model whose flow it is; those of the law if left
            out. Components within a label keep their shares.

    Raises:
        BadInput: Weights of another shape, negative or all zero.
        ValueError: The law does not reduce to one dimension.

    References:
        Shared theory, windows 1.7 and 2.4; derived.
    """
    line, model = _line_and_model(law, weights)
    return _flow_matrix(line, model, as_float(alpha), as_float(sigma))


def flow_confusion(
    law: GaussianMixture,
    noises: AnyArray,
    *,
    weights: AnyArray | None = None,
    process: AbstractProcess | None = None,
) -> Confusion:
    """`flow_matrix` over the noises of a U-turn, beside `confusion` of the reverse SDE.

    Args:
        law: As in `flow_matrix`.
        noises: Times of `process`.
        weights: Of the labels in the model.
        process: The clock; OU if left out.

    Raises:
        BadInput: As `flow_matrix`.
        ValueError: As `flow_matrix`.
    """
    process = OrnsteinUhlenbeck() if process is None else process
    noise = np.atleast_1d(np.asarray(noises, float))
    line, model = _line_and_model(law, weights)
    levels = process.levels(jnp.asarray(noise), line.means.dtype)
    matrix = np.asarray(_flow_matrices(line, model, *levels))
    prior = np.asarray(law.log_label_prior())
    method = "probability flow, quantiles"
    return Confusion(noise, matrix, np.zeros_like(matrix), prior, method=method)


@eqx.filter_jit
def _flow_matrices(
    law: GaussianMixture, model: GaussianMixture, alphas: Array, sigmas: Array
) -> Float[Array, "t c c"]:
    at = lambda level: _flow_matrix(law, model, *level)
    return jax.lax.map(at, (alphas, sigmas))


def _line_and_model(
    law: GaussianMixture, weights: AnyArray | None
) -> tuple[GaussianMixture, GaussianMixture]:
    """The law on its line, and the model whose flow is followed."""
    line, _ = on_a_line(law)
    if not isinstance(line, GaussianMixture):
        raise ValueError("`law` must be a mixture of Gaussians: build one.")
    return line, line if weights is None else _reweighted(line, weights)


@eqx.filter_jit
def _flow_matrix(
    law: GaussianMixture, model: GaussianMixture, alpha: Array, sigma: Array
) -> Float[Array, "c c"]:
    clean = line_components(model, 1.0, 0.0)
    noised = line_components(model, alpha, sigma)
    places = clean.centres[:, None] + clean.widths[:, None] * PLACES[None]
    places = jnp.sort(places.ravel())
    of_labels = lambda x: segment_logsumexp(
        clean.log_joint(x), model.labels, model.num_labels
    )
    names = jax.vmap(lambda x: jnp.argmax(of_labels(x)))(places)

    def boundary(low: Array, high: Array, first: Array, last: Array) -> Array:
        def before(x: Array) -> Array:
            log_p = of_labels(x)
            return log_p[first] >= log_p[last]

        return bisected(before, low, high)

    # One boundary between neighbouring places; it means nothing where both are of one
    # label, and costs nothing in the sum.
    cuts = jax.vmap(boundary)(places[:-1], places[1:], names[:-1], names[1:])
    noised_cuts = jax.vmap(lambda cut: noised.quantile(clean.logit(cut)))(cuts)
    start = line_components(law, alpha, sigma)
    z = (noised_cuts[None] - start.centres[:, None]) / start.widths[:, None]
    edge = jnp.ones_like(z[:, :1])
    below = jnp.concatenate([0 * edge, jsp.ndtr(z), edge], axis=1)
    ends = jax.nn.one_hot(names, law.num_labels, dtype=below.dtype)
    each = jnp.matmul(jnp.diff(below, axis=1), ends, precision="highest")
    starts = jax.nn.one_hot(law.labels, law.num_labels, dtype=below.dtype)
    share = jnp.exp(law.log_weights - law.log_label_prior()[law.labels])
    share = jnp.where(law.log_weights > -jnp.inf, share, 0)
    return jnp.matmul((starts * share[:, None]).T, each, precision="highest")


def _reweighted(law: GaussianMixture, weights: AnyArray) -> GaussianMixture:
    """The components of a law with other weights of its labels."""
    weights = as_float(weights).astype(law.means.dtype)
    if weights.shape != (law.num_labels,):
        raise BadInput(
            f"`weights` has shape {weights.shape}; it must be ({law.num_labels},), one "
            f"for each label."
        )
    if is_concrete(weights):
        given = np.asarray(weights)
        if not (np.all(finite(given) & (given >= 0)) and given.sum() > 0):
            raise BadInput(
                f"`weights` is {given.tolist()}; they must be finite, >= 0 and not all "
                f"zero."
            )
    shares = law.log_weights - law.log_label_prior()[law.labels]
    some = weights > 0
    log_weights = jnp.where(some, jnp.log(jnp.where(some, weights, 1)), -jnp.inf)
    log_weights = log_weights - jsp.logsumexp(log_weights)
    moved = log_weights[law.labels] + shares
    return eqx.tree_at(lambda law: law.log_weights, law, moved)
