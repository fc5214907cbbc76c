"""The window in which a choice is made: what is amplified, and what it decides."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_one_of
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.analysis.symmetry._drift import DriftLike, named_drift
from jaxwin.analysis.symmetry._potential import curvatures
from jaxwin.analysis.windows import expectation
from jaxwin.analysis.windows._view import takes
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractDenoiser, AbstractLabelledTarget

# Panels of log-SNR no longer than this, with so many nodes; the rule whose difference
# tells the error.
LONGEST, NODES, FEWER = 2.0, 16, 11


class InstabilityWindow(eqx.Module):
    """Growth of a small distance from a fixed point between two times.

    integral: of the smallest curvature u'' over time, positive where the point holds;
    factor = exp(-integral): what the distance is multiplied by on the way from `high`
    to `low`. error: of the integral, by a rule of fewer nodes. A direction is followed
    by size, not by name: where two curvatures cross the smaller one counts.
    """

    integral: Float[np.ndarray, ""] = field((), "nats")
    error: Float[np.ndarray, ""] = field((), "nats")
    factor: Float[np.ndarray, ""] = field((), "")
    low: Float[np.ndarray, ""] = field((), "time of the process", "the clean end")
    high: Float[np.ndarray, ""] = field((), "time of the process", "the noisy end")
    time: Float[np.ndarray, " t"] = field(("time",), "time of the process")
    curvature: Float[np.ndarray, " t"] = field(
        ("time",), "1 / time of the process", "smallest u'' along the path"
    )


class EntropyShare(eqx.Module):
    """Share of the class that is decided between two noises.

    share = (H(c | x_high) - H(c | x_low)) / H(c).
    """

    share: Float[np.ndarray, ""] = field((), "", "of H(c)")
    stderr: Float[np.ndarray, ""] = field((), "")
    low: Float[np.ndarray, ""] = field((), "time of the process")
    high: Float[np.ndarray, ""] = field((), "time of the process")
    entropy_low: Float[np.ndarray, ""] = field((), "nats", "H(c | x_low)")
    entropy_high: Float[np.ndarray, ""] = field((), "nats", "H(c | x_high)")
    entropy: Float[np.ndarray, ""] = field((), "nats", "H(c)")
    method: str = eqx.field(static=True, default="")


def instability_window(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    low: ScalarLike,
    high: ScalarLike,
    drift: DriftLike = "reverse_sde",
    *,
    path: Callable[[Array], Point] | AnyArray | None = None,
) -> InstabilityWindow:
    r"""Linear response along a path of fixed points, of any denoiser.

        log|delta x_low / delta x_high| = -int_low^high u''(x(t), t) dt,

    u'' = g^2 times the smallest eigenvalue of the Hessian of u / g^2 (`curvatures`).
    By Gauss-Legendre in log-SNR, in panels of at most 2 with 16 nodes; smooth but where
    curvatures cross. Two points at the centre: `instability_integral`.

    Args:
        denoiser: Any.
        process: The clock.
        low: Clean end, sigma > 0.
        high: Noisy end, alpha > 0.
        drift: Which drift.
        path: x(t) as a traceable function of time (a pytree such as `equinox.Partial`
            compiles once for all values), or a clean point m for x(t) = alpha m; the
            origin of the law if left out.

    Raises:
        ValueError: Not low < high, or times of infinite log-SNR; no `path` where the
            denoiser does not tell its dimension.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 3 (linear stability).
    """
    if path is None:
        dimension = getattr(denoiser, "dimension", None)
        if dimension is None:
            raise ValueError(
                "`path` is left out, and `denoiser` does not tell its dimension; give "
                "the clean point about which it is symmetric, or a function of time."
            )
        path = jnp.zeros(dimension)
    if not callable(path):
        path = eqx.Partial(_noised_place, process, as_float(path))
    ends = process.log_snr(jnp.asarray([float(low), float(high)]))
    top, bottom = map(float, ends)
    if not (np.isfinite(top) and np.isfinite(bottom) and bottom < top):
        raise ValueError(
            f"`low` is {float(low):g} and `high` {float(high):g}; low must be the "
            f"cleaner one, and both lie inside the clock, with sigma and alpha > 0."
        )
    kind = named_drift(drift)
    panels = int(np.ceil((top - bottom) / LONGEST))
    edges = np.linspace(bottom, top, panels + 1)
    nodes, weights = map(
        np.concatenate, zip(*(_rule(edges, n) for n in (NODES, FEWER)), strict=True)
    )
    found = _along(denoiser, process, path, kind, jnp.asarray(nodes))
    times, curvature, change = (np.asarray(array) for array in found)
    # dt = -d(log-SNR) / |d(log-SNR) / dt|.
    parts = weights * curvature / change
    many = panels * NODES
    integral, other = parts[:many].sum(), parts[many:].sum()
    rounding = 64 * np.finfo(float).eps * (1 + np.sum(np.abs(parts[:many])))
    order = np.argsort(times[:many])
    return InstabilityWindow(
        integral=np.asarray(integral),
        error=np.asarray(np.abs(integral - other) + rounding),
        factor=np.asarray(np.exp(-integral)),
        low=np.asarray(float(low)),
        high=np.asarray(float(high)),
        time=times[:many][order],
        curvature=curvature[:many][order],
    )


def _rule(edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    half = 0.5 * np.diff(edges)[:, None]
    places = 0.5 * (edges[:-1] + edges[1:])[:, None] + half * nodes[None]
    return places.ravel(), (half * weights[None]).ravel()


def _noised_place(process: AbstractProcess, place: Point, t: Array) -> Point:
    return process.levels(t, place.dtype)[0] * place


@eqx.filter_jit
def _along(
    denoiser, process, path, kind, log_snrs: Float[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
    """Times, smallest curvatures, and how fast the log-SNR falls."""

    def at(log_snr: Array) -> tuple[Array, Array, Array]:
        t = process.time(log_snr)
        fall = -jax.jvp(process.log_snr, (t,), (jnp.ones_like(t),))[1]
        least = curvatures(denoiser, process, path(t), t, 1, kind).eigenvalues[0]
        rate = process.diffusion_sq(t)
        return t, rate * least.astype(rate.dtype), fall

    return jax.lax.map(at, log_snrs)


def entropy_share(
    law: AbstractLabelledTarget,
    process: AbstractProcess,
    low: ScalarLike,
    high: ScalarLike,
    *,
    method: str | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> EntropyShare:
    """Share of the class entropy H(c | x_t) that a window of times creates.

    In generation H(c | x) falls from H(c) at noise to zero (or what the data leave
    open); the share is what falls between `high` and `low`. By quadrature where the
    labels depend on one or two directions (1e-12 and 1e-8), else by entropies of exact
    soft labels of draws that serve both ends.

    Args:
        law: A labelled law.
        process: The clock.
        low: Clean end, sigma > 0 where a component of the law is a point.
        high: Noisy end.
        method: "quadrature" or "sampled"; the first that the law allows if left out.
        num_replicas: Noised points, where sampled.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Not low < high; quadrature asked of a law that it does not take;
            one label alone, which leaves nothing to decide.
    """
    if not float(low) < float(high):
        raise ValueError(
            f"`low` is {float(low):g} and `high` {float(high):g}; low must be the "
            f"cleaner one."
        )
    if method is not None:
        check_one_of(method, ("quadrature", "sampled"), "method")
    prior = np.asarray(law.log_label_prior(), np.float64)
    prior = prior[prior > -np.inf]
    entropy = float(-np.sum(np.exp(prior) * prior))
    if not entropy > 0:
        raise ValueError("`law` has one label alone; there is nothing to decide.")
    ends = jnp.asarray([float(low), float(high)])
    known = method != "sampled" and (method == "quadrature" or takes(law))
    if known:
        values = np.array([_known_entropy(law, process, end) for end in ends])
        errors = np.zeros(3)
    else:
        key = jr.key(0) if key is None else key
        replica = eqx.Partial(_one_draw, law, process, ends)
        found = run(replica, num_replicas, key, block_size=block_size, **options)
        values, errors = found.mean[:2], found.stderr
    return EntropyShare(
        share=np.asarray((values[1] - values[0]) / entropy),
        stderr=np.asarray(errors[2] / entropy),
        low=np.asarray(float(low)),
        high=np.asarray(float(high)),
        entropy_low=np.asarray(values[0]),
        entropy_high=np.asarray(values[1]),
        entropy=np.asarray(entropy),
        method="quadrature" if known else "exact soft labels",
    )


def _entropy(log_p: Float[Array, "*s c"]) -> Float[Array, "*s"]:
    # 0 log 0 = 0, and its -inf must not meet the zero.
    safe = jnp.where(log_p > -jnp.inf, log_p, 0)
    return -jnp.sum(jnp.exp(log_p) * safe, axis=-1)


def _known_entropy(
    law: AbstractLabelledTarget, process: AbstractProcess, time: Array
) -> float:
    found = expectation(law, *process.levels(time))
    return float(jnp.sum(found.weight * _entropy(found.log_posterior)))


def _one_draw(
    law: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Float[Array, " 2"],
    key: Key,
    replica: Array,
) -> Float[Array, " 3"]:
    """Entropies at both ends, and their difference, of one draw."""
    alphas, sigmas = process.levels(times)
    _, log_p = law.soft_labels(jr.fold_in(key, replica), alphas, sigmas)
    low, high = _entropy(log_p)
    return jnp.stack([low, high, high - low])
