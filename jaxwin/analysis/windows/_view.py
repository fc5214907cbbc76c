"""A noised law in the one or two dimensions in which quadrature sees it."""

from jaxtyping import Array, Float

from jaxwin._checks import check, not_negative
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis._line import LawOnALine
from jaxwin.analysis.windows._directions import Directions, directions, seen
from jaxwin.analysis.windows._on_line import OnLine, components_on_line, law_on_line
from jaxwin.analysis.windows._on_plane import OnPlane, components_on_plane
from jaxwin.analysis.windows._pairs import checked_level
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# Quadrature takes no more dimensions.
MOST = 2


def checked_view(
    law: AbstractLabelledTarget,
    alpha: ScalarLike,
    sigma: ScalarLike,
    within: Directions | None,
) -> tuple[Float[Array, ""], Float[Array, ""], Directions | None]:
    """(alpha, sigma, directions) for quadrature, where it takes the law.

    Raises:
        ValueError: The law is neither a mixture of few directions nor on a line; as
            `pair_table` and `directions`.
    """
    if isinstance(law, GaussianMixture):
        alpha, sigma = checked_level(law, alpha, sigma)
        within = directions(law) if within is None else within
        if within.dimension > MOST:
            raise ValueError(
                f"`law` has components that differ in {within.dimension} dimensions; "
                f"quadrature takes {MOST}: use `windows.distance` or "
                f"`windows.confusion`, which sample."
            )
        return alpha, sigma, within
    if law.dimension != 1 or not isinstance(law, LawOnALine):
        raise ValueError(
            "`law` is neither a mixture of Gaussians nor a law of one dimension with "
            "`quadrature_cuts`: use `windows.distance` or `windows.confusion`, which "
            "sample."
        )
    check(alpha, not_negative, "alpha", "finite and >= 0")
    check(sigma, not_negative, "sigma", "finite and >= 0")
    return as_float(alpha), as_float(sigma), None


def takes(law: AbstractLabelledTarget, within: Directions | None = None) -> bool:
    """Whether quadrature takes a concrete law, seen in some of its directions."""
    if isinstance(law, GaussianMixture):
        return (directions(law) if within is None else within).dimension <= MOST
    return law.dimension == 1 and isinstance(law, LawOnALine)


def view(
    law: AbstractLabelledTarget, alpha: Array, sigma: Array, within: Directions | None
) -> OnLine | OnPlane:
    """The law on a line, or on a plane."""
    if within is None:
        return law_on_line(law, alpha, sigma)
    assert isinstance(law, GaussianMixture)
    found = seen(law, within, alpha, sigma)
    on = components_on_line if within.dimension == 1 else components_on_plane
    return on(found, law.num_labels)
