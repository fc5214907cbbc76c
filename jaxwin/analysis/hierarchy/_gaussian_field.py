"""The control: a Gaussian field has long correlations and no transition."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check, not_negative, positive, unit_interval
from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._arguments import floats
from jaxwin.io import field


class HalfReconstruction(eqx.Module):
    """Where modes, or bands of them, have half of their variance back."""

    snr: Float[Array, " bands"] = field(("band",), "", "abar / (1 - abar)")
    alpha_bar: Float[Array, " bands"] = field(("band",), "", "abar")
    time: Float[Array, " bands"] = field(("band",), "OU time")


def ring_spectrum(sites: int, exponent: ScalarLike = 1.0) -> Float[Array, " k"]:
    """Spectrum lambda_j ~ |2 sin(k / 2)|^(-exponent), k = 2 pi j / N, of mean one.

    The zero mode, first, is set to the first mode.

    Args:
        sites: N, at least 2.
        exponent: Finite; zero is white noise.

    Raises:
        ValueError: An argument out of range.
    """
    check(sites, lambda n: n >= 2, "sites", "at least 2")
    check(exponent, lambda e: abs(e) < np.inf, "exponent", "finite")
    (exponent,) = floats(exponent)
    j = jnp.arange(sites, dtype=exponent.dtype).at[0].set(1)
    spectrum = (2 * jnp.sin(jnp.pi * j / sites)) ** (-exponent)
    return spectrum / jnp.mean(spectrum)


def field_susceptibility(
    spectrum: Float[Array, " k"], alpha_bar: ScalarLike
) -> Float[Array, ""]:
    """Susceptibility of a Gaussian field to a U-turn, which rises with noise.

    What changes has twice the posterior variance for its spectrum, 2 (1 - abar) post_k:

        chi = post_0 / mean_k post_k,    post_k = lambda_k / (abar lambda_k + 1 - abar):

    one without noise, lambda_0 / mean lambda at full noise.

    Args:
        spectrum: Variances of the Fourier modes, > 0, the zero mode first.
        alpha_bar: abar in [0, 1].

    Raises:
        ValueError: An argument out of range.

    References:
        Sclocchi, Favero & Wyart, arXiv:2410.13770 (the control); derived.
    """
    check(spectrum, positive, "spectrum", "finite and > 0; leave out empty modes")
    check(alpha_bar, unit_interval, "alpha_bar", "in [0, 1]")
    spectrum, alpha_bar = floats(spectrum, alpha_bar)
    left = spectrum / (alpha_bar * spectrum + (1 - alpha_bar))
    return left[0] / jnp.mean(left)


def half_reconstruction(
    spectrum: Float[Array, " k"], bands: AnyArray | None = None
) -> HalfReconstruction:
    """Noise at which the posterior variance of a band is half of its prior one.

        sum_k w_k lambda_k / (1 + g lambda_k) = sum_k w_k lambda_k / 2,

    g = 1 / lambda_k, abar = 1 / (1 + lambda_k), t = ln(1 + lambda_k) / 2 for one mode:
    large scales come back first, all of them smoothly. Differentiable in the spectrum.

    Args:
        spectrum: Variances of the modes, > 0.
        bands: Weights w >= 0, one row for each band; each mode by itself by default.

    Raises:
        ValueError: A mode without variance, or a band without modes.

    References:
        Derived.
    """
    check(spectrum, positive, "spectrum", "finite and > 0; leave out empty modes")
    if bands is None:
        snr = 1 / spectrum
    else:
        weight = jnp.asarray(bands).astype(spectrum.dtype)
        check(weight, not_negative, "bands", "weights, finite and >= 0")
        check(weight.sum(axis=1), positive, "bands.sum(axis=1)", "> 0 for each band")
        # A little beyond the ends, which one mode alone would lie on.
        low, high = -jnp.log(2 * spectrum.max()), -jnp.log(0.5 * spectrum.min())
        root = lambda row: bracketed_root(_reconstructed, low, high, (spectrum, row))
        snr = jnp.exp(jax.vmap(root)(weight))
    return HalfReconstruction(snr, snr / (1 + snr), 0.5 * jnp.log1p(1 / snr))


def octaves(sites: int) -> Float[Array, "bands k"]:
    """Bands of a ring's modes: 2^(b-1) < min(j, N - j) <= 2^b for b = 0, 1, ...

    Band b has wavelengths down to N / 2^b. The zero mode belongs to the first.

    Raises:
        ValueError: `sites` below 2.
    """
    check(sites, lambda n: n >= 2, "sites", "at least 2")
    j = np.arange(sites)
    number = np.maximum(np.minimum(j, sites - j), 1)
    last = [2**b for b in range((sites // 2 - 1).bit_length() + 1)]
    rows = [(2 * number > top) & (number <= top) for top in last]
    return jnp.asarray(np.stack(rows), float)


def _reconstructed(log_snr: Array, args: tuple[Array, Array]) -> Array:
    """What is back of a band's variance, less one half."""
    spectrum, weight = args
    gained = spectrum * jax.nn.sigmoid(log_snr + jnp.log(spectrum))
    return jnp.sum(weight * gained) / jnp.sum(weight * spectrum) - 0.5
