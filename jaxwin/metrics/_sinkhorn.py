"""Entropic optimal transport, by ott-jax."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, finite, is_concrete, require
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.metrics._metric import Metric, mean_variance, measured
from jaxwin.metrics._samples import about_common_centre, as_pair

# Above so many pairs the costs are made again in every iteration, a block of rows at a
# time.
STORED, ROWS = 2**24, 1024


def sinkhorn(
    x: AnyArray,
    y: AnyArray,
    *,
    epsilon: ScalarLike | None = None,
    threshold: float = 1e-3,
    max_iterations: int = 2000,
) -> Metric:
    """Sinkhorn divergence of two samples: entropic transport without its own bias.

        S = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2
        OT(x, y) = min_P sum P |x - y|^2 + epsilon KL(P | 1/n 1/m)

    Zero between equal samples; W_2^2 as epsilon -> 0, half of an MMD^2 with the kernel
    -|x - y|^2 as epsilon -> infinity. As an estimate for the laws it is biased by O(1 /
    n). The standard error is that of the first-order variation: the potentials f_xy -
    f_xx over x and g_xy - f_yy over y. O((n + m)^2 d) work for an iteration; above
    2^24 pairs costs are not stored. Needs `pip install 'jaxwin[ot]'`.

    Args:
        x: n samples, (n, d).
        y: m samples, (m, d).
        epsilon: Regularisation > 0, in units of squared distance. Left out, 0.05 times
            the mean squared distance between the samples.
        threshold: Largest error of the marginals, in total probability.
        max_iterations: Sinkhorn iterations.

    Raises:
        ValueError: Shapes, fewer than 2 samples, entries not finite, epsilon not
            positive, ott-jax not installed, no convergence (NaN under a trace).

    References:
        Cuturi (2013), arXiv:1306.0895. Feydy et al. (2019), arXiv:1810.08278: the
        divergence. Gonzalez-Sanz, Loubes & Niles-Weed (2022), arXiv:2207.07427: its
        central limit theorem. Cuturi et al. (2022), arXiv:2201.12324: ott-jax.
    """
    ott = _ott()
    first, second = about_common_centre(*as_pair(x, y))
    if epsilon is None:
        within = jnp.var(first, 0).sum() + jnp.var(second, 0).sum()
        epsilon = (within + jnp.sum((first.mean(0) - second.mean(0)) ** 2)) / 20
    scale = as_float(epsilon).astype(first.dtype)
    if is_concrete(scale):
        test = lambda value: finite(value) & (value > 0)
        require(scale, test, f"`epsilon` is {epsilon}; it must be positive and finite.")
    options = {"threshold": threshold, "max_iterations": max_iterations}
    both = _potentials(ott, first, second, scale, options)
    of_x = _potentials(ott, first, first, scale, options)
    of_y = _potentials(ott, second, second, scale, options)
    # The two potentials of a sample with itself are equal up to a constant.
    along_x = both[0] - (of_x[0] + of_x[1]) / 2
    along_y = both[1] - (of_y[0] + of_y[1]) / 2
    value = along_x.mean() + along_y.mean()
    return measured(value, mean_variance(along_x) + mean_variance(along_y))


def _ott() -> tuple[Any, Any]:
    """The two rooms of ott-jax that are needed."""
    try:
        from ott.geometry import pointcloud  # pyright: ignore[reportMissingImports]
        from ott.solvers import linear  # pyright: ignore[reportMissingImports]
    except ImportError as missing:
        raise BadInput(
            f"`sinkhorn` needs ott-jax ({missing}): pip install 'jaxwin[ot]'."
        ) from missing
    return pointcloud, linear


def _potentials(
    ott: tuple[Any, Any],
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    epsilon: Array,
    options: dict[str, Any],
) -> tuple[Float[Array, " n"], Float[Array, " m"]]:
    """Dual potentials; where the plan sums to one, their means add up to the cost."""
    pointcloud, linear = ott
    rows = ROWS if len(x) * len(y) > STORED else None
    geometry = pointcloud.PointCloud(x, y, epsilon=epsilon, batch_size=rows)
    found = linear.solve(geometry, **options)
    if is_concrete(found.converged):
        message = "Sinkhorn did not converge: raise `epsilon` or `max_iterations`."
        require(found.converged, lambda done: done, message)
    settled = lambda values: jnp.where(found.converged, values, jnp.nan)
    return settled(found.f), settled(found.g)
