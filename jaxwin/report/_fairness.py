"""Which groups of a data set a model forgets, and where it trades one for another."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin.analysis import Crossing, fairness, speciation, unstack
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.io import field
from jaxwin.plots import Series, beside, short
from jaxwin.report._measuring import Measuring
from jaxwin.report._prepare import Prepared
from jaxwin.targets import AbstractLabelledTarget, Empirical, GaussianMixture

if TYPE_CHECKING:
    import matplotlib.figure

# Groups that a figure and the table show, those that the model treats worst: as many as
# there are colours. The summary has all.
MOST_SHOWN = 5
# The one column of a mixture.
CLASS = "class"
KINDS = {"measured": "under-fitted model", "predicted": "exact Bayes"}


class Fairness(eqx.Module):
    """Groups of a law after U-turns through itself and through an under-fitted model.

    The law itself is the null: a perfect model, under which minorities are forgotten
    first all the same, and shares stay. The under-fitted one is a Gaussian a group.
    """

    survival: fairness.GroupSurvival
    share: fairness.Share
    groups: str = eqx.field(static=True)
    null_share: Float[np.ndarray, "t h"] = field(("noise", "destination"), "")


def fairness_of_data(
    prepared: Prepared, groups: str, bandwidth: float, measuring: Measuring
) -> Fairness:
    """Fairness of the classes of one label column, under kernel density.

    Args:
        prepared: The data.
        groups: Name of a label column.
        bandwidth: Of the kernel, in the units of the prepared data.
        measuring: How.

    Raises:
        BadInput: There is no such column, or it holds one group.
    """
    i = column_of(prepared, groups)
    points, labels = np.asarray(prepared.law.points), prepared.feature_labels[i]
    law = Empirical(points, labels, bandwidth)
    model = speciation.gaussian_classes(points, labels)
    classes = prepared.normal.features[i].classes
    return _fairness(law, model, prepared.times, classes, groups, measuring)


def column_of(prepared: Prepared, groups: str) -> int:
    """Number of the label column of the groups, looked at before long work.

    Raises:
        BadInput: There is no such column, or it holds one group.
    """
    names = [feature.name for feature in prepared.normal.features]
    if groups not in names:
        raise BadInput(
            f"`groups` is {groups!r}, which is no label column; there are "
            f"{', '.join(names) or 'none'}."
        )
    i = names.index(groups)
    if len(prepared.normal.features[i].classes) < 2:
        raise BadInput(f"`groups` {groups!r} holds one group; fairness compares two.")
    return i


def fairness_of_law(
    law: GaussianMixture, noise: Float[np.ndarray, " t"], measuring: Measuring
) -> Fairness:
    """Fairness of the classes of a mixture: each as one Gaussian of its moments.

    Exact on a line, sampled elsewhere.
    """
    names = tuple(str(c) for c in range(law.num_labels))
    law = _isotropic_on_a_line(law)
    return _fairness(law, _one_gaussian_each(law), noise, names, CLASS, measuring)


def check_law_groups(
    source: AbstractLabelledTarget | AbstractObserved, groups: str
) -> None:
    """Raise BadInput where a law has no such groups, or nothing can be told of them."""
    law = source.law if isinstance(source, Observed) else source
    if not isinstance(law, GaussianMixture):
        raise BadInput("`groups` of a law is understood for mixtures of Gaussians.")
    if groups != CLASS:
        raise BadInput(
            f"`groups` is {groups!r}, and a mixture is given, whose only column is "
            f"{CLASS!r}; give that one."
        )
    labels = np.asarray(law.labels)[np.asarray(law.log_weights) > -np.inf]
    components = np.bincount(labels, minlength=law.num_labels)
    if components.min() < 1:
        raise BadInput(
            f"`groups` compares classes, and class {components.argmin()} has no "
            f"weight; leave it out of the mixture."
        )
    if components.max() < 2:
        raise BadInput(
            "`groups` compares the law with one Gaussian a class, which every class of "
            "this mixture is already; give several components a class by `labels`."
        )


def _isotropic_on_a_line(law: GaussianMixture) -> GaussianMixture:
    """A mixture of one dimension, in the form that its model has too."""
    if law.dimension > 1:
        return law
    variances = jnp.broadcast_to(law.covariance.spectrum()[0][:, 0], law.labels.shape)
    weights = jnp.exp(law.log_weights)
    return GaussianMixture.isotropic(law.means, variances, weights, labels=law.labels)


def _one_gaussian_each(law: GaussianMixture) -> GaussianMixture:
    masks = jnp.eye(law.num_labels, dtype=bool)
    moments = [law.restrict(mask).moments() for mask in masks]
    means = np.stack([np.asarray(each.mean) for each in moments])
    covariances = np.stack([np.asarray(each.covariance()) for each in moments])
    weights = np.exp(np.asarray(law.log_label_prior()))
    if law.dimension == 1:
        return GaussianMixture.isotropic(means, covariances[:, 0, 0], weights)
    return GaussianMixture.full(means, covariances, weights)


def _fairness(
    law: AbstractLabelledTarget,
    model: GaussianMixture,
    noise: Float[np.ndarray, " t"],
    names: tuple[str, ...],
    groups: str,
    measuring: Measuring,
) -> Fairness:
    if len(names) < 2:
        raise BadInput(f"`groups` {groups!r} holds one group; fairness compares two.")
    data, fitted = (Observed(each, Gaussian()) for each in (law, model))
    sets = {name: i for i, name in enumerate(names)}
    survival_key, share_key = measuring.keys(2)
    options = measuring.options
    survival = fairness.group_survival(
        data, noise, sets, fitted, **options("groups", survival_key)
    )
    share = fairness.share(
        data, fitted, noise, sets, **options("shares of groups", share_key)
    )
    null = survival.null.destination
    weights = survival.weight[: null.shape[1]]
    return Fairness(
        survival=survival,
        share=share,
        groups=groups,
        null_share=np.einsum("g,tgh->th", weights, null),
    )


def fairness_summary(found: Fairness) -> dict[str, Any]:
    """Documented keys of `summary.json`, under `fairness`.

    groups: by name `weight`; `forgotten` and `forgotten_null`, where survival is
    half-way to chance through the model and under exact Bayes; `half_share`, where half
    of the change of its share is made; `largest_excess`, of survival over the null, and
    its error. p_value, biased: of the null that shares stay. null_moves: how far the
    shares of the null move.
    """
    survival, share = found.survival, found.share
    middles = [unstack(each.middle) for each in (survival.model, survival.null)]
    groups = {}
    for g, name in enumerate(survival.names[: len(middles[0])]):
        excess = survival.excess[:, g, g]
        worst = int(np.argmax(np.abs(excess)))
        groups[name] = {
            "weight": float(survival.weight[g]),
            "forgotten": middles[0][g].to_json(),
            "forgotten_null": middles[1][g].to_json(),
            "half_share": unstack(share.half)[g].to_json(),
            "largest_excess": float(excess[worst]),
            "largest_excess_stderr": float(survival.excess_stderr[worst, g, g]),
        }
    moves = found.null_share - survival.weight[None, : found.null_share.shape[1]]
    return {
        "column": found.groups,
        "model": "one Gaussian a group",
        "groups": groups,
        "p_value": share.p_value,
        "biased": share.biased,
        "null_moves": float(np.abs(moves).max()),
        "method": survival.method,
    }


def fairness_rows(found: Fairness) -> list[tuple[str, Crossing]]:
    """The times of the groups, for the table."""
    rows = []
    survival, share = found.survival, found.share
    both = unstack(survival.null.middle), unstack(survival.model.middle)
    halves = unstack(share.half)
    for g in _worst(survival):
        group = short(survival.names[g])
        rows += [
            (f"{group} forgotten, null", both[0][g]),
            (f"{group} forgotten, model", both[1][g]),
        ]
        # A share that hardly moves has no such time.
        if bool(halves[g].found):
            rows.append((f"{group} half its share", halves[g]))
    return rows


def _worst(survival: fairness.GroupSurvival) -> list[int]:
    """Groups whose survival is furthest from the null, in their own order."""
    excess = np.abs(np.diagonal(survival.excess, axis1=1, axis2=2)).max(axis=0)
    return sorted(np.argsort(-excess, kind="stable")[:MOST_SHOWN].tolist())


def fairness_figures(found: Fairness) -> "dict[str, matplotlib.figure.Figure]":
    """Survival and shares of groups, model beside null."""
    survival, share = found.survival, found.share
    noise = survival.noise
    stays, moves = [], []
    for g in _worst(survival):
        name = short(survival.names[g])
        model, error = survival.model.destination, survival.model.stderr
        null = survival.null.destination[:, g, g]
        measured = noise, model[:, g, g], error[:, g, g]
        stays.append(Series(name, measured, (noise, null)))
        curve = noise, share.share[:, g], share.stderr[:, g]
        moves.append(Series(name, curve, (noise, found.null_share[:, g])))
    axis = "OU time of the U-turn (more noise →)"
    return {
        "group_survival": beside(stays, axis, "still in its group", kinds=KINDS),
        "group_share": beside(moves, axis, "share after the U-turn", kinds=KINDS),
    }
