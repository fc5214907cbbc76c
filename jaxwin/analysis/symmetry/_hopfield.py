"""Denoising of equal patterns as recall of a modern Hopfield network."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_point, is_concrete
from jaxwin._numerics import as_float, channel_variance, stated_error
from jaxwin._typing import AnyArray, Point, ScalarLike

# Norms that differ by more, relative to the largest, are not equal.
EQUAL = 1e-9


def hopfield_energy(
    patterns: AnyArray, x: Point, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, ""]:
    r"""Energy E(x) = |x|^2 / 2 - v log sum_j exp(alpha x . y_j / v), v = sigma^2.

    That of a modern Hopfield network of N patterns alpha y_j at inverse temperature
    1 / v. For patterns of one length R, of equal weight and without width, it is the
    negative log-density of what is seen through x = alpha y + sigma z:

        -v log p(x) = E(x) + alpha^2 R^2 / 2 + v log N + (d / 2) v log(2 pi v),

    so that -v times the score is its gradient, x - alpha `attention`.

    Args:
        patterns: (N, d) stored patterns y_j of equal length.
        x: Where.
        alpha: Signal.
        sigma: Noise; at zero the limit |x|^2 / 2 - alpha max_j x . y_j.

    Raises:
        ValueError: Patterns of different lengths (unless traced), or of another
            dimension than x.

    References:
        Ambrogioni, arXiv:2309.17290; Ramsauer et al., arXiv:2008.02217, section 2.
    """
    patterns, logits, variance = _seen(patterns, x, alpha, sigma)
    likely = variance * jax.nn.logsumexp(logits)
    return 0.5 * jnp.dot(x, x, precision="highest") - likely


def attention(
    patterns: AnyArray, x: Point, alpha: ScalarLike, sigma: ScalarLike
) -> Point:
    """Softmax attention softmax(alpha Y x / sigma^2) Y of x over the patterns Y.

    One sweep x <- alpha `attention` of recall (with x <- 2 alpha `attention` /
    (1 + alpha^2) that of the reverse SDE's potential); for patterns of one length and
    equal weight it is the posterior mean E[y | x], since their lengths drop out.

    Args and Raises as in `hopfield_energy`.

    References:
        Ramsauer et al., arXiv:2008.02217, equation 3; Ambrogioni, arXiv:2309.17290.
    """
    patterns, logits, _ = _seen(patterns, x, alpha, sigma)
    return jnp.matmul(jax.nn.softmax(logits), patterns, precision="highest")


def _seen(
    patterns: AnyArray, x: Point, alpha: ScalarLike, sigma: ScalarLike
) -> tuple[Float[Array, "n d"], Float[Array, " n"], Float[Array, ""]]:
    """The patterns, alpha x . y_j / v, and v."""
    patterns = as_float(patterns)
    if patterns.ndim != 2 or 0 in patterns.shape:
        raise ValueError(
            f"`patterns` has shape {patterns.shape}; it must be (N, d) with N, d >= 1: "
            f"pass one row a pattern."
        )
    check_point(x, patterns.shape[1])
    if is_concrete(patterns):
        lengths = np.linalg.norm(np.asarray(patterns), axis=1)
        allowed = stated_error(EQUAL, patterns.dtype) * lengths.max()
        if not lengths.max() - lengths.min() <= allowed:
            raise ValueError(
                f"`patterns` have lengths from {lengths.min():g} to "
                f"{lengths.max():g}; they must be of one length: rescale them, or take "
                f"the log-density of a `GaussianMixture`."
            )
    variance = channel_variance(sigma)
    along = jnp.matmul(x, patterns.T, precision="highest")
    return patterns, (alpha / variance) * along, variance
