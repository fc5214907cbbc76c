"""How long a score stays that of a Gaussian: the linear phase before any choice."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_curve, check_one_of
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.analysis._crossing import Crossing, exact, not_reached, read_off
from jaxwin.analysis._line import LawOnALine, component_cuts, gauss_legendre
from jaxwin.analysis._root import bracketed_root
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractDenoiser, AbstractTarget, GaussianMixture

# The share of the score that need not be linear.
LEVEL = 0.01
MIN_BLOCKS = 32
# Of shares whose logs are read: a Gaussian law has none.
SMALLEST = 1e-30


class LinearPhase(eqx.Module):
    """Share E|s - s_G|^2 / E|s|^2 of the score that is not affine, along noise.

    `end`: where it first exceeds `level` on the way from noise. Not found: it does so
    at none of the times, or at the noisiest of them already (`exceeded`).
    """

    end: Crossing
    level: float = eqx.field(static=True)
    exceeded: bool = eqx.field(static=True)
    method: str = eqx.field(static=True)
    count: int = eqx.field(static=True)
    time: Float[np.ndarray, " t"] = field(("time",), "time of the process")
    share: Float[np.ndarray, " t"] = field(("time",), "", "of the squared score")
    stderr: Float[np.ndarray, " t"] = field(("time",), "")


class AffineScore(eqx.Module):
    """The score of the Gaussian with the moments of a law, at every noise level.

        s_G(x) = -(alpha^2 C + sigma^2 I)^{-1} (x - alpha m),

    with C = sum_k eigenvalue_k u_k u_k^T + variance (I - sum_k u_k u_k^T): O(d k), and
    no matrix of d x d where the law's factor is thin.
    """

    mean: Float[Array, " d"]
    directions: Float[Array, "d k"]
    eigenvalues: Float[Array, " k"]
    variance: Float[Array, ""]

    def __call__(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """s_G at one noised point."""
        alpha, sigma = jnp.asarray(alpha, x.dtype), jnp.asarray(sigma, x.dtype)
        apart = x - alpha * self.mean
        rest = alpha**2 * self.variance + sigma**2
        wide = alpha**2 * self.eigenvalues + sigma**2
        along = jnp.matmul(apart, self.directions, precision="highest")
        # 1 / wide - 1 / rest in the form that does not cancel.
        less = alpha**2 * (self.variance - self.eigenvalues) / wide * along
        lifted = jnp.matmul(less, self.directions.T, precision="highest")
        return -(apart + lifted) / rest


def affine_score(target: AbstractTarget) -> AffineScore:
    """The score of the Gaussian with the exact moments of a law."""
    return _affine(target)


@eqx.filter_jit
def _affine(target: AbstractTarget) -> AffineScore:
    moments = target.moments()
    values, directions = moments.leading(min(moments.factor.shape))
    return AffineScore(moments.mean, directions, values, moments.variance)


def linear_phase(
    target: AbstractTarget,
    process: AbstractProcess,
    times: AnyArray,
    *,
    denoiser: AbstractDenoiser | None = None,
    level: float = LEVEL,
    method: str | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> LinearPhase:
    r"""Measure along a clock how far a score is from that of a Gaussian.

        E|s - s_G|^2 / E|s|^2,    s_G = -Sigma_t^{-1} (x - alpha m),

    x from the noised law p_t, m and Sigma_t its exact moments. For the exact score that
    is 1 - tr Sigma_t^{-1} / E|s|^2 (s_G is the best affine fit), on a line of unit
    variance (J - 1) / J with J the Fisher information. By quadrature on a line (error
    below 1e-11, the end by a root), else by exact draws: one replica is one clean point
    and one Gaussian, which serve every time.

    Args:
        target: The law that gives draws and moments.
        process: The clock.
        times: At least 4 times of `process`, increasing, sigma > 0.
        denoiser: Whose score is looked at; the law's own if left out.
        level: The share that ends the linear phase.
        method: "quadrature" (a mixture in one dimension, or a `LawOnALine`) or
            "sampled"; the first that the law allows if left out.
        num_replicas: Noised points, where sampled.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give the 128 blocks that the
            bootstrap of the end wants. Its interval is given the law.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Times that are no curve, a level outside (0, 1), quadrature asked of
            a law that is on no line.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 4 (linear early phase).
        Wang & Vastola (2024), arXiv:2412.09726 (Gaussian score). The measure is ours.
    """
    times = np.asarray(times, np.float64)
    check_curve(times, "times")
    if not 0 < level < 1:
        raise ValueError(f"`level` is {level}; it must lie between 0 and 1.")
    if method is not None:
        check_one_of(method, ("quadrature", "sampled"), "method")
    line = target.dimension == 1 and isinstance(target, GaussianMixture | LawOnALine)
    if method == "quadrature" and not line:
        raise ValueError(
            "`method` is 'quadrature' and `target` is on no line; leave it out, and "
            "the curve is sampled."
        )
    held = target, target if denoiser is None else denoiser, affine_score(target)
    if line and method != "sampled":
        share = np.asarray(_curve(*held, process, jnp.asarray(times)))
        return LinearPhase(
            end=_known_end(times, share, level, (*held, process)),
            level=level,
            exceeded=bool(share[-1] >= level),
            method="quadrature",
            count=0,
            time=times,
            share=share,
            stderr=np.zeros_like(share),
        )
    key = jr.key(0) if key is None else key
    replica = eqx.Partial(_one_draw, *held, process, jnp.asarray(times))
    fixed = {"watch": lambda result: result[0], "min_blocks": MIN_BLOCKS}
    found = run(replica, num_replicas, key, block_size=block_size, **fixed | options)
    share = _share(found.mean)
    # In logs: the share falls by orders, and is read off by cubics.
    end = read_off(
        -np.asarray(process.log_snr(jnp.asarray(times))),
        found.mean,
        found.block_means,
        found.block_counts,
        float(np.log(level)),
        lambda coordinate: process.time(-coordinate),
        statistic=lambda squares: np.log(np.maximum(_share(squares), SMALLEST)),
    )
    return LinearPhase(
        end=end,
        level=level,
        exceeded=bool(share[-1] >= level),
        method="exact draws",
        count=found.count,
        time=times,
        share=share,
        stderr=_ratio_error(found.block_means, found.block_counts),
    )


def _share(squares: Float[np.ndarray, "*b 2 t"]) -> Float[np.ndarray, "*b t"]:
    return squares[..., 0, :] / squares[..., 1, :]


def _ratio_error(
    blocks: Float[np.ndarray, "blocks 2 t"], counts: np.ndarray
) -> Float[np.ndarray, " t"]:
    """Standard error of a ratio of means, from blocks, by its linear part."""
    part = (counts / counts.sum())[:, None]
    mean = np.sum(part[..., None] * blocks, axis=0)
    moved = (blocks[:, 0] - _share(mean) * blocks[:, 1]) / mean[1]
    spread = np.sum((part * moved) ** 2, axis=0)
    return np.sqrt(spread * counts.size / (counts.size - 1))


def _known_end(
    times: np.ndarray, share: np.ndarray, level: float, held: tuple[Any, ...]
) -> Crossing:
    """Where an exact curve crosses last, by a root between two of its points."""
    above = share >= level
    changes = np.flatnonzero(above[1:] != above[:-1])
    if not changes.size or above[-1]:
        return not_reached(times)
    low, high = (jnp.asarray(times[changes[-1] + i]) for i in (0, 1))
    return exact(bracketed_root(_below, low, high, (jnp.asarray(level), held)))


def _below(time: Array, args: Any) -> Float[Array, ""]:
    level, (target, denoiser, affine, process) = args
    return level - _on_line(target, denoiser, affine, *process.levels(time))


@eqx.filter_jit
def _curve(target, denoiser, affine, process, times) -> Float[Array, " t"]:
    on_line = lambda time: _on_line(target, denoiser, affine, *process.levels(time))
    return jax.lax.map(on_line, times)


def _on_line(target, denoiser, affine, alpha, sigma) -> Float[Array, ""]:
    """The share at one noise level, by quadrature over the noised law."""
    if isinstance(target, GaussianMixture):
        variances = target.covariance.spectrum()[0][:, 0]
        variances = jnp.broadcast_to(variances, target.log_weights.shape)
        widths = jnp.sqrt(alpha**2 * variances + sigma**2)
        cuts = component_cuts(alpha * target.means[:, 0], widths)
    else:
        cuts = target.quadrature_cuts(alpha, sigma)
    places, rule = gauss_legendre(jax.lax.stop_gradient(cuts))

    def at(x: Array) -> tuple[Array, Array, Array]:
        score = denoiser.score(x[None], alpha, sigma)
        apart = score - affine(x[None], alpha, sigma)
        density = jnp.exp(target.log_density(x[None], alpha, sigma))
        return density, jnp.sum(apart**2), jnp.sum(score**2)

    density, apart, whole = jax.vmap(at)(places.ravel())
    weight = rule.ravel() * density
    return jnp.sum(weight * apart) / jnp.sum(weight * whole)


def _one_draw(
    target, denoiser, affine, process, times: Array, key: Key, replica: Array
) -> Float[Array, "2 t"]:
    """|s - s_G|^2 and |s|^2 at every time."""
    clean_key, noise_key = jr.split(jr.fold_in(key, replica))
    x0 = target.sample(clean_key)
    z = jr.normal(noise_key, x0.shape, x0.dtype)

    def at(time: Array) -> Float[Array, " 2"]:
        alpha, sigma = process.levels(time, x0.dtype)
        x = alpha * x0 + sigma * z
        score = denoiser.score(x, alpha, sigma)
        apart = score - affine(x, alpha, sigma)
        return jnp.stack([jnp.sum(apart**2), jnp.sum(score**2)])

    return jax.lax.map(at, times).T
