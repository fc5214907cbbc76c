"""How often samples fall into each mode, against how often they should."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import BadInput, is_concrete, require
from jaxwin._typing import AnyArray
from jaxwin.metrics._metric import Metric, join_orders, measured
from jaxwin.metrics._samples import finite_array


class ModeWeightError(eqx.Module):
    """Distances, in nats and in probability, between mode frequencies and weights."""

    kl: Metric
    total_variation: Metric
    frequencies: Float[Array, " k"]


def mode_weight_error(labels: AnyArray, weights: AnyArray) -> ModeWeightError:
    """Distance of the frequencies p of modes among samples from their weights w.

        KL = sum_k p_k log(p_k / w_k),   TV = 1/2 sum_k |p_k - w_k|

    Both are biased upwards: where the law is right, KL by (k - 1) / (2n) and TV by
    about sum_k sqrt(w_k (1 - w_k) / (2 pi n)). A mode that is missed costs log 1 / (1 -
    w); a sample in a mode of weight zero makes KL infinite, with an infinite error. The
    standard errors are those of the first-order variation under multinomial sampling,
    for KL with the second order, so that it holds at p = w too, where it is sqrt((k -
    1) / 2) / n. There TV is not normal and its error an order of magnitude. O(n + k).

    Args:
        labels: The mode of each of n samples, 0 to k - 1, (n,).
        weights: Weights of the k modes, (k,); they are normalised.

    Raises:
        ValueError: Shapes, fewer than 2 samples, labels out of range, weights negative,
            not finite, or all zero. Under a trace labels out of range give NaN.

    References:
        Cover & Thomas (2006), Elements of Information Theory, section 11.1; Wilks
        (1938): 2 n KL is chi-square with k - 1 degrees of freedom at p = w.
    """
    exact = finite_array(weights, "weights")
    if exact.ndim != 1 or exact.size == 0:
        raise BadInput(f"`weights` has shape {exact.shape}; it must be one per mode.")
    if is_concrete(exact):
        test = lambda w: (w >= 0) & (w.sum() > 0)
        require(exact, test, "`weights` must be >= 0, and not all zero.")
    # Wrong ones inside a trace give NaN.
    exact = jnp.where(jnp.all(exact >= 0), exact, jnp.nan)
    exact = exact / exact.sum()
    modes = checked_labels(labels, exact.size)
    n, k = modes.size, exact.size
    # Counts drop what is out of range.
    size = jnp.where(jnp.all((modes >= 0) & (modes < k)), n, jnp.nan)
    counts = jnp.zeros(k, exact.dtype).at[modes].add(1)
    p = counts / size.astype(exact.dtype)
    # Logs of safe values: an empty mode must not send NaN into a gradient.
    met, real = p > 0, ~(exact <= 0)
    log_ratio = jnp.log(jnp.where(met, p, 1)) - jnp.log(jnp.where(real, exact, 1))
    kl = jnp.sum(jnp.where(p == 0, 0, p * log_ratio))
    kl = jnp.where(jnp.any(met & ~real), jnp.inf, kl)
    second = (real.sum() - 1).astype(p.dtype) / float(2 * n**2)
    variance = join_orders(_variance(p, log_ratio, n), second)
    variance = jnp.where(jnp.isfinite(kl), variance, kl)
    gap = p - exact
    return ModeWeightError(
        kl=measured(kl, variance),
        total_variation=measured(
            jnp.sum(jnp.abs(gap)) / 2, _variance(p, jnp.sign(gap) / 2, n)
        ),
        frequencies=p,
    )


def _variance(p: Float[Array, " k"], slope: Float[Array, " k"], n: int) -> Array:
    """Variance of sum_k p_k slope_k over n samples."""
    # An empty mode has probability zero and a slope of zero or, for NaN's sake, NaN.
    mean = jnp.sum(p * slope)
    return jnp.sum(p * (slope - mean) ** 2) / n


def checked_labels(labels: AnyArray, count: int) -> Int[Array, " n"]:
    """Modes of samples; concrete ones must lie in range."""
    modes = jnp.asarray(labels)
    if modes.ndim != 1 or modes.size < 2 or not jnp.issubdtype(modes.dtype, np.integer):
        raise BadInput(
            f"`labels` has shape {modes.shape} and type {modes.dtype}; it must be one "
            f"whole number for each of at least 2 samples: take an argmax."
        )
    if is_concrete(modes):
        test = lambda i: (i >= 0) & (i < count)
        require(modes, test, f"`labels` must lie in 0 to {count - 1}: one per mode.")
    return modes.astype(jnp.int32)
