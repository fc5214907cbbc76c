"""The published table in small: three samplers, few steps, two kinds of start."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.late_start._classifier import Classifier, FeatureMoments
from jaxwin.analysis.late_start._diversity import diversity
from jaxwin.analysis.late_start._floor import Floor, floor_of
from jaxwin.analysis.late_start._over_starts import Gain, gain
from jaxwin.analysis.late_start._sweep import StartSweep, sweep
from jaxwin.io import field, to_json
from jaxwin.processes import DiscreteDDPM
from jaxwin.samplers import DDIM, PNDM, AbstractStep
from jaxwin.scores import AbstractScore
from jaxwin.targets import AbstractTarget


class Sampler(NamedTuple):
    """A step, how its run ends, and its noisiest start, an index of 1000."""

    step: AbstractStep
    last: str
    last_start: int


# As published; PNDM makes n moves of its own, the others end in a posterior mean.
SAMPLERS: Mapping[str, Sampler] = {
    "DDPM": Sampler(DDIM(1.0), "denoise", 999),
    "DDIM": Sampler(DDIM(), "denoise", 999),
    "PNDM": Sampler(PNDM(), "step", 998),
}
STEPS = (3, 5, 10)
# Of the random numbers that choose real points.
FLOOR = 2**31 - 1


class AtStart(eqx.Module):
    """All that is measured at one start; standard errors hold the start fixed."""

    start: Float[np.ndarray, ""] = field((), "DDPM index")
    frechet: Float[np.ndarray, ""] = field((), "of the features, squared")
    frechet_stderr: Float[np.ndarray, ""] = field((), "of the features, squared")
    variation: Float[np.ndarray, ""] = field((), "", "classes, to those of the data")
    variation_stderr: Float[np.ndarray, ""] = field((), "")
    entropy: Float[np.ndarray, ""] = field((), "bits", "of the classes")
    entropy_stderr: Float[np.ndarray, ""] = field((), "bits")
    entropy_bias: Float[np.ndarray, ""] = field((), "bits", "to be added")
    uncertainty: Float[np.ndarray, ""] = field((), "nats", "of the class of a sample")
    uncertainty_stderr: Float[np.ndarray, ""] = field((), "nats")


class Row(eqx.Module):
    """One sampler at one number of steps.

    gain: of the Fréchet distance, with the best start, value and error of each kind,
    the choice of the start in the errors. vanilla, gaussian: these best starts; usual:
    the vanilla one at the noisiest start, the sampler as it is used. sweeps: whole
    curves over starts, vanilla and Gaussian.
    """

    sampler: str = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    evaluations: int = eqx.field(static=True)
    gain: Gain
    vanilla: AtStart
    gaussian: AtStart
    usual: AtStart
    sweeps: tuple[StartSweep, StartSweep]


class LateStartTable(eqx.Module):
    """Rows by sampler and steps, such as "DDIM_5", and the data as they are compared.

    reference: what samples are compared with; data_entropy: of its classes. floors: the
    distances that real data have at as many samples, by what they are.
    """

    rows: dict[str, Row]
    reference: FeatureMoments
    data_entropy: Float[np.ndarray, ""] = field((), "bits")
    floors: dict[str, Floor] = eqx.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Rows without their curves; shares, entropy and uncertainty of the data."""
        rows = {}
        for name, row in self.rows.items():
            rows[name] = to_json(row)
            del rows[name]["sweeps"]
        data = {
            "share": self.reference.share,
            "entropy": self.data_entropy,
            "uncertainty": self.reference.uncertainty,
            "floors": self.floors,
        }
        return to_json({"rows": rows, "data": data})


def table(
    target: AbstractTarget,
    score: AbstractScore,
    starts: AnyArray,
    *,
    classifier: Classifier,
    reference: FeatureMoments,
    steps: Sequence[int] = STEPS,
    samplers: Mapping[str, Sampler] = SAMPLERS,
    num_samples: int = 4096,
    replicates: int = 8,
    data: Mapping[str, AnyArray] = MappingProxyType({}),
    key: Key | None = None,
    **options: Any,
) -> LateStartTable:
    """Late starts of one network by a classifier, evaluations counted.

    DDPM and DDIM cost n evaluations, PNDM 12, 14 and 19 at n = 3, 5 and 10, as
    published: rows of equal n are not of equal cost. Every row is run on the same
    random numbers. Errors are over replicates; they hold the network, the classifier
    and the reference fixed. Of the biases of `sweep` that of the Fréchet distance draws
    every gain towards 1. Programs compiled: two a row.

    Args:
        target: The law of the data, whose moments the Gaussian starts have.
        score: The network on the table clock, `DiscreteDDPM()`.
        starts: Indices, in any order; those beyond the noisiest start of a sampler are
            moved there.
        classifier: As in `sweep`.
        reference: `feature_moments(classifier, data)`.
        steps: Numbers of steps n.
        samplers: By name, each with how its run ends.
        num_samples: Samples a replicate.
        replicates: At least 2.
        data: Real points (n, d) by name, such as those of the reference and others, to
            have their own distances at as many samples: the `floors`.
        key: Root key.
        options: Others of `sweep` and `execution.run`; no folder, which holds one run.

    Raises:
        BadInput: The score is on another clock, no steps or samplers, and as `sweep`.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, tables 1 and 2 (FID).
    """
    process = score.process
    if not isinstance(process, DiscreteDDPM):
        raise BadInput(
            f"`score` is on the clock {type(process).__name__}; the published table "
            f"is on DiscreteDDPM: read the network there."
        )
    if not (steps and samplers):
        raise BadInput("`steps` and `samplers` must each hold at least one.")
    times = np.asarray(starts, float)
    fixed: dict[str, Any] = {"metrics": ("frechet", "weights")} | options
    fixed |= {"num_samples": num_samples, "replicates": replicates, "key": key}
    rows = {}
    for name, sampler in samplers.items():
        for n in steps:
            vanilla, gaussian = (
                sweep(
                    target, process, sampler.step, n,
                    np.unique(np.minimum(times, sampler.last_start)), kind=kind,
                    last=sampler.last, score=score, classifier=classifier,
                    reference=reference, **fixed,
                )
                for kind in ("vanilla", "gaussian")
            )  # fmt: skip
            rows[f"{name}_{n}"] = _row(name, vanilla, gaussian)
    entropy = diversity(weights=reference.share).entropy
    # As many as the sweeps took, in whole batches.
    count = next(iter(rows.values())).sweeps[0].num_samples
    own = jr.fold_in(jr.key(0) if key is None else key, FLOOR)
    floors = {
        name: floor_of(classifier, reference, points, count, replicates, own)
        for name, points in data.items()
    }
    return LateStartTable(rows, reference, entropy, floors)


def _row(name: str, vanilla: StartSweep, gaussian: StartSweep) -> Row:
    found = gain(vanilla, gaussian)
    return Row(
        sampler=name,
        num_steps=vanilla.num_steps,
        evaluations=vanilla.evaluations,
        gain=found,
        vanilla=_at(vanilla, found.vanilla.start),
        gaussian=_at(gaussian, found.gaussian.start),
        usual=_at(vanilla, vanilla.start[-1]),
        sweeps=(vanilla, gaussian),
    )


def _at(found: StartSweep, start: float) -> AtStart:
    at = int(np.searchsorted(found.start, start))
    number = lambda leaf: np.asarray(leaf[at])
    curve = found.measured
    assert found.entropy_bias is not None  # a classifier is always given
    return AtStart(
        start=number(found.start),
        frechet=number(curve("frechet").value),
        frechet_stderr=number(curve("frechet").stderr),
        variation=number(curve("weight_error").value),
        variation_stderr=number(curve("weight_error").stderr),
        entropy=number(curve("entropy").value),
        entropy_stderr=number(curve("entropy").stderr),
        entropy_bias=number(found.entropy_bias),
        uncertainty=number(curve("uncertainty").value),
        uncertainty_stderr=number(curve("uncertainty").stderr),
    )
