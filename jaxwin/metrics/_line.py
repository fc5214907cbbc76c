"""Wasserstein distance on the line: sorted samples, matched along a staircase."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.metrics._metric import Metric, mean_variance, measured
from jaxwin.metrics._samples import as_line, finite_array, same_type


def wasserstein_1d(
    x: AnyArray,
    y: AnyArray | None = None,
    *,
    order: int | float = 1.0,
    quantile: Callable[[Float[Array, " n"]], AnyArray] | None = None,
) -> Metric:
    """Wasserstein distance of two samples on the line, or of a sample and a law.

        W_p = (int_0^1 |F^-1(u) - G^-1(u)|^p du)^(1/p)

    Exact between the two empirical laws, of any two sizes: O((n + m) log (n + m)) work,
    O(n + m) memory. As an estimate of the distance of the laws it is biased upwards, by
    O(n^-1/2) where they agree. The standard error is that of the first-order variation,
    sqrt(Var phi(x) / n + Var psi(y) / m), phi and psi the dual potentials of the
    optimal plan; where the laws agree W_p is not normal and the error only an order of
    magnitude. Differentiable in both samples.

    Args:
        x: n samples, (n,).
        y: m samples, (m,).
        order: p >= 1.
        quantile: In place of `y`, the quantile function of an exact law, taken at the
            n midpoints (i + 1/2) / n; it adds nothing to the standard error, and an
            error of O(1/n) to the value. In heavy tails more.

    Raises:
        ValueError: Shapes, fewer than 2 samples, entries not finite, order < 1, not one
            of `y` and `quantile`.

    References:
        Peyre & Cuturi (2019), Computational Optimal Transport, remark 2.30,
        arXiv:1803.00567. del Barrio, Gordaliza & Loubes (2019), arXiv:1807.06796: the
        central limit theorem on the line.
    """
    check_order(order)
    if (y is None) == (quantile is None):
        raise BadInput("One of `y` and `quantile` must be given: a sample, or a law.")
    first = as_line(x, "x")
    if quantile is None:
        assert y is not None
        second = as_line(y, "y")
    else:
        n = first.size
        midpoints = jnp.asarray((np.arange(n) + 0.5) / n, first.dtype)
        second = finite_array(quantile(midpoints), "quantile(u)")
        if second.shape != (n,):
            raise BadInput(
                f"`quantile` returned shape {second.shape} for {n} probabilities; it "
                f"must be one number for each: use `jax.vmap`."
            )
    first, second = same_type(first, second)
    cost, phi, psi = transport(jnp.sort(first), jnp.sort(second), order)
    variance = mean_variance(phi)
    if quantile is None:
        variance = variance + mean_variance(psi)
    return root_of_cost(cost, variance, order)


def check_order(order: int | float) -> None:
    """Raise ValueError unless `order` is a finite number >= 1."""
    if not 1 <= order < np.inf:
        raise BadInput(f"`order` is {order}; it must be finite and at least 1.")


def transport(
    xs: Float[Array, " n"], ys: Float[Array, " m"], order: int | float
) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, " m"]]:
    """Optimal cost of |x - y|^p between sorted samples, and the dual potentials.

    Along the staircase of matched pairs (i, j) one index moves at a time, and its
    potential by what the cost moves: then phi_i + psi_j = |x_i - y_j|^p on it, and
    mean(phi) + mean(psi) is the cost.
    """
    path = staircase(xs.size, ys.size)
    # Powers by a constant: the derivative of a general power is NaN at zero.
    power = lambda gap: gap if order == 1 else gap**2 if order == 2 else gap**order
    cost = lambda i, j: power(jnp.abs(xs[i] - ys[j]))
    costs = cost(path.i, path.j)
    total = jnp.sum(costs * jnp.asarray(path.width, xs.dtype))
    costs = jax.lax.stop_gradient(costs)
    # Where both indices move at once the potentials are chosen: those of either order
    # of the two moves, averaged, so that the samples may change places.
    s = path.corners
    other = jax.lax.stop_gradient(cost(path.i[s] - 1, path.j[s] + 1))
    middle = (costs[s - 1] + costs[s + 1] + costs[s] - other) / 2
    costs = costs.at[s].set(middle)
    moved, zero = jnp.diff(costs), jnp.zeros_like(costs[:1])
    along_x = jnp.where(np.diff(path.i) == 1, moved, 0)
    phi = jnp.concatenate([zero, jnp.cumsum(along_x)])
    psi = costs[:1] + jnp.concatenate([zero, jnp.cumsum(moved - along_x)])
    return total, phi[path.first_i], psi[path.first_j]


class Staircase(NamedTuple):
    """Pairs in order, the probability that each carries, where each index begins.

    corners: where x has moved and y moves with it: pairs that carry nothing.
    """

    i: Int[np.ndarray, " s"]
    j: Int[np.ndarray, " s"]
    width: Float[np.ndarray, " s"]
    first_i: Int[np.ndarray, " n"]
    first_j: Int[np.ndarray, " m"]
    corners: Int[np.ndarray, " c"]


def staircase(n: int, m: int) -> Staircase:
    """Pairs that the monotone plan between n and m equal weights matches.

    Made on the host in whole numbers, in units of 1/(nm): sums of 1/n in float32 would
    miss where the steps of the two meet.
    """
    ends = np.concatenate([m * np.arange(1, n), n * np.arange(1, m)])
    order = np.argsort(ends, kind="stable")
    moves_x = order < n - 1
    i = np.concatenate([[0], np.cumsum(moves_x)]).astype(np.int32)
    j = np.concatenate([[0], np.cumsum(~moves_x)]).astype(np.int32)
    edges = np.concatenate([[0], ends[order], [n * m]])
    first_i = np.concatenate([[0], 1 + np.flatnonzero(moves_x)]).astype(np.int32)
    first_j = np.concatenate([[0], 1 + np.flatnonzero(~moves_x)]).astype(np.int32)
    width = np.diff(edges)
    corners = np.flatnonzero(width == 0)
    return Staircase(i, j, width / (n * m), first_i, first_j, corners)


def root_of_cost(
    cost: Float[Array, ""], variance: Float[Array, ""], order: int | float
) -> Metric:
    """W = cost^(1/p) with its error, zero derivatives where the cost is zero."""
    if order == 1:
        return measured(cost, variance)
    none = cost == 0
    safe = jnp.where(none, 1, cost)
    value = jnp.where(none, 0, safe ** (1 / order))
    slope = jnp.where(none, 0, safe ** (1 / order - 1) / order)
    return measured(value, slope**2 * variance)
