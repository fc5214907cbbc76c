"""I-MMSE: information about the clean point, from a curve of denoising losses."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy.interpolate import CubicSpline

from jaxwin._checks import require
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.analysis._crossing import Crossing, read_off
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.targets import AbstractDenoiser, AbstractTarget

Denoise = Callable[[Point, ScalarLike, ScalarLike], Point]


class DenoisingInformation(eqx.Module):
    """I(x0; x_t) along OU time, from the mean squared errors of a denoiser.

    information: in nats; at the last (noisiest) time it is the tail alone. Errors are
    zero where the losses came without any. `collapse` is where I = log n.
    """

    collapse: Crossing
    num_points: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    log_snr: Float[np.ndarray, " t"] = field(("noise",), "", "log of alpha^2/sigma^2")
    loss: Float[np.ndarray, " t"] = field(("noise",), "variance", "E|x0 - D(x)|^2")
    loss_stderr: Float[np.ndarray, " t"] = field(("noise",), "variance")
    information: Float[np.ndarray, " t"] = field(("noise",), "nats")
    stderr: Float[np.ndarray, " t"] = field(("noise",), "nats")

    @property
    def excess(self) -> Float[np.ndarray, " t"]:
        """Excess entropy d f = log n - I of n points; it crosses zero."""
        return np.log(self.num_points) - self.information

    @property
    def relative_excess(self) -> Float[np.ndarray, " t"]:
        """Ratio f / alpha = 1 - I / log n, one at full noise."""
        return self.excess / np.log(self.num_points)


def from_mmse(
    denoiser: AbstractDenoiser | Denoise,
    log_snr: ArrayLike,
    num_points: ScalarLike,
    *,
    draw: Callable[[Key], Point] | None = None,
    eigenvalues: ArrayLike | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> DenoisingInformation:
    """Information about the clean point by I-MMSE, from any denoiser.

        I(snr) = (1/2) int_0^snr mmse(s) ds,    mmse = E|x0 - E[x0 | x]|^2,

    whatever alpha and sigma have that snr = alpha^2 / sigma^2. With `draw` left out the
    denoiser is a law: its own points are drawn, and mmse = E tr Cov[x0 | x] is averaged
    (Rao-Blackwell). Otherwise it is the squared error at noised draws. A denoiser that
    is not the exact one has the larger loss: I is then an upper bound, and `collapse`
    is late. One replica is one clean point and one Gaussian, which serve all SNRs.

    Args:
        denoiser: A target, a denoiser or a function, `denoise(x, alpha, sigma)`.
        log_snr: At least 4 log-SNRs, increasing, see `from_losses`.
        num_points: n, at least 2, of the data set whose collapse is read off.
        draw: `draw(key)`, a clean point.
        eigenvalues: Of the clean covariance, see `from_losses`; those of a law that is
            its own source if left out.
        num_replicas: Noised points.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give the 128 blocks that the
            bootstrap of the crossing wants.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: No `draw` and no law; log-SNRs as in `from_losses`; n < 2.

    References:
        Guo, Shamai, Verdu (2005), arXiv:cs/0412108, theorem 2 (vector channels).
        Biroli et al., arXiv:2402.18491, section 3: f = alpha - I / d (derived: the
        entropy of x_t is that of the noise plus I).
    """
    levels = _checked_levels(log_snr)
    if draw is not None:
        denoise = getattr(denoiser, "denoise", denoiser)
        loss, how = eqx.Partial(_squared_error, denoise, draw), "squared errors"
    elif isinstance(denoiser, AbstractTarget):
        loss, how = eqx.Partial(_posterior_trace, denoiser), "Rao-Blackwell traces"
        if eigenvalues is None:
            eigenvalues = denoiser.moments().leading(denoiser.dimension)[0]
    else:
        raise ValueError(
            "`denoiser` is no law that points can be drawn from; give `draw(key)`, a "
            "clean point."
        )
    along = eqx.Partial(_along, loss, jnp.asarray(levels))
    key = jr.key(0) if key is None else key
    estimate = run(along, num_replicas, key, block_size=block_size, **options)
    return _information(
        levels,
        estimate.mean,
        estimate.block_means,
        estimate.block_counts,
        num_points,
        eigenvalues,
        f"I-MMSE over {estimate.count} noised points, {how}",
    )


def from_losses(
    log_snr: ArrayLike,
    losses: ArrayLike,
    num_points: ScalarLike,
    *,
    eigenvalues: ArrayLike | None = None,
) -> DenoisingInformation:
    """Information by I-MMSE from a table of denoising losses.

        I = (1/2) int e^lambda mmse(lambda) d lambda,    lambda = log-SNR,

    by a cubic spline of the integrand: its error falls like the fourth power of the
    spacing (2e-5 of I at 0.25). What lies below the first SNR s_0 is added in closed
    form: of a Gaussian with the clean law's covariance, (1/2) sum log(1 + s_0 lambda_i)
    - right to third order in s_0 for any law, as mmse = tr C - s tr C^2 + O(s^2) - or,
    without `eigenvalues`, of mmse = a / (1 + b s) through the first two losses. Take
    s_0 below the inverse of the largest eigenvalue: the tail is `information[-1]`.

    Args:
        log_snr: (t,) at least 4, increasing.
        losses: (t,) mean squared errors E|x0 - D(x)|^2, summed over coordinates and in
            units of the clean data; or (blocks, t), independent blocks of equal size,
            from which errors come.
        num_points: n, at least 2.
        eigenvalues: Of the clean covariance.

    Raises:
        ValueError: Shapes that do not fit, fewer than 4 log-SNRs or not increasing,
            losses or eigenvalues that are negative or not finite, n < 2, one block.

    References:
        As in `from_mmse`.
    """
    levels = _checked_levels(log_snr)
    table = np.asarray(losses, np.float64)
    blocks = np.stack([table, table]) if table.ndim == 1 else table
    if blocks.ndim != 2 or blocks.shape[1] != levels.size or len(blocks) < 2:
        raise ValueError(
            f"`losses` has shape {table.shape}; it must be ({levels.size},), one for "
            f"each log-SNR, or have at least 2 such rows of blocks."
        )
    message = "`losses` must be finite and >= 0 everywhere: drop what is not."
    require(jnp.asarray(blocks), lambda v: (v >= 0) & (v < np.inf), message)
    return _information(
        levels,
        blocks.mean(axis=0),
        blocks,
        np.ones(len(blocks), np.int64),
        num_points,
        eigenvalues,
        "I-MMSE of a table of losses" + (", no errors given" * (table.ndim == 1)),
    )


def _checked_levels(log_snr: ArrayLike) -> Float[np.ndarray, " t"]:
    levels = np.asarray(log_snr, np.float64)
    good = levels.ndim == 1 and levels.size >= 4 and np.all(np.isfinite(levels))
    if not (good and np.all(np.diff(levels) > 0)):
        raise ValueError(
            f"`log_snr` has shape {levels.shape}; it must be a list of at least 4 "
            f"finite, strictly increasing numbers: sort it, or take numpy.linspace."
        )
    return levels


# From a log-SNR to the loss of one draw there.
Loss = Callable[[Float[Array, ""]], Float[Array, ""]]
Seen = Callable[[Float[Array, ""]], tuple[Point, Array, Array]]


def _squared_error(denoise: Denoise, draw: Callable[[Key], Point], key: Key) -> Loss:
    """Squared error of a denoiser at a noised draw."""
    x0, seen = _noised(draw, key)
    return lambda level: jnp.sum((x0 - denoise(*seen(level))) ** 2)


def _posterior_trace(law: AbstractTarget, key: Key) -> Loss:
    """Trace of Cov[x0 | x] of a law at a noised draw of its own."""
    _, seen = _noised(law.sample, key)

    def at(level: Float[Array, ""]) -> Float[Array, ""]:
        x, alpha, sigma = seen(level)
        return sigma**2 * law.local(x, alpha, sigma).relative_variance

    return at


def _noised(draw: Callable[[Key], Point], key: Key) -> tuple[Point, Seen]:
    """A clean point, and (x, alpha, sigma) seen of it at a log-SNR; VP levels."""
    clean_key, noise_key = jr.split(key)
    x0 = draw(clean_key)
    z = jr.normal(noise_key, x0.shape, x0.dtype)

    def seen(level: Float[Array, ""]) -> tuple[Point, Array, Array]:
        level = level.astype(x0.dtype)
        alpha, sigma = (jnp.sqrt(jax.nn.sigmoid(s)) for s in (level, -level))
        return alpha * x0 + sigma * z, alpha, sigma

    return x0, seen


def _along(
    loss: Callable[[Key], Loss], levels: Float[Array, " t"], key: Key, replica: Array
) -> Float[Array, " t"]:
    """The loss of one draw at all log-SNRs."""
    # One level at a time: a batch of them would evaluate every form of log-weights.
    return jax.lax.map(loss(jr.fold_in(key, replica)), levels)


def _information(
    levels: Float[np.ndarray, " t"],
    loss: Float[np.ndarray, " t"],
    block_loss: Float[np.ndarray, "b t"],
    block_counts: np.ndarray,
    num_points: ScalarLike,
    eigenvalues: ArrayLike | None,
    method: str,
) -> DenoisingInformation:
    if not num_points >= 2:
        raise ValueError(f"`num_points` is {num_points}; it must be at least 2.")
    spread = None if eigenvalues is None else np.asarray(eigenvalues, np.float64)
    if spread is not None and not np.all((spread >= 0) & (spread < np.inf)):
        raise ValueError(
            f"`eigenvalues` run from {spread.min():g} to {spread.max():g}; they must "
            f"be finite and >= 0: clip the spectrum."
        )
    information = _integrated(levels, loss, spread)
    block_information = _integrated(levels, block_loss, spread)
    share = (block_counts / block_counts.sum())[:, None]

    def error(blocks: np.ndarray, mean: np.ndarray) -> np.ndarray:
        square = np.sum((share * (blocks - mean)) ** 2, axis=0)
        return np.sqrt(square * len(blocks) / (len(blocks) - 1))

    # Increasing noise from here on.
    clock = lambda coordinate: 0.5 * jax.nn.softplus(coordinate)
    collapse = read_off(
        -levels[::-1],
        information[::-1],
        block_information[:, ::-1],
        block_counts,
        float(np.log(num_points)),
        clock,
    )
    return DenoisingInformation(
        collapse=collapse,
        num_points=float(num_points),
        method=method,
        noise=np.asarray(clock(jnp.asarray(-levels[::-1])), np.float64),
        log_snr=levels[::-1],
        loss=loss[::-1],
        loss_stderr=error(block_loss, loss)[::-1],
        information=information[::-1],
        stderr=error(block_information, information)[::-1],
    )


def _integrated(
    levels: Float[np.ndarray, " t"],
    loss: Float[np.ndarray, "*b t"],
    eigenvalues: Float[np.ndarray, " d"] | None,
) -> Float[np.ndarray, "*b t"]:
    """(1/2) int_0^snr loss at every level, the tail below the first included."""
    snr = np.exp(levels)
    rate = CubicSpline(levels, 0.5 * snr * loss, axis=-1)
    body = rate.antiderivative()(levels)
    if eigenvalues is not None:
        return body + 0.5 * np.sum(np.log1p(snr[0] * eigenvalues))
    first, second = loss[..., :1], loss[..., 1:2]
    # a / (1 + b s) through both; a constant where the loss does not fall, or too fast.
    fall, left = first - second, second * snr[1] - first * snr[0]
    b = np.where((fall > 0) & (left > 0), fall / np.where(left > 0, left, 1), 0.0)
    grown = b * snr[0]
    # log(1 + grown) / grown, also at 0.
    shape = np.where(grown > 0, np.log1p(grown) / np.where(grown > 0, grown, 1), 1.0)
    return body + 0.5 * snr[0] * first * (1 + grown) * shape
