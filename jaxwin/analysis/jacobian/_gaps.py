"""The widest gap of a spectrum, and the local dimension read off it."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxwin.io import field


class Gap(eqx.Module):
    """The widest gap between neighbouring eigenvalues of -sigma^2 J.

    `dimension`: how many lie below it, the local dimension of the data at that noise.
    """

    height: Float[Array, "*t"] = field((), "", "of the widest gap")
    middle: Float[Array, "*t"] = field((), "", "centre of the widest gap")
    dimension: Int[Array, "*t"] = field((), "", "eigenvalues below the widest gap")


def widest(eigenvalues: Float[Array, "*t m"], *, ends: bool = False) -> Gap:
    """The widest gap of each spectrum along the last axis.

    Args:
        eigenvalues: Of -sigma^2 J, in any order.
        ends: Whether the intervals from 0 to the first and from the last to 1 count as
            gaps too: a law that fills the space then has dimension d, and one of which
            nothing is seen, or of which one point is left, dimension 0. Without them
            the answer lies between 1 and m - 1, also where all gaps are narrow.

    Raises:
        ValueError: Fewer than 2 eigenvalues.

    References:
        Stanczuk et al. (2022), arXiv:2212.12611 (dimension by the score's spectrum).
        Ventura et al. (2024), arXiv:2410.05898 (gaps of the Jacobian).
    """
    if eigenvalues.shape[-1] < 2:
        raise ValueError(
            f"`eigenvalues` has shape {eigenvalues.shape}; a gap lies between two: "
            f"give at least 2 along the last axis."
        )
    values = jnp.sort(eigenvalues, axis=-1)
    if ends:
        edge = values[..., :1]
        # Where a posterior has several modes, some eigenvalues lie below 0.
        zero, one = jnp.minimum(edge, 0), jnp.maximum(values[..., -1:], 1)
        values = jnp.concatenate([zero, values, one], axis=-1)
    gaps = jnp.diff(values, axis=-1)
    place = jnp.argmax(gaps, axis=-1).astype(jnp.int32)
    pick = lambda array: jnp.take_along_axis(array, place[..., None], -1)[..., 0]
    height = pick(gaps)
    below = place if ends else place + 1
    return Gap(height, pick(values) + height / 2, below)
