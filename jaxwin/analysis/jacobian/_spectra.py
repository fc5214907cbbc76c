"""Spectra of the score's Jacobian along a path, and their gaps."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._numerics import as_float
from jaxwin._typing import Key
from jaxwin.analysis.jacobian._gaps import Gap, widest
from jaxwin.analysis.jacobian._leading import check_levels, leading, spread_matrix
from jaxwin.io import field
from jaxwin.targets import AbstractDenoiser


class Spectra(eqx.Module):
    """Eigenvalues of -sigma^2 J at points of a path, smallest (widest) first.

    For a Gaussian u / (u + lambda), u = sigma^2 / alpha^2. Below 0 where the posterior
    has several modes. `complete`: all d of them, or only the leading ones (the widest
    gap is then that among these).
    """

    complete: bool = eqx.field(static=True)
    time: Float[Array, " t"] = field(("point",), "OU time", "of equal SNR")
    normalised: Float[Array, "t m"] = field(("point", "direction"), "", "of -sigma^2 J")
    gap: Gap = field(("point",), "", "the widest")


def spectra(
    denoiser: AbstractDenoiser,
    xs: Float[Array, "t d"],
    alphas: Float[Array, " _"],
    sigmas: Float[Array, " _"],
    count: int | None = None,
    *,
    ends: bool = False,
    key: Key | None = None,
) -> Spectra:
    """Spectrum of -sigma^2 J at each point of a path, and its widest gap.

    Args:
        denoiser: Any; a target brings its dense Jacobian.
        xs: Points, one for each noise level.
        alphas: Signal of each, > 0.
        sigmas: Noise of each, > 0.
        count: Only so many leading eigenvalues, at least 2, without a d x d matrix; all
            if left out, O(d^3) a point.
        ends: As in `widest`.
        key: As in `leading`.

    Raises:
        ValueError: Levels not positive, shapes that do not fit, `count` out of range.

    References:
        Ventura et al. (2024), arXiv:2410.05898.
    """
    xs = as_float(xs)
    alphas, sigmas = jnp.asarray(alphas, xs.dtype), jnp.asarray(sigmas, xs.dtype)
    if not len(xs) == alphas.size == sigmas.size:
        raise ValueError(
            f"`xs` holds {len(xs)} points with {alphas.size} `alphas` and "
            f"{sigmas.size} `sigmas`; each point needs its own noise level."
        )
    check_levels(alphas, sigmas)

    if count is None:
        normalised = _all(denoiser, xs, alphas, sigmas)
    else:

        def at(level: tuple[Array, Array, Array]) -> Array:
            x, alpha, sigma = level
            return leading(denoiser, x, alpha, sigma, count, key=key).normalised

        normalised = jax.lax.map(at, (xs, alphas, sigmas))
    return Spectra(
        time=0.5 * jnp.log1p((sigmas / alphas) ** 2),
        normalised=normalised,
        gap=widest(normalised, ends=ends),
        complete=count is None,
    )


@eqx.filter_jit
def _all(
    denoiser: AbstractDenoiser, xs: Array, alphas: Array, sigmas: Array
) -> Float[Array, "t d"]:
    # One matrix at a time.
    at = lambda level: 1 - jnp.linalg.eigvalsh(spread_matrix(denoiser, *level))[::-1]
    return jax.lax.map(at, (xs, alphas, sigmas))
