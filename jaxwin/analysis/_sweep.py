"""One pass over a data set: where noised points belong, at every noise level.

A noised data point is compared once with all n points. What it says about its own
point, about classes, about fewer points and about other points all follows from the
weights of the labels, taken in groups of points: the rooms of `analysis` read their
curves off one `Sweep`.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.sparse
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from jaxwin._checks import check_curve
from jaxwin._typing import Key
from jaxwin.analysis._feature import Feature
from jaxwin.execution import in_units, run
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import Empirical, PointGroups

# Noised points at once; the default number of them makes the 128 batches that the
# bootstrap of crossings wants.
BATCH = 64
# Groups of data points: one is left out at a time for errors over fresh data.
GROUPS = 20
# With fewer points a group the jackknife says nothing.
LEAST = 10
# So many groups make the smaller data sets on which collapse is read too.
PARTS = (1, 2, 5, 10)
# Differences to curves without a group are smooth: every fourth level will do.
COARSE = 4
# Fewer noises make no crossing, nor differences that can be interpolated.
LEAST_NOISES = 4
# Log-weight of nothing: a run stops at infinities, and squares must stay in range.
LOWEST = -1e37
# More pairs would fill the memory: they have no errors over fresh data.
MOST_PAIRS = 200
# Fewer batches make no interval of a crossing.
MIN_BATCHES = 32


class LeftOut(NamedTuple):
    """Curves of the data without one group each, at every `COARSE`-th level.

    own: (3, G, t), rows E[w_own], E[L], E[log(1 + e^L)]. phi: one (G, t) a feature.
    pairs: one (p, G, t) a feature, empty where there are more than `MOST_PAIRS`.
    """

    own: Float[np.ndarray, "3 g t"]
    phi: tuple[Float[np.ndarray, "g t"], ...]
    pairs: tuple[Float[np.ndarray, "p g t"], ...]


class Draws(NamedTuple):
    """Noised points of one class: their batch, and log p(x | class) + constant."""

    batch: Int[np.ndarray, " n"]
    log_likelihood: Float[np.ndarray, "n t c"]
    num_batches: int

    def sums(self, values: Float[np.ndarray, " n *s"]) -> Float[np.ndarray, " b *s"]:
        """Sums over the points of each batch."""
        rows = np.arange(self.batch.size)
        member = scipy.sparse.csr_array(
            (np.ones(rows.size), (self.batch, rows)), (self.num_batches, rows.size)
        )
        flat = member @ values.reshape(rows.size, -1)
        return flat.reshape(self.num_batches, *values.shape[1:])

    @property
    def counts(self) -> Float[np.ndarray, " b"]:
        """Points in each batch."""
        return np.bincount(self.batch, minlength=self.num_batches).astype(float)


class Sweep(eqx.Module):
    """What a pass over a data set found, for each noised point.

    noise: times of `process`; `coordinate` minus the log-SNR there. label: joint label
    of each noised point. others: log of the weight of each label, the own point left
    out and of weight one. counts: data points of each label. left_out, smaller: see
    `LeftOut`, and the own weights among fewer points; None, or empty, where points or
    noises are too few.
    """

    process: AbstractProcess
    features: tuple[Feature, ...]
    noise: Float[np.ndarray, " t"]
    coordinate: Float[np.ndarray, " t"]
    label: Int[np.ndarray, "b s"]
    others: Float[np.ndarray, "b s t c"]
    counts: Int[np.ndarray, " c"]
    left_out: LeftOut | None
    smaller: dict[int, Float[np.ndarray, "b t"]]

    @property
    def count(self) -> int:
        """Noised points."""
        return self.label.size

    @property
    def num_points(self) -> int:
        """Data points."""
        return int(self.counts.sum())

    @property
    def batches(self) -> Int[np.ndarray, " b"]:
        """Noised points in each batch."""
        return np.full(len(self.label), self.label.shape[1])

    def clock(self, coordinate: ArrayLike) -> Array:
        """Time at a coordinate."""
        return self.process.time(-jnp.asarray(coordinate))

    def log_rest(self) -> Float[np.ndarray, "b s t"]:
        """L, the log of the others' weight over the own one."""
        return np.logaddexp.reduce(self.others, axis=-1)

    def log_masses_with_own(self) -> Float[np.ndarray, "b s t c"]:
        """Log of the weight of each label, the own point in."""
        is_own = self.label[..., None, None] == np.arange(self.counts.size)
        return np.where(is_own, np.logaddexp(self.others, 0.0), self.others)

    def log_posterior(self, feature: Feature) -> Float[np.ndarray, "b s t c"]:
        """Log-probability of each class of a feature, the own point in."""
        masses = np.asarray(feature.log_sum(self.log_masses_with_own()))
        return masses - np.logaddexp.reduce(masses, axis=-1, keepdims=True)

    def draws(self, feature: Feature, own: bool) -> list["Draws"]:
        """The noised points of each class of a feature, the own point in or out."""
        masses = self.log_masses_with_own() if own else self.others
        log_mass = np.asarray(feature.log_sum(masses))
        counts = np.asarray(feature.count(self.counts))
        of_draw = np.asarray(feature.of_label)[self.label]
        found = []
        for c in range(feature.num_classes):
            batch, where = np.nonzero(of_draw == c)
            others = counts - (0 if own else np.eye(counts.size)[c])
            with np.errstate(divide="ignore"):
                log_likelihood = log_mass[batch, where] - np.log(others)
            found.append(Draws(batch, log_likelihood, len(self.label)))
        return found


def sweep(
    law: Empirical,
    times: ArrayLike,
    *,
    process: AbstractProcess | None = None,
    features: Sequence[Feature] | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    seed: int = 0,
    **options: Any,
) -> Sweep:
    """Compare noised data points with all data points.

    Work is O(n d) a noised point for the whole curve, most of it in one matrix product,
    and one exponential a data point and level; memory is one block of points, and the
    label weights of every noised point.

    Args:
        law: The data set, at least 2 points, none left out; a kernel's own centre
            counts as its point.
        times: Times of `process`, at least 4, increasing, sigma > 0.
        process: The clock; OU if left out.
        features: Which labels are one class, and the pairs of classes that are looked
            at without a group of points; the labels themselves, without pairs, if left
            out.
        num_replicas: Noised points, in batches of 64.
        key: Random key; `jax.random.key(0)` if left out.
        seed: Of the grouping of the points.
        options: Handed on to `execution.run`, whose replicas are batches here;
            `until_stderr` looks at phi of the features and at E[w_own].

    Raises:
        ValueError: Fewer than 2 points; fewer than 4 times, or times not increasing.
    """
    counts = np.bincount(np.asarray(law.labels), minlength=law.num_labels)
    if np.any(
        np.asarray(law.blocks.log_weights).reshape(-1)[: law.num_points] == -np.inf
    ):
        raise ValueError(
            "`law` is restricted; build a law of the points that are left."
        )
    if law.num_points < 2:
        raise ValueError(
            f"`law` has {law.num_points} point; collapse onto one of several needs 2."
        )
    process = OrnsteinUhlenbeck() if process is None else process
    key = jr.key(0) if key is None else key
    noise = np.asarray(times)
    check_curve(noise, "times")
    if features is None:
        features = (Feature.of_labels(law.num_labels),)
    features = tuple(features)
    num_groups = GROUPS if law.num_points >= LEAST * GROUPS else 1
    groups = PointGroups(law, num_groups, seed)
    alphas, sigmas = process.levels(jnp.asarray(noise), law.centre.dtype)
    watched = tuple(f if len(f.pairs) <= MOST_PAIRS else f.alone() for f in features)
    batch = eqx.Partial(_batch, groups, watched, alphas, sigmas)
    fixed = {"watch": lambda result: result["watched"], "min_blocks": MIN_BATCHES}
    if options.get("progress") is not None:
        options["progress"] = in_units(options["progress"], BATCH)
    estimate = run(
        batch, max(2, -(-num_replicas // BATCH)), key, block_size=1, **fixed | options
    )
    kept = estimate.block_means["kept"]
    averages = estimate.mean["averages"]
    left_out, smaller = None, {}
    coordinate = -np.asarray(process.log_snr(jnp.asarray(noise)))
    if num_groups > 1:
        if np.isfinite(coordinate[::COARSE]).sum() >= LEAST_NOISES:
            left_out = _left_out(averages)
        own = estimate.block_means["averages"]["smaller"]
        sizes = [round(law.num_points * part / num_groups) for part in PARTS]
        smaller = {size: own[:, i] for i, size in enumerate(sizes)}
    return Sweep(
        process=process,
        features=features,
        noise=noise,
        coordinate=coordinate,
        label=kept["label"].astype(np.int64),
        others=kept["others"],
        counts=counts,
        left_out=left_out,
        smaller=smaller,
    )


def _batch(
    groups: PointGroups,
    features: tuple[Feature, ...],
    alphas: Array,
    sigmas: Array,
    key: Key,
    batch: Array,
) -> PyTree[Array]:
    """A batch of noised points: what is kept of each, and averages over them."""
    replicas = batch * BATCH + jnp.arange(BATCH, dtype=batch.dtype)
    one = functools.partial(_noised_point, groups, features, alphas, sigmas, key)
    kept, averaged = jax.vmap(one)(replicas)
    averages = jax.tree.map(lambda leaf: leaf.mean(axis=0), averaged)
    return {"kept": kept, "averages": averages, "watched": averages.pop("watched")}


def _noised_point(
    groups: PointGroups,
    features: tuple[Feature, ...],
    alphas: Array,
    sigmas: Array,
    key: Key,
    replica: Array,
) -> tuple[PyTree[Array], PyTree[Array]]:
    index, z = groups.draw_own(jr.fold_in(key, replica))
    group, label = groups.group(index), groups.label(index)
    by_group = groups.log_label_masses_of_others(index, z, alphas, sigmas)
    by_group = jnp.maximum(by_group, LOWEST)
    others = jax.nn.logsumexp(by_group, axis=0)
    log_rest = jax.nn.logsumexp(others, axis=1)
    kept = {"others": others, "label": label.astype(others.dtype)}
    purity = [feature.purity(_with_own(others, label)) for feature in features]
    averaged: dict[str, PyTree[Array]] = {
        "watched": (jax.nn.sigmoid(-log_rest), purity)
    }
    if groups.num_groups > 1:
        averaged["smaller"] = _smaller(by_group, group)
        averaged |= _without_a_group(groups, features, by_group, group, label)
    return kept, averaged


def _with_own(others: Float[Array, "*t c"], label: Array) -> Float[Array, "*t c"]:
    """The own point, of weight one, joins its label."""
    own = jnp.arange(others.shape[-1], dtype=label.dtype) == label
    return jnp.where(own, jnp.logaddexp(others, 0.0), others)


def _smaller(by_group: Float[Array, "g t c"], group: Array) -> Float[Array, "p t"]:
    """Own weight among `PARTS` consecutive groups, the own group first."""
    rest = jnp.roll(jax.nn.logsumexp(by_group, axis=2), -group, axis=0)
    total = [jax.nn.logsumexp(rest[:part], axis=0) for part in PARTS]
    return jax.nn.sigmoid(-jnp.stack(total))


def _without_a_group(
    groups: PointGroups,
    features: tuple[Feature, ...],
    by_group: Float[Array, "g t c"],
    group: Array,
    label: Array,
) -> dict[str, PyTree[Array]]:
    """Curves with one group left out; nothing where it is the own one."""
    coarse = by_group[:, ::COARSE]
    outside = ~jnp.eye(groups.num_groups, dtype=bool)[:, :, None, None]
    others = jax.nn.logsumexp(coarse[None], axis=1, where=outside)
    log_rest = jax.nn.logsumexp(others, axis=2)
    # The data without a group do not hold this noised point.
    present = (jnp.arange(groups.num_groups, dtype=group.dtype) != group).astype(
        others.dtype
    )
    own = jnp.stack([jax.nn.sigmoid(-log_rest), log_rest, jax.nn.softplus(log_rest)])
    masses = _with_own(others, label)
    counts = jnp.sum(groups.counts, axis=0)[None] - groups.counts
    found: dict[str, PyTree[Array]] = {
        "present": present,
        "own": own * present[None, :, None],
    }
    found["phi"] = [f.purity(masses) * present[:, None] for f in features]
    found["pairs"], found["sides"] = [], []
    for feature in features:
        purity, side = feature.pair_purity(masses, counts[:, None], label)
        side = side[..., None] * present[None, None]
        found["pairs"].append(purity[:, None] * side[..., None])
        found["sides"].append(side)
    return found


def _left_out(averages: PyTree[np.ndarray]) -> LeftOut:
    share = averages["present"][:, None]
    pairs = []
    for purity, side in zip(averages["pairs"], averages["sides"], strict=True):
        # A class without draws has no curve: NaN, and then no interval.
        with np.errstate(invalid="ignore"):
            pairs.append(np.mean(purity / side[..., None], axis=1))
    return LeftOut(
        own=averages["own"] / share[None],
        phi=tuple(phi / share for phi in averages["phi"]),
        pairs=tuple(pairs),
    )
