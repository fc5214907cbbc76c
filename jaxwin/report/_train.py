"""Train a network on a law or a data set, and say how good it is level by level."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin.analysis import comparison
from jaxwin.datasets import Data
from jaxwin.io import field
from jaxwin.learned import (
    AbstractLevels,
    EvenLogSNR,
    EvenTime,
    LogNormal,
    NetworkDenoiser,
    Trained,
    Watch,
    save,
    train,
)
from jaxwin.plots import Series, beside, image_grids
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._symmetry_clock import clock_named
from jaxwin.report._table import add_row, in_brackets, plain_table
from jaxwin.report._train_source import Source, configured
from jaxwin.targets import AbstractTarget

# Log-SNRs at which losses are told, about minus the log of the data's variance: from
# hidden to where samples end.
REACH, LEVELS = 8.0, 33
CLEAREST = -2 * math.log(comparison.TO)
# Noised points for the errors; each costs a pass of the exact optimum too.
POINTS = 2048
# Looks at the errors along training, at steps that double, and their noised points.
LOOKS, LOOKED = 6, 512
# Samples that are kept, for the figure and for whoever reads the results.
SAMPLES = 256


class Training(eqx.Module):
    """How a network was trained: its loss along the run, and where in noise it is.

    errors: by where the clean points came from. along: E|D - D*|^2 at the points of
    `places`, after the steps in `looks`. samples: of the network.
    """

    errors: dict[str, comparison.DenoiserErrors]
    places: tuple[str, ...] = eqx.field(static=True)
    looks: np.ndarray = field(("look",), "steps")
    along: Float[np.ndarray, "p l t"] = field(("place", "look", "noise"), "variance")
    along_stderr: Float[np.ndarray, "p l t"] = field(
        ("place", "look", "noise"), "variance"
    )
    step: np.ndarray = field(("chunk",), "steps")
    loss: Float[np.ndarray, " c"] = field(("chunk",), "")
    loss_stderr: Float[np.ndarray, " c"] = field(("chunk",), "")
    samples: Float[np.ndarray, "m d"] = field(("sample", "coordinate"), "data units")


class TrainedStudy(NamedTuple):
    """A trained network, what it was trained on, and what is told of it."""

    trained: Trained
    source: Source
    study: Study


def train_of(
    source: AbstractTarget | Data,
    *,
    name: str = "law",
    network: str | None = None,
    width: int | None = None,
    depth: int | None = None,
    conditional: bool = False,
    bfloat16: bool = False,
    steps: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    levels: str = "lognormal",
    clock: str | None = None,
    weighting: str = "network",
    held_out: float | None = None,
    classes: Any = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
    **measuring: Any,
) -> TrainedStudy:
    """Train a denoiser, and measure its loss and its errors by noise level.

    Args:
        source: A law, of which every batch is fresh, or data, a share of which is held
            out.
        name: Of a law, for titles.
        network: "mlp", "unet" or "random_features"; a U-Net of images and an MLP else
            if left out.
        width: Of the network; see `learned.Network`.
        depth: See `width`.
        conditional: Train with labels, a tenth of the points without.
        bfloat16: Compute in bfloat16.
        steps: Of training; what takes minutes on two cores if left out.
        batch: Points a step.
        learning_rate: At its peak.
        levels: "lognormal" (EDM), "log_snr" (evenly), or "time", evenly on `clock`.
        clock: Of levels "time", as in `symmetry_of`, with a noisy end: "vp", "cosine",
            "ddpm_linear", "ddpm_cosine", "edm_sigma" or "flow_u".
        weighting: "network", "noise" or "denoised", see `learned.train`.
        held_out: Of data only, the share that is not trained on; 0.2 if left out.
        classes: Of data only, as in `diagnose`; so are the next four.
        num_points: See `classes`.
        normalize: See `classes`.
        pca: See `classes`.
        shape: See `classes`.
        measuring: Fields of `Measuring`; replicas are noised points for the errors.
            `folder` holds the checkpoint of the training, from which `resume` goes on.

    Raises:
        BadInput: What cannot be trained; one line that says what to do.
        FloatingPointError: The loss became NaN again and again.
    """
    asked: dict[str, Any] = {"full": POINTS, **measuring}
    options = Measuring(**asked)
    chosen, sizes, how = configured(
        source,
        name=name,
        seed=options.seed,
        quick=options.quick,
        network=network,
        width=width,
        depth=depth,
        conditional=conditional,
        bfloat16=bfloat16,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        held_out=held_out,
        classes=classes,
        num_points=num_points,
        normalize=normalize,
        pca=pca,
        shape=shape,
    )
    split = chosen.split
    drawn = _levels(levels, clock, chosen.spread)
    options.begin()
    watch = Watch(
        [max(how.num_steps >> i, 1) for i in range(LOOKS)],
        lambda step, denoiser: _look(step, denoiser, chosen, options),
    )
    trained = train(
        chosen.law if split is None else split.train,
        sizes,
        how,
        labels=None if split is None or not conditional else split.labels,
        levels=drawn,
        weighting=weighting,  # pyright: ignore[reportArgumentType]  # checked there
        folder=None if options.folder is None else _checkpoint(options.folder),
        resume=options.resume,
        progress=None if options.stage is None else options.stage("training"),
        watch=watch,
    )
    trained = trained._replace(origin=chosen.origin)
    result = _measured(trained, chosen, options, watch)
    return TrainedStudy(trained, chosen, _study(trained, chosen, result))


def _checkpoint(folder: Any) -> Path:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    return place / "training"


def _levels(levels: str, clock: str | None, spread: float) -> AbstractLevels:
    check_one_of(levels, ("lognormal", "log_snr", "time"), "levels")
    if (clock is not None) != (levels == "time"):
        raise BadInput(
            f"`levels` is {levels!r} and `clock` {clock!r}; a clock goes with levels "
            f"'time': give both, or neither."
        )
    if levels == "lognormal":
        # More noise than EDM's: classes are decided there.
        return LogNormal(0.0)
    if levels == "log_snr":
        middle = -2 * np.log(spread)
        return EvenLogSNR(float(middle - REACH), float(middle + REACH))
    return EvenTime(clock_named(str(clock)))


def log_snrs(spread: float, count: int = LEVELS) -> Float[np.ndarray, " t"]:
    """Log-SNRs from where data of this spread are hidden to where samples end."""
    return np.linspace(-REACH, CLEAREST, count) - 2 * np.log(spread)


def _look(
    step: int, denoiser: NetworkDenoiser, source: Source, options: Measuring
) -> dict[str, Any]:
    """Errors at one step, at the same points at every step."""
    found = {
        name: comparison.denoiser_errors(
            denoiser.in_float32(),
            {"optimum": source.law},
            log_snrs(source.spread),
            draw=draw,
            num_replicas=LOOKED,
            block_size=256,
            key=jr.fold_in(options.keys(3)[2], i),
        )
        for i, (name, draw) in enumerate(source.draws().items())
    }
    return {
        "step": step,
        "error": [one.error[0].tolist() for one in found.values()],
        "stderr": [one.error_stderr[0].tolist() for one in found.values()],
    }


def _measured(
    trained: Trained, source: Source, options: Measuring, watch: Watch
) -> Training:
    errors_key, sample_key = options.keys(2)
    errors = {
        name: comparison.denoiser_errors(
            trained.denoiser.in_float32(),
            {"population" if source.split is None else "data set": source.law},
            log_snrs(source.spread),
            draw=draw,
            of=source.own_optimum(name),
            # Networks are the faster, the larger the block.
            block_size=256,
            **options.options(f"errors {name}", jr.fold_in(errors_key, i)),
        )
        for i, (name, draw) in enumerate(source.draws().items())
    }
    samples = comparison.generate(
        trained.denoiser.in_float32(),
        SAMPLES,
        sample_key,
        mean=jnp.asarray(trained.denoiser.mean, float),
        spread=source.spread,
    )
    looked = lambda key: np.moveaxis(np.array([one[key] for one in watch.found]), 0, 1)
    return Training(
        places=tuple(errors),
        looks=np.array([one["step"] for one in watch.found]),
        along=looked("error"),
        along_stderr=looked("stderr"),
        step=trained.step,
        loss=trained.loss,
        loss_stderr=trained.loss_stderr,
        errors=errors,
        samples=np.asarray(samples, np.float64),
    )


def _study(trained: Trained, source: Source, result: Training) -> Study:
    errors = result.errors
    return Study(
        command="train",
        title=source.name,
        results=result,
        summary=_summary(trained, source, result),
        figures=_figures(trained, source, result),
        table=_table(source, errors),
        attachments={"network": lambda place: save(trained, place)},
    )


def _summary(trained: Trained, source: Source, result: Training) -> dict[str, Any]:
    """Documented keys of `summary.json`.

    source: "law" or "data"; `digest` of it. Of data, seed and share of the cut, and
    the selection. n, held_out: points trained on and not; null for a law. network,
    training: the configurations. parameters: how many. loss: of the last chunk.
    failures: chunks undone since the loss was not finite. errors: by where the clean
    points came from, along `log_snr`: `loss` E|x0 - D|^2, `optimum` the same of the
    optimal denoiser, `error` E|D - D*|^2, each with its stderr, and `path`, int (1/2)
    error d snr: at points of the optimum's own law the KL divergence of backward paths,
    in nats. along: `error` after each `step` of training, along the same log-SNRs.
    """
    split = source.split
    return {
        **source.origin,
        "n": None if split is None else len(split.train),
        "held_out": None if split is None else len(split.held_out),
        "d": source.dimension,
        "classes": list(source.classes),
        "normalization": None if split is None else split.normalization,
        "network": dataclasses.asdict(trained.network),
        "training": dataclasses.asdict(trained.training),
        "parameters": trained.parameters,
        "loss": {
            "value": float(trained.loss[-1]),
            "stderr": float(trained.loss_stderr[-1]),
        },
        "failures": trained.failures,
        "errors": {name: told_errors(one) for name, one in result.errors.items()},
        "along": {
            "step": result.looks.tolist(),
            **{
                name: {
                    "error": result.along[i].tolist(),
                    "error_stderr": result.along_stderr[i].tolist(),
                }
                for i, name in enumerate(result.places)
            },
        },
    }


def told_errors(errors: comparison.DenoiserErrors) -> dict[str, Any]:
    """Curves of errors for `summary.json`."""
    curves: dict[str, Any] = {
        "log_snr": errors.log_snr.tolist(),
        "noise": errors.noise.tolist(),
        "loss": errors.loss.tolist(),
        "loss_stderr": errors.loss_stderr.tolist(),
    }
    for i, optimum in enumerate(errors.optima):
        curves[optimum] = {
            "optimum": errors.optimal_loss[i].tolist(),
            "error": errors.error[i].tolist(),
            "error_stderr": errors.error_stderr[i].tolist(),
            "path": float(errors.path[i, -1]),
            "path_stderr": float(errors.path_stderr[i, -1]),
        }
    return curves


def _figures(trained: Trained, source: Source, result: Training) -> dict[str, Any]:
    some = trained.loss > 0
    curve = trained.step[some], np.log10(trained.loss[some])
    error = trained.loss_stderr[some] / trained.loss[some] / np.log(10)
    drawn = {
        "loss": beside(
            [Series("training loss", measured=(*curve, error))],
            "step",
            "log10 of the loss",
            kinds=False,
        ),
        "loss_by_level": loss_figure(result.errors),
    }
    drawn |= {
        f"errors_along_training_{name.split()[0]}": _along(result, i)
        for i, name in enumerate(result.places)
    }
    split = source.split
    if split is not None and split.shape is not None:
        groups = {
            "samples of the network": split.pictures(result.samples),
            "held-out data": split.pictures(split.held_out),
        }
        drawn["samples"] = image_grids(groups, split.shape)
    return drawn


def loss_figure(errors: Mapping[str, comparison.DenoiserErrors]) -> Any:
    """Denoising loss by noise level, of the network and of the optimum."""
    series = []
    (optimum,) = next(iter(errors.values())).optima[:1]
    for i, (name, one) in enumerate(errors.items()):
        scale = one.loss.max()
        measured = one.log_snr, one.loss / scale, one.loss_stderr / scale
        best = one.log_snr, one.optimal_loss[0] / scale
        series.append(Series(name, measured=measured, predicted=best, style=i))
    return beside(
        series,
        "log-SNR",
        "E|x0 - D|², in units of its largest value",
        kinds={"measured": "network", "predicted": f"optimum of the {optimum}"},
    )


def _along(result: Training, place: int) -> Any:
    """Distance to the optimum by noise level, after more and more steps."""
    errors = result.errors[result.places[place]]
    best = np.maximum(errors.optimal_loss[0], np.finfo(np.float32).tiny)
    # Of data the optimum has no loss at little noise: in units of the variance there.
    scale = np.maximum(best, 1e-3 * best.max())
    series = []
    for look in range(0, result.looks.size, 2):
        value = np.maximum(result.along[place, look], 1e-12 * scale)
        error = result.along_stderr[place, look] / value / np.log(10)
        measured = errors.log_snr, np.log10(value / scale), error
        series.append(Series(f"{result.looks[look]:,} steps", measured=measured))
    return beside(
        series,
        f"log-SNR, at points of {result.places[place]}",
        "log10 of E|D - D*|² / loss of D*",
        kinds=False,
    )


def _table(source: Source, errors: Mapping[str, comparison.DenoiserErrors]) -> Any:
    table = plain_table(
        f"{source.name}: losses by noise level",
        ["points of", "log-SNR", "loss", "optimum", "error"],
        "Loss E|x0 - D|², optimum the same of the exact denoiser, error E|D - D*|².",
    )
    for name, one in errors.items():
        for i in range(0, one.log_snr.size, one.log_snr.size // 4):
            add_row(
                table,
                name,
                f"{one.log_snr[i]:.2f}",
                in_brackets(one.loss[i], one.loss_stderr[i]),
                in_brackets(one.optimal_loss[0, i], one.optimal_loss_stderr[0, i]),
                in_brackets(one.error[0, i], one.error_stderr[0, i]),
            )
        table.add_section()
    return table
