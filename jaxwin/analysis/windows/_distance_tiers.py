"""Distances of sub-mixtures in closed form, by quadrature and by draws."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._numerics import stated_error
from jaxwin._typing import Key
from jaxwin.analysis.windows._directions import Directions, directions, seen
from jaxwin.analysis.windows._divergences import (
    Kind,
    finished,
    integrand,
    log_ratios,
)
from jaxwin.analysis.windows._expectation import places
from jaxwin.analysis.windows._on_line import line_chi2
from jaxwin.analysis.windows._pairs import PairTable, checked_level, pair_table
from jaxwin.analysis.windows._source import Drawn, drawn, law_and_clock
from jaxwin.analysis.windows._variation import set_apart
from jaxwin.analysis.windows._view import takes
from jaxwin.channels import AbstractObserved, Observed
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture
from jaxwin.targets._covariance import Isotropic

# Relative error of closed forms, and errors of quadrature on a line.
CLOSED_ERROR, LINE_ERROR = 1e-13, 1e-11
# Axes of a plane: errors change with them, and their spread says how large they are.
ANGLES = 0.0, 0.7, 1.4

# Values and errors at every noise.
Known = tuple[Float[Array, " t"], Float[Array, " t"]]


class Asked(NamedTuple):
    """What is between which sets of labels."""

    kind: Kind
    first: Bool[np.ndarray, " c"]
    second: Bool[np.ndarray, " c"]

    @property
    def both(self) -> Bool[np.ndarray, " c"]:
        return self.first | self.second

    @property
    def nested(self) -> bool:
        return not np.any(self.first & ~self.second)


def one_draw(
    law: Drawn,
    noises: Array,
    log_prior: Array,
    log_drawn: Array,
    first: Array,
    second: Array,
    key: Key,
    replica: Array,
    *,
    kind: Kind,
) -> Float[Array, " t"]:
    """The integrand at one noised point."""
    _, log_posterior = law.soft_labels(jr.fold_in(key, replica), noises)
    log_u, log_v = (
        log_ratios(log_posterior, log_prior, log_drawn, mask)
        for mask in (first, second)
    )
    return integrand(kind, log_u, log_v)


def centred(
    observed: AbstractObserved, noise: Float[np.ndarray, " t"], asked: Asked
) -> tuple[Drawn, Float[Array, " c"]]:
    """Draws from (p^A + p^B) / 2 of a mixture, else from the source; their weights."""
    log_prior = observed.log_label_prior()
    given = law_and_clock(observed)
    if given is None or not isinstance(given[0], GaussianMixture):
        return observed, log_prior
    assert isinstance(observed, Observed)
    law = given[0]
    shares = [
        jnp.where(mask, jnp.exp(log_prior), 0) for mask in (asked.first, asked.second)
    ]
    log_drawn = jnp.log(sum(0.5 * share / jnp.sum(share) for share in shares))
    # A label's components keep their shares; one without weight stays so.
    weighted = log_prior > -jnp.inf
    change = jnp.where(
        weighted, log_drawn - jnp.where(weighted, log_prior, 0), -jnp.inf
    )
    changed = eqx.tree_at(
        lambda law: law.log_weights, law, law.log_weights + change[law.labels]
    )
    return drawn(Observed(changed, observed.channel), noise), log_drawn


def closed(
    observed: AbstractObserved, noise: Float[np.ndarray, " t"], asked: Asked
) -> Known | None:
    """Between two single components, where the kind has a closed form."""
    given = law_and_clock(observed)
    if given is None:
        return None
    law, clock = given
    if not isinstance(law, GaussianMixture):
        return None
    present = np.asarray(law.log_weights) > -np.inf
    labels = np.asarray(law.labels)
    pair = [np.flatnonzero(mask[labels] & present) for mask in asked[1:]]
    if any(component.size != 1 for component in pair):
        return None
    two = _picked(law, np.concatenate(pair))
    levels = clock.levels(jnp.asarray(noise), law.means.dtype)
    alphas, sigmas = checked_level(two, *levels)
    table: PairTable = jax.vmap(lambda a, s: pair_table(two, a, s))(alphas, sigmas)
    if asked.kind == "total_variation" and not np.all(table.tv_known[:, 0, 1]):
        return None
    value = getattr(table, asked.kind)[:, 0, 1]
    error = stated_error(CLOSED_ERROR, value.dtype)
    return value, error * jnp.maximum(1, jnp.abs(value))


def _picked(law: GaussianMixture, chosen: Int[np.ndarray, " k"]) -> GaussianMixture:
    """Some components, each a label of its own, of equal weights."""
    covariance = law.covariance
    if isinstance(covariance, Isotropic):
        shared = covariance.variances.size == 1
        own = covariance.variances if shared else covariance.variances[chosen]
        covariance = Isotropic(own, law.dimension, chosen.size)
    else:
        covariance = jax.tree.map(lambda leaf: leaf[chosen], covariance)
    equal = jnp.full((chosen.size,), -np.log(chosen.size), law.means.dtype)
    labels = jnp.arange(chosen.size, dtype=law.labels.dtype)
    return GaussianMixture(law.means[chosen], covariance, equal, labels, chosen.size)


def quadrature(
    observed: AbstractObserved, noise: Float[np.ndarray, " t"], asked: Asked
) -> Known | None:
    """Where the components of both sets differ in one or two dimensions."""
    given = law_and_clock(observed)
    if given is None:
        return None
    law, clock = given
    within, dimension = None, 1
    if isinstance(law, GaussianMixture):
        within = directions(law, asked.both)
        dimension = within.dimension
    if not takes(law, within):
        return None
    # The mass of p_A^2 / p_B may lie where neither has any.
    outside = asked.kind == "chi2" and not asked.nested
    if outside and (dimension > 1 or within is None):
        return None
    levels = clock.levels(jnp.asarray(noise), observed.log_label_prior().dtype)
    if isinstance(law, GaussianMixture):
        levels = checked_level(law, *levels)
    masks = jnp.asarray(asked.first), jnp.asarray(asked.second)
    if dimension == 1:
        value = _curve(law, within, *masks, *levels, asked.kind, outside)
        error = jnp.full_like(value, stated_error(LINE_ERROR, value.dtype))
        if asked.kind in ("kl", "chi2"):
            error = error * jnp.maximum(1, value)
    else:
        assert within is not None
        axes = [within.turned(angle) for angle in ANGLES]
        each = [_curve(law, w, *masks, *levels, asked.kind, False) for w in axes]
        values = jnp.stack(each)
        value = values.mean(axis=0)
        error = stated_error(LINE_ERROR, values.dtype)
        error = error + values.max(axis=0) - values.min(axis=0)
    return finished(asked.kind, value, error)


@eqx.filter_jit
def _curve(
    law: AbstractLabelledTarget,
    within: Directions | None,
    first: Array,
    second: Array,
    alphas: Array,
    sigmas: Array,
    kind: Kind,
    outside: bool,
) -> Float[Array, " t"]:
    def at(level: tuple[Array, Array]) -> Array:
        if kind == "total_variation":
            return set_apart(law, first, second, *level, within).variation
        if outside:
            assert isinstance(law, GaussianMixture)
            assert within is not None
            found = seen(law, within, *level)
            return line_chi2(found, law.num_labels, first, second)
        found = places(law, *level, within)
        log_prior = law.log_label_prior()
        log_u, log_v = (
            log_ratios(found.log_posterior, log_prior, found.log_prior, mask)
            for mask in (first, second)
        )
        return jnp.sum(found.weight * integrand(kind, log_u, log_v))

    return jax.lax.map(at, (alphas, sigmas))
