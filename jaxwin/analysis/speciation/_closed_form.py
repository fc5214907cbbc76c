"""Clone agreement of a mixture where it is known in closed form, or by quadrature."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin.analysis.speciation._agreement import agreement
from jaxwin.analysis.speciation._covariance_agreement import (
    contrast,
    covariance_agreement,
)
from jaxwin.analysis.speciation._modes import modes_agreement
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

# Distances that differ by less, relative to the largest, are one.
ROUNDING = 1e-9


def closed_form(
    law: GaussianMixture, times: Float[Array, " t"]
) -> Float[Array, " t"] | None:
    """Phi of all classes at OU times, or None for a mixture of another form than these.

    Classes of one component each that are two of one covariance (`agreement`), two
    isotropic ones about one mean (`covariance_agreement`), or any number of one
    isotropic variance with means at equal distances (`modes_agreement`).

    Raises:
        ValueError: The mixture is traced: its form decides which curve it is.
    """
    if not is_concrete(law):
        raise ValueError("`law` must be concrete: its form decides what is computed.")
    levels = OrnsteinUhlenbeck().levels(times, law.means.dtype)
    weights = np.exp(np.asarray(law.log_weights))
    single = np.array_equal(np.sort(np.asarray(law.labels)), np.arange(weights.size))
    if not single or weights.size < 2 or not np.all(weights > 0):
        return None
    both = np.triu_indices(weights.size, 1)
    apart = np.linalg.norm(law.means[both[0]] - law.means[both[1]], axis=1)
    scale = np.abs(np.asarray(law.means)).max()
    if weights.size == 2 and _one_covariance(law):
        return _two_means(law, float(weights[0]), *levels)
    spectrum = np.asarray(law.covariance.spectrum()[0])
    if not np.all(spectrum == spectrum[:, :1]):
        return None
    variances = spectrum[:, 0]
    if weights.size == 2 and apart[0] <= ROUNDING * scale:
        first, second = (float(v) for v in variances)
        at = lambda alpha, sigma: covariance_agreement(
            contrast(first, second, alpha, sigma), law.dimension, float(weights[0])
        )
        return jax.vmap(at)(*levels)
    equal = np.ptp(apart) <= ROUNDING * apart.max() and np.ptp(variances) == 0
    if not equal:
        return None
    distance, variance = float(apart[0]), float(variances[0])
    given = jnp.asarray(weights)

    def of_modes(level: tuple[Array, Array]) -> Array:
        alpha, sigma = level
        width = jnp.sqrt(alpha**2 * variance + sigma**2)
        return modes_agreement(distance / np.sqrt(2) * alpha / width, given)

    return jax.lax.map(of_modes, levels)


def _one_covariance(law: GaussianMixture) -> bool:
    pair = [law.covariance.component(jnp.asarray(k)) for k in range(2)]
    return bool(eqx.tree_equal(*pair))


def _two_means(
    law: GaussianMixture, weight: float, alphas: Array, sigmas: Array
) -> Float[Array, " t"]:
    """With r^2 = alpha^2 d . (alpha^2 Sigma + sigma^2)^-1 d / 4, d = m_1 - m_2."""
    covariance = law.covariance.component(jnp.asarray(0))
    apart = law.means[0] - law.means[1]
    spectrum = covariance.spectrum()[0]

    def at(alpha: Array, sigma: Array) -> Array:
        inverse = 1 / (alpha**2 * spectrum + sigma**2)
        along = jnp.sum(apart * covariance.apply(inverse, apart[None])[0])
        return agreement(alpha * jnp.sqrt(along) / 2, weight)

    return jax.vmap(at)(alphas, sigmas)
