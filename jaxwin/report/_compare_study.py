"""What a comparison says: numbers, figures, table and page."""

from typing import Any

import numpy as np

from jaxwin.io import to_json
from jaxwin.report._compare_figures import compare_figures
from jaxwin.report._compare_findings import deviating, sentences, worst
from jaxwin.report._compare_memory import memory
from jaxwin.report._compare_page import compare_page
from jaxwin.report._compare_result import Comparison
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report._train import told_errors
from jaxwin.report._train_source import Source


def compare_study(found: Comparison, source: Source, unseen: Any) -> Study:
    """All that a command saves and prints; `unseen` points are drawn beside samples."""
    figures = compare_figures(found, source.split, unseen)
    curves = [
        one.stderr.max()
        for pair in (found.agreement, found.survival)
        if pair is not None
        for one in (pair.model, pair.exact)
    ]
    return Study(
        command="compare",
        title=f"{found.model_name} on {found.name}",
        results=found,
        summary=_summary(found, source),
        figures=figures,
        table=_table(found),
        largest_error=float(max(curves, default=0.0)),
        count=0 if found.agreement is None else found.agreement.model.count,
        page=compare_page(found, figures),
    )


def _summary(found: Comparison, source: Source) -> dict[str, Any]:
    """Documented keys of `summary.json`.

    source: "law" or "data"; `digest` of it. n: training points, null for a law; held
    out ones. num_points: n of the collapse. bandwidth: of the kernel density that
    stands for the population of data. accuracy: of the classifier that tells classes.
    findings: in words. deviates: by observable, whether it differs from the optimum's
    beyond errors; those that were not measured are missing, and `skipped` says why.
    worst: the log-SNR and OU time at which the model is furthest away, with the nats
    that a unit of log-SNR costs there and its error relative to the optimum's loss.
    memory: of data, where copying would show most; see `verdict`. errors: curves as
    `jaxwin train` has them. times: `collapse`, `speciation`, each class, `first
    symmetry breaking`; {model, exact, difference, stderr, low, high, agrees}; of data
    `exact` is the kernel density.
    agreement: `phi` of both along `noise`. certificates: of a law, by class, bounds on
    the total variation of U-turns from the error of the score, the deviation of the
    survival that was measured, and the times between which the class is half forgotten
    for sure, null where nothing is. spectra: mean relative difference of leading
    eigenvalues along `log_snr`. samples: class shares with what is expected, energy
    distance, and `quality`. late_start: the table.
    """
    split = source.split
    curve = found.agreement
    known = memory(found)
    samples, spectra = found.samples, found.spectra
    return {
        "name": found.name,
        "model": found.model_name,
        "source": "law" if split is None else "data",
        "digest": source.digest,
        "n": None if split is None else len(split.train),
        "held_out": None if split is None else len(split.held_out),
        "d": source.dimension,
        "classes": list(found.classes),
        "num_points": found.num_points,
        "bandwidth": found.bandwidth,
        "accuracy": found.accuracy,
        "findings": sentences(found),
        "deviates": deviating(found),
        "skipped": found.skipped,
        "worst": vars(worst(found)),
        "memory": None if known is None else vars(known),
        "errors": {name: told_errors(one) for name, one in found.errors.items()},
        "times": {pair.name: pair.to_json() for pair in found.times},
        "agreement": None
        if curve is None
        else {
            "noise": curve.exact.noise.tolist(),
            "model": curve.model.phi.tolist(),
            "model_stderr": curve.model.stderr.tolist(),
            "exact": curve.exact.phi.tolist(),
            "exact_stderr": curve.exact.stderr.tolist(),
        },
        "certificates": None
        if found.certificates is None
        else found.certificates.to_json(),
        "spectra": {
            "log_snr": spectra.log_snr.tolist(),
            "relative": spectra.relative.tolist(),
            "relative_stderr": spectra.relative_stderr.tolist(),
        },
        "samples": {
            "energy": float(samples.energy),
            "energy_stderr": float(samples.energy_stderr),
            "share": samples.share.tolist(),
            "share_stderr": samples.share_stderr.tolist(),
            "expected": samples.expected.tolist(),
            "quality": None if samples.quality is None else to_json(samples.quality),
        },
        "late_start": None if found.late_start is None else found.late_start.to_json(),
    }


def _table(found: Comparison) -> Any:
    table = plain_table(
        f"{found.model_name} on {found.name}",
        ["", "model", found.optimum, "difference", ""],
        f"OU times. {BRACKETS}",
    )
    for pair in found.times:
        cells = [
            in_brackets(float(one.time), float(one.stderr)) if one.found else "none"
            for one in (pair.model, pair.exact)
        ]
        apart = in_brackets(pair.difference, pair.stderr)
        add_row(table, pair.name, *cells, apart, "" if pair.agrees else "deviates")
    table.add_section()
    flags = deviating(found)
    for place, errors in found.errors.items():
        for i, optimum in enumerate(errors.optima):
            last = i + 1 == len(errors.optima) and place == list(found.errors)[-1]
            add_row(
                table,
                f"integrated error, {optimum}",
                in_brackets(errors.path[i, -1], errors.path_stderr[i, -1]),
                "0",
                "" if len(found.errors) == 1 else f"at {place}",
                "deviates" if last and flags["errors"] else "",
            )
    top = int(np.argmax(found.spectra.relative))
    add_row(
        table,
        f"leading eigenvalue, log-SNR {found.spectra.log_snr[top]:.2g}",
        in_brackets(found.spectra.model[top, :, 0].mean(), 0.0),
        in_brackets(found.spectra.exact[top, :, 0].mean(), 0.0),
        f"{found.spectra.relative[top]:.1%}",
        "deviates" if flags["spectra"] else "",
    )
    samples = found.samples
    add_row(
        table,
        "energy distance of samples",
        in_brackets(float(samples.energy), float(samples.energy_stderr)),
        "0",
        "",
        "deviates" if flags["samples"] else "",
    )
    if "classes" in flags:
        which, errors = samples.furthest
        add_row(
            table,
            f"share of class {found.classes[which]}",
            in_brackets(samples.share[which], samples.share_stderr[which]),
            f"{samples.expected[which]:.3f}",
            f"{errors:.1f} errors",
            "deviates" if flags["classes"] else "",
        )
    return table
