"""When along its way back a sample is decided: posteriors of the nodes of a tree."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import BadInput, check, check_curve, fraction
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis.windows._tree import Tree
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.samplers import AbstractStep, ExactTransition, trajectory
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture, Reduction, reduce

# A node is decided where its posterior stays at or above this.
LEVEL = 0.95
# Log-odds beyond it are certainty: between two noises they are interpolated.
CERTAIN = 40.0
# What a decision is: not on the branch that was taken; within the noises; at more noise
# than all of them; not even at the least.
OFF_BRANCH, WITHIN, EARLIER, NEVER = -1, 0, 1, 2


class Timeline(eqx.Module):
    """Decisions of samples along the reverse SDE, a sample and a node of the tree each.

    The branch of a sample are the nodes that hold the label of largest posterior at the
    end of its path. `decision` is the least noise at which the posterior of such a node
    is below the level, on its way back the last time it is; low and high are the noises
    of the grid around it. `state` says where there is none: -1 not on the branch, 1
    decided before the first noise (the root is, always), 2 undecided at the last.

    posterior, point: of the first samples only, the points at the least noise.
    """

    tree: Tree
    level: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    label: Int[np.ndarray, " n"] = field(("sample",), "label", "at the end of the path")
    state: Int[np.ndarray, "n node"] = field(("sample", "node"), "", "see class")
    decision: Crossing = field(("sample", "node"), "time of the process")
    posterior: Float[np.ndarray, "s t node"] = field(
        ("shown", "noise", "node"), "probability"
    )
    point: Float[np.ndarray, "s d"] = field(("shown", "coordinate"), "data")


class _Read(NamedTuple):
    label: Int[Array, ""]
    state: Int[Array, " node"]
    time: Float[Array, " node"]
    low: Float[Array, " node"]
    high: Float[Array, " node"]


def decision_timeline(
    law: AbstractLabelledTarget,
    tree: Tree,
    noises: AnyArray,
    *,
    process: AbstractProcess | None = None,
    num_samples: int = 1024,
    shown: int = 16,
    level: float = LEVEL,
    step: AbstractStep | None = None,
    score: AbstractScore | None = None,
    key: Key | None = None,
    block_size: int = 64,
) -> Timeline:
    """Follow samples from noise to data and read when each node of a tree is decided.

    A path starts from the exact noised law and goes back by exact reverse transitions:
    its points have the joint law of the reverse SDE, however many there are, and
    posteriors of nodes are martingales on the way back. Between noises it is not looked
    at: an excursion below the level there is missed, and decisions come out early by
    what a path does over one interval. All samples run in one compiled program.

    Args:
        law: Any labelled target: a mixture, or `Empirical(points, labels, h)`; a
            mixture that reduces is followed in its few directions.
        tree: Groups of its labels.
        noises: Times of `process`, at least 4, increasing; from the last to the first.
        process: The clock; OU if left out.
        num_samples: How many.
        shown: Of how many the posteriors and end points are kept.
        level: From which posterior on a node is decided, in (0, 1).
        step: Another way back than `ExactTransition(law)`, such as a flow.
        score: The score of that, on `process`; the exact one if left out.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Samples at once.

    Raises:
        BadInput: A tree of another number of labels, a score on another clock.
        ValueError: Noises that are no curve, a level outside (0, 1), no sample.
        FloatingPointError: A path became NaN.

    References:
        Derived; arXiv:2502.00921, Definition 8, for the tree.
    """
    process = OrnsteinUhlenbeck() if process is None else process
    noise, key = np.asarray(noises, float), jr.key(0) if key is None else key
    check_curve(noise, "noises")
    check(level, fraction, "level", "in (0, 1): take 0.95")
    if tree.groups.shape[1] != law.num_labels:
        raise BadInput(
            f"`tree` is of {tree.groups.shape[1]} labels and the law of "
            f"{law.num_labels}; build it with `num_labels={law.num_labels}`."
        )
    if num_samples < 1 or not 0 <= shown:
        raise ValueError(
            f"`num_samples` is {num_samples} and `shown` {shown}; they must be at "
            f"least 1 and 0."
        )
    reduction = None
    if step is None and score is None and isinstance(law, GaussianMixture):
        reduction = reduce(law)
    small = law if reduction is None else reduction.target
    step = ExactTransition(small) if step is None else step
    score = ExactScore(small, process) if score is None else score
    if score.process != process:
        raise BadInput("`score` runs on another clock; give its `process` too.")
    times = jnp.asarray(noise, law.log_label_prior().dtype)
    groups, threshold = jnp.asarray(tree.groups), jnp.asarray(level, times.dtype)
    given = small, reduction, step, score, groups, times, threshold, key
    found, posteriors, points = [], [], []
    for first in range(0, num_samples, block_size):
        replicas = first + jnp.arange(block_size, dtype=jnp.int32)
        read, posterior, point = jax.device_get(_block(*given, replicas))
        found.append(read)
        if first < shown:
            posteriors.append(posterior)
            points.append(point)
    read = jax.tree.map(lambda *a: np.concatenate(a)[:num_samples], *found)
    none = np.zeros((0, noise.size, tree.num_nodes)), np.zeros((0, law.dimension))
    kept = min(shown, num_samples)
    posterior, point = (
        np.concatenate([*parts, empty])[:kept]
        for parts, empty in zip((posteriors, points), none, strict=True)
    )
    if not np.all(np.isfinite(read.high)):
        raise FloatingPointError(
            "a path became NaN or infinite: its steps are too long, or the score is "
            "not finite; take more noises, or begin at a larger one."
        )
    return Timeline(
        tree=tree,
        level=level,
        method=f"{type(step).__name__}, posteriors exact",
        noise=noise,
        label=read.label,
        state=read.state,
        decision=_crossing(read),
        posterior=posterior,
        point=point,
    )


@eqx.filter_jit
def _block(
    law: AbstractLabelledTarget,
    reduction: Reduction | None,
    step: AbstractStep,
    score: AbstractScore,
    groups: Bool[Array, "node c"],
    times: Float[Array, " t"],
    level: Float[Array, ""],
    key: Key,
    replicas: Int[Array, " b"],
) -> tuple[_Read, Float[Array, "b t node"], Float[Array, "b d"]]:
    alphas, sigmas = score.process.levels(times, times.dtype)

    def one(replica: Array) -> tuple[_Read, Array, Array]:
        start_key, path_key, lift_key = jr.split(key, 3)
        clean_key, noise_key = jr.split(jr.fold_in(start_key, replica))
        x0 = law.sample(clean_key)
        x = alphas[-1] * x0 + sigmas[-1] * jr.normal(noise_key, x0.shape, x0.dtype)
        path = trajectory(step, score, x, times[::-1], path_key, replica)[::-1]
        log_posterior = jax.lax.map(
            lambda at: law.label_log_posterior(*at), (path, alphas, sigmas)
        )
        log_p, log_rest = _of_nodes(log_posterior, groups)
        point = path[0]
        if reduction is not None:
            z = jr.normal(
                jr.fold_in(lift_key, replica), reduction.centre.shape, x0.dtype
            )
            point = reduction.lift(point, z, alphas[0], sigmas[0])
        label = jnp.argmax(log_posterior[0]).astype(jnp.int32)
        odds = jnp.clip(log_p - log_rest, -CERTAIN, CERTAIN)
        read = _read(odds, groups[:, label], label, times, level)
        sound = jnp.all(jnp.isfinite(path))
        high = jnp.where(sound, read.high, jnp.nan)
        return read._replace(high=high), jnp.exp(log_p), point

    return jax.vmap(one)(replicas)


def _of_nodes(
    log_posterior: Float[Array, "t c"], groups: Bool[Array, "node c"]
) -> tuple[Float[Array, "t node"], Float[Array, "t node"]]:
    """Log-probability of each node and of what is outside it."""
    within = lambda mask: jax.nn.logsumexp(
        jnp.where(mask[None], log_posterior[:, None], -jnp.inf), axis=2
    )
    return jnp.minimum(within(groups), 0), within(~groups)


def _read(
    odds: Float[Array, "t node"],
    branch: Bool[Array, " node"],
    label: Array,
    times: Float[Array, " t"],
    level: Float[Array, ""],
) -> _Read:
    """The least noise at which each node of the branch is below the level."""
    aim = jnp.log(level) - jnp.log1p(-level)
    below = odds < aim
    place = jnp.argmax(below, axis=0)
    state = jnp.where(below[0], NEVER, jnp.where(below.any(axis=0), WITHIN, EARLIER))
    before = jnp.maximum(place - 1, 0)
    pick = lambda index: jnp.take_along_axis(odds, index[None], axis=0)[0]
    above, under = pick(before), pick(place)
    within = state == WITHIN
    gap = jnp.where(within, above - under, 1)
    share = jnp.where(within, (above - aim) / gap, 0)
    low, high = times[before], times[place]
    ends = jnp.broadcast_to(times[0], low.shape), jnp.broadcast_to(times[-1], low.shape)
    return _Read(
        label=label,
        state=jnp.where(branch, state, OFF_BRANCH),
        time=low + share * (high - low),
        low=jnp.where(within & branch, low, ends[0]),
        high=jnp.where(within & branch, high, ends[1]),
    )


def _crossing(read: _Read) -> Crossing:
    found = read.state == WITHIN
    time = np.where(found, read.time, np.nan)
    stderr = np.where(found, 0.0, np.nan)
    return Crossing(*map(jnp.asarray, (time, stderr, read.low, read.high, found)))
