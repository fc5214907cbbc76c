"""Total variation between two sub-mixtures of a noised law."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import ScalarLike
from jaxwin.analysis.windows._directions import Directions, directions
from jaxwin.analysis.windows._on_line import Apart, OnLine, line_apart
from jaxwin.analysis.windows._on_plane import plane_apart
from jaxwin.analysis.windows._sets import Labels, members
from jaxwin.analysis.windows._view import checked_view, view
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture


def total_variation(
    law: AbstractLabelledTarget,
    first: Labels,
    second: Labels,
    alpha: ScalarLike,
    sigma: ScalarLike,
    *,
    within: Directions | None = None,
) -> Float[Array, ""]:
    r"""Total variation of two sub-mixtures seen at (alpha, sigma), by quadrature.

        TV = int |p^A - p^B| / 2 = E_p |r_A / w_A - r_B / w_B| / 2

    over the one or two directions in which the components of A and B differ (other
    components do not count). On a line the integral is cut where p^A = p^B: error below
    1e-10; on a plane its rows are, error 1e-7 to 1e-5 (`distance` says). Differentiable
    in the law, to be mapped over levels; gradients hold cuts and directions fixed,
    which is exact.

    Args:
        law: A mixture, or a law of one dimension with `quadrature_cuts`
            (`analysis._line.LawOnALine`).
        first: Labels A; the sets may overlap or lie one inside the other.
        second: Labels B.
        alpha: Amplitude of the signal.
        sigma: Standard deviation of the noise; 0 where no component is singular.
        within: `pair_directions(law, first, second)`, where the law is traced and of
            more than two dimensions.

    Raises:
        BadInput: A set is empty, without weight or names what is no label.
        ValueError: More than two dimensions are left; as `pair_table`, `directions`.
    """
    log_prior = law.log_label_prior()
    a, b = (members(s, log_prior, n) for s, n in ((first, "first"), (second, "second")))
    if within is None and isinstance(law, GaussianMixture) and is_concrete(law):
        within = directions(law, a | b)
    given = checked_view(law, alpha, sigma, within)
    return set_apart(law, jnp.asarray(a), jnp.asarray(b), *given).variation


def pair_directions(law: GaussianMixture, first: Labels, second: Labels) -> Directions:
    """Directions in which the components of two sets of labels differ.

    Raises:
        BadInput: As `total_variation`.
        ValueError: As `directions`.
    """
    log_prior = law.log_label_prior()
    sets = [(first, "first"), (second, "second")]
    masks = [members(labels, log_prior, name) for labels, name in sets]
    return directions(law, np.any(masks, axis=0))


@eqx.filter_jit
def set_apart(
    law: AbstractLabelledTarget,
    first: Bool[Array, " c"],
    second: Bool[Array, " c"],
    alpha: Float[Array, ""],
    sigma: Float[Array, ""],
    within: Directions | None,
    nodes: int | None = None,
) -> Apart:
    """`total_variation` of masks that may be traced; nothing is checked.

    `nodes` on each piece of the lines of a plane. What the two share, 1 - TV, has
    digits of its own, but for laws without components.
    """
    found = view(law, alpha, sigma, within)
    if isinstance(found, OnLine):
        return line_apart(found, first, second)
    return plane_apart(found, first, second, nodes)
