"""U-turns along the probability flow: the monotone map of quantiles on a line."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, finite, is_concrete
from jaxwin._numerics import as_float, channel_variance
from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.analysis.windows._uturn import on_a_line
from jaxwin.targets import GaussianMixture

# Places at which labels are looked up, in widths about each component.
PLACES = np.linspace(-12.0, 12.0, 193)
# Bisections: from a bracket of any width to neighbouring numbers.
STEPS = 100


class _Line(NamedTuple):
    """Components on a line at one noise level."""

    centres: Float[Array, " k"]
    widths: Float[Array, " k"]
    log_weights: Float[Array, " k"]

    def logit(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """Log of F(x) / (1 - F(x)), F the distribution function, in both tails."""
        z = (x - self.centres) / self.widths
        below = jsp.logsumexp(self.log_weights + jsp.log_ndtr(z))
        return below - jsp.logsumexp(self.log_weights + jsp.log_ndtr(-z))

    def quantile(self, logit: Float[Array, ""]) -> Float[Array, ""]:
        """Where `logit` takes a value, by bisection."""
        reach = 40 * self.widths
        ends = jnp.min(self.centres - reach), jnp.max(self.centres + reach)

        def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = low + (high - low) / 2
            under = self.logit(middle) < logit
            return jnp.where(under, middle, low), jnp.where(under, high, middle)

        low, high = jax.lax.fori_loop(0, STEPS, halve, ends)
        return low + (high - low) / 2


def flow_map(
    law: GaussianMixture,
    y: Float[Array, ""],
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
    return _line(law, *end).quantile(_line(law, alpha, sigma).logit(y))


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
    line, _ = on_a_line(law)
    if not isinstance(line, GaussianMixture):
        raise ValueError("`law` must be a mixture of Gaussians: build one.")
    model = line if weights is None else _reweighted(line, weights)
    return _flow_matrix(line, model, as_float(alpha), as_float(sigma))


@eqx.filter_jit
def _flow_matrix(
    law: GaussianMixture, model: GaussianMixture, alpha: Array, sigma: Array
) -> Float[Array, "c c"]:
    clean, noised = (_line(model, *level) for level in ((1.0, 0.0), (alpha, sigma)))
    places = clean.centres[:, None] + clean.widths[:, None] * PLACES[None]
    places = jnp.sort(places.ravel())
    name = lambda x: jnp.argmax(model.label_log_posterior(x[None], 1.0, 0.0))
    names = jax.vmap(name)(places)

    def boundary(low: Array, high: Array, first: Array, last: Array) -> Array:
        def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = low + (high - low) / 2
            log_p = model.label_log_posterior(middle[None], 1.0, 0.0)
            before = log_p[first] >= log_p[last]
            return jnp.where(before, middle, low), jnp.where(before, high, middle)

        low, high = jax.lax.fori_loop(0, STEPS, halve, (low, high))
        return low + (high - low) / 2

    # One boundary between neighbouring places; it means nothing where both are of one
    # label, and costs nothing in the sum.
    cuts = jax.vmap(boundary)(places[:-1], places[1:], names[:-1], names[1:])
    noised_cuts = jax.vmap(lambda cut: noised.quantile(clean.logit(cut)))(cuts)
    start = _line(law, alpha, sigma)
    z = (noised_cuts[None] - start.centres[:, None]) / start.widths[:, None]
    edge = jnp.ones_like(z[:, :1])
    below = jnp.concatenate([0 * edge, jsp.ndtr(z), edge], axis=1)
    ends = jax.nn.one_hot(names, law.num_labels, dtype=below.dtype)
    each = jnp.matmul(jnp.diff(below, axis=1), ends, precision="highest")
    starts = jax.nn.one_hot(law.labels, law.num_labels, dtype=below.dtype)
    share = jnp.exp(law.log_weights - law.log_label_prior()[law.labels])
    share = jnp.where(law.log_weights > -jnp.inf, share, 0)
    return jnp.matmul((starts * share[:, None]).T, each, precision="highest")


def _line(law: GaussianMixture, alpha: ScalarLike, sigma: ScalarLike) -> _Line:
    variances, _ = law.covariance.spectrum()
    variances = jnp.broadcast_to(variances[:, 0], law.log_weights.shape)
    alpha, sigma = (as_float(v).astype(variances.dtype) for v in (alpha, sigma))
    widths = jnp.sqrt(alpha**2 * variances + channel_variance(sigma))
    return _Line(alpha * law.means[:, 0], widths, law.log_weights)


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
