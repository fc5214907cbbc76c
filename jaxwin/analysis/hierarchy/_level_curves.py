"""How much of each level comes back from a U-turn, and what changes together."""

import functools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import Crossing, read_off, stack
from jaxwin.analysis.hierarchy._correlations import Correlations, correlations
from jaxwin.analysis.hierarchy._finite_size import EARLY, LATE
from jaxwin.analysis.hierarchy._jackknife import jackknife
from jaxwin.analysis.hierarchy._turns import TURNS, Turns, check_turns, checked_noises
from jaxwin.channels import AbstractChannel
from jaxwin.execution import Estimate, run
from jaxwin.io import field
from jaxwin.targets import RandomHierarchy

METHOD = (
    "exact marginals of belief propagation (Rao-Blackwell) for what is kept; exact "
    "posterior trees, two a start, for correlations"
)
LEVELS, HEIGHTS = ("noise", "level"), ("noise", "height")


class LevelCurves(eqx.Module):
    """U-turns of a hierarchy, per noise and level (0 the class, the last the leaves).

    same: P(symbol of a node unchanged), the average of exact marginals; drawn: the same
    from one drawn tree. purity: E sum_a P(a)^2, equal to `same` on any Bayesian channel
    (Nishimori). chance: P(unchanged) of independent data. early, half, late: where 3/4,
    1/2 and 1/4 of what `same` has over chance are left: the critical window of each
    level. chi, chi_within, chi_static and the covariances of
    leaves by height of their common ancestor: see `Correlations`; null where no leaf
    changes. Errors are of these rules; `over_rules` averages over rules.
    """

    starts: int = eqx.field(static=True)
    turns: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    same: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    same_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    drawn: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    drawn_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    purity: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    purity_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    # Of the difference same - purity, whose two sides share their draws.
    nishimori_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    chance: Float[np.ndarray, " l"] = field(("level",), "probability")
    early: Crossing = field(("level",), "")
    half: Crossing = field(("level",), "")
    late: Crossing = field(("level",), "")
    chi: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_within: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_within_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_static: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_static_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    covariance: Float[np.ndarray, "t h"] = field(HEIGHTS, "spins squared")
    covariance_stderr: Float[np.ndarray, "t h"] = field(HEIGHTS, "spins squared")
    dynamic: Float[np.ndarray, "t h"] = field(HEIGHTS, "spins squared")
    dynamic_stderr: Float[np.ndarray, "t h"] = field(HEIGHTS, "spins squared")


def level_curves(
    law: RandomHierarchy,
    channel: AbstractChannel,
    noises: AnyArray,
    *,
    num_turns: int = 10_000,
    key: Key | None = None,
    block_size: int = 32,
    **options: Any,
) -> LevelCurves:
    """Forward-backward experiments at every noise, as one compiled program.

    A start is turned twice, independently; all noises share starts and random numbers,
    so errors along a curve are correlated. Per turn and noise: O(v m s^L) work up, the
    same down.

    Args:
        law: The hierarchy.
        channel: `Gaussian()` (on one-hots), `Masking()`, `UniformCorruption()`, or
            `EpsilonBelief()`, whose curves are those of beliefs, not of posteriors.
        noises: Of the channel, at least 4, increasing.
        num_turns: U-turns a noise, two a start.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Starts at once; at least 128 blocks make good intervals.
        options: Handed on to `execution.run`; `until_stderr` looks at `same`.

    Raises:
        ValueError: Noises that do not increase, fewer than 4, or outside of the
            channel; fewer than 8 turns.

    References:
        arXiv:2402.16991 (levels), 2410.13770 (chi).
    """
    noises = checked_noises(channel, noises, posterior=False)
    check_turns(num_turns)
    inside = np.isfinite(channel.coordinate(jnp.asarray(noises)))
    if inside.sum() < 4:
        raise ValueError(
            f"`noises` holds {inside.sum()} numbers between the ends of the clock; "
            f"curves are read off from at least 4: add some."
        )
    dtype = law.log_label_prior().dtype
    replica = Turns(law, channel, jnp.asarray(noises, dtype))
    key = jr.key(0) if key is None else key
    fixed: dict[str, Any] = {"watch": lambda counts: counts.same}
    starts = num_turns // TURNS
    estimate = run(replica, starts, key, block_size=block_size, **fixed | options)
    mean, error = estimate.mean, estimate.stderr
    chance = independent_chance(law)

    def read(means: Any, count: Any) -> tuple[Correlations, np.ndarray]:
        sums = means.changed, means.squares, means.crossed
        return correlations(*sums, count, law.branching), means.same - means.purity

    left = functools.partial(_left, estimate, channel, noises, chance)
    (found, _), (spread, gap_error) = jackknife(estimate, read)
    return LevelCurves(
        noise=noises,
        same=mean.same,
        same_stderr=error.same,
        drawn=mean.drawn,
        drawn_stderr=error.drawn,
        purity=mean.purity,
        purity_stderr=error.purity,
        nishimori_stderr=gap_error,
        chance=chance,
        early=left(EARLY),
        half=left(0.5),
        late=left(LATE),
        chi=found.chi,
        chi_stderr=spread.chi,
        chi_within=found.chi_within,
        chi_within_stderr=spread.chi_within,
        chi_static=found.chi_static,
        chi_static_stderr=spread.chi_static,
        covariance=found.total,
        covariance_stderr=spread.total,
        dynamic=found.dynamic,
        dynamic_stderr=spread.dynamic,
        starts=estimate.count,
        turns=TURNS * estimate.count,
        method=METHOD,
    )


def independent_chance(law: RandomHierarchy) -> Float[np.ndarray, " l"]:
    """P(same symbol) of a node in two independent trees, averaged over each level."""
    nothing = jnp.zeros((law.num_sites, law.num_symbols), law.log_weights.dtype)
    return np.array(_same_by_chance(law, nothing), float)


@eqx.filter_jit
def _same_by_chance(
    law: RandomHierarchy, nothing: Float[Array, "n q"]
) -> Float[Array, " l"]:
    squares = (one**2 for one in law.beliefs(nothing).marginals)
    return jnp.stack([jnp.mean(jnp.sum(one, axis=1)) for one in squares])


def _left(
    estimate: Estimate,
    channel: AbstractChannel,
    noises: Float[np.ndarray, " t"],
    chance: Float[np.ndarray, " l"],
    excess: float,
) -> Crossing:
    """Where each level has so much over chance, by a bootstrap of blocks."""
    coordinate = np.asarray(channel.coordinate(jnp.asarray(noises)))
    each = [
        read_off(
            coordinate,
            estimate.mean.same[:, level],
            estimate.block_means.same[..., level],
            estimate.block_counts,
            chance[level] + excess * (1 - chance[level]),
            channel.noise_at,
        )
        for level in range(chance.size)
    ]
    return stack(each)
