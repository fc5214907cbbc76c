"""Where deep hierarchies lose their class: in closed form, by populations, measured."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._typing import Key
from jaxwin.analysis import Crossing, hierarchy, stack
from jaxwin.io import field
from jaxwin.processes import convert
from jaxwin.report._clocks import named_clocks
from jaxwin.report._hierarchy_deep import deep_of
from jaxwin.report._hierarchy_sizes import CHANNELS, Sizes
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._rhm import (
    curves,
    shown,
    transition,
)

SYMBOLS, PER_LINE = (8, 16, 32), 161
# Of each tree and rule table.
STARTS = 256
# Around the class, of v, m, s = 32, 8, 2 and of 16, 4, 2.
GRIDS = {
    ("eps_belief", 32): np.linspace(0.5, 0.85, 13),
    ("gaussian", 32): np.geomspace(4, 14, 13),
    ("masking", 32): np.linspace(0.08, 0.5, 13),
    ("uniform", 32): np.linspace(0.04, 0.34, 13),
    ("gaussian", 16): np.geomspace(1.5, 12, 12),
}


class Diagram(eqx.Module):
    """eps* against rules m at s = 2, from one existence limit to the other."""

    symbols: Float[np.ndarray, " v"] = field(("v",), "symbols")
    first: Float[np.ndarray, " v"] = field(("v",), "rules", "class kept for fewer")
    last: Float[np.ndarray, " v"] = field(("v",), "rules", "class lost for more")
    rules: Float[np.ndarray, "v m"] = field(("v", "place"), "rules")
    noise: Float[np.ndarray, "v m"] = field(("v", "place"), "eps*")


class Thresholds(eqx.Module):
    """Deep thresholds by populations beside naive ones, on each channel's own noise.

    The Gaussian's is an SNR. naive: where a leaf's mean belief is that of eps*. factor:
    how many times more noise (less SNR) the naive one has the class survive.
    """

    channels: tuple[str, ...] = eqx.field(static=True)
    deep: Crossing = field(("channel",), "noise of the channel, or SNR")
    naive: Float[np.ndarray, " c"] = field(("channel",), "noise of the channel, or SNR")
    factor: Float[np.ndarray, " c"] = field(("channel",), "")


class HalfLost(eqx.Module):
    """Where the class of finite trees is half lost, on one channel."""

    depth: Int[np.ndarray, " depth"] = field(("depth",), "levels", "L")
    half: Crossing = field(("depth",), "noise of the channel, or SNR")


def diagram() -> Diagram:
    """Both limits are excluded: F'(1/v) = 1 at the first and F'(1) = 1 at the last."""
    v = np.array(SYMBOLS, float)
    first, last = 2 * v / (v + 1), (v + 1) / 2
    share = np.linspace(1e-6, 1 - 1e-6, PER_LINE)
    rules = first[:, None] + (last - first)[:, None] * share[None]
    noise = [
        jax.vmap(lambda m, v=v: hierarchy.transition(v, m, 2).noise)(jnp.asarray(row))
        for v, row in zip(SYMBOLS, rules, strict=True)
    ]
    return Diagram(v, first, last, rules, np.asarray(jnp.stack(noise), float))


def naive_threshold(channel: str, sizes: Sizes) -> float:
    """Noise at which the mean belief in a leaf's symbol is p* = 1 - eps* + eps* / v.

    gaussian: an SNR, by quadrature. masking: f = eps*, since (1 - f) + f / v = p*.
    uniform: eps = 1 - sqrt(1 - eps*), since with q = 1 - eps + eps / v, the share of
    leaves seen as they are and the belief in what is seen, p* = q^2 + (1 - q)^2 /
    (v - 1).

    References:
        Derived; the map is that of arXiv:2402.16991.
    """
    at = transition(sizes)
    if channel == "gaussian":
        return float(hierarchy.matched_snr(at.noise, sizes.symbols))
    if channel == "uniform":
        return 1 - float(jnp.sqrt(1 - at.noise))
    return float(at.noise)


def thresholds(sizes: Sizes, quick: bool, key: Key) -> Thresholds:
    """Of all channels, each by populations of its own."""
    names, found = tuple(CHANNELS), []
    for i, name in enumerate(names):
        deep = deep_of(name, sizes, quick, jr.fold_in(key, i))
        assert deep is not None  # few rules
        found.append(deep.noise)
    naive = np.array([naive_threshold(name, sizes) for name in names])
    deep = stack(found)
    ratio = naive / np.asarray(deep.time, float)
    factor = np.where(np.array(names) == "gaussian", 1 / ratio, ratio)
    return Thresholds(names, deep, naive, factor)


def clocks(deep: Crossing, naive: float) -> dict[str, dict[str, Any]]:
    """An SNR and the naive one on the clocks of processes, and how far apart they are.

    By clock `value` and `stderr` of the deep one, `naive` and `factor`, the larger over
    the smaller. ddpm_linear: 0-based index of the linear table of 1000 steps.
    """
    ou, ddpm = named_clocks()["ou"], named_clocks()["ddpm_linear"]

    def index(snr: Array) -> Array:
        return convert(hierarchy.snr_to_ou_time(snr), ou, ddpm)[0]

    clocks = {
        "snr": lambda snr: snr,
        "alpha_bar": hierarchy.snr_to_alpha_bar,
        "ou_time": hierarchy.snr_to_ou_time,
        "ddpm_linear": index,
    }
    told = {}
    for name, clock in clocks.items():
        at, other = deep.read_on(clock), float(clock(jnp.asarray(naive)))
        value = float(at.time)
        told[name] = {
            "value": value,
            "stderr": float(at.stderr),
            "naive": other,
            "factor": max(value / other, other / value),
        }
    return told


def half_lost(
    channel: str, trees: Sequence[Sizes], measuring: Measuring, key: Key
) -> HalfLost:
    """The noise, or SNR, at which the class of each tree is half lost, measured."""
    found = []
    for sizes in trees:
        noises, own = GRIDS[channel, sizes.symbols], jr.fold_in(key, sizes.depth)
        stage = f"{channel}, L = {sizes.depth}"
        one = curves(sizes, channel, noises, measuring, own, STARTS, stage)
        found.append(shown(channel, one.half)[0])
    half = stack([jax.tree.map(jnp.asarray, one) for one in found])
    return HalfLost(np.array([sizes.depth for sizes in trees]), half)
