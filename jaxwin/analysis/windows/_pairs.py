"""Distances between the components of a noised mixture, all pairs, in closed form."""

import equinox as eqx
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, check, is_concrete, not_negative
from jaxwin._numerics import as_float, channel_variance
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.analysis.windows._pair_forms import (
    PairForms,
    equal_covariances,
    pair_forms,
)
from jaxwin.io import field
from jaxwin.targets import GaussianMixture
from jaxwin.targets._covariance import Isotropic

PAIRS = ("component", "other_component")


class PairTable(eqx.Module):
    """Distances of noised components p_i (rows) and p_j at one noise level.

    total_variation: exact where `tv_known`, elsewhere its upper bound sqrt(1 - BC^2).
    bhattacharyya: the coefficient BC = E_p sqrt(u v). hellinger: sqrt(2 (1 - BC)).
    kl: KL(p_i || p_j) in nats. chi2: of p_i from p_j, infinite where 2 C_j - C_i is not
    positive. overlap: 1 - TV with digits of its own, exact where `tv_known`, elsewhere
    its upper bound BC.
    """

    total_variation: Float[Array, "k k"] = field(PAIRS, "probability")
    bhattacharyya: Float[Array, "k k"] = field(PAIRS, "")
    hellinger: Float[Array, "k k"] = field(PAIRS, "")
    kl: Float[Array, "k k"] = field(PAIRS, "nats")
    chi2: Float[Array, "k k"] = field(PAIRS, "")
    tv_known: Bool[Array, "k k"] = field(PAIRS, "", "total variation is exact")
    overlap: Float[Array, "k k"] = field(PAIRS, "probability")


def pair_table(law: GaussianMixture, alpha: ScalarLike, sigma: ScalarLike) -> PairTable:
    r"""Closed forms between all components of a mixture seen at (alpha, sigma).

    With A = C_i, B = C_j the noised covariances and u = alpha (m_i - m_j),

        BC    = |A|^1/4 |B|^1/4 / |(A + B) / 2|^1/2 exp(-u . ((A + B) / 2)^-1 u / 8)
        KL    = (tr(B^-1 A) - d - log(|A| / |B|) + u . B^-1 u) / 2
        1 + chi2 = |B| / (|A| |2 B - A|)^1/2 exp(u . (2 B - A)^-1 u)
        TV    = erf(D / sqrt 8),  D^2 = u . A^-1 u,   where A = B;
              = F(rho / b) - F(rho / a),   rho = d a b log(a / b) / (a - b),

    the last for A = a I, B = b I about one mean, a > b, F the chi-square distribution
    of d degrees of freedom (error below 1e-11 up to d = 1e4). Traceable, to be mapped
    over levels, and differentiable, also where two components coincide.

    Raises:
        ValueError: alpha or sigma is negative; a component is singular at sigma = 0.

    References:
        Bhattacharyya coefficient and identity covariances: arXiv:2502.00921; the rest
        is derived from Gaussian integrals.
    """
    return _table(law, *checked_level(law, alpha, sigma))


def gram(
    law: GaussianMixture, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, "k k"]:
    """Gram matrix of the noised means of components with one covariance Sigma.

        G_ij = alpha^2 (m_i - c) . (alpha^2 Sigma + sigma^2 I)^-1 (m_j - c),

    c the average of the means. The labels at this level are those of K components
    N(n_k, I) with these inner products, whatever d. Whitening depends on the level.

    Raises:
        ValueError: Covariances of a concrete mixture differ (those of a traced one are
            taken to be equal); as `pair_table`.
    """
    alpha, sigma = checked_level(law, alpha, sigma)
    if is_concrete(law) and not bool(jnp.all(equal_covariances(law))):
        raise ValueError(
            "`law` has components of different covariances, which no Gram matrix of "
            "means describes: use `pair_table`, or `distance`."
        )
    return _gram(law, alpha, sigma)


def checked_level(
    law: GaussianMixture, alpha: TimesLike, sigma: TimesLike
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """(alpha, sigma), one level or many, in the type of the law.

    Raises:
        ValueError: One is negative; sigma is a concrete zero and a component singular.
    """
    check(alpha, not_negative, "alpha", "finite and >= 0")
    check(sigma, not_negative, "sigma", "finite and >= 0")
    if is_concrete(law, sigma) and np.min(np.asarray(sigma)) == 0:
        lowest = np.min(np.asarray(law.covariance.spectrum()[0]), axis=1)
        flat = np.flatnonzero((lowest <= 0) & (np.asarray(law.log_weights) > -np.inf))
        if flat.size:
            raise BadInput(
                f"`sigma` is 0, and component {flat[0]} has a singular covariance: "
                f"distances need a density there; take a small sigma > 0."
            )
    dtype = law.means.dtype
    return as_float(alpha).astype(dtype), as_float(sigma).astype(dtype)


@eqx.filter_jit
def _gram(law: GaussianMixture, alpha: Array, sigma: Array) -> Float[Array, "k k"]:
    noised = alpha**2 * law.covariance.spectrum()[0] + channel_variance(sigma)
    near = alpha * (law.means - law.means.mean(axis=0)[None])
    return jnp.matmul(
        near, law.covariance.apply(1 / noised, near).T, precision="highest"
    )


@eqx.filter_jit
def _table(law: GaussianMixture, alpha: Array, sigma: Array) -> PairTable:
    forms = pair_forms(law, alpha, sigma)
    log_overlap = forms.log_overlap - forms.middle_sq / 8
    known, exact, shared = _variation(law, forms, alpha, sigma)
    growth = jnp.where(forms.definite, forms.log_growth + forms.outer_sq, 0)
    return PairTable(
        total_variation=jnp.where(known, exact, _root(-jnp.expm1(2 * log_overlap))),
        bhattacharyya=jnp.exp(log_overlap),
        hellinger=_root(-2 * jnp.expm1(log_overlap)),
        kl=0.5 * (forms.excess + forms.distance_sq),
        chi2=jnp.where(forms.definite, jnp.expm1(growth), jnp.inf),
        tv_known=known,
        overlap=jnp.where(known, shared, jnp.exp(log_overlap)),
    )


def _variation(
    law: GaussianMixture, forms: PairForms, alpha: Array, sigma: Array
) -> tuple[Bool[Array, "k k"], Float[Array, "k k"], Float[Array, "k k"]]:
    """Where total variation has a closed form, that, and 1 - TV."""
    distance = _root(forms.distance_sq) / np.sqrt(8)
    of_means, shared = jsp.erf(distance), jsp.erfc(distance)
    if not isinstance(law.covariance, Isotropic) or law.covariance.variances.size == 1:
        return forms.equal, of_means, shared
    centred = ~forms.equal & (forms.distance_sq == 0)
    noised = alpha**2 * law.covariance.variances + channel_variance(sigma)
    wide = jnp.maximum(noised[:, None], noised[None])
    narrow = jnp.minimum(noised[:, None], noised[None])
    x = jnp.where(centred, (wide - narrow) / narrow, 1)
    # Half the square, in narrow widths, at which both densities are equal.
    place = 0.5 * law.dimension * (1 + x) * jnp.log1p(x) / x
    half = jnp.full_like(place, law.dimension / 2)
    inside = jsp.gammainc(half, place / (1 + x))
    of_widths = jsp.gammainc(half, place) - inside
    # The wide one inside, the narrow one outside.
    shared = jnp.where(centred, inside + jsp.gammaincc(half, place), shared)
    return forms.equal | centred, jnp.where(centred, of_widths, of_means), shared


def _root(square: Array) -> Array:
    """Square root, with the gradient zero where it is zero."""
    some = square > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, square, 1)), 0)
