"""Clone agreement phi(t), measured by exact soft labels: no backward run."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from jaxwin._checks import check_curve, check_one_of
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import Crossing, read_off
from jaxwin.channels import AbstractObserved
from jaxwin.execution import run
from jaxwin.io import field

# phi at r = 1, where two equal Gaussian classes change curvature (arXiv:2402.18491).
LEVEL = 0.775
# Fewer blocks make no interval of a crossing.
MIN_BLOCKS = 32
METHOD = "exact soft labels at the noise level (Rao-Blackwell, no backward run)"


class PairAgreement(eqx.Module):
    """Clone agreement of pairs of classes, each pair alone and at equal weights."""

    pair: Int[np.ndarray, "p 2"] = field(("pairs", "side"), "label")
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    phi: Float[np.ndarray, "p t"] = field(("pairs", "noise"), "probability")
    stderr: Float[np.ndarray, "p t"] = field(("pairs", "noise"), "probability")
    crossing: Crossing = field(("pairs",), "")
    fresh: Crossing | None = field(("pairs",), "", default=None)


class CloneAgreement(eqx.Module):
    """Probability phi(t) that two clones branched at noise t end in one class.

    phi = E_x sum_c p(c | x)^2: one at no noise, `chance` = sum_c w_c^2 at full noise.
    The interval of `crossing` is given the law; that of `fresh`, for a data set, is
    over fresh data of the same size.
    """

    crossing: Crossing
    pairs: PairAgreement | None
    chance: float = eqx.field(static=True)
    level: float = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    phi: Float[np.ndarray, " t"] = field(("noise",), "probability")
    stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    fresh: Crossing | None = None


def clone_agreement(
    observed: AbstractObserved,
    noises: ArrayLike,
    *,
    pairs: ArrayLike | Literal["all"] | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    level: float = LEVEL,
    block_size: int = 64,
    **options: Any,
) -> CloneAgreement:
    """Measure phi over a curve of noise levels: all classes, and pairs of them.

    One replica is one clean point and one Gaussian, which serve every noise level and
    every pair: the curves are one compiled program, and their errors are correlated. A
    pair counts its two classes equally: a draw of class a gives, by Bayes' rule at
    equal weights, its posterior in each pair that a belongs to. Intervals of crossings
    are given the law (for a data set: given these data).

    Args:
        observed: A law seen through a channel, such as
            `Observed(Empirical(points, labels), Gaussian())`. A mixture that reduces
            (`targets.reduce`) is best handed over reduced: cost O(r) whatever d.
        noises: Times of the channel's process, increasing.
        pairs: (p, 2) labels, "all", or None for no pairs.
        num_replicas: Noised points, over all classes.
        key: Random key; `jax.random.key(0)` if left out.
        level: Where to read the crossings.
        block_size: Replicas at once; the defaults give the 128 blocks that the
            bootstrap of the crossings wants.
        options: Handed on to `execution.run`; `until_stderr` looks at phi over all
            classes, after 32 blocks.

    Raises:
        ValueError: Exact label posteriors are not to be had; fewer than 4 noises, or
            noises that do not increase; labels that do not exist.

    References:
        Biroli et al., arXiv:2402.18491, section 2; phi as posterior purity: DESIGN 4.
    """
    if not observed.has_exact_labels:
        raise ValueError("`observed` has no exact label posterior; simulate U-turns.")
    noises = np.asarray(noises)
    check_curve(noises, "noises")
    key = jr.key(0) if key is None else key
    log_prior = observed.log_label_prior()
    chosen = chosen_pairs(pairs, np.asarray(log_prior) > -np.inf)
    arguments = observed, jnp.asarray(noises), jnp.asarray(chosen)
    replica = eqx.Partial(_purities, *arguments)
    fixed = {"watch": lambda result: result[0], "min_blocks": MIN_BLOCKS}
    estimate = run(replica, num_replicas, key, block_size=block_size, **fixed | options)
    coordinate = np.asarray(observed.coordinate(jnp.asarray(noises)))

    def crossing(mean: np.ndarray, blocks: np.ndarray) -> Crossing:
        counts, clock = estimate.block_counts, observed.noise_at
        return read_off(coordinate, mean, blocks, counts, level, clock)

    phi, *pair_means = estimate.mean
    error, blocks = estimate.stderr[0], estimate.block_means[0]
    found = None
    if len(chosen):
        pair_blocks = _pair_blocks(chosen, *pair_means, *estimate.block_means[1:])
        share = (estimate.block_counts / estimate.count)[:, None, None]
        pair_phi = np.sum(share * pair_blocks, axis=0)
        spread = np.sum((share * (pair_blocks - pair_phi)) ** 2, axis=0)
        pair_error = np.sqrt(spread * len(share) / (len(share) - 1))
        each = [crossing(pair_phi[p], pair_blocks[:, p]) for p in range(len(chosen))]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        found = PairAgreement(chosen, noises, pair_phi, pair_error, stacked)
    return CloneAgreement(
        noise=noises,
        phi=phi,
        stderr=error,
        crossing=crossing(phi, blocks),
        pairs=found,
        chance=float(jnp.sum(jnp.exp(2 * log_prior))),
        level=level,
        count=estimate.count,
        method=METHOD,
    )


def chosen_pairs(
    pairs: AnyArray | Literal["all"] | None, present: Bool[np.ndarray, " c"]
) -> Int[np.ndarray, "p 2"]:
    """Pairs of labels as an array; refused where a label does not exist."""
    if pairs is None:
        return np.zeros((0, 2), np.int32)
    if isinstance(pairs, str):
        check_one_of(pairs, ("all",), "pairs")
        labels = np.flatnonzero(present).astype(np.int32)
        return labels[np.stack(np.triu_indices(labels.size, 1), axis=1)]
    chosen = np.asarray(pairs, np.int32).reshape(-1, 2)
    if chosen.size == 0:
        return chosen
    if chosen.min() < 0 or chosen.max() >= present.size:
        raise ValueError(
            f"`pairs` names labels {chosen.min()} to {chosen.max()}; they must lie in "
            f"0 to {present.size - 1}."
        )
    if not present[chosen].all():
        raise ValueError(
            f"`pairs` names label {chosen[~present[chosen]][0]}, which has no weight; "
            f"leave its pairs out."
        )
    if np.any(chosen[:, 0] == chosen[:, 1]):
        raise ValueError("`pairs` pairs a label with itself; name two different ones.")
    return chosen


def _pair_blocks(
    pairs: Int[np.ndarray, "p 2"],
    purity: Float[np.ndarray, "p 2 t"],
    share: Float[np.ndarray, "p 2"],
    block_purity: Float[np.ndarray, "b p 2 t"],
    block_share: Float[np.ndarray, "b p 2"],
) -> Float[np.ndarray, "b p t"]:
    """Block values of phi in each pair, whose mean over blocks is exactly phi.

    phi averages the two classes' mean purities, each the ratio of what was summed over
    draws of the class and their share; blocks enter by the ratio's linear part.
    """
    check_drawn(pairs, share)
    each = (purity / share[..., None])[None]
    moved = block_purity - each * block_share[..., None]
    return np.mean(each + moved / share[None, ..., None], axis=2)


def check_drawn(pairs: Int[np.ndarray, "p 2"], share: Float[np.ndarray, "p 2"]) -> None:
    """Raise ValueError where a side of a pair has no draws."""
    if not share.all():
        raise ValueError(
            f"label {pairs[share == 0][0]} of `pairs` was never drawn; raise "
            f"`num_replicas`, or leave its pairs out."
        )


def _purities(
    observed: AbstractObserved, noises: Array, pairs: Array, key: Key, replica: Array
) -> tuple[Float[Array, " t"], Float[Array, "p 2 t"], Float[Array, "p 2"]]:
    """Posterior purity over all classes; in each pair where the draw is of its sides.

    The last says which side of each pair the draw is of.
    """
    label, log_posterior = observed.soft_labels(jr.fold_in(key, replica), noises)
    log_prior = observed.log_label_prior()
    likelihood = (log_posterior - log_prior[None]).T
    side = (pairs == label).astype(log_prior.dtype)
    first, second = likelihood[pairs[:, 0]], likelihood[pairs[:, 1]]
    # A pair without the draw's class has no share, and both sides may be -inf.
    odds = jnp.where(side.any(axis=1, keepdims=True), first - second, 0)
    purity = 1 - 2 * jax.nn.sigmoid(odds) * jax.nn.sigmoid(-odds)
    overall = jnp.sum(jnp.exp(2 * log_posterior), axis=1)
    return overall, side[:, :, None] * purity[:, None], side
