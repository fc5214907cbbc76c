"""Noise that loses each scale, of a hierarchy and of a Gaussian field, for an entry."""

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import Crossing, hierarchy, stack
from jaxwin.io import field
from jaxwin.report._hierarchy_deep import deep_of
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._rhm import curves, shown, tree

FULL, QUICK = tree(32, 8, 2, 10, tables=3), tree(16, 4, 2, 6, tables=3)
STARTS = 256
# From where every level is kept to where none is; SNRs of the Gaussian channel.
GRIDS = {
    ("eps_belief", FULL): np.linspace(0.6, 0.85, 14),
    ("gaussian", FULL): np.geomspace(2.5, 11, 14),
    ("masking", FULL): np.linspace(0.1, 0.75, 16),
    ("uniform", FULL): np.linspace(0.05, 0.5, 16),
    ("eps_belief", QUICK): np.linspace(0.5, 0.95, 12),
    ("gaussian", QUICK): np.geomspace(1.5, 10, 12),
    ("masking", QUICK): np.linspace(0.15, 0.95, 12),
    ("uniform", QUICK): np.linspace(0.05, 0.75, 12),
}
# Sites of the ring, and its octaves between length and lattice.
SITES, INNER = 4096, slice(3, -3)


class Scales(eqx.Module):
    """Where each level of a tree is half lost, against how many leaves its nodes have.

    exponent: of noise (SNR) in scale over the upper half of the levels; zero in deep
    trees. deep: of trees without end; the levels of a finite one lie about it.
    """

    scale: Float[np.ndarray, " level"] = field(("level",), "leaves", "s^(L - l)")
    half: Crossing = field(("level",), "noise of the channel, or SNR")
    deep: Crossing = field((), "noise of the channel, or SNR")
    exponent: float = field((), "", "d ln noise / d ln scale")


class Control(eqx.Module):
    """Where each octave of a Gaussian field on a ring is half reconstructed.

    exponent: of SNR in wavelength, away from the ring's length and from its lattice.
    """

    wavelength: Float[np.ndarray, " band"] = field(("band",), "sites", "shortest")
    snr: Float[np.ndarray, " band"] = field(("band",), "SNR", "half reconstructed")
    exponent: float = field((), "", "d ln SNR / d ln wavelength")


def control() -> Control:
    """A field with spectrum 1 / k."""
    bands, spectrum = hierarchy.octaves(SITES), hierarchy.ring_spectrum(SITES)
    snr = np.asarray(hierarchy.half_reconstruction(spectrum, bands).snr, float)
    wavelength = SITES / 2.0 ** np.arange(snr.size)
    return Control(wavelength, snr, _exponent(wavelength[INNER], snr[INNER]))


def measure(channel: str, sizes: Sizes, measuring: Measuring, key: Key) -> Scales:
    """Halves of all levels by exact marginals, and the threshold of deep trees."""
    turn_key, deep_key = jr.split(key)
    noises = GRIDS[channel, sizes]
    found = curves(sizes, channel, noises, measuring, turn_key, STARTS)
    deep = deep_of(channel, sizes, measuring.quick, deep_key)
    assert deep is not None  # few rules
    half = stack(shown(channel, found.half))
    scale = float(sizes.branching) ** np.arange(sizes.depth, -1, -1)
    upper = slice(None, sizes.depth // 2 + 1)
    exponent = _exponent(scale[upper], np.asarray(half.time, float)[upper])
    return Scales(scale, half, deep.noise, exponent)


def _exponent(scale: Float[np.ndarray, " n"], noise: Float[np.ndarray, " n"]) -> float:
    return float(np.polyfit(np.log(scale), np.log(noise), 1)[0])
