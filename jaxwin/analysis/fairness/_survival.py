"""Which groups survive a U-turn through a model, beside exact Bayes."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput, check_curve
from jaxwin._typing import AnyArray
from jaxwin.analysis._crossing import Crossing, unstack
from jaxwin.analysis.fairness._cross import cross
from jaxwin.analysis.fairness._partition import Groups, Partition, partition
from jaxwin.analysis.fairness._times import Reader, each, single
from jaxwin.channels import AbstractObserved, Observed
from jaxwin.io import field, to_json

CROSSINGS = "middle", "at_95", "at_99"


class GroupCurves(eqx.Module):
    """Destinations of every group through one way back, and the times of survival.

    destination: A_gh(T), group g to group h ("rest" are the labels in no group).
    normalised: (A_gg - v_g) / (1 - v_g), v_g the weight that the way back gives the
    group: one at no noise, zero at full noise. middle: where it is one half, that is
    A_gg = (1 + v_g) / 2. at_95, at_99: where A_gg itself is 0.95 and 0.99. gap: the
    latest such time of a group less the earliest, in OU time.
    """

    gap_middle: Crossing
    gap_95: Crossing
    gap_99: Crossing
    destination: Float[np.ndarray, "t g h"] = field(
        ("noise", "group", "destination"), "probability"
    )
    stderr: Float[np.ndarray, "t g h"] = field(
        ("noise", "group", "destination"), "probability"
    )
    normalised: Float[np.ndarray, "t g"] = field(("noise", "group"), "")
    chance: Float[np.ndarray, " h"] = field(("destination",), "probability")
    middle: Crossing = field(("group",), "")
    at_95: Crossing = field(("group",), "")
    at_99: Crossing = field(("group",), "")

    @property
    def survival(self) -> Float[np.ndarray, "t g"]:
        """A_gg(T), the probability to end in the group one came from."""
        return np.diagonal(self.destination, axis1=1, axis2=2)

    def to_json(self) -> dict[str, Any]:
        """Curves as lists, crossings one by one."""
        where = lambda self: tuple(getattr(self, name) for name in CROSSINGS)
        return to_json(eqx.tree_at(where, self, tuple(map(unstack, where(self)))))


class GroupSurvival(eqx.Module):
    """Survival and destinations of groups: the model, exact Bayes, and the excess.

    Reversibility forces w_g A_gh = w_h A_hg on the exact posterior: a minority is
    forgotten first by a perfect model too. Raw asymmetry is no bias; `excess`, model
    less `null`, is. Errors of the excess are of differences on the same draws.
    """

    model: GroupCurves
    null: GroupCurves
    names: tuple[str, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    weight: Float[np.ndarray, " h"] = field(
        ("destination",), "probability", "of the data"
    )
    excess: Float[np.ndarray, "t g h"] = field(
        ("noise", "group", "destination"), "probability"
    )
    excess_stderr: Float[np.ndarray, "t g h"] = field(
        ("noise", "group", "destination"), "probability"
    )

    def to_json(self) -> dict[str, Any]:
        """Curves as lists, times as `{value, stderr, low, high, found}`."""
        return to_json(self)


def group_survival(
    data: AbstractObserved,
    noises: AnyArray,
    groups: Groups | None = None,
    model: AbstractObserved | None = None,
    **options: Any,
) -> GroupSurvival:
    """Measure where groups of the data end after a U-turn through a model.

        A_gh(T) = P(x' in h | x0 in g),    x0 ~ data, y at noise T, x' ~ model given y

    with the data's own law as the way back beside it: the null of a perfect model. By
    quadrature where both are mixtures of Gaussians that differ along one line; else
    sampled, by label posteriors at the noise level where they exist (no backward run),
    or by simulated U-turns and the labels of their ends. All curves and both ways share
    their draws.

    Args:
        data: Labelled data and their channel.
        noises: At least 4 levels of the channel, increasing.
        groups: Labels, or disjoint sets of labels, with names where it is a mapping;
            every label by itself if None.
        model: Another way back over the same channel and labels; the data's own if
            None.
        options: `num_replicas` (8192), `key` (`jax.random.key(0)`), `block_size` (64:
            the 128 blocks that the bootstrap of times wants), `method` ("quadrature" or
            "sampled"), and the options of `execution.run`.

    Raises:
        BadInput: Groups that overlap, are empty or name unknown labels; a model of
            other labels or another channel; fewer than 4 noises, or not increasing.

    References:
        Derived; arXiv:2403.01633 for the experiment.
    """
    levels, parts = checked(data, noises, groups, model)
    found = cross(data, model, parts, levels, **options)
    excess = found.model.minus(found.null)
    g = parts.num_groups
    null = Reader(data, levels, parts, found.null, found.line, True)
    own = null._replace(curves=found.model, null=False)
    known = group_curves(null, parts.weight)
    through = known
    if model is not None:
        through = group_curves(own, parts.weights_of(model.log_label_prior()))
    return GroupSurvival(
        model=through,
        null=known,
        names=parts.names,
        count=found.replicas,
        method=found.method,
        noise=levels,
        weight=parts.weight,
        excess=excess.mean[:, :g],
        excess_stderr=excess.stderr[:, :g],
    )


def checked(
    data: AbstractObserved,
    noises: AnyArray,
    groups: Groups | None,
    model: AbstractObserved | None,
) -> tuple[Float[np.ndarray, " t"], Partition]:
    """The noises and the groups of a study.

    Raises:
        BadInput: As `group_survival`.
    """
    levels = np.asarray(noises, float)
    try:
        check_curve(levels, "noises")
    except ValueError as error:
        raise BadInput(str(error)) from None
    if isinstance(data, Observed) and isinstance(model, Observed):
        if not eqx.tree_equal(data.channel, model.channel):
            raise BadInput(
                "`model` has another channel than the data; both must see noise on the "
                "same clock: give them one channel."
            )
    prior = None if model is None else model.log_label_prior()
    return levels, partition(groups, data.log_label_prior(), prior)


def group_curves(reader: Reader, chance: Float[np.ndarray, " h"]) -> GroupCurves:
    """The curves of a way back with their times, `chance` its weights of groups."""
    curves, groups = reader.curves, reader.groups
    g, size = groups.num_groups, len(groups.names)
    picks = [single(i, i, size) for i in range(g)]
    levels = {
        "middle": [(1 + float(chance[i])) / 2 for i in range(g)],
        "at_95": [0.95] * g,
        "at_99": [0.99] * g,
    }
    times = {name: each(reader, picks, levels[name]) for name in CROSSINGS}
    gaps = {name: reader.gap(picks, levels[name], times[name]) for name in CROSSINGS}
    survival = np.diagonal(curves.mean, axis1=1, axis2=2)[:, :g]
    # A group that holds everything survives by definition.
    full = chance[None, :g] >= 1
    above = (survival - chance[None, :g]) / np.where(full, 1, 1 - chance[None, :g])
    return GroupCurves(
        gap_middle=gaps["middle"],
        gap_95=gaps["at_95"],
        gap_99=gaps["at_99"],
        destination=curves.mean[:, :g],
        stderr=curves.stderr[:, :g],
        normalised=np.where(full, 1, above),
        chance=chance,
        **times,
    )
