"""Curves along noise of a model beside the optimum: errors, information, classes."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.analysis import comparison, information, speciation, unstack, windows
from jaxwin.processes import log_snr_uniform
from jaxwin.report._compare_subject import (
    CLOCK,
    DATA_SET,
    LikeliestClass,
    Subject,
)
from jaxwin.report._compare_times import TimePair
from jaxwin.report._train import REACH, log_snrs
from jaxwin.samplers import DPMSolverPP, LogSNRGrid, SampledObserved
from jaxwin.scores import ExactScore

# Steps of log-SNR in the integral of I-MMSE, and how far it goes at most.
SPACING, FURTHEST = 0.5, 24.0
# On the reverse SDE: deterministic steps have not the law's clones.
STEP = DPMSolverPP(2, stochastic=True)


class Information(eqx.Module):
    """I-MMSE of the model and of the optimum; `others` by what they are of."""

    model: information.DenoisingInformation
    exact: information.DenoisingInformation
    others: dict[str, information.DenoisingInformation]

    @property
    def collapse(self) -> TimePair:
        """Where I = log n."""
        return TimePair("collapse", self.model.collapse, self.exact.collapse)


class Agreement(eqx.Module):
    """Clone agreement phi(t), simulated of the model and exact of the optimum."""

    model: speciation.CloneAgreement
    exact: speciation.CloneAgreement

    @property
    def speciation(self) -> TimePair:
        """Where phi = 0.775."""
        return TimePair("speciation", self.model.crossing, self.exact.crossing)


class ClassSurvival(eqx.Module):
    """What share of each class is still in it after a U-turn."""

    model: windows.Survival
    exact: windows.Survival
    confusion: windows.Confusion
    exact_confusion: windows.Confusion
    classes: tuple[str, ...] = eqx.field(static=True)
    labels: tuple[int, ...] = eqx.field(static=True)

    @property
    def middle(self) -> list[TimePair]:
        """Where each class is half forgotten."""
        times = unstack(self.model.middle), unstack(self.exact.middle)
        return [
            TimePair(f"class {name}", one, other)
            for name, one, other in zip(self.classes, *times, strict=True)
        ]

    @property
    def shift(self) -> tuple[float, float]:
        """Mean difference of these times over the classes that have them; its error."""
        both = [pair for pair in self.middle if pair.both]
        if not both:
            return 0.0, 0.0
        error = np.sqrt(sum(pair.stderr**2 for pair in both)) / len(both)
        return float(np.mean([pair.difference for pair in both])), float(error)


def errors_of(subject: Subject, key: Key) -> dict[str, comparison.DenoiserErrors]:
    """Distances to the optima, at points trained on and not."""
    return {
        name: comparison.denoiser_errors(
            subject.model,
            subject.optima,
            log_snrs(subject.source.spread),
            draw=draw,
            of=subject.source.own_optimum(name),
            **subject.stage(f"errors {name}", key, subject.sizes.points),
        )
        for name, draw in subject.source.draws().items()
    }


def information_of(subject: Subject, key: Key, num_points: int) -> Information:
    """Information about the clean point, and collapse at n points.

    Both are squared errors at the same noised points: an exact model has the very same
    curve. Of data they are those held out, where no denoiser has the least loss: both
    curves lie above that of the population, and the lower one is nearer to it.
    """
    source = subject.source
    top = min(REACH + 4 * np.log(num_points) / source.dimension, FURTHEST)
    count = int(np.ceil((REACH + top) / SPACING)) + 1
    levels = np.linspace(-REACH, top, count) - 2 * np.log(source.spread)
    eigenvalues = source.law.moments().leading(source.dimension)[0]

    def found(denoiser: Any, draw: Any, name: str) -> information.DenoisingInformation:
        return information.from_mmse(
            denoiser,
            levels,
            num_points,
            draw=draw,
            eigenvalues=None if draw is None else jnp.maximum(eigenvalues, 0),
            **subject.stage(f"information {name}", key, subject.sizes.points // 2),
        )

    model = found(subject.model, subject.unseen, "of the model")
    exact = found(subject.law, subject.unseen, "exact")
    if source.split is None or subject.options.quick:
        return Information(model, exact, {})
    seen = source.draws()["training data"]
    others = {
        "model at training data": found(subject.model, seen, "at training data"),
        DATA_SET: found(subject.optima[DATA_SET], None, "of the data set"),
    }
    return Information(model, exact, others)


def agreement_of(
    subject: Subject, key: Key, noises: Float[np.ndarray, " t"]
) -> Agreement:
    """phi(t) of the law by exact soft labels, of the model by pairs of clones."""
    told = {"probabilities": True}
    exact = speciation.clone_agreement(
        subject.observed,
        noises,
        **subject.stage("agreement exact", key, subject.sizes.points, **told),
    )
    stage = subject.stage("agreement", key, subject.sizes.pairs, **told)
    pairs = stage.pop("num_replicas")
    model = speciation.simulated_agreement(
        STEP,
        subject.score,
        noises,
        pairs,
        stage.pop("key"),
        num_steps=subject.sizes.steps,
        end=subject.clean_end(float(noises[0])),
        grid=log_snr_uniform,
        draw=subject.unseen,
        classify=_of_end(subject),
        hard=subject.classifier is not None,
        **stage,
    )
    return Agreement(model, exact)


def survival_of(
    subject: Subject, key: Key, noises: Float[np.ndarray, " t"]
) -> ClassSurvival:
    """Confusion of the classes by U-turns of the model, and that of the law."""
    given = subject.classifier
    turned = SampledObserved(
        STEP,
        subject.score,
        LogSNRGrid(CLOCK, subject.clean_end(float(noises[0])), subject.sizes.steps),
        None if given is None else LikeliestClass(given.classifier),
        data=subject.unseen_data(),
        denoise=given is not None,
    )
    told = {"probabilities": True}
    confusion = windows.confusion(
        turned, noises, **subject.stage("U-turns", key, subject.sizes.turns, **told)
    )
    exact = windows.confusion(
        subject.observed,
        noises,
        **subject.stage("U-turns exact", key, subject.sizes.points, **told),
    )
    present = np.flatnonzero(np.asarray(subject.observed.log_label_prior()) > -np.inf)
    sets = [[int(c)] for c in present]
    return ClassSurvival(
        model=windows.survival(confusion, sets),
        exact=windows.survival(exact, sets),
        confusion=_without_blocks(confusion),
        exact_confusion=_without_blocks(exact),
        classes=tuple(subject.classes[c] for c in present),
        labels=tuple(int(c) for c in present),
    )


def _of_end(subject: Subject) -> Any:
    """Class probabilities of where a run ends."""
    if subject.classifier is not None:
        return eqx.Partial(_denoised_class, subject.classifier.classifier)
    return eqx.Partial(_posterior, subject.labelled)


def _denoised_class(
    classifier: Any, score: ExactScore, x: Point, t: ScalarLike
) -> Float[Array, " c"]:
    return classifier(score.denoised(x, t))


def _posterior(law: Any, score: ExactScore, x: Point, t: ScalarLike) -> Array:
    # At the noise of the end: a martingale along exact runs.
    return jnp.exp(law.label_log_posterior(x, *score.levels(x, t)))


def _without_blocks(confusion: windows.Confusion) -> windows.Confusion:
    """Blocks have done their work."""
    return eqx.tree_at(
        lambda c: (c.block_means, c.block_counts),
        confusion,
        (None, None),
        is_leaf=lambda leaf: leaf is None,
    )
