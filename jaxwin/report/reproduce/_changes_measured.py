"""Which leaves of random hierarchies change together: C_h, C(r) and its reach."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import hierarchy
from jaxwin.io import field
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._rhm import tables_of

# Starts of a table in a full run, two turns each.
STARTS = 512
# Of what changes with a leaf, the share that lies within the length.
HALF = 0.5


class Changes(eqx.Module):
    """Leaves of one channel that change together, means over rule tables.

    covariance: C_h of pooled U-turns by height h of the lowest common ancestor; stderr
    over rules from the scatter of tables, sampling included; sampling_stderr: what more
    turns would remove. correlation: C(r) / C(0) of leaves r apart on the line. length:
    the distance within which half of what changes with a leaf lies, by leaving out
    one table at a time. expected: the mean field of `eps_belief`, else None.
    """

    channel: str = eqx.field(static=True)
    average: hierarchy.DisorderAverage
    expected: hierarchy.MeanFieldCurves | None
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    distance: Float[np.ndarray, " r"] = field(("distance",), "leaves")
    covariance: Float[np.ndarray, "t h"] = field(("noise", "height"), "spins squared")
    stderr: Float[np.ndarray, "t h"] = field(("noise", "height"), "spins squared")
    sampling_stderr: Float[np.ndarray, "t h"] = field(
        ("noise", "height"), "spins squared"
    )
    correlation: Float[np.ndarray, "t r"] = field(("noise", "distance"), "")
    correlation_stderr: Float[np.ndarray, "t r"] = field(("noise", "distance"), "")
    length: Float[np.ndarray, " t"] = field(("noise",), "leaves", nullable=True)
    length_stderr: Float[np.ndarray, " t"] = field(("noise",), "leaves", nullable=True)


def distances(leaves: int) -> Float[np.ndarray, " r"]:
    """Powers of two and what lies half way between, up to three fourths of the line."""
    twos = 2.0 ** np.arange(int(np.log2(leaves)))
    every = np.unique(np.concatenate([twos, 1.5 * twos[1:]]))
    return every[every < leaves]


def along_the_line(
    covariance: Float[np.ndarray, "*b h"], places: Float[np.ndarray, " r"], s: int
) -> Float[np.ndarray, "*b r"]:
    """C(r) / C(0) from C_h, at some distances."""
    flat = jnp.asarray(covariance.reshape(-1, covariance.shape[-1]))
    found = jax.vmap(lambda one: hierarchy.distance_covariance(one, places, s))(flat)
    ratio = np.asarray(found / flat[:, :1], float)
    return ratio.reshape(*covariance.shape[:-1], places.size)


def half_length(
    covariance: Float[np.ndarray, "*b h"], s: int
) -> Float[np.ndarray, "*b"]:
    """The distance within which half of chi - 1 lies, between whole distances.

    sum_{r <= xi} 2 (n - r) C(r) = half of the sum over all r = 1, ..., n - 1; NaN where
    that sum is not positive, as it may be measured.
    """
    leaves = s ** (covariance.shape[-1] - 1)
    r = np.arange(1.0, leaves)
    pairs = (1 - r / leaves) * along_the_line(covariance, r, s)
    total = np.cumsum(pairs, axis=-1)
    share = np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = share / share[..., -1:]
    first = np.argmax(share >= HALF, axis=-1)[..., None]
    below, above = (
        np.take_along_axis(share, np.maximum(first - step, 0), -1)[..., 0]
        for step in (1, 0)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        found = first[..., 0] - (above - HALF) / (above - below)
    return np.where(total[..., -1] > 0, found, np.nan)


def changes(
    sizes: Sizes, channel: str, noises: Any, measuring: Measuring, key: Key
) -> Changes:
    """U-turns of some rule tables through one channel, by one compiled program."""
    noises = np.asarray(noises, float)
    tables = tables_of(sizes, channel, noises, measuring, key, STARTS)
    covariance = np.stack([one.covariance for one in tables])
    sampling = np.stack([one.covariance_stderr for one in tables])
    count, s = len(tables), sizes.branching
    mean = covariance.mean(axis=0)
    others = (count * mean - covariance) / (count - 1)
    # By leaving out tables: the mean's own error where nothing is divided.
    error = lambda each: np.sqrt((count - 1) * each.var(axis=0))
    places = distances(sizes.leaves)
    expected = None
    if channel == "eps_belief":
        shape = sizes.symbols, float(sizes.rules), s, sizes.depth
        expected = hierarchy.mean_field_curves(jnp.asarray(noises), *shape)
    return Changes(
        channel=channel,
        average=hierarchy.average(tables),
        expected=expected,
        noise=noises,
        distance=places,
        covariance=mean,
        stderr=error(others),
        sampling_stderr=np.sqrt(np.sum(sampling**2, axis=0)) / count,
        correlation=along_the_line(mean, places, s),
        correlation_stderr=error(along_the_line(others, places, s)),
        length=half_length(mean, s),
        length_stderr=error(half_length(others, s)),
    )
