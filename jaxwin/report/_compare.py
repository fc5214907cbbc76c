"""A model beside the optimum: where, when and in which observable it deviates."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets import Data
from jaxwin.learned import (
    NetworkDenoiser,
    TrainedClassifier,
    Training,
    train_classifier,
)
from jaxwin.report._compare_points import MOST_DIRECTIONS
from jaxwin.report._compare_result import compared
from jaxwin.report._compare_study import compare_study
from jaxwin.report._compare_subject import (
    Sizes,
    Subject,
    checked_model,
    optima_of,
)
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._train_source import source_of
from jaxwin.targets import AbstractDenoiser, AbstractTarget

# Noised points of a full run on a law and on data, and n of the collapse of a law.
FULL, NUM_POINTS = (4096, 2048), 1000
# Unseen points that are drawn beside samples.
SHOWN = 512


def compare_of(
    model: AbstractDenoiser | Callable[..., Any],
    source: AbstractTarget | Data,
    *,
    name: str = "law",
    model_name: str = "model",
    origin: dict[str, Any] | None = None,
    held_out: float | None = None,
    classes: Any = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
    late_start: bool | None = None,
    **measuring: Any,
) -> Study:
    """Set a model beside the optimum, in every observable that both have.

    Of a law the optimum is its own denoiser. Of data there are two: that of the
    training points, to which copies lead, and a kernel density of them, which stands
    for the population. Errors by noise level, information and collapse, clone
    agreement, survival of classes, fixed points, spectra, samples and late starts: each
    through the functions that exact scores go through.

    Args:
        model: Any denoiser, such as a trained network or `scores.from_network`, or a
            function (x, alpha, sigma) -> E[x0 | x] of one point, written in JAX.
        source: The law, or the data that it was trained on.
        name: Of a law, for titles.
        model_name: For titles.
        origin: What the model was trained on, `Trained.origin`. Data are selected and
            cut in the same way, but for the options that are given. Another source than
            that of its digest is refused, if it has one.
        held_out: Of data only, as in `train_of`; so are the next five.
        classes: See `held_out`.
        num_points: See `held_out`. Of a law the n whose collapse is told, 1000 if left
            out.
        normalize: See `held_out`.
        pca: See `held_out`.
        shape: See `held_out`.
        late_start: Whether labelled data get the table of late starts; not if quick, if
            left out.
        measuring: Fields of `Measuring`; replicas are noised points for the errors, and
            everything else is in proportion.

    Raises:
        BadInput: What cannot be compared; one line that says what to do.
        FloatingPointError: The model is NaN or infinite on the way.
    """
    given: dict[str, Any] = {"full": full_of(source)}
    options = Measuring(**given | measuring)
    subject = subject_of(
        model,
        source,
        options,
        name=name,
        model_name=model_name,
        origin=origin,
        held_out=held_out,
        classes=classes,
        num_points=num_points if isinstance(source, Data) else None,
        normalize=normalize,
        pca=pca,
        shape=shape,
    )
    split = subject.source.split
    count = NUM_POINTS if num_points is None else num_points
    if split is not None:
        count = len(split.train)
    if count < 2:
        raise BadInput(f"`num_points` is {count}; a collapse needs at least 2.")
    options.begin()
    if len(subject.classes) > 1 and split is not None:
        subject = dataclasses.replace(subject, classifier=_classifier(subject))
    with_table = not options.quick if late_start is None else late_start
    found = compared(subject, model_name, count, with_table)
    if split is None:
        keys = jax.random.split(jax.random.key(options.seed), SHOWN)
        unseen = np.asarray(jax.jit(jax.vmap(subject.law.sample))(keys))
    else:
        unseen = split.held_out
    return compare_study(found, subject.source, unseen)


def check_model(
    model: AbstractDenoiser | Callable[..., Any],
    source: Data,
    *,
    name: str = "law",
    model_name: str = "model",
    late_start: bool | None = None,
    **options: Any,
) -> None:
    """Refuse what `compare_of` would refuse, before long work; options as there.

    Raises:
        BadInput: As `compare_of`.
    """
    del late_start
    fields = {field.name for field in dataclasses.fields(Measuring)}
    asked: dict[str, Any] = {"full": full_of(source)}
    asked |= {key: options.pop(key) for key in fields & options.keys()}
    measuring = Measuring(**asked)
    subject_of(model, source, measuring, name=name, model_name=model_name, **options)


def full_of(source: AbstractTarget | Data) -> int:
    """Noised points of a full run."""
    return FULL[isinstance(source, Data)]


def subject_of(
    model: AbstractDenoiser | Callable[..., Any],
    source: AbstractTarget | Data,
    options: Measuring,
    *,
    name: str,
    model_name: str,
    origin: dict[str, Any] | None = None,
    **selection: Any,
) -> Subject:
    """What is compared, checked; its classifier is still missing.

    Raises:
        BadInput: As `compare_of`.
    """
    origin = {} if origin is None else origin
    seed = options.seed
    if isinstance(source, Data):
        seed = origin.get("seed", seed)
        given = {key: value for key, value in selection.items() if value is not None}
        selection = {"held_out": origin.get("share")} | origin.get("selection", {})
        selection |= given
    chosen = source_of(source, name=name, seed=seed, **selection)
    if chosen.digest != origin.get("digest", chosen.digest):
        raise BadInput(
            f"{chosen.name} is not what {model_name} was trained on, or is split in "
            f"another way; give the same data and selection, or use jaxwin compare "
            f"--other-data."
        )
    if isinstance(model, NetworkDenoiser) and chosen.dimension > MOST_DIRECTIONS:
        # Fixed points, of which there are none here, want every digit.
        model = model.in_float32()
    law, bandwidth, optima = optima_of(chosen, options.seed)
    return Subject(
        model=checked_model(model, chosen, model_name),
        source=chosen,
        law=law,
        bandwidth=bandwidth,
        optima=optima,
        classifier=None,
        sizes=Sizes.of(options, chosen.split is not None),
        options=options,
    )


def _classifier(subject: Subject) -> TrainedClassifier:
    """Of the training points, judged by those held out."""
    split, options = subject.source.split, subject.options
    assert split is not None
    return train_classifier(
        split.train,
        split.labels,
        held_out=(split.held_out, split.held_out_labels),
        shape=split.shape,
        training=Training(
            num_steps=subject.sizes.classifier,
            batch_size=128,
            learning_rate=2e-3,
            ema=0.99,
            seed=options.seed,
        ),
        progress=None if options.stage is None else options.stage("classifier"),
    )
