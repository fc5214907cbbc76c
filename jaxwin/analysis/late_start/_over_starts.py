"""A metric over starts and replicates: its best start, and the gain of one kind."""

from typing import TYPE_CHECKING

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin.io import field

if TYPE_CHECKING:
    from jaxwin.analysis.late_start._sweep import StartSweep


class OverStarts(eqx.Module):
    """A metric at each start: mean over replicates, its standard error, and all."""

    value: Float[np.ndarray, " s"] = field(("start",), "of the metric")
    stderr: Float[np.ndarray, " s"] = field(("start",), "of the metric")
    replicate: Float[np.ndarray, "r s"] = field(("replicate", "start"), "of the metric")


def over_starts(replicate: Float[np.ndarray, "r s"]) -> OverStarts:
    """Mean and standard error over independent replicates."""
    spread = replicate.std(axis=0, ddof=1)
    return OverStarts(
        replicate.mean(axis=0), spread / np.sqrt(len(replicate)), replicate
    )


class Best(eqx.Module):
    """The start with the smallest mean, and that mean.

    stderr: by the jackknife over replicates, each choosing its own best start, so that
    the choice is in it. at_end: whether no start beyond it was tried on one side.
    """

    start: float = eqx.field(static=True)
    value: float = eqx.field(static=True)
    stderr: float = eqx.field(static=True)
    at_end: bool = eqx.field(static=True)


class Gain(eqx.Module):
    """Best vanilla over best Gaussian start; > 1 where the Gaussian start helps.

    resolved: whether both are above twice their error. The energy distance is unbiased
    and may come out below zero: the ratio then says nothing.
    """

    metric: str = eqx.field(static=True)
    value: float = eqx.field(static=True)
    stderr: float = eqx.field(static=True)
    resolved: bool = eqx.field(static=True)
    vanilla: Best
    gaussian: Best


def best(found: "StartSweep", metric: str = "frechet") -> Best:
    """The best start of a sweep by one metric.

    Raises:
        BadInput: The metric was not measured.
    """
    values = found.measured(metric).replicate
    index = int(np.argmin(values.mean(axis=0)))
    return Best(
        start=float(found.start[index]),
        value=float(values.mean(axis=0)[index]),
        stderr=jackknife(_smallest(values)),
        at_end=index in (0, values.shape[1] - 1),
    )


def gain(
    vanilla: "StartSweep", gaussian: "StartSweep", metric: str = "frechet"
) -> Gain:
    """Min over starts of the vanilla metric / min over starts of the Gaussian one.

    Its error is the jackknife over replicates, which take the two sweeps along together
    where their random numbers are the same.

    Args:
        vanilla: The sweep of the one kind.
        gaussian: That of the other, of as many replicates and evaluations.
        metric: "frechet", "weight_error", "weight_divergence" or "energy": of these
            small is good, which is not so of an entropy.

    Raises:
        BadInput: The metric was not measured, or the two cannot be compared.
    """
    both = vanilla, gaussian
    first, second = (one.measured(metric).replicate for one in both)
    if len(first) != len(second) or vanilla.evaluations != gaussian.evaluations:
        raise BadInput(
            f"`vanilla` and `gaussian` have {len(first)} and {len(second)} replicates "
            f"of {vanilla.evaluations} and {gaussian.evaluations} evaluations; both "
            f"must be equal."
        )
    ratio = lambda part: part[0] / part[1]
    value = ratio([one.mean(axis=0).min() for one in (first, second)])
    left_out = ratio([_smallest(one) for one in (first, second)])
    ends = best(vanilla, metric), best(gaussian, metric)
    return Gain(
        metric=metric,
        value=float(value),
        stderr=jackknife(left_out),
        resolved=all(one.value > 2 * one.stderr for one in ends),
        vanilla=ends[0],
        gaussian=ends[1],
    )


def _smallest(values: Float[np.ndarray, "r s"]) -> Float[np.ndarray, " r"]:
    """The smallest mean over starts, without each replicate in turn."""
    others = (values.sum(axis=0) - values) / (len(values) - 1)
    return others.min(axis=1)


def jackknife(left_out: Float[np.ndarray, " r"]) -> float:
    """Standard error from the values without each replicate in turn."""
    count = len(left_out)
    spread = np.sum((left_out - left_out.mean()) ** 2)
    return float(np.sqrt((count - 1) / count * spread))
