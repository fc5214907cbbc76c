"""Early fluctuations are undone: different starts, one noise, one and the same end."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, log_snr_uniform
from jaxwin.samplers import EulerMaruyama, HeunFlow, sample
from jaxwin.scores import ExactScore
from jaxwin.targets import AbstractDenoiser, AbstractLabelledTarget

# The flow has no noise, and its order is 2.
FLOW_STEPS = 128


class Reversion(eqx.Module):
    """Probabilities of one final label, for pairs of runs from time s_0.

    same_noise: started apart, one noise afterwards, under the reverse SDE. flow:
    started apart, under the probability flow; the start fixes the label, so that it
    is `chance` at every start. clones: started together, noises of their own.

    All starts share their random numbers: errors along a curve are correlated.
    """

    chance: float = eqx.field(static=True)
    count: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    end: Float[np.ndarray, ""] = field(
        (), "time of the process", "where labels are read"
    )
    start: Float[np.ndarray, " s"] = field(("start",), "time of the process")
    same_noise: Float[np.ndarray, " s"] = field(("start",), "probability")
    same_noise_stderr: Float[np.ndarray, " s"] = field(("start",), "probability")
    flow: Float[np.ndarray, " s"] = field(("start",), "probability")
    flow_stderr: Float[np.ndarray, " s"] = field(("start",), "probability")
    clones: Float[np.ndarray, " s"] = field(("start",), "probability")
    clones_stderr: Float[np.ndarray, " s"] = field(("start",), "probability")


def reversion(
    law: AbstractLabelledTarget,
    process: AbstractProcess,
    starts: AnyArray,
    *,
    end: ScalarLike,
    steps: int = 1000,
    denoiser: AbstractDenoiser | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> Reversion:
    r"""Pairs of runs from independent starts that see the same noise afterwards.

    x and x' are drawn independently from the exact p_s at every start s and run back
    with the same Gaussians, to the time `end`, where the most likely label is read:

        P(label = label'),

    near one where the noise to come decides, chance sum_c w_c^2 where the start has
    decided. Before a symmetry breaks, what differs between the starts is pulled back to
    the fixed point (its factor is exp of minus `instability_integral`'s difference),
    and the noise afterwards chooses. This is a property of the reverse SDE and not of
    its marginals: the probability flow has the same ones, and carries every difference
    to the end; under it the probability is chance at every start. Beside both stand
    clones, started together with noises of their own: E sum_c p(c | x_s)^2 by exact
    soft labels, no run.

    The SDE takes Euler-Maruyama steps of equal log-SNR (one of length h pulls by g^2
    dt / sigma^2 = h; weak error of order h), the flow 128 of Heun's.

    Args:
        law: A labelled law: draws, label posteriors, scores.
        process: The clock.
        starts: Times of `process` later than `end`, of finite log-SNR, increasing.
        end: Where labels are read, sigma > 0; they must be all but decided there.
        steps: Of Euler-Maruyama, from every start.
        denoiser: Whose score drives the runs; the law's own if left out. Clones are
            those of the law.
        num_replicas: Pairs.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Pairs at once.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Starts that do not increase or do not lie above `end`, times off
            the clock or of infinite log-SNR, `steps` < 1.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 3 (early fluctuations are
        reverted); the pairs are ours.
    """
    starts = np.atleast_1d(np.asarray(starts, np.float64))
    rising = starts.ndim == 1 and starts.size > 0 and np.all(np.diff(starts) > 0)
    if not (rising and is_concrete(end) and float(end) < starts[0]):
        raise ValueError(
            f"`starts` has shape {starts.shape}; it must list times that increase, all "
            f"of them above `end`."
        )
    grid = lambda count: jnp.stack(
        [log_snr_uniform(process, float(s), float(end), count) for s in starts]
    )
    score = ExactScore(law if denoiser is None else denoiser, process)
    key = jr.key(0) if key is None else key
    replica = eqx.Partial(_one_pair, law, score, grid(steps), grid(FLOW_STEPS))
    found = run(replica, num_replicas, key, block_size=block_size, **options)
    (same, flow, clones), errors = found.mean, found.stderr
    weights = np.exp(2 * np.asarray(law.log_label_prior(), np.float64))
    return Reversion(
        chance=float(weights.sum()),
        count=found.count,
        steps=steps,
        method="Euler-Maruyama and Heun in equal log-SNR; clones by soft labels",
        end=np.asarray(float(end)),
        start=starts,
        same_noise=same,
        same_noise_stderr=errors[0],
        flow=flow,
        flow_stderr=errors[1],
        clones=clones,
        clones_stderr=errors[2],
    )


def _one_pair(
    law: AbstractLabelledTarget,
    score: ExactScore,
    grids: Float[Array, "s t"],
    flow_grids: Float[Array, "s u"],
    key: Key,
    replica: Array,
) -> tuple[Float[Array, " s"], Float[Array, " s"], Float[Array, " s"]]:
    """Equal labels under one noise and under the flow, and the clones' agreement."""
    clean_key, noise_key, path_key = jr.split(key, 3)
    keys = jr.split(jr.fold_in(clean_key, replica))
    x0 = jax.vmap(law.sample)(keys)
    z = jr.normal(jr.fold_in(noise_key, replica), x0.shape, x0.dtype)
    process, dtype = score.process, x0.dtype

    def label(x: Point, time: Array) -> Array:
        return jnp.argmax(law.label_log_posterior(x, *process.levels(time, dtype)))

    def at(times: Array, flow_times: Array) -> tuple[Array, Array, Array]:
        alpha, sigma = process.levels(times[0], dtype)
        x = alpha * x0 + sigma * z

        def agree(step, times: Array) -> Array:
            # One root key and one replica for both: the same noise.
            run_back = lambda x: sample(step, score, x, times, path_key, replica)
            ends = jax.vmap(run_back)(x)
            first, second = jax.vmap(lambda x: label(x, times[-1]))(ends)
            return (first == second).astype(dtype)

        log_p = jax.vmap(lambda x: law.label_log_posterior(x, alpha, sigma))(x)
        clones = jnp.mean(jnp.sum(jnp.exp(2 * log_p), axis=1))
        same = agree(EulerMaruyama(), times)
        return same, agree(HeunFlow(), flow_times), clones

    return jax.vmap(at)(grids, flow_grids)
