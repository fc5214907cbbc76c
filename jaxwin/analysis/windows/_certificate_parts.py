"""The two parts of the certificate at one level: pairs of components, or quadrature."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxwin._checks import BadInput
from jaxwin.analysis.windows._directions import Directions
from jaxwin.analysis.windows._expectation import places
from jaxwin.analysis.windows._pairs import pair_table
from jaxwin.analysis.windows._sets import Labels, nested
from jaxwin.analysis.windows._threshold_roots import Sets, sets
from jaxwin.analysis.windows._variation import set_apart
from jaxwin.analysis.windows._view import checked_view
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture


class Nested(NamedTuple):
    """A law with two nested sets of labels; directions of the larger, and of all."""

    sets: Sets
    everywhere: Directions | None


def nested_sets(
    law: AbstractLabelledTarget,
    initial: Labels,
    target: Labels,
    closed: bool,
    within: Directions | None,
) -> Nested:
    """The sets as masks, in their directions.

    Raises:
        BadInput: As `nested`; closed forms of another law than a mixture of Gaussians.
        ValueError: As `directions`.
    """
    inner, outer = nested(initial, target, law.log_label_prior())
    if closed:
        if not isinstance(law, GaussianMixture):
            raise BadInput(
                f"`closed` is True and the law a {type(law).__name__}; closed forms "
                f"are those of a GaussianMixture: leave `closed` out."
            )
        return Nested(Sets(law, jnp.asarray(inner), jnp.asarray(outer), None), None)
    *_, everywhere = checked_view(law, 1.0, 1.0, within)
    return Nested(sets(law, inner, outer, within), everywhere)


def closed_parts(given: Nested, alpha: Array, sigma: Array) -> tuple[Array, ...]:
    """Bounds of intra and leak from pairs of components, and nothing below."""
    law, inner, outer, _ = given.sets
    assert isinstance(law, GaussianMixture)
    table = pair_table(law, alpha, sigma)
    weights = jnp.exp(law.log_weights)
    first = jnp.where(inner[law.labels], weights, 0)
    second = jnp.where(outer[law.labels], weights, 0)
    both = first[:, None] * second[None] / (jnp.sum(first) * jnp.sum(second))
    intra = jnp.sum(both * table.total_variation)
    across = outer[law.labels][:, None] & ~outer[law.labels][None]
    log_pair = 0.5 * (law.log_weights[:, None] + law.log_weights[None])
    # A weight of zero has a root without a slope.
    some = across & (log_pair > -jnp.inf)
    pair = jnp.where(some, jnp.exp(jnp.where(some, log_pair, 0)), 0)
    leak = jnp.sum(pair * table.bhattacharyya) / (2 * jnp.sum(second))
    return intra, leak, jnp.zeros_like(leak)


def exact_parts(
    given: Nested, alpha: Array, sigma: Array, nodes: int | None = None
) -> tuple[Array, ...]:
    """Intra, the target's leak and that of the initial set, by quadrature.

    `nodes` on each piece of the lines of a plane.
    """
    law, inner, outer, _ = given.sets
    apart = set_apart(law, inner, outer, alpha, sigma, given.sets.within, nodes)
    at = places(law, alpha, sigma, given.everywhere, nodes)
    r, log_prior = jnp.exp(at.log_posterior), law.log_label_prior()
    out = jnp.sum(jnp.where(outer[None], 0, r), axis=1)

    def leaving(mask: Bool[Array, " c"]) -> Array:
        inside = jnp.sum(jnp.where(mask[None], r, 0), axis=1)
        share = jnp.where(mask, jnp.exp(log_prior), 0)
        return jnp.sum(at.weight * inside * out) / jnp.sum(share)

    return apart.variation, leaving(outer), leaving(inner)
