"""Integrals of |h| on a line and on a plane, cut where h changes its sign."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Index
from jaxwin.analysis._line import NODES, WEIGHTS

# Between so many places of a piece at most one change of sign is looked for.
PLACES = np.linspace(-1.0, 1.0, 17)
# Where the antiderivative of a polynomial through the nodes is known.
LEFT_AND_NODES = np.concatenate([[-1.0], NODES])
# Bisections of a gap between two places, to a rounding.
STEPS = 52


def absolute_integral(
    values: Float[Array, "pieces nodes"], half: Float[Array, " pieces"]
) -> Float[Array, ""]:
    """Integral of |h| over pieces of a line, h known at the Gauss-Legendre nodes.

    h on a piece is the polynomial through its nodes, of degree 31: its roots are found
    by bisection, and its antiderivative is taken between them. Nothing is lost at the
    kinks of |h|, other than two changes of sign in an eighth of a half-width.

    Args:
        values: h at the nodes of each piece.
        half: Half-widths of the pieces.
    """
    # The antiderivative from the left end, there and at the nodes: of degree 32.
    matrix = jnp.asarray(_antiderivative(), values.dtype)
    sums = jnp.matmul(values, matrix.T, precision="highest")
    height = lambda u: _interpolated(NODES, values, u)
    whole = lambda u: _interpolated(LEFT_AND_NODES, sums, u)
    places = jnp.asarray(PLACES, values.dtype)
    shape = len(values), places.size
    value = height(jnp.broadcast_to(places[None], shape))
    low, high = (
        jnp.broadcast_to(end[None], (shape[0], shape[1] - 1))
        for end in (places[:-1], places[1:])
    )
    first = jnp.sign(value[:, :-1])

    def halve(_: Index, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        same = jnp.sign(height(middle)) == first
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    # Without a change of sign it runs into the right end, where it cuts nothing.
    root = jax.lax.fori_loop(0, STEPS, halve, (low, high))[1]
    before, middle, after = whole(low), whole(root), whole(high)
    parts = jnp.abs(middle - before) + jnp.abs(after - middle)
    return jnp.sum(half * jnp.sum(parts, axis=1))


def absolute_plane(
    values: Float[Array, "m n"], steps: tuple[Float[Array, ""], Float[Array, ""]]
) -> Float[Array, ""]:
    r"""Integral of |h| over a plane by the trapezoid rule, its kinks taken out.

    Along each row a change of sign a share theta behind a node leaves the rule off by
    |h'| step^2 (theta (1 - theta) - 1/6), which is subtracted: the rule is then of the
    third order along rows, and the sums of rows are smooth but for rows that touch the
    line h = 0.

    Args:
        values: h on a grid that reaches to where h vanishes.
        steps: Of the grid, between rows and along them.
    """
    near, far = jnp.abs(values[:, :-1]), jnp.abs(values[:, 1:])
    changes = jnp.sign(values[:, :-1]) * jnp.sign(values[:, 1:]) < 0
    both = jnp.where(changes, near + far, 1)
    excess = jnp.where(changes, near * far / both - both / 6, 0)
    rows = jnp.sum(jnp.abs(values), axis=1) - jnp.sum(excess, axis=1)
    return steps[0] * steps[1] * jnp.sum(rows)


def _interpolated(
    nodes: Float[np.ndarray, " n"],
    values: Float[Array, "pieces n"],
    u: Float[Array, "pieces m"],
) -> Float[Array, "pieces m"]:
    """The polynomial of each piece through its values, by the barycentric formula."""
    gaps = nodes[:, None] - nodes[None] + np.eye(nodes.size)
    weights = jnp.asarray(1 / np.prod(2 * gaps, axis=1), u.dtype)
    apart = u[..., None] - jnp.asarray(nodes, u.dtype)[None, None]
    # At a node nothing else counts.
    share = weights[None, None] / jnp.where(apart == 0, jnp.finfo(u.dtype).tiny, apart)
    share = share / jnp.sum(share, axis=-1, keepdims=True)
    return jnp.sum(share * values[:, None], axis=-1)


def _antiderivative() -> Float[np.ndarray, "m n"]:
    """Integrals from -1 to the left end and to the nodes, from values at the nodes.

    By Legendre polynomials, whose integrals are (P_{n+1} - P_{n-1}) / (2 n + 1).
    """
    size, polynomials = NODES.size, np.polynomial.legendre.legvander
    degree = np.arange(size)
    transform = (polynomials(NODES, size - 1) * WEIGHTS[:, None]).T
    at = polynomials(LEFT_AND_NODES, size)
    below = np.concatenate([-at[:, :1], at[:, :-2]], axis=1)
    integrals = (at[:, 1:] - below) / (2 * degree + 1)
    return integrals @ ((degree + 0.5)[:, None] * transform)
