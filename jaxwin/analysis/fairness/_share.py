"""The share of each group after a U-turn of data through a model."""

from typing import Any

import equinox as eqx
import numpy as np
import scipy.stats
from jaxtyping import Float

from jaxwin._typing import AnyArray
from jaxwin.analysis._crossing import Crossing, not_reached, stack, unstack
from jaxwin.analysis.fairness._cross import Crossed, cross
from jaxwin.analysis.fairness._partition import Groups, Partition
from jaxwin.analysis.fairness._survival import checked
from jaxwin.analysis.fairness._times import Reader
from jaxwin.channels import AbstractObserved
from jaxwin.io import field, to_json

# Parts of the bias that is injected in the end: where the window begins, its middle,
# its end.
LEVELS = {"start": 0.05, "half": 0.5, "end": 0.95}
# Chance at which the null of an unbiased model is given up.
REJECT = 1e-3
# Differences of weights that are rounding, and no bias.
SAME = 1e-9
# Of the averages themselves, below which nothing is a difference.
ROUNDING = 1e-12


class Share(eqx.Module):
    """Share of each group after a U-turn of data through a model, at every noise.

        share_h(T) = sum_g w_g A_gh(T) = w_h + E_data[q_h - r_h]

    An unbiased model leaves it at w_h for every T, whatever the asymmetry of A. A
    biased one takes it from w_h to its own weight. `half` is where half of that change
    is made, `start` and `end` where 5 % and 95 % are: the window of T in which the bias
    enters. Not found where the model's weight is that of the data.

    z: (share - w) / stderr. p_value: of the largest |z|, times the number of shares
    tested (Bonferroni). biased: p_value < 0.001.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    p_value: float = eqx.field(static=True)
    biased: bool = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    weight: Float[np.ndarray, " h"] = field(
        ("destination",), "probability", "of the data"
    )
    model_weight: Float[np.ndarray, " h"] = field(
        ("destination",), "probability", "of the model"
    )
    share: Float[np.ndarray, "t h"] = field(("noise", "destination"), "probability")
    stderr: Float[np.ndarray, "t h"] = field(("noise", "destination"), "probability")
    z: Float[np.ndarray, "t h"] = field(("noise", "destination"), "")
    start: Crossing = field(("destination",), "")
    half: Crossing = field(("destination",), "")
    end: Crossing = field(("destination",), "")

    def to_json(self) -> dict[str, Any]:
        """Curves as lists, crossings one by one."""
        where = lambda self: tuple(getattr(self, name) for name in LEVELS)
        return to_json(eqx.tree_at(where, self, tuple(map(unstack, where(self)))))


def share(
    data: AbstractObserved,
    model: AbstractObserved,
    noises: AnyArray,
    groups: Groups | None = None,
    **options: Any,
) -> Share:
    """Measure the share curve of a model, test it for bias, find where bias enters.

    Where both have exact label posteriors the difference q - r is averaged on the same
    noised points: it is zero draw by draw for a model that agrees with the data.

    Args:
        data: Labelled data and their channel.
        model: Another way back over the same channel and labels.
        noises: At least 4 levels of the channel, increasing.
        groups: As in `group_survival`.
        options: As in `group_survival`.

    Raises:
        BadInput: As `group_survival`.

    References:
        Derived.
    """
    levels, parts = checked(data, noises, groups, model)
    found = cross(data, model, parts, levels, **options)
    curves = found.model.combined(parts.weight)
    values, stderr = curves.mean[:, 0], curves.stderr[:, 0]
    apart = values - parts.weight[None]
    z = apart / np.maximum(np.hypot(stderr, ROUNDING), _least(model, parts, found))
    blocks = np.inf if curves.counts is None else curves.counts.size - 1
    tail = 2 * scipy.stats.t.sf(np.max(np.abs(z)), blocks)
    p_value = float(min(1.0, tail * z.size))
    own = parts.weights_of(model.log_label_prior())
    reader = Reader(data, levels, parts, found.model, found.line, False)
    change = own - parts.weight

    def read(h: int, part: float) -> Crossing:
        if abs(change[h]) <= SAME:
            return not_reached(levels)
        pick = parts.weight[:, None] * np.eye(own.size)[h][None]
        return reader.crossing(pick, float(parts.weight[h] + part * change[h]))

    rows = range(own.size)
    times = {name: stack([read(h, f) for h in rows]) for name, f in LEVELS.items()}
    return Share(
        names=parts.names,
        p_value=p_value,
        biased=p_value < REJECT,
        count=found.replicas,
        method=found.method,
        noise=levels,
        weight=parts.weight,
        model_weight=own,
        share=values,
        stderr=stderr,
        z=z,
        **times,
    )


def _least(
    model: AbstractObserved, groups: Partition, found: Crossed
) -> Float[np.ndarray, "t h"] | float:
    """Least standard error of the shares of simulated ends, were the model unbiased.

    Ends in h are then drawn with the probability r_h that the null says, so that their
    mean has variance E[r_h (1 - r_h)] / N = w_h (1 - A_hh) / N at least (ends that are
    labels): blocks in which a rare one was never drawn show less.
    """
    if model.has_exact_labels or not found.replicas:
        return 0.0
    stays = np.diagonal(found.null.mean, axis1=1, axis2=2)
    flips = groups.weight[None] * np.clip(1 - stays, 0, None)
    return np.sqrt(flips / found.replicas)
