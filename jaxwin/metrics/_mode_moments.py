"""Mean and covariance of the samples in each mode, against those they should have."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.metrics._metric import Metric, join_orders, measured
from jaxwin.metrics._mode_weights import checked_labels
from jaxwin.metrics._samples import as_samples, finite_array


class ModeMomentsError(eqx.Module):
    """Squared errors of means and covariances, for each mode, and samples in each."""

    mean: Metric
    covariance: Metric
    count: Int[Array, " k"]


def mode_moments_error(
    x: AnyArray, labels: AnyArray, means: AnyArray, covariances: AnyArray
) -> ModeMomentsError:
    """Squared errors of the mean and the covariance of the samples in each mode.

        |m_k - mean_k|^2,   |C_k - covariance_k|_F^2   (Frobenius)

    of the law sampled, without the part that sampling adds to the plain estimates: both
    are unbiased for any law, so below zero at times where the mode is right. The
    standard errors hold the first order and the second, 2 |C|^2 / n^2 for the mean and
    that of fourth moments for the covariance, where a mode is taken as Gaussian. A mode
    of fewer than 4 samples tells too little: value and error are infinite.

    Labels that depend on x (the nearest mode, say) cut tails off; the moments to
    compare with are then those of the cut modes. Work O(k n d^2), memory O(n d + k
    d^2).

    Args:
        x: n samples, (n, d).
        labels: The mode of each, 0 to k - 1, (n,).
        means: Exact means, (k, d).
        covariances: Exact covariances, (k, d, d).

    Raises:
        ValueError: Shapes, fewer than 2 samples, labels out of range, entries not
            finite. Under a trace labels out of range give NaN.

    References:
        Himeno & Yamada (2014), J. Multivariate Analysis 130: |C|^2 without bias.
        Anderson (2003), Multivariate Statistical Analysis, section 3.4: fourth moments
        of Gaussians.
    """
    points = as_samples(x, "x")
    centres = finite_array(means, "means").astype(points.dtype)
    exact = finite_array(covariances, "covariances").astype(points.dtype)
    d = points.shape[1]
    k = centres.shape[0] if centres.ndim else 0
    if centres.shape != (k, d) or exact.shape != (k, d, d) or k == 0:
        raise BadInput(
            f"`means` has shape {centres.shape} and `covariances` {exact.shape}; k "
            f"modes of samples in {d} dimensions need (k, {d}) and (k, {d}, {d})."
        )
    modes = checked_labels(labels, k)
    if modes.size != len(points):
        raise BadInput(
            f"`labels` has {modes.size} entries for {len(points)} samples: it must "
            f"have one for each."
        )
    in_range = jnp.all((modes >= 0) & (modes < k))

    def of_mode(at: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        index, centre, covariance = at
        mask = modes == index
        errors = _errors(points - centre[None], mask, covariance)
        return (*(jnp.where(in_range, e, jnp.nan) for e in errors), mask.sum())

    index = jnp.arange(k, dtype=jnp.int32)
    *errors, count = jax.lax.map(of_mode, (index, centres, exact))
    few = in_range & (count < 4)
    mean, mean_var, cov, cov_var = (jnp.where(few, jnp.inf, e) for e in errors)
    return ModeMomentsError(measured(mean, mean_var), measured(cov, cov_var), count)


def _errors(
    shift: Float[Array, "n d"], mask: Array, exact: Float[Array, "d d"]
) -> tuple[Array, Array, Array, Array]:
    """Both errors of one mode and their variances; finite where it has no samples.

    Sums go over all samples, those of other modes multiplied by zero.
    """
    inside = mask.astype(shift.dtype)
    # Fewer are answered by the caller.
    n = jnp.maximum(inside.sum(), 4)
    mean_of = lambda values: jnp.sum(inside * values) / n
    gap = jnp.matmul(inside, shift, precision="highest") / n
    z = inside[:, None] * (shift - gap[None])
    c = jnp.matmul(z.T, z, precision="highest") / (n - 1)
    square, fourth = jnp.sum(c**2), mean_of(jnp.sum(z**2, axis=1) ** 2)
    along = jnp.matmul(z, gap, precision="highest")
    mean_var = join_orders(4 * mean_of(along**2) / (n - 1), 2 * square / n**2)

    # What |C|^2 of the samples has too much.
    unbiased = (n - 1) * (n - 2) * square + jnp.trace(c) ** 2 - n**2 / (n - 1) * fourth
    added = square - unbiased * (n - 1) / (n * (n - 2) * (n - 3))
    # Each sample's share in the first order, <C - exact, z z^T>, C without itself.
    form = lambda a: jnp.sum(jnp.matmul(z, a, precision="highest") * z, axis=1)
    share = form(c - exact) - (jnp.sum(z**2, axis=1) ** 2 - form(c)) / n
    spread = mean_of((share - mean_of(share)) ** 2)
    product = jnp.matmul(c, c, precision="highest")
    second = 4 * (square**2 + jnp.sum(product**2)) / n**2
    return (
        jnp.sum(gap**2) - jnp.trace(c) / n,
        mean_var,
        jnp.sum((c - exact) ** 2) - added,
        join_orders(4 * spread / n, second),
    )
