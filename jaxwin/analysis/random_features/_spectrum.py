"""The spectrum that sets how fast a random-feature network learns, and by heart."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._checks import check_positive
from jaxwin._typing import Key
from jaxwin.analysis.random_features._constants import FeatureConstants
from jaxwin.io import field


class FeatureSpectrum(eqx.Module):
    """Eigenvalues of U in one draw: those above the atom, largest first, and the atom.

    atom = s^2 holds `atom_count` = max(p - n - d, 0) eigenvalues, exactly.
    """

    atom_count: int = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    points: int = eqx.field(static=True)
    features: int = eqx.field(static=True)
    eigenvalues: Float[Array, " r"] = field(("mode",), "", "above the atom")
    atom: Float[Array, ""] = field((), "", "s^2")


class Bulk(eqx.Module):
    """A group of eigenvalues: its edges in this draw, and its mean."""

    low: Float[Array, ""] = field((), "")
    high: Float[Array, ""] = field((), "")
    mean: Float[Array, ""] = field((), "")


class FeatureBulks(eqx.Module):
    """The two bulks of U. A mode is learned in a time ~ 1 / eigenvalue.

    generalisation: d modes of the population, learned first, in a time that does not
    grow with n. memorisation: the modes of the n points, later by `ratio` (of means).
    """

    generalisation: Bulk
    memorisation: Bulk
    ratio: Float[Array, ""] = field((), "", "of the means of the bulks")


def sample_spectrum(
    constants: FeatureConstants,
    dimension: int,
    points_ratio: int | float,
    features_ratio: int | float,
    key: Key,
) -> FeatureSpectrum:
    """Spectrum of the training matrix of random features, in one draw.

        U = G G^T / n + b^2 W W^T / d + s^2 I,
        G = alpha a W X / sqrt(d) + v Omega,

    W (p, d), X (d, n) and Omega (p, n) Gaussian, X with the standard deviation of the
    data. U - s^2 I = M M^T with n + d columns M: the smaller of M^T M and M M^T is
    decomposed, so that the atom is exact and a wide network costs no more.

    Args:
        constants: Of the activation, at one time.
        dimension: d.
        points_ratio: psi_n = n / d, > 0; n is rounded.
        features_ratio: psi_p = p / d, > 0; p is rounded.
        key: Random key.

    Raises:
        ValueError: A size below 1.

    References:
        Bonnaire, Urfin, Biroli & Mezard (2025), arXiv:2505.17638.
    """
    for value, name in (
        (dimension, "dimension"),
        (points_ratio, "points_ratio"),
        (features_ratio, "features_ratio"),
    ):
        check_positive(float(value), name)
    n, p = round(points_ratio * dimension), round(features_ratio * dimension)
    if min(n, p) < 1:
        raise ValueError(
            f"`points_ratio` and `features_ratio` make n = {n} and p = {p} of d = "
            f"{dimension}; both must be at least 1: take a larger `dimension`."
        )
    dtype = constants.slope.dtype
    w_key, x_key, rest_key = jr.split(key, 3)
    w = jr.normal(w_key, (p, dimension), dtype)
    x = constants.data_std * jr.normal(x_key, (dimension, n), dtype)
    root = float(dimension) ** 0.5
    signal = jnp.exp(-constants.time) * constants.slope / root
    along = signal * jnp.matmul(w, x, precision="highest")
    g = along + jnp.sqrt(constants.data_sq) * jr.normal(rest_key, (p, n), dtype)
    m = jnp.concatenate([g / float(n) ** 0.5, constants.noise / root * w], axis=1)
    m = m.T if p > n + dimension else m
    values = jnp.linalg.eigvalsh(jnp.matmul(m, m.T, precision="highest"))
    return FeatureSpectrum(
        eigenvalues=jnp.maximum(values[::-1], 0) + constants.rest_sq,
        atom=constants.rest_sq,
        atom_count=max(p - n - dimension, 0),
        dimension=dimension,
        points=n,
        features=p,
    )


def bulks(spectrum: FeatureSpectrum) -> FeatureBulks:
    """The two bulks of a wide network, p > n > d: the d largest modes, and the others.

    Raises:
        ValueError: Not p > n > d, where the bulks are not apart.
    """
    n, d, p = spectrum.points, spectrum.dimension, spectrum.features
    if not p > n > d:
        raise ValueError(
            f"`spectrum` has p = {p}, n = {n} and d = {d}; two bulks need p > n > d: "
            f"take psi_p > psi_n > 1."
        )
    first, second = _bulk(spectrum.eigenvalues[:d]), _bulk(spectrum.eigenvalues[d:])
    return FeatureBulks(first, second, first.mean / second.mean)


def _bulk(values: Float[Array, " m"]) -> Bulk:
    return Bulk(values.min(), values.max(), values.mean())
