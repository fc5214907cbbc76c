"""Whether a model of data generalises or copies its training points."""

import dataclasses

import numpy as np

from jaxwin.analysis import comparison
from jaxwin.report._compare_result import Comparison
from jaxwin.report._compare_subject import DATA_SET, KERNEL
from jaxwin.report._compare_times import ERRORS

# Samples nearer to a training point than 1 % of unseen data are: copies, from here on.
COPIES = 0.1
# On the way to the optimum of the training points; loss at held-out points in excess
# of that at training points.
THERE, GAP = 0.9, 0.5
# Samples are unlike data from here on, if it is sure: nats of entropy, total variation
# of class shares, share of the distance to the nearest training point.
ENTROPY, VARIATION, DISTANCE = 0.05, 0.05, 0.2


@dataclasses.dataclass(frozen=True)
class Memory:
    """Whether a model of data copies or generalises, where that shows most.

    share: how far it is, at noised training points, on the way from the kernel density
    (0) to the optimum of the training points (1). gap: loss at held-out points over
    that at training points, less one. copied: share of samples that are near copies.
    better: nats by which its losses at held-out points, integrated over the SNRs that
    were measured, are below the kernel density's: a difference of bounds on the
    log-likelihood of a point, with its error.
    """

    log_snr: float
    share: float
    gap: float
    copied: float | None
    better: float
    better_stderr: float
    verdict: str


def memory(found: Comparison) -> Memory | None:
    """Generalisation against memorisation; None of a law."""
    if len(found.errors) < 2:
        return None
    seen, unseen = found.errors["training data"], found.errors["held-out data"]
    data, kernel = (seen.optima.index(name) for name in (DATA_SET, KERNEL))
    apart = seen.apart[kernel]
    i = int(np.argmax(apart))
    toward = seen.error[kernel] + apart - seen.error[data]
    share = float(toward[i] / (2 * apart[i])) if apart[i] > 0 else 0.0
    gap = float(unseen.loss[i] / seen.loss[i] - 1) if seen.loss[i] > 0 else 0.0
    better, error = _below(unseen, kernel)
    quality = found.samples.quality
    copied = None if quality is None else float(quality.copied)
    copies = share > THERE or (copied is not None and copied > COPIES)
    verdict = "memorises in part" if gap > GAP else "generalises"
    if quality is not None and unlike(quality):
        verdict = "has not learned the data, of which its samples differ"
    return Memory(
        log_snr=float(seen.log_snr[i]),
        share=share,
        gap=gap,
        copied=copied,
        better=better,
        better_stderr=error,
        verdict="copies" if copies else verdict,
    )


def unlike(quality: comparison.SampleQuality) -> bool:
    """Whether samples differ from held-out data beyond errors, as a classifier sees."""
    sure = lambda away, error, least: bool(abs(away) > max(least, ERRORS * error))
    error = np.hypot(quality.entropy_stderr, quality.held_out_entropy_stderr)
    return (
        sure(quality.entropy - quality.held_out_entropy, error, ENTROPY)
        or sure(quality.variation, quality.variation_stderr, VARIATION)
        or sure(quality.distance_ratio - 1, quality.distance_ratio_stderr, DISTANCE)
    )


def _below(errors: comparison.DenoiserErrors, optimum: int) -> tuple[float, float]:
    """Integral of (loss of an optimum - loss of the model) / 2 over the SNR.

    And its error, at most.
    """
    rate = 0.5 * np.exp(errors.log_snr)
    less = errors.optimal_loss[optimum] - errors.loss
    # The losses share their points: independent ones would differ by more.
    error = np.hypot(errors.optimal_loss_stderr[optimum], errors.loss_stderr)
    area = lambda curve: float(-np.trapezoid(rate * curve, errors.log_snr))
    return area(less), area(error)
