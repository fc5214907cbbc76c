"""A comparison as a page that begins with what was found."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.analysis import Crossing
from jaxwin.report._compare_findings import ACCURATE, sentences
from jaxwin.report._compare_result import Comparison
from jaxwin.report._html import (
    bullets,
    document,
    escape,
    figure,
    paragraph,
    section,
    table,
)
from jaxwin.report._words import reading, with_error

if TYPE_CHECKING:
    import matplotlib.figure

# Of every section: its figure or stage, its heading, what it shows.
SECTIONS = {
    "errors": (
        "Errors by noise level",
        "Mean squared distance of the model to each optimal denoiser at noised points, "
        "in units of the loss that the optimum itself has (a thousandth of its largest "
        "where it has less). At points of the optimum's own law half of it, integrated "
        "over the SNR, is the KL divergence of the backward paths.",
    ),
    "information": (
        "Information and collapse",
        "Information about the clean point by I-MMSE, from the losses of the model and "
        "of the optimum at the same noised points. What is not optimal has the larger "
        "loss: its curve is an upper bound. Samples of n points collapse where it "
        "reaches log n. Of data neither is optimal, and the lower curve is nearer to "
        "the truth.",
    ),
    "agreement": (
        "Clone agreement",
        "Probability that two clones that part at a noise end in one class: pairs of "
        "backward runs of the model, exact soft labels of the optimum.",
    ),
    "survival": (
        "Survival of classes",
        "Share of each class that is in it again after it was noised and taken back.",
    ),
    "certificates": (
        "Certificates of the windows",
        "How far the survival of a class is from the exact one (points), and what it "
        "can be at most by the error of the score alone (lines): Pinsker's bound on "
        "the total variation of U-turns, down to the noise at which runs end. The "
        "error of their time grid is not part of it.",
    ),
    "fixed_points": (
        "Fixed points",
        "Critical times of the reverse SDE, found from the same starts by the same "
        "search. A network is symmetric but for its errors: what is a pitchfork of a "
        "law (second order) is a fold of the network (first order) close by.",
    ),
    "spectra": (
        "Jacobian spectra",
        "Leading eigenvalues of 1 + σ² J (the posterior's widths in units of the "
        "noise), J the Jacobian of the score, at the same noised points.",
    ),
    "samples": (
        "Samples",
        "Samples by 24 steps of Heun's method on the probability flow, beside points "
        "that the model has not seen.",
    ),
    "late_start": (
        "Late starts",
        "Few steps from plain starts and from Gaussians with the moments of the data, "
        "over the start. Distances are of a classifier's features; errors hold the "
        "network and the classifier fixed.",
    ),
}


def compare_page(
    found: Comparison, figures: "Mapping[str, matplotlib.figure.Figure]"
) -> str:
    """A self-contained page: opens offline, no script, light and dark."""
    title = f"{escape(found.model_name)} beside the optimum on {escape(found.name)}"
    first, *others = sentences(found)
    low = found.accuracy is not None and found.accuracy < ACCURATE
    head = "\n".join(
        [
            f"<header><h1>{title}</h1>",
            '<div class="answer">',
            paragraph(escape(first), kind="lead"),
            bullets(map(escape, others)),
            "</div>",
            paragraph(
                "<strong>The classifier is not good enough</strong> to tell classes of "
                "samples: give it more points or fewer classes.",
                kind="warning",
            )
            if low
            else "",
            "</header>",
        ]
    )
    parts = [_section(found, name, figures) for name in SECTIONS]
    return document(
        f"{title} – jaxwin compare", "\n".join([head, _times(found), *parts])
    )


def _times(found: Comparison) -> str:
    rows = [
        [
            escape(pair.name),
            _read(pair.model),
            _read(pair.exact),
            with_error(pair.difference, pair.stderr) if pair.both else "–",
            "agrees" if pair.agrees else "<strong>deviates</strong>",
        ]
        for pair in found.times
    ]
    head = ["Time", "model", found.optimum, "difference", ""]
    return section(
        "times",
        "Times side by side",
        table("OU times with one standard error", head, rows),
    )


def _read(time: Crossing) -> str:
    return reading(time.to_json())


def _section(
    found: Comparison, name: str, figures: "Mapping[str, matplotlib.figure.Figure]"
) -> str:
    title, meaning = SECTIONS[name]
    if name in found.skipped:
        return section(name, title, paragraph(escape(found.skipped[name]), kind="soft"))
    parts = []
    if name in figures:
        parts.append(figure(figures[name], name, f"{title}: {meaning}", meaning))
    else:
        parts.append(paragraph(meaning))
    if name == "fixed_points" and found.fixed_points is not None:
        lines = {
            "Model": found.fixed_points.model,
            found.optimum.capitalize(): found.fixed_points.exact,
        }
        parts.append(bullets(f"{who}: {escape(one)}" for who, one in lines.items()))
    if name == "certificates" and found.certificates is not None:
        parts.append(_certified(found))
    if name == "late_start" and found.late_start is not None:
        parts.append(_starts(found))
    return section(name, title, *parts)


def _certified(found: Comparison) -> str:
    known, survival = found.certificates, found.survival
    assert known is not None
    assert survival is not None
    rows = [
        [
            escape(pair.name),
            _read(pair.model),
            _read(pair.exact),
            f"{early:.3g}" if early > 0 else "–",
            f"{late:.3g}" if np.isfinite(late) else "–",
        ]
        for pair, early, late in zip(
            survival.middle, known.earliest, known.latest, strict=True
        )
    ]
    head = ["Half forgotten", "model", "exact", "not before", "not after"]
    return table("OU times; the last two are certified", head, rows)


def _starts(found: Comparison) -> str:
    assert found.late_start is not None
    rows = [
        [
            f"{row.sampler}, {row.num_steps}",
            str(row.evaluations),
            *(
                f"{with_error(float(one.frechet), float(one.frechet_stderr))} "
                f"(from {float(one.start):.0f})"
                for one in (row.usual, row.vanilla, row.gaussian)
            ),
            with_error(row.gain.value, row.gain.stderr),
        ]
        for row in found.late_start.rows.values()
    ]
    head = ["Sampler, steps", "evaluations", "as used", "best plain", "best Gaussian"]
    return table("Squared Fréchet distance of features", [*head, "gain"], rows, "wide")
