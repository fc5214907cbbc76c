"""How far a denoiser is from the optimal one, noise level by noise level."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Key, Point
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.targets import AbstractDenoiser, AbstractTarget


class DenoiserErrors(eqx.Module):
    """Mean squared distances of a denoiser D to optimal ones D*, along noise.

    Averages are over x = alpha x0 + sigma z, x0 of one law, alpha^2 + sigma^2 = 1, from
    the least noise to the most. loss: E|x0 - D|^2. error: E|D - D*|^2 of each optimum.
    score_error: alpha^2 / sigma^4 times that, E|s - s*|^2 on the OU clock. path: the
    integrated error int (1/2) E|D - D*|^2 d snr = int_0^T E|s - s*|^2 dt in OU time,
    from the least noise on. For the optimum of the law that the points are `of` (only
    there), loss = its own loss + error, and `path` is the KL divergence of the exact
    backward paths from those of D, begun at one law and stopped at the least noise;
    below it a learned score is as wrong as its clean end, and the path grows. Its error
    holds the difference to every second level.
    """

    optima: tuple[str, ...] = eqx.field(static=True)
    of: str | None = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    log_snr: Float[np.ndarray, " t"] = field(("noise",), "", "log of alpha^2/sigma^2")
    loss: Float[np.ndarray, " t"] = field(("noise",), "variance")
    loss_stderr: Float[np.ndarray, " t"] = field(("noise",), "variance")
    optimal_loss: Float[np.ndarray, "o t"] = field(("optimum", "noise"), "variance")
    optimal_loss_stderr: Float[np.ndarray, "o t"] = field(
        ("optimum", "noise"), "variance"
    )
    error: Float[np.ndarray, "o t"] = field(("optimum", "noise"), "variance")
    error_stderr: Float[np.ndarray, "o t"] = field(("optimum", "noise"), "variance")
    apart: Float[np.ndarray, "o t"] = field(
        ("optimum", "noise"), "variance", "of each optimum from the first"
    )
    apart_stderr: Float[np.ndarray, "o t"] = field(("optimum", "noise"), "variance")
    path: Float[np.ndarray, "o t"] = field(("optimum", "noise"), "nats")
    path_stderr: Float[np.ndarray, "o t"] = field(("optimum", "noise"), "nats")

    @property
    def score_error(self) -> Float[np.ndarray, "o t"]:
        """E|s - s*|^2 at alpha^2 + sigma^2 = 1."""
        return self.error * _score_factor(self.log_snr)

    @property
    def score_error_stderr(self) -> Float[np.ndarray, "o t"]:
        """Of `score_error`."""
        return self.error_stderr * _score_factor(self.log_snr)

    @property
    def bound(self) -> Float[np.ndarray, "o t"]:
        """Pinsker's sqrt(path / 2), at most one; NaN of other optima than `of`.

        It bounds the total variation between what the exact and this denoiser generate
        from one start at that noise, of the law of the noised points. Of points of
        another law the errors are not taken where the exact paths go.
        """
        own = np.array([name == self.of for name in self.optima])[:, None]
        return np.where(own, np.minimum(np.sqrt(self.path / 2), 1.0), np.nan)


def denoiser_errors(
    denoiser: AbstractDenoiser,
    optima: Mapping[str, AbstractDenoiser],
    log_snr: AnyArray,
    *,
    draw: Callable[[Key], Point] | None = None,
    of: str | None = None,
    num_replicas: int = 4096,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> DenoiserErrors:
    r"""Distances of a denoiser from optimal ones, at points noised from one law.

    With the population and the data set as optima they tell generalisation from
    memorisation: a network that generalises is nearer to the first, one that memorises
    to the second, and `apart` says where the two can be told apart at all. One replica
    is one clean point and one Gaussian, which serve all levels and all denoisers;
    nothing is simulated.

    Args:
        denoiser: D, any denoiser.
        optima: D* by name: laws, or other denoisers.
        log_snr: At least 2 log-SNRs, increasing.
        draw: `draw(key)`, a clean point; of the first optimum, a law, if left out.
        of: Name of the optimum whose law `draw` draws from, if there is one; the first
            if `draw` is left out.
        num_replicas: Noised points.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once.
        options: Handed on to `execution.run`.

    Raises:
        BadInput: No optima, or none of the name `of`; log-SNRs that do not increase;
            neither `draw` nor a law to draw from.
        FloatingPointError: A denoiser gives NaN or infinity.

    References:
        Karras et al. (2022), arXiv:2206.00364, appendix B.3 (the optimum of a data
        set); Song et al. (2021), arXiv:2101.09258, theorem 1 (the path divergence).
    """
    levels = np.asarray(log_snr, np.float64)
    if levels.ndim != 1 or levels.size < 2 or not np.all(np.diff(levels) > 0):
        raise BadInput(
            f"`log_snr` has shape {levels.shape}; it must be a list of at least 2 "
            f"strictly increasing numbers."
        )
    if not optima:
        raise BadInput("`optima` is empty; name at least one optimal denoiser.")
    if of is not None and of not in optima:
        raise BadInput(f"`of` is {of!r}; it must be one of {', '.join(optima)}.")
    name, first = next(iter(optima.items()))
    if draw is None:
        of = name
        if not isinstance(first, AbstractTarget):
            raise BadInput(
                "`draw` is left out and the first of `optima` is no law; give "
                "`draw(key)`, a clean point."
            )
        draw = first.sample
    each = tuple(optima.values())
    replica = eqx.Partial(_squares, denoiser, each, draw, jnp.asarray(levels[::-1]))
    key = jr.key(0) if key is None else key
    found = run(replica, num_replicas, key, block_size=block_size, **options)
    names = "loss", "optimal_loss", "error", "apart"
    curves = {name: found.mean[name] for name in names}
    curves |= {f"{name}_stderr": found.stderr[name] for name in names}
    noisier = levels[::-1]
    path = _path(noisier, found.mean["error"])
    blocks = _path(noisier, found.block_means["error"])
    share = (found.block_counts / found.count)[:, None, None]
    spread = np.sum((share * (blocks - path)) ** 2, axis=0)
    stderr = np.sqrt(spread * len(share) / (len(share) - 1))
    return DenoiserErrors(
        optima=tuple(optima),
        of=of,
        count=found.count,
        method="squared distances at noised points; no backward run",
        noise=0.5 * np.logaddexp(0.0, -noisier),
        log_snr=noisier,
        path=path,
        path_stderr=np.hypot(stderr, path - _path(noisier, found.mean["error"], 2)),
        **curves,
    )


def _squares(
    denoiser: AbstractDenoiser,
    optima: tuple[AbstractDenoiser, ...],
    draw: Callable[[Key], Point],
    levels: Float[Array, " t"],
    key: Key,
    replica: Array,
) -> dict[str, Array]:
    """Squared distances of one noised point, all noise levels of one Gaussian."""
    clean_key, noise_key = jr.split(jr.fold_in(key, replica))
    x0 = draw(clean_key)
    z = jr.normal(noise_key, x0.shape, x0.dtype)
    square = lambda a: jnp.sum(a**2, axis=-1)

    def at(level: Float[Array, ""]) -> dict[str, Array]:
        level = level.astype(x0.dtype)
        alpha, sigma = (jnp.sqrt(jax.nn.sigmoid(s)) for s in (level, -level))
        x = alpha * x0 + sigma * z
        found = denoiser.denoise(x, alpha, sigma)
        best = jnp.stack([one.denoise(x, alpha, sigma) for one in optima])
        return {
            "loss": square(x0 - found),
            "optimal_loss": square(x0[None] - best),
            "error": square(found[None] - best),
            "apart": square(best[:1] - best),
        }

    # One level at a time: a batch of them would evaluate every form of log-weights.
    values = jax.lax.map(at, levels)
    return {"loss": values.pop("loss")} | {k: v.T for k, v in values.items()}


def _score_factor(log_snr: Float[np.ndarray, " t"]) -> Float[np.ndarray, "1 t"]:
    """alpha^2 / sigma^4 = snr (1 + snr) where alpha^2 + sigma^2 = 1."""
    snr = np.exp(log_snr)
    return (snr * (1 + snr))[None]


def _path(
    log_snr: Float[np.ndarray, " t"], error: Float[np.ndarray, "*b t"], every: int = 1
) -> Float[np.ndarray, "*b t"]:
    """Int (1/2) error d snr from the least noise on, by trapezia in log-SNR.

    every: straight lines between so many levels; the last one is always kept.
    """
    rate = 0.5 * np.exp(log_snr) * error
    kept = np.unique(np.r_[0 : log_snr.size : every, log_snr.size - 1])
    line = lambda row: np.interp(-log_snr, -log_snr[kept], row[kept])
    rate = np.apply_along_axis(line, -1, rate)
    steps = 0.5 * (rate[..., 1:] + rate[..., :-1]) * -np.diff(log_snr)
    none = np.zeros_like(rate[..., :1])
    return np.concatenate([none, np.cumsum(steps, axis=-1)], axis=-1)
