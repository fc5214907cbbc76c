"""When each feature of a law or of a data set is decided, with what is certain."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin._typing import Key
from jaxwin.analysis import speciation, stack, sweep, windows
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.datasets import Data
from jaxwin.io import field
from jaxwin.report._fairness import Fairness, fairness_of_data, fairness_of_law
from jaxwin.report._measuring import Measuring
from jaxwin.report._membership import Membership, check_both, membership_of
from jaxwin.report._prepare import Prepared, prepare
from jaxwin.report._study import Study
from jaxwin.targets import (
    AbstractLabelledTarget,
    Empirical,
    GaussianMixture,
    likely_bandwidth,
    reduce,
)

EPSILON = 0.1
# Trees of more classes are not read by anybody; their pairs grow as the square.
MOST_CLASSES = 64
# Samples whose decisions are drawn, and those that make the law of decision times.
SHOWN, PATHS = 5, 512
# How far beyond the fall of phi windows reach, in minus the log-SNR.
BELOW, ABOVE = 1.0, 3.0
# Noises at which the U-turn law is compared with its target.
TURNS = 16


class Windows(eqx.Module):
    """Windows of every group of classes; OU times.

    survival: of the group of every node of the tree, but the root. narrowing: the
    window of Definition 4 in which the group of a node is chosen within its parent's.
    certificate: of the U-turn from `initial` into `target`; exact: its distance where
    that is known. agreement, merges: of data, as `report` has them. inside, outside:
    the largest separation of class means in the parent's group, and the smallest from
    the node's group to the rest.
    """

    tree: windows.MixtureTree
    survival: windows.Survival
    confusion: windows.Confusion
    after: Any = field(("narrowing",), "OU time", "T_after, a node but the root each")
    before: Any = field(("narrowing",), "OU time", "T_before")
    phi: Float[np.ndarray, " t"] = field(
        ("noise",), "probability", "clones in one class: sum_i w_i A_ii"
    )
    certificate: windows.Certificate | None = None
    exact: windows.UturnDistance | None = None
    timeline: windows.Timeline | None = None
    agreement: speciation.CloneAgreement | None = None
    merges: speciation.MergeTree | None = None
    fairness: Fairness | None = None
    membership: Membership | None = None
    name: str = eqx.field(static=True, default="")
    classes: tuple[str, ...] = eqx.field(static=True, default=())
    answers: tuple[str, ...] = eqx.field(static=True, default=())
    method: str = eqx.field(static=True, default="")
    epsilon: float = eqx.field(static=True, default=EPSILON)
    turn: tuple[tuple[int, ...], tuple[int, ...]] = eqx.field(
        static=True, default=((), ())
    )
    bandwidth: float | None = eqx.field(static=True, default=None)
    dimension: int = eqx.field(static=True, default=0)
    num_points: int | None = eqx.field(static=True, default=None)
    inside: Float[np.ndarray, " w"] | None = field(
        ("narrowing",), "data units", "largest separation in the parent", default=None
    )
    outside: Float[np.ndarray, " w"] | None = field(
        ("narrowing",), "data units", "smallest separation from the rest", default=None
    )


def windows_of(
    source: AbstractLabelledTarget | AbstractObserved | Data,
    *,
    name: str = "mixture",
    epsilon: float = EPSILON,
    tree: Sequence[Any] | None = None,
    initial: Sequence[int] | None = None,
    target: Sequence[int] | None = None,
    bandwidth: float | None = None,
    groups: str | None = None,
    members: Data | None = None,
    candidates: Data | None = None,
    classes: Any = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
    **measuring: Any,
) -> Study:
    """In which windows of noise are the classes of a law or of data decided?

    Args:
        source: A labelled law (seen along OU time), anything observed with exact
            labels, or labelled data, which are seen under kernel density.
        name: Of a law, for titles.
        epsilon: Tolerance of thresholds and windows.
        tree: Nested groups of classes, such as [[0, 1], 2]; by linkage of a mixture, by
            the merges of data if left out.
        initial: Classes that the certificate's U-turn starts from; the first if left
            out.
        target: Classes that it is to reach; the parent of `initial` in the tree if
            left out.
        bandwidth: Of the kernel, in units of the normalised data; 0 for the points
            themselves, as in `report`; the likeliest of left-out points if None.
        groups: Label column of data whose groups are compared for fairness; anything
            of a mixture, whose classes are compared.
        members: A training set, for membership.
        candidates: Points that were not trained on.
        classes: Of data, as in `diagnose`; so are the next four.
        num_points: See `classes`.
        normalize: See `classes`.
        pca: See `classes`.
        shape: See `classes`.
        measuring: Fields of `Measuring`.

    Raises:
        BadInput: What cannot be studied; one line that says what to do.
    """
    from jaxwin.report._windows_study import windows_study

    options = Measuring(**measuring)
    check_both(members, candidates)
    asked = Asked(epsilon, tree, initial, target)
    if isinstance(source, Data):
        selection = classes, num_points, normalize, pca, shape
        prepared = prepare(source, *selection, options.seed, options.least)
        options.begin()
        found = _of_data(prepared, bandwidth, groups, asked, options)
    else:
        options.begin()
        found = _of_law(source, name, groups, asked, options)
    if members is not None and candidates is not None:
        told = membership_of(
            members,
            candidates,
            normalize=normalize,
            bandwidth=bandwidth,
            measuring=options,
        )
        found = eqx.tree_at(
            lambda w: w.membership, found, told, is_leaf=lambda leaf: leaf is None
        )
    return windows_study(found)


class Asked(eqx.Module):
    """What is asked of the windows, as in `windows_of`."""

    epsilon: float
    tree: Sequence[Any] | None
    initial: Sequence[int] | None
    target: Sequence[int] | None


def _of_law(
    source: AbstractLabelledTarget | AbstractObserved,
    name: str,
    groups: str | None,
    asked: Asked,
    measuring: Measuring,
) -> Windows:
    observed = _observed(source)
    if not observed.has_exact_labels:
        raise BadInput(
            "the law has no exact label posterior, which windows are made of; "
            "`windows.confusion` simulates its U-turns."
        )
    count = observed.log_label_prior().size
    if count > MOST_CLASSES:
        raise BadInput(
            f"the law has {count} labels, and windows are drawn of {MOST_CLASSES} at "
            f"most; group them by `labels`."
        )
    law = observed.law if isinstance(observed, Observed) else None
    range_key, overlap_key, flip_key, turn_key, path_key = measuring.keys(5)
    noise = _wider(observed, speciation.decided_times(observed, key=range_key))
    log_prior = observed.log_label_prior()
    measure = lambda pairs: windows.overlaps(
        observed, noise, pairs, **measuring.options("overlaps", overlap_key)
    )
    mixture = law if isinstance(law, GaussianMixture) else None
    if mixture is not None:
        tree = windows.mixture_tree(mixture, asked.epsilon, asked.tree)
    else:
        nested = asked.tree or [int(c) for c in _weighty(log_prior)]
        chosen = windows.Tree.nested(nested, count)
        tree = windows.measured_tree(measure, chosen, asked.epsilon)
    exact = mixture is not None and windows.reduced_dimension(mixture) <= 2
    narrowings = _narrowings(tree.tree)
    if exact and mixture is not None:
        found = [windows.window(mixture, *pair, asked.epsilon) for pair in narrowings]
    else:
        found = windows.measured_windows(measure, log_prior, narrowings, asked.epsilon)
    sampled = {} if exact else measuring.options("confusion", flip_key)
    confusion = windows.confusion(observed, noise, **sampled)
    initial, target = _turn(tree.tree, asked)
    if exact and mixture is not None:
        certificate = windows.certificate(mixture, initial, target, jnp.asarray(noise))
        turns = jnp.asarray(noise[:: max(1, len(noise) // TURNS)])
        distance = windows.uturn_distance(mixture, initial, target, turns)
    else:
        certificate = windows.sampled_certificate(
            observed,
            initial,
            target,
            noise,
            **measuring.options("certificate", turn_key),
        )
        distance = None
    fair = None
    if groups:
        if mixture is None:
            raise BadInput("`groups` of a law is understood for mixtures of Gaussians.")
        fair = fairness_of_law(mixture, noise, measuring)
    means = None if mixture is None else speciation.class_means(mixture)[1]
    return _assembled(
        tree,
        found,
        confusion,
        asked.epsilon,
        (initial, target),
        means,
        certificate=certificate,
        exact=distance,
        timeline=_timeline(law, tree.tree, noise, path_key, measuring),
        fairness=fair,
        name=name,
        classes=tuple(str(c) for c in range(count)),
        dimension=getattr(source, "dimension", 0 if law is None else law.dimension),
    )


def _observed(source: AbstractLabelledTarget | AbstractObserved) -> AbstractObserved:
    """A law along OU time, in the few directions of a mixture that reduces."""
    if isinstance(source, AbstractObserved):
        return source
    reduced = reduce(source) if isinstance(source, GaussianMixture) else None
    return Observed(source if reduced is None else reduced.target, Gaussian())


def _of_data(
    prepared: Prepared,
    bandwidth: float | None,
    groups: str | None,
    asked: Asked,
    measuring: Measuring,
) -> Windows:
    features = prepared.normal.features
    if not features or len(features[0].classes) < 2:
        raise BadInput(
            "windows are those of classes, and the data have fewer than two; name a "
            "column of labels."
        )
    names = features[0].classes
    if len(names) > MOST_CLASSES:
        raise BadInput(
            f"`labels` has {len(names)} classes, and windows are drawn of "
            f"{MOST_CLASSES} at most; keep some by `classes`."
        )
    points = np.asarray(prepared.law.points)
    h = likely_bandwidth(points, measuring.seed) if bandwidth is None else bandwidth
    law = Empirical(points, prepared.law.labels, h)
    sweep_key, turn_key, path_key = measuring.keys(3)
    found = sweep(
        law,
        prepared.times,
        features=prepared.features,
        **measuring.options("classes", sweep_key),
    )
    merges = speciation.merge_tree(found)
    chosen = (
        windows.Tree.of_merges(merges, len(names))
        if asked.tree is None
        else windows.Tree.nested(asked.tree, len(names))
    )
    measure = lambda pairs: windows.class_overlaps(found, pairs)
    labelled = Empirical(points, prepared.feature_labels[0], h)
    log_prior = labelled.log_label_prior()
    initial, target = _turn(chosen, asked)
    certificate = windows.sampled_certificate(
        Observed(labelled, Gaussian()),
        initial,
        target,
        found.noise,
        **measuring.options("certificate", turn_key),
    )
    fair = None
    if groups:
        fair = fairness_of_data(prepared, groups, h, measuring)
    return _assembled(
        windows.measured_tree(measure, chosen, asked.epsilon),
        windows.measured_windows(
            measure, log_prior, _narrowings(chosen), asked.epsilon
        ),
        windows.class_confusion(found, keep_blocks=True),
        asked.epsilon,
        (initial, target),
        speciation.class_means(labelled)[1],
        certificate=certificate,
        timeline=_timeline(labelled, chosen, found.noise, path_key, measuring),
        agreement=speciation.class_agreement(found),
        merges=merges,
        fairness=fair,
        name=prepared.normal.name,
        classes=names,
        bandwidth=float(h),
        dimension=len(prepared.axes.spectrum.directions),
        num_points=law.num_points,
    )


def _assembled(
    tree: windows.MixtureTree,
    found: Sequence[windows.Window],
    confusion: windows.Confusion,
    epsilon: float,
    turn: tuple[list[int], list[int]],
    means: Any,
    **rest: Any,
) -> Windows:
    nodes = range(tree.tree.num_nodes - 1)
    assert confusion.log_prior is not None
    weights = np.exp(confusion.log_prior)
    own = np.diagonal(confusion.matrix, axis1=1, axis2=2)
    inside = outside = None
    if means is not None:
        inside, outside = _separations(tree.tree, np.asarray(means, float))
    return Windows(
        tree=tree,
        survival=windows.survival(confusion, [tree.tree.group(i) for i in nodes]),
        # Blocks have done their work.
        confusion=eqx.tree_at(
            lambda c: (c.block_means, c.block_counts),
            confusion,
            (None, None),
            is_leaf=lambda leaf: leaf is None,
        ),
        after=stack([each.after for each in found]),
        before=stack([each.before for each in found]),
        answers=tuple(each.answer for each in found),
        method=found[0].method if found else "",
        epsilon=epsilon,
        turn=(tuple(turn[0]), tuple(turn[1])),
        phi=np.nansum(weights * own, axis=1),
        inside=inside,
        outside=outside,
        **rest,
    )


def _narrowings(tree: windows.Tree) -> list[tuple[list[int], list[int]]]:
    """The group of every node but the root within its parent's."""
    return [
        (tree.group(node), tree.group(int(tree.parent[node])))
        for node in range(tree.root)
    ]


def _turn(tree: windows.Tree, asked: Asked) -> tuple[list[int], list[int]]:
    """From where the certificate's U-turn starts, and where it is to end."""
    initial = tree.labels[:1] if asked.initial is None else list(asked.initial)
    if asked.target is not None:
        return initial, list(asked.target)
    above = [
        tree.group(node)
        for node in range(tree.num_nodes)
        if set(initial) < set(tree.group(node))
    ]
    return initial, above[0] if above else tree.group(tree.root)


def _separations(
    tree: windows.Tree, means: Float[np.ndarray, "c d"]
) -> tuple[np.ndarray, np.ndarray]:
    """Largest separation inside each parent, smallest from each node to the rest."""
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1)
    whole = tree.groups[tree.root]
    inside, outside = [], []
    for node in range(tree.root):
        own, parent = tree.groups[node], tree.groups[tree.parent[node]]
        inside.append(apart[np.ix_(parent, parent)].max())
        outside.append(apart[np.ix_(own, whole & ~own)].min())
    return np.array(inside), np.array(outside)


def _timeline(
    law: AbstractLabelledTarget | None,
    tree: windows.Tree,
    noise: Float[np.ndarray, " t"],
    key: Key,
    measuring: Measuring,
) -> windows.Timeline | None:
    """Decisions of single samples; nothing where there is no law to go back by."""
    if law is None:
        return None
    count = PATHS // 4 if measuring.quick else PATHS
    return windows.decision_timeline(
        law, tree, noise, num_samples=count, shown=SHOWN, key=key
    )


def _weighty(log_prior: Any) -> np.ndarray:
    return np.flatnonzero(np.asarray(log_prior) > -np.inf)


def _wider(
    observed: AbstractObserved, noise: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """So many noises over a wider range: thresholds lie beyond the fall of phi."""
    low, high = (float(observed.coordinate(jnp.asarray(t))) for t in noise[[0, -1]])
    place = jnp.linspace(low - BELOW, high + ABOVE, len(noise))
    return np.asarray(observed.noise_at(place))
