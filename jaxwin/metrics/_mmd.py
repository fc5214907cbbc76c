"""Maximum mean discrepancy with a Gaussian kernel."""

import jax
import jax.numpy as jnp

from jaxwin._checks import BadInput, finite, is_concrete, require
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray
from jaxwin.metrics._metric import Metric
from jaxwin.metrics._pairs import discrepancy, pair_means
from jaxwin.metrics._samples import about_common_centre, as_pair


def mmd(x: AnyArray, y: AnyArray, bandwidth: AnyArray | None = None) -> Metric:
    """Squared maximum mean discrepancy of two samples, as an unbiased U-statistic.

        MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),   k = exp(-|x - y|^2 / (2 h^2))

    Unbiased at a fixed bandwidth, so below zero at times where the laws agree. The
    standard error holds the first- and the second-order variance of the U-statistic,
    and is right both where the laws differ and, a little too large, where they agree.
    Work O((n + m)^2 d), half of it spared by symmetry; pairs are visited in tiles, so
    memory is O((n + m) d), in a gradient too.

    Args:
        x: n samples, (n, d).
        y: m samples, (m, d).
        bandwidth: h > 0. Left out, 2 h^2 is the mean squared distance within the
            samples; it then depends on them, which the error does not count.

    Raises:
        ValueError: Shapes, fewer than 2 samples, entries not finite, bandwidth not
            positive, all samples one point while the bandwidth is left out.

    References:
        Gretton et al. (2012), A kernel two-sample test, JMLR 13, eq. 3 (lemma 6).
        Sutherland & Deka (2019), arXiv:1906.02104: the variance at both orders.
    """
    first, second = about_common_centre(*as_pair(x, y))
    if bandwidth is None:
        # Mean of |x - x'|^2 is twice the summed variances.
        spread = jnp.var(first, 0, ddof=1).sum() + jnp.var(second, 0, ddof=1).sum()
        scale = jax.lax.stop_gradient(jnp.sqrt(spread))
        message = (
            "All samples are one point, or squares of them overflow: give a "
            "`bandwidth`, other samples, or other units."
        )
        test = lambda value: finite(value) & (value > 0)
        if is_concrete(scale):
            require(scale, test, message)
        scale = jnp.where(test(scale), scale, jnp.nan)
    else:
        h = as_float(bandwidth).astype(first.dtype)
        if h.ndim:
            raise BadInput(f"`bandwidth` has shape {h.shape}; it must be one number.")
        message = f"`bandwidth` is {bandwidth}; it must be finite and positive."
        if is_concrete(h):
            require(h, lambda value: finite(value) & (value > 0), message)
        # A traced one that is not positive gives NaN.
        scale = jnp.sqrt(2 * jnp.where(h > 0, h, jnp.nan) ** 2)
    kernel = lambda square: jnp.exp(-jnp.maximum(square, 0))
    return discrepancy(pair_means(kernel, first / scale, second / scale))
