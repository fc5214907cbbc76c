"""Flows E_p[r_i r_j] between labels, from which a confusion is made."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._numerics import channel_variance, stated_error
from jaxwin._typing import Key
from jaxwin.analysis.speciation._agreement import disagreement
from jaxwin.analysis.speciation._covariance_agreement import (
    contrast,
    covariance_disagreement,
)
from jaxwin.analysis.speciation._modes import modes_disagreement
from jaxwin.analysis.windows._directions import Directions
from jaxwin.analysis.windows._expectation import places
from jaxwin.analysis.windows._pair_forms import equal_covariances
from jaxwin.analysis.windows._source import Drawn
from jaxwin.channels import AbstractObserved
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture
from jaxwin.targets._covariance import Isotropic

# Relative error of distances that are taken to be equal.
ROUNDING = 1e-9
# Error of what is known by one-dimensional quadrature of a closed form, and on a line.
CLOSED_ERROR, LINE_ERROR = 1e-12, 1e-11
# Of the second axes of a plane to the first.
ANGLE = 0.7


class Flips(NamedTuple):
    """E_p[r_i r_j] for i != j at each noise, and how far off it may be."""

    flow: Float[np.ndarray, "t c c"]
    error: float


def closed_flips(
    law: AbstractLabelledTarget, alphas: Float[Array, " t"], sigmas: Float[Array, " t"]
) -> Flips | None:
    """Flips of mixtures whose clone agreement has a closed form; None for others.

    Labels of one component each: two of one covariance, two isotropic ones about one
    mean, or any number of one isotropic variance, equal weights and distances. There
    1 - phi = sum_{i != j} E_p[r_i r_j] has equal terms.
    """
    if not isinstance(law, GaussianMixture):
        return None
    weights = np.exp(np.asarray(law.log_weights, np.float64))
    count = weights.size
    single = np.array_equal(np.sort(np.asarray(law.labels)), np.arange(count))
    if not single or count < 2 or not np.all(weights > 0):
        return None
    off = _two(law, alphas, sigmas) if count == 2 else _modes(law, alphas, sigmas)
    if off is None:
        return None
    each = np.asarray(off)[:, None, None] / (count * (count - 1))
    error = stated_error(CLOSED_ERROR, law.means.dtype)
    return Flips(each * (1 - np.eye(count)), error)


def _two(law: GaussianMixture, alphas: Array, sigmas: Array) -> Array | None:
    weight = jnp.exp(law.log_weights[0])
    if bool(jnp.all(equal_covariances(law))):
        return _one_covariance(law, weight, alphas, sigmas)
    covariance = law.covariance
    if not isinstance(covariance, Isotropic):
        return None
    if not bool(jnp.all(law.means[0] == law.means[1])):
        return None
    first, second = covariance.variances[0], covariance.variances[1]
    at = lambda alpha, sigma: covariance_disagreement(
        contrast(first, second, alpha, sigma), law.dimension, weight
    )
    return jax.vmap(at)(alphas, sigmas)


@eqx.filter_jit
def _one_covariance(
    law: GaussianMixture, weight: Array, alphas: Array, sigmas: Array
) -> Float[Array, " t"]:
    covariance = law.covariance.component(jnp.asarray(0))
    apart = (law.means[0] - law.means[1])[None]
    spectrum = covariance.spectrum()[0]

    def at(alpha: Array, sigma: Array) -> Array:
        noised = alpha**2 * spectrum + channel_variance(sigma)
        square = covariance.bilinear(1 / noised, apart, apart)[0]
        return disagreement(alpha * jnp.sqrt(square) / 2, weight)

    return jax.vmap(at)(alphas, sigmas)


def _modes(law: GaussianMixture, alphas: Array, sigmas: Array) -> Array | None:
    covariance = law.covariance
    if not isinstance(covariance, Isotropic) or np.ptp(covariance.variances) > 0:
        return None
    weights = np.asarray(law.log_weights)
    if np.ptp(weights) > ROUNDING:
        return None
    means = np.asarray(law.means, np.float64)
    near = means - means.mean(axis=0)
    gram = near @ near.T
    squares = np.diagonal(gram)
    apart = squares[:, None] + squares[None] - 2 * gram
    apart = apart[np.triu_indices(len(means), 1)]
    if not np.ptp(apart) <= ROUNDING * apart.max():
        return None
    distance, count = np.sqrt(apart.mean() / 2), weights.size

    def at(level: tuple[Array, Array]) -> Array:
        alpha, sigma = level
        variance = alpha**2 * covariance.variances[0] + channel_variance(sigma)
        return modes_disagreement(distance * alpha / jnp.sqrt(variance), count)

    return jax.lax.map(at, (alphas, sigmas))


def quadrature_flips(
    law: AbstractLabelledTarget,
    within: Directions | None,
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
) -> Flips:
    """Flips by quadrature on a line or a plane, there with two pairs of axes."""
    flow = np.asarray(_flow(law, within, alphas, sigmas))
    least = stated_error(LINE_ERROR, flow.dtype)
    if within is None or within.dimension == 1:
        return Flips(flow, least)
    other = np.asarray(_flow(law, within.turned(ANGLE), alphas, sigmas))
    error = max(float(np.abs(flow - other).max()), least)
    return Flips(0.5 * (flow + other), error)


@eqx.filter_jit
def _flow(
    law: AbstractLabelledTarget,
    within: Directions | None,
    alphas: Array,
    sigmas: Array,
) -> Float[Array, "t c c"]:
    def at(level: tuple[Array, Array]) -> Array:
        found = places(law, *level, within)
        r = jnp.exp(found.log_posterior)
        weighted = (found.weight[:, None] * r).T
        flow = jnp.matmul(weighted, r, precision="highest")
        # Rounding of the product must not spoil detailed balance.
        return 0.5 * (flow + flow.T)

    return jax.lax.map(at, (alphas, sigmas))


def measured_flips(
    law: Drawn, noises: Array, key: Key, replica: Array
) -> Float[Array, "t c c"]:
    """One noised point: r_i r_j, and r_i (1 - r_i) on the diagonal, what i loses."""
    _, log_p = law.soft_labels(jax.random.fold_in(key, replica), noises)
    r = jnp.exp(log_p)
    own = jnp.eye(r.shape[1], dtype=bool)
    lost = r * -jnp.expm1(log_p)
    return jnp.where(own[None], lost[:, :, None], r[:, :, None] * r[:, None, :])


def simulated_rows(
    observed: AbstractObserved, noises: Array, key: Key, replica: Array
) -> dict[str, Array]:
    """One U-turn of a model: its start label, and soft labels of where it ends."""
    start_key, *keys = jax.random.split(jax.random.fold_in(key, replica), 3)
    x0, label = observed.start(start_key)

    def end(noise: Array) -> Array:
        seen = observed.observe(keys[0], x0, noise)
        return observed.label_probabilities(observed.resample(keys[1], seen, noise))

    ends = jax.lax.map(end, noises)
    own = jnp.arange(ends.shape[1], dtype=label.dtype) == label
    start = own.astype(ends.dtype)
    return {"rows": start[None, :, None] * ends[:, None, :], "start": start}
