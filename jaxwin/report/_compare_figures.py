"""Figures of a comparison: points are the model, lines the exact optimum."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxwin.plots import Series, beside, image_grids
from jaxwin.report._compare_findings import reference
from jaxwin.report._compare_result import Comparison
from jaxwin.report._split import Split

if TYPE_CHECKING:
    import matplotlib.figure

# Classes whose survival is drawn, and eigenvalues.
MOST_DRAWN, DRAWN = 5, 2
# Smallest ratio that is drawn; information, in units of log n.
LEAST = 1e-12
LOWEST, TOP = 0.005, 2.0


def compare_figures(
    found: Comparison, split: Split | None, unseen: Any
) -> "dict[str, matplotlib.figure.Figure]":
    """By file name; those of stages that were measured.

    split: of data. unseen: points that the model has not seen, (k, d).
    """
    drawn = {
        "errors": _errors(found),
        "information": _information(found),
        "spectra": _spectra(found),
    }
    if found.agreement is not None:
        drawn["agreement"] = _agreement(found)
    if found.survival is not None:
        drawn["survival"] = _survival(found)
    if found.certificates is not None:
        drawn["certificates"] = _certificates(found)
    if split is not None and split.shape is not None:
        points = {"samples of the model": found.samples.points, "unseen data": unseen}
        drawn["samples"] = _pictures(points, split, split.shape)
    elif found.samples.points.shape[1] < 3:
        drawn["samples"] = _quantiles(found, np.asarray(unseen))
    if found.late_start is not None:
        drawn["late_start"] = _late_start(found)
    return drawn


def _kinds(found: Comparison) -> dict[str, str]:
    return {"measured": "model", "predicted": found.optimum}


def _errors(found: Comparison) -> Any:
    """log10 of E|D - D*|^2 in units of the optimum's own loss."""
    series = []
    for i, (place, one) in enumerate(found.errors.items()):
        loss = one.optimal_loss[reference(found)]
        # Of points the optimum has none at little noise: in units of the largest there.
        loss = np.maximum(loss, 1e-3 * loss.max())
        for j, optimum in enumerate(one.optima):
            some = one.error[j] > LEAST * loss
            share = one.error[j, some] / loss[some]
            bar = one.error_stderr[j, some] / one.error[j, some] / np.log(10)
            label = optimum if len(found.errors) == 1 else f"{optimum},\n{place}"
            series.append(
                Series(
                    label,
                    measured=(one.log_snr[some], np.log10(share), bar),
                    style=2 * i + j,
                )
            )
    return beside(
        series,
        "log-SNR",
        "log10 of distance² / loss of the optimum",
        kinds=False,
    )


def _information(found: Comparison) -> Any:
    known, unit = found.information, np.log(found.num_points)
    series = [
        Series(
            "model and optimum",
            measured=(
                known.model.log_snr,
                known.model.information / unit,
                known.model.stderr / unit,
            ),
            predicted=(known.exact.log_snr, known.exact.information / unit),
        )
    ]
    for i, (name, one) in enumerate(known.others.items()):
        curve = one.log_snr, one.information / unit
        if name.startswith("model"):
            bars = one.stderr / unit
            series.append(Series(name, measured=(*curve, bars), style=i + 1))
        else:
            series.append(Series(name, predicted=curve, style=i + 1))
    ends = known.exact.log_snr, known.exact.information / unit
    shown = ends[0][(ends[1] < TOP) & (ends[1] > LOWEST)]
    shown = shown if shown.size > 1 else ends[0]
    return beside(
        series,
        "log-SNR",
        f"I(x0; x) / log {found.num_points:,}",
        levels=[("collapse", 1.0)],
        xlim=(float(shown[-1]) - 1, float(shown[0]) + 1),
        ylim=(-0.05, TOP),
        kinds=_kinds(found),
    )


def _agreement(found: Comparison) -> Any:
    assert found.agreement is not None
    own, exact = found.agreement.model, found.agreement.exact
    series = Series(
        "clones",
        measured=(own.noise, own.phi, own.stderr),
        predicted=(exact.noise, exact.phi),
    )
    return beside(
        [series],
        "OU time",
        "φ, clones in one class",
        levels=[("speciation", own.level)],
        logarithmic=bool(exact.noise[-1] > 30 * exact.noise[0]),
        kinds=_kinds(found),
    )


def _survival(found: Comparison) -> Any:
    assert found.survival is not None
    own, exact = found.survival.model, found.survival.exact
    series = [
        Series(
            name,
            measured=(own.noise, own.survival[i], own.stderr[i]),
            predicted=(exact.noise, exact.survival[i]),
        )
        for i, name in enumerate(found.survival.classes[:MOST_DRAWN])
    ]
    return beside(
        series,
        "OU time",
        "share still in the class after a U-turn",
        logarithmic=bool(exact.noise[-1] > 30 * exact.noise[0]),
        kinds=_kinds(found),
    )


def _certificates(found: Comparison) -> Any:
    assert found.survival is not None
    assert found.certificates is not None
    noise, known = found.survival.exact.noise, found.certificates
    series = [
        Series(
            name,
            measured=(noise, known.deviation[i], known.stderr[i]),
            predicted=(noise, known.bound[i]),
        )
        for i, name in enumerate(found.survival.classes[:MOST_DRAWN])
    ]
    return beside(
        series,
        "OU time",
        "deviation of the survival",
        logarithmic=bool(noise[-1] > 30 * noise[0]),
        kinds={"measured": "model", "predicted": "bound"},
    )


def _spectra(found: Comparison) -> Any:
    known, series = found.spectra, []
    for i in range(min(DRAWN, known.model.shape[2])):
        own, exact = known.model[..., i], known.exact[..., i]
        bars = own.std(axis=1, ddof=1) / np.sqrt(own.shape[1])
        series.append(
            Series(
                f"eigenvalue {i + 1}",
                measured=(known.log_snr, own.mean(axis=1), bars),
                predicted=(known.log_snr, exact.mean(axis=1)),
            )
        )
    return beside(series, "log-SNR", "eigenvalue of 1 + σ² J", kinds=_kinds(found))


def _pictures(
    points: Mapping[str, np.ndarray], split: Split, shape: tuple[int, ...]
) -> Any:
    """Points as they came, not in units of the training: those are grey."""
    return image_grids({k: split.pictures(some) for k, some in points.items()}, shape)


def _quantiles(found: Comparison, unseen: Float[np.ndarray, "k d"]) -> Any:
    """Shares of samples below each height, against those of unseen points."""
    series = []
    for i in range(unseen.shape[1]):
        own, exact = (np.sort(a[:, i]) for a in (found.samples.points, unseen))
        shares = np.linspace(0.02, 0.98, 25)
        own, exact = np.quantile(own, shares), np.quantile(exact, shares)
        label = f"coordinate {i + 1}"
        series.append(
            Series(
                label,
                measured=(own, shares, np.zeros_like(shares)),
                predicted=(exact, shares),
            )
        )
    return beside(series, "data units", "share of samples below", kinds=_kinds(found))


def _late_start(found: Comparison) -> Any:
    """Fréchet distance over the start: Gaussian as points, plain as lines."""
    assert found.late_start is not None
    chosen = [row for row in found.late_start.rows.values() if row.num_steps == 5]
    chosen = chosen or list(found.late_start.rows.values())[:3]
    series = []
    for row in chosen:
        plain, gaussian = row.sweeps
        curves = [one.measured("frechet") for one in row.sweeps]
        series.append(
            Series(
                f"{row.sampler}, {row.num_steps} steps",
                measured=(gaussian.start, np.log10(curves[1].value), _bars(curves[1])),
                predicted=(plain.start, np.log10(curves[0].value)),
            )
        )
    return beside(
        series,
        "start, DDPM index",
        "log10 of the Fréchet distance of features",
        kinds={"measured": "Gaussian start", "predicted": "plain start"},
    )


def _bars(curve: Any) -> Float[np.ndarray, " s"]:
    return curve.stderr / curve.value / np.log(10)
