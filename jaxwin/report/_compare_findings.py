"""What a comparison says, in plain sentences, and in which observables it deviates."""

import dataclasses

import numpy as np

from jaxwin.analysis import comparison
from jaxwin.report._compare_memory import memory, unlike
from jaxwin.report._compare_result import Comparison
from jaxwin.report._compare_times import ERRORS, TimePair
from jaxwin.report._words import listed, with_error

# From here on something deviates: nats of paths, share of eigenvalues.
NATS, SPECTRUM = 0.01, 0.05
# Share of its largest loss from which on an optimum has any.
NONE = 1e-9
# Errors by which one of two models is told to be the better one.
JUDGED = 2
# OU time by which classes are forgotten earlier or later on average.
SHIFT = 0.02
# Classes whose certified times are told in words.
MOST_TOLD = 3
# A classifier below this accuracy does not tell classes of samples well.
ACCURATE = 0.97


@dataclasses.dataclass(frozen=True)
class Worst:
    """The noise at which a unit of log-SNR costs the most nats.

    relative: the excess in units of the optimum's own loss; None where that has none.
    """

    log_snr: float
    noise: float
    rate: float
    relative: float | None


def reference(found: Comparison) -> int:
    """Which optimum is the population, or stands for it: the last one."""
    return len(next(iter(found.errors.values())).optima) - 1


def worst(found: Comparison) -> Worst:
    """Where the model is furthest from the optimum, at points it has not seen."""
    errors = list(found.errors.values())[-1]
    error = errors.error[reference(found)]
    rate = 0.5 * np.exp(errors.log_snr) * error
    i = int(np.argmax(rate))
    losses = errors.optimal_loss[reference(found)]
    loss = losses[i]
    return Worst(
        log_snr=float(errors.log_snr[i]),
        noise=float(errors.noise[i]),
        rate=float(rate[i]),
        relative=float(error[i] / loss) if loss > NONE * losses.max() else None,
    )


def deviating(found: Comparison) -> dict[str, bool]:
    """Which observables differ from the optimum's by more than their errors."""
    errors = list(found.errors.values())[-1]
    path = errors.path[reference(found), -1]
    path_error = errors.path_stderr[reference(found), -1]
    samples = found.samples
    known = memory(found)
    if known is not None:
        # The kernel density only stands for the population: to be below it is good.
        path, path_error = -known.better, known.better_stderr
    told = {
        "errors": bool(path > max(NATS, 3 * path_error)),
        "information": not found.information.collapse.agrees,
        "spectra": bool(np.max(_surely(found)) > SPECTRUM),
        "samples": bool(samples.energy > ERRORS * samples.energy_stderr)
        or (samples.quality is not None and unlike(samples.quality)),
    }
    if samples.share.size > 1:
        told["classes"] = samples.furthest[1] > ERRORS
    if found.agreement is not None:
        told["agreement"] = not found.agreement.speciation.agrees
    if found.survival is not None:
        away, error = found.survival.shift
        each = all(pair.agrees for pair in found.survival.middle)
        told["survival"] = not each or abs(away) > max(ERRORS * error, SHIFT)
    if found.fixed_points is not None:
        told["fixed_points"] = not found.fixed_points.agrees
    return told


def _surely(found: Comparison) -> np.ndarray:
    """Relative errors of leading eigenvalues, less twice their own error."""
    spectra = found.spectra
    return spectra.relative - 2 * spectra.relative_stderr


def sentences(found: Comparison) -> list[str]:
    """The findings, most important first, as plain text."""
    told = [_errors(found), _memory(found), _times(found), _certificates(found)]
    told += [_fixed(found)]
    told += [_samples(found), _late_start(found), _classifier(found)]
    return [sentence for sentence in told if sentence]


def _errors(found: Comparison) -> str:
    errors, of = list(found.errors.values())[-1], reference(found)
    path = errors.path[of, -1]
    optimum = errors.optima[of]
    if path < 1e-6:
        return f"The model is the {optimum} denoiser, to rounding, at every noise."
    at, stderr = worst(found), errors.path_stderr[of, -1]
    bound, bounds = np.sqrt((path + 2 * stderr) / 2), ""
    if errors.of == optimum and bound < 1:
        bounds = (
            f", which bounds the total variation between what they end in by "
            f"{bound:.2g} (time grids are not part of it)"
        )
    nats = f"{with_error(path, stderr)} nats"
    integrated = (
        f"its backward paths (reverse SDE) are {nats} away{bounds}"
        if errors.of == optimum
        else f"half of its squared error, integrated over the SNR, is {nats}"
    )
    share = (
        f"has no loss of its own and that of the model is "
        f"{2 * at.rate * np.exp(-at.log_snr):.2g}"
        if at.relative is None
        else f"has a loss of which its squared error is {100 * at.relative:.2g} %"
    )
    edge = ", the least that was measured" if at.log_snr == errors.log_snr[0] else ""
    span = f"{errors.log_snr[-1]:.3g} to {errors.log_snr[0]:.3g}"
    return (
        f"The model deviates most from the {optimum}, in nats a unit of log-SNR, at "
        f"log-SNR {at.log_snr:.2g} (OU time {at.noise:.3g}{edge}), where the "
        f"{optimum} {share}; over log-SNRs from {span} {integrated}. At less noise "
        f"than that nothing is said."
    )


def _memory(found: Comparison) -> str:
    known = memory(found)
    if known is None:
        return ""
    copies = (
        ""
        if known.copied is None
        else f" {known.copied:.1%} of its samples are as near to a training point as "
        f"1 % of unseen data are."
    )
    below = "below" if known.better > 0 else "above"
    better = with_error(abs(known.better), known.better_stderr)
    judged = (
        "it is the better model of the data"
        if known.better > JUDGED * known.better_stderr
        else "it is the worse model of the data"
        if known.better < -JUDGED * known.better_stderr
        else f"the two are equally good within {JUDGED} errors"
    )
    return (
        f"It {known.verdict}: at log-SNR {known.log_snr:.2g}, where that shows most, "
        f"it is {known.share:.0%} of the way from the kernel density to the optimum of "
        f"its training points, which copies; its loss at held-out points is "
        f"{known.gap:.1%} above that at training points.{copies} At held-out "
        f"points its losses are {below} those of the kernel density by {better} nats "
        f"in all: {judged}."
    )


def _times(found: Comparison) -> str:
    pairs = found.times
    said = lambda pair: _said(pair, found.optimum)
    same = [said(pair) for pair in pairs if pair.agrees]
    other = [said(pair) for pair in pairs if not pair.agrees]
    parts = []
    if same:
        parts.append(
            f"These times agree within {ERRORS:g} standard errors or 1 %, all pairs at "
            f"once: {listed(same)}."
        )
    if other:
        parts.append(f"These do not: {listed(other)}.")
    if found.survival is not None and len(found.survival.classes) > 1:
        away, error = found.survival.shift
        parts.append(
            f"On average over the classes the model's U-turns forget them "
            f"{with_error(abs(away), error)} of OU time "
            f"{'earlier (at less noise)' if away < 0 else 'later (at more noise)'}."
        )
    return " ".join(parts)


def _said(pair: TimePair, optimum: str) -> str:
    if not pair.both:
        which = lambda one: "there" if bool(one.found) else "not reached"
        if not (bool(pair.model.found) or bool(pair.exact.found)):
            return f"{pair.name} (not reached by either)"
        return f"{pair.name} (model {which(pair.model)}, {optimum} {which(pair.exact)})"
    return (
        f"{pair.name} ({with_error(float(pair.model.time), float(pair.model.stderr))}, "
        f"{optimum} {with_error(float(pair.exact.time), float(pair.exact.stderr))})"
    )


def _certificates(found: Comparison) -> str:
    known = found.certificates
    if known is None:
        return ""
    spans = [
        f"class {name} between {early:.3g} and {late:.3g}"
        for name, early, late in zip(
            known.of_class, known.earliest, known.latest, strict=True
        )
        if early > 0 and np.isfinite(late)
    ]
    if not spans:
        return (
            "The error of its score alone does not say when its classes are forgotten: "
            "the bounds that it gives are too wide."
        )
    some = spans[:MOST_TOLD]
    more = f" ({len(spans) - len(some)} more in the table)" if spans[MOST_TOLD:] else ""
    return (
        f"The error of its score alone, without a run, certifies when a class is half "
        f"forgotten: {listed(some)}{more}."
    )


def _fixed(found: Comparison) -> str:
    fixed = found.fixed_points
    if fixed is None or fixed.first is not None:
        return ""
    if fixed.model.none and fixed.exact.none:
        return "Neither breaks a symmetry: both have one fixed point at every noise."
    who = ("the optimum", "the model")
    breaks, keeps = who if fixed.model.none else who[::-1]
    return f"A symmetry that {breaks} breaks is not broken by {keeps}."


def _samples(found: Comparison) -> str:
    samples = found.samples
    flags = deviating(found)
    parts = []
    if "classes" in flags:
        which, errors = samples.furthest
        name = found.classes[which]
        share = with_error(samples.share[which], samples.share_stderr[which])
        parts.append(
            f"Its samples have wrong shares of the classes: {name} has {share} in "
            f"place of {samples.expected[which]:.3g}, {errors:.1f} errors away."
            if flags["classes"]
            else "Its samples have the right shares of the classes within errors."
        )
    if samples.quality is not None:
        parts.append(_quality(samples.quality))
    distance = with_error(float(samples.energy), float(samples.energy_stderr))
    beyond = samples.energy > ERRORS * samples.energy_stderr
    verdict = "differs" if beyond else "does not differ"
    parts.append(
        f"The law of its samples {verdict} from that of unseen points beyond errors "
        f"(energy distance {distance})."
    )
    return " ".join(parts)


def _quality(quality: comparison.SampleQuality) -> str:
    own, held, ratio = (
        with_error(float(value), float(error))
        for value, error in (
            (quality.entropy, quality.entropy_stderr),
            (quality.held_out_entropy, quality.held_out_entropy_stderr),
            (quality.distance_ratio, quality.distance_ratio_stderr),
        )
    )
    verdict = "unlike held-out data" if unlike(quality) else "like held-out data"
    return (
        f"By the classifier they are {verdict}: its mean entropy is {own} nats (held "
        f"out {held}), and they are {ratio} times as far from the nearest training "
        f"point as held-out data are."
    )


def _late_start(found: Comparison) -> str:
    if found.late_start is None:
        return ""
    helps, hurts, open_ = [], [], []
    for name, row in found.late_start.rows.items():
        gain = row.gain
        said = f"{name.replace('_', ' at ')} ({with_error(gain.value, gain.stderr)})"
        sure = gain.resolved and abs(gain.value - 1) > 2 * gain.stderr
        (open_ if not sure else helps if gain.value > 1 else hurts).append(said)
    parts = [
        f"it lowers the Fréchet distance of {listed(helps)}" if helps else "",
        f"it raises that of {listed(hurts)}" if hurts else "",
        f"nothing can be told of {listed(open_)}" if open_ else "",
    ]
    return (
        "A Gaussian late start, by the ratio of the best plain to the best Gaussian "
        f"one: {'; '.join(filter(None, parts))}.{_floor(found)}"
    )


def _floor(found: Comparison) -> str:
    """What data themselves have: the part of these distances that is no fault."""
    assert found.late_start is not None
    own = [
        f"{name} are at {with_error(float(one.frechet), float(one.frechet_stderr))} "
        f"({one.num_samples} at a time)"
        for name, one in found.late_start.floors.items()
    ]
    return (
        f" Data themselves are not at zero: {listed(own)}; that part of a distance is "
        f"none of the model's, and draws the ratios towards 1."
    )


def _classifier(found: Comparison) -> str:
    if found.accuracy is None:
        return ""
    warned = (
        f" That is below {ACCURATE:g}: do not trust what is said of classes."
        if found.accuracy < ACCURATE
        else ""
    )
    return (
        f"Classes of samples are told by a classifier that is right on "
        f"{found.accuracy:.1%} of the held-out points.{warned}"
    )
