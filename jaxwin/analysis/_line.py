"""Quadrature on a line for what depends on a few noised components."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike

# The line is cut at every second width of every noised component, and each piece takes
# a Gauss-Legendre rule: where posteriors matter they change over tenths of a width.
CUTS = np.arange(-10.0, 11.0, 2.0)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


@runtime_checkable
class LawOnALine(Protocol):
    """What a labelled target of one dimension adds to be integrated over its noise.

    A `GaussianMixture` needs nothing of it. A law that has this method is integrated by
    its `log_density` and `label_log_posterior`, in one dimension.
    """

    def quadrature_cuts(
        self, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, " m"]:
        """Places that cut the line into pieces, in any order, of a fixed number.

        Between neighbouring ones the noised density of every label, and its log, is
        smooth: a Gauss-Legendre rule of 32 nodes takes it to rounding. For a component
        of centre c and width s (of the noise where the clean density has an edge or a
        cusp, about that place as well) these are c + s z, z two apart. Outside of all
        of them each label has less than 1e-16 of its mass.
        """
        ...


def component_cuts(
    centres: Float[Array, " k"], widths: Float[Array, " k"]
) -> Float[Array, " m"]:
    """Cuts for Gaussian components: every second width, up to ten of them."""
    cuts = jnp.asarray(CUTS, widths.dtype)
    return (centres[:, None] + widths[:, None] * cuts[None]).ravel()


def gauss_legendre(
    cuts: Float[Array, " m"], count: int = NODES.size
) -> tuple[Float[Array, "pieces nodes"], Float[Array, "pieces nodes"]]:
    """Places and weights on the pieces between the cuts, `count` on each."""
    edges = jnp.sort(cuts)
    half = 0.5 * jnp.diff(edges)
    nodes, rule = (
        jnp.asarray(array, half.dtype)
        for array in np.polynomial.legendre.leggauss(count)
    )
    places = (edges[:-1] + half)[:, None] + half[:, None] * nodes[None]
    return places, half[:, None] * rule[None]
