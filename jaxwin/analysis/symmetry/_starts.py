"""Where a search for minima begins: clean points, their spread, and the noises."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.symmetry._drift import Drift
from jaxwin.analysis.symmetry._system import System
from jaxwin.processes import AbstractProcess
from jaxwin.samplers import DDIM, sample
from jaxwin.scores import ExactScore
from jaxwin.targets import AbstractDenoiser, AbstractTarget, GaussianMixture

# Noise-to-signal sigma / alpha in units of the data: what is resolved, and where one
# minimum is left. Where more are left the search goes on by OUTWARDS in nu.
FINEST, WIDEST, OUTWARDS = 0.03, 2**0.5, 3.0
# Means that are near (so many are compared) are resolved by this share of their
# distance, as far as minima can be told apart at all.
COMPARED, OF_DISTANCE, TOLD_APART = 256, 0.25, 2e-3
# Log-SNR range and steps of the flow that draws samples of a denoiser.
LOG_SNR, FLOW_STEPS = 9.0, 96
# Starts are moved by this share of the spread: none lies on a symmetry by chance.
MOVED = 1e-2


class Search(NamedTuple):
    """The system, its starts in its units, and the range of nu; `last` of the clock."""

    system: System
    starts: Float[np.ndarray, "s d"]
    low: float
    high: float
    last: float


def search(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    drift: Drift,
    times: tuple[float, float] | None,
    starts: AnyArray | int,
    dimension: int | None,
    key: Key,
) -> Search:
    """Everything that a search needs; see `critical_times`."""
    draw_key, move_key = jr.split(key)
    if isinstance(starts, int):
        if starts < 1:
            raise BadInput(f"`starts` is {starts}; it must be at least 1.")
        points = _drawn(denoiser, process, starts, dimension, draw_key)
    else:
        points = np.asarray(starts)
        if not (points.ndim == 2 and len(points) and np.all(np.isfinite(points))):
            raise BadInput(
                f"`starts` has shape {points.shape}; it must hold finite clean points, "
                f"one in each row."
            )
    size = denoiser.dimension if isinstance(denoiser, AbstractTarget) else dimension
    if size is not None and points.shape[1] != size:
        raise BadInput(
            f"`starts` has {points.shape[1]} dimensions and the law {size}; they must "
            f"be of one space."
        )
    centre, spread = spread_of(denoiser, points)
    system = System(
        denoiser,
        process,
        drift.unnamed(),
        jnp.asarray(centre),
        jnp.asarray(spread, centre.dtype),
    )
    noise = jr.normal(move_key, points.shape, centre.dtype) / points.shape[1] ** 0.5
    nearest = OF_DISTANCE * _least_distance(denoiser, len(points)) / spread
    finest = max(min(FINEST, nearest), TOLD_APART)
    moved = min(MOVED, finest)
    ys = (points - centre) / spread + moved * np.asarray(noise)
    return Search(system, ys, *noise_range(process, spread, times, finest))


def _drawn(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    count: int,
    dimension: int | None,
    key: Key,
) -> Float[np.ndarray, "s d"]:
    """Means of a mixture and draws of a law; samples of the flow of a denoiser."""
    keys = jr.split(key, count)
    if isinstance(denoiser, AbstractTarget):
        draws = np.asarray(jax.vmap(denoiser.sample)(keys))
        if isinstance(denoiser, GaussianMixture):
            draws = np.concatenate([_heavy_means(denoiser, count), draws])[:count]
        return draws
    if dimension is None:
        raise BadInput(
            "`dimension` is missing: a denoiser that is no law does not know it."
        )
    low, high = _log_snr(process)
    times = process.time(
        jnp.linspace(max(low, -LOG_SNR), min(high, LOG_SNR), FLOW_STEPS)
    )
    score = ExactScore(denoiser, process)
    std = process.sigma(times[0])
    begin = std * jr.normal(key, (count, dimension))
    return np.asarray(_flow(score, begin, times, keys))


def _heavy_means(law: GaussianMixture, count: int) -> Float[np.ndarray, "m d"]:
    weights = np.asarray(law.log_weights)
    heavy = np.argsort(-weights, kind="stable")[:count]
    return np.asarray(law.means)[heavy[weights[heavy] > -np.inf]]


def _least_distance(denoiser: AbstractDenoiser, count: int) -> float:
    """Of means of a mixture that may become minima of their own; inf of other laws."""
    if not isinstance(denoiser, GaussianMixture):
        return np.inf
    means = _heavy_means(denoiser, min(count, COMPARED))
    variances, multiplicity = denoiser.covariance.spectrum()
    width = np.sqrt(np.min(np.asarray(variances)[:, np.asarray(multiplicity)[0] > 0]))
    # Two Gaussians nearer than that are one hill.
    apart = [
        np.linalg.norm(means[i + 1 :] - mean, axis=1) for i, mean in enumerate(means)
    ]
    apart = np.concatenate(apart)
    return float(np.min(apart[apart > 2 * width], initial=np.inf))


@eqx.filter_jit
def _flow(
    score: ExactScore, xs: Float[Array, "s d"], times: Float[Array, " t"], keys: Array
) -> Float[Array, "s d"]:
    run = lambda x, key: sample(DDIM(0.0), score, x, times, key)
    ends = jax.vmap(run)(xs, keys)
    return jax.vmap(lambda x: score.denoised(x, times[-1]))(ends)


def spread_of(
    denoiser: AbstractDenoiser,
    points: Float[np.ndarray, "s d"],
    scale: float | None = None,
) -> tuple[Float[np.ndarray, " d"], float]:
    """Mean of the law and the root of its total variance; of the points without one.

    Raises:
        BadInput: There is no spread.
    """
    if scale is None and isinstance(denoiser, AbstractTarget):
        moments = denoiser.moments()
        centre = np.asarray(moments.mean)
        spread = float(jnp.sqrt(moments.total_variance()))
    elif scale is None:
        centre = points.mean(axis=0)
        spread = float(np.sqrt(np.mean(np.sum((points - centre) ** 2, axis=1))))
        # What is left between equal points is rounding.
        rounding = 1e3 * np.finfo(points.dtype).eps * abs(points).max()
        spread = spread if not spread <= rounding else 0.0
    else:
        centre, spread = points.mean(axis=0), scale
    if not (np.isfinite(spread) and spread > 0):
        raise BadInput(
            f"the spread of the data is {spread:g}; there is nothing to decide: give a "
            f"law of more than one point, `starts` that differ, or `scale`."
        )
    return centre, spread


def _log_snr(process: AbstractProcess) -> tuple[float, float]:
    """Noisiest and cleanest log-SNR of a clock."""
    clean, noisy = (jnp.asarray(end, float) for end in process.domain)
    return float(process.log_snr(noisy)), float(process.log_snr(clean))


def noise_range(
    process: AbstractProcess,
    spread: float,
    times: tuple[float, float] | None,
    finest: float = FINEST,
) -> tuple[float, float, float]:
    """Least and largest nu to begin with, and the largest there is."""
    noisiest, cleanest = _log_snr(process)
    if times is None:
        low, high = (2 * np.log(spread * x) for x in (finest, WIDEST))
        last = min(-noisiest, high + 6 * OUTWARDS)
        low, high = max(low, -cleanest), min(high, last)
    else:
        least, most = process.domain
        if len(times) != 2 or not all(least <= t <= most for t in times):
            raise BadInput(
                f"`times` is {times}; it must be a least and a largest time within "
                f"[{least:g}, {most:g}]."
            )
        first, end = (jnp.asarray(t, float) for t in times)
        low, high = (float(-process.log_snr(t)) for t in (first, end))
        last = high
        if not np.all(np.isfinite([low, high])):
            raise BadInput(
                f"`times` is {times}; it must lie within the clock, at sigma > 0 and "
                f"alpha > 0."
            )
    if not low < high:
        raise BadInput(
            f"the times to be searched are empty (log-SNR {-low:.3g} to {-high:.3g}): "
            f"give `times` that increase, or a clock that reaches the data's scale."
        )
    return low, high, last
