"""Averages over a noised law of anything that its label posterior says."""

import equinox as eqx
from jaxtyping import Array, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis.windows._directions import Directions
from jaxwin.analysis.windows._on_line import OnLine, line_places
from jaxwin.analysis.windows._on_plane import plane_places
from jaxwin.analysis.windows._view import checked_view, view
from jaxwin.targets import AbstractLabelledTarget


class Places(eqx.Module):
    """Places of a noised law with weights of sum one, and label posteriors there.

    E f(r(y)) = sum_m weight_m f(r_m) for y of the noised law, r = p(label | y), whose
    average is exp(log_prior): the weights of the labels that are averaged over.
    """

    log_prior: Float[Array, " c"]
    weight: Float[Array, " m"]
    log_posterior: Float[Array, "m c"]


def expectation(
    law: AbstractLabelledTarget,
    alpha: ScalarLike,
    sigma: ScalarLike,
    *,
    within: Directions | None = None,
) -> Places:
    """Quadrature over a noised law in the one or two directions of its labels.

    Everything between sub-mixtures is a function of the label posterior r:
    p^S(y) = p(y) r_S(y) / w_S. Smooth functions of r are integrated to 1e-12 on a line
    and to about 1e-8 on a plane; functions with kinks, as |u - v|, are not: use
    `total_variation`.

    Args:
        law: A mixture, or a law of one dimension with `quadrature_cuts`
            (`analysis._line.LawOnALine`).
        alpha: Amplitude of the signal.
        sigma: Standard deviation of the noise; 0 where no component is singular.
        within: `directions(law, labels)`, found outside of jit and grad; the averages
            are then over the law restricted to these labels. All labels if left out.

    Raises:
        ValueError: More than two dimensions are left; as `pair_table`, `directions`.
    """
    return places(law, *checked_view(law, alpha, sigma, within))


@eqx.filter_jit
def places(
    law: AbstractLabelledTarget,
    alpha: Float[Array, ""],
    sigma: Float[Array, ""],
    within: Directions | None,
    nodes: int | None = None,
) -> Places:
    """`expectation` without checks; `nodes` on each piece of the lines of a plane."""
    found = view(law, alpha, sigma, within)
    if isinstance(found, OnLine):
        return Places(found.log_prior, *line_places(found))
    return Places(found.log_prior, *plane_places(found, nodes))
