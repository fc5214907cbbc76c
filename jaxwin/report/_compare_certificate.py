"""How far U-turns of a model can be from exact ones: bounds by its score alone."""

from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import information
from jaxwin.io import field
from jaxwin.report._compare_curves import ClassSurvival
from jaxwin.report._compare_subject import Subject

# Noised points for each draw, those of all classes together; draws of one at least.
SHARE, LEAST = 2, 64


class Certificates(eqx.Module):
    """For U-turns that start in one class: sqrt(path / 2) bounds the total variation.

    And with it the survival of the class, within `bound` of the exact one at every
    noise; the path is taken two standard errors above its mean. earliest, latest: the
    times between which that leaves the class half forgotten; 0 and infinity where it
    says nothing.
    """

    of_class: dict[str, information.ScoreCertificate]
    deviation: Float[np.ndarray, "c t"] = field(("class", "noise"), "probability")
    stderr: Float[np.ndarray, "c t"] = field(("class", "noise"), "probability")
    earliest: Float[np.ndarray, " c"] = field(("class",), "OU time")
    latest: Float[np.ndarray, " c"] = field(("class",), "OU time")

    @property
    def bound(self) -> Float[np.ndarray, "c t"]:
        """On |survival of the model - exact survival|."""
        return np.stack([_bound(one) for one in self.of_class.values()])

    def to_json(self) -> dict[str, Any]:
        """By class, along the noises of the survival."""
        number = lambda time: float(time) if np.isfinite(time) else None
        return {
            name: {
                "path": one.path.tolist(),
                "path_stderr": one.error.tolist(),
                "bound": self.bound[i].tolist(),
                "deviation": self.deviation[i].tolist(),
                "deviation_stderr": self.stderr[i].tolist(),
                "earliest": number(self.earliest[i]),
                "latest": number(self.latest[i]),
            }
            for i, (name, one) in enumerate(self.of_class.items())
        }


def certificates_of(
    subject: Subject, survival: ClassSurvival, key: Key
) -> Certificates:
    """A certificate of each class, down to the noise at which runs end."""
    noises = survival.exact.noise
    draws = max(subject.sizes.points // (SHARE * len(survival.classes)), LEAST)
    of_class = {
        name: information.score_error_certificate(
            subject.model,
            subject.observed,
            noises,
            labels=label,
            end=subject.clean_end(float(noises[0])),
            method="sampled",
            **subject.stage(f"certificate {name}", jr.fold_in(key, label), draws),
        )
        for label, name in zip(survival.labels, survival.classes, strict=True)
    }
    exact = survival.exact
    half = (1 + exact.weight) / 2
    spans = [
        _between(noises, kept, _bound(one), level)
        for kept, one, level in zip(
            exact.survival, of_class.values(), half, strict=True
        )
    ]
    return Certificates(
        of_class=of_class,
        deviation=np.abs(survival.model.survival - exact.survival),
        stderr=np.hypot(survival.model.stderr, exact.stderr),
        earliest=np.array([early for early, _ in spans]),
        latest=np.array([late for _, late in spans]),
    )


def _bound(one: information.ScoreCertificate) -> Float[np.ndarray, " t"]:
    # Few draws hold most of a path: a mean alone would be below it too often.
    return np.minimum(np.sqrt((one.path + 2 * one.error) / 2), 1.0)


def _between(
    noises: Float[np.ndarray, " t"],
    kept: Float[np.ndarray, " t"],
    bound: Float[np.ndarray, " t"],
    level: float,
) -> tuple[float, float]:
    """Between which times a curve within `bound` of `kept` can cross the level last."""
    surely, perhaps = kept - bound >= level, kept + bound >= level
    place = lambda curve, i: np.interp(
        level, curve[[i + 1, i]], noises[[i + 1, i]]
    )  # falls from i to i + 1
    last_sure = np.flatnonzero(surely)
    first, final = 0.0, np.inf
    if surely[-1]:
        return float(noises[-1]), final
    if last_sure.size:
        first = place(kept - bound, last_sure[-1])
    if not perhaps[-1]:
        could = np.flatnonzero(perhaps)
        final = place(kept + bound, could[-1]) if could.size else noises[0]
    return float(first), float(final)
