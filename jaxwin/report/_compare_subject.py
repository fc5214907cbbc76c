"""A model, what it is compared with, and how much is measured of both."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import Key, Point
from jaxwin.channels import Gaussian, Observed
from jaxwin.learned import TrainedClassifier
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report._measuring import MOST, Measuring
from jaxwin.report._train_source import Source
from jaxwin.scores import ExactScore
from jaxwin.targets import (
    AbstractDenoiser,
    AbstractLabelledTarget,
    AbstractTarget,
    Empirical,
    FunctionDenoiser,
    likely_bandwidth,
)

# Names of the optima: of a law, and of data.
POPULATION, DATA_SET, KERNEL = "population", "data set", "kernel density"
# Log-SNRs, in units of the data, at which a model is tried before long work.
TRIED = tuple(range(-12, 13, 2))
# Log-SNR, in units of the data, at which simulated runs end.
CLEAN = 8.0
CLOCK = OrnsteinUhlenbeck()


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much each stage measures.

    points: noised ones, for errors and information. noises: of a curve. pairs, turns:
    of clones and U-turns, which take `steps` steps each. spectra: points at each of
    `levels` noises. samples: of the model. starts: for minima. classifier: steps of its
    training.
    """

    points: int
    noises: int
    pairs: int
    turns: int
    steps: int
    spectra: int
    samples: int
    starts: int
    classifier: int
    levels: int

    @classmethod
    def of(cls, options: Measuring, of_data: bool) -> "Sizes":
        """Of a full run, or of a quick one; all in proportion to the replicas.

        Networks of images are dear: fewer runs of them are simulated.
        """
        count, quick = options.count, options.quick
        runs = count // 4 if of_data else count
        steps = 16 if quick else 24
        return cls(
            points=count,
            noises=8 if quick else 12,
            pairs=max(runs, 64),
            turns=max(3 * runs // 2, 64),
            # Runs in few dimensions cost little: their error is that of sampling.
            steps=steps if of_data else 3 * steps,
            spectra=4 if quick else 8,
            # Shares of ten classes are known to a percent.
            samples=max(2 * count if of_data else count // 2, 64),
            starts=16 if quick else 32,
            classifier=300 if quick else 1500,
            levels=6 if quick else 8,
        )


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model beside the optimum.

    law: the population, or in its stead a kernel density of the training points, of
    this bandwidth. optima: by name, `law` among them. classifier: of data with labels.
    """

    model: AbstractDenoiser
    source: Source
    law: AbstractTarget
    bandwidth: float | None
    optima: Mapping[str, AbstractTarget]
    classifier: TrainedClassifier | None
    sizes: Sizes
    options: Measuring

    @property
    def labelled(self) -> AbstractLabelledTarget | None:
        """The law, where it has two labels or more."""
        law = self.law
        several = isinstance(law, AbstractLabelledTarget) and len(self.classes) > 1
        return law if several else None  # pyright: ignore[reportReturnType]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.source.classes

    @property
    def observed(self) -> Observed:
        """The law seen through noise, along OU time."""
        assert self.labelled is not None
        return Observed(self.labelled, Gaussian())

    @property
    def score(self) -> ExactScore:
        """The model's score along OU time."""
        return ExactScore(self.model, CLOCK)

    @property
    def unseen(self) -> Callable[[Key], Point]:
        """`draw(key)`, a clean point that the model was not trained on."""
        return list(self.source.draws().values())[-1]

    def unseen_data(self) -> AbstractLabelledTarget:
        """The same points with their labels."""
        split = self.source.split
        if split is not None:
            return Empirical(split.held_out, split.held_out_labels)
        assert self.labelled is not None
        return self.labelled

    def clean_end(self, before: float = np.inf) -> Float[Array, ""]:
        """OU time at which simulated runs end, below the time `before`."""
        level = CLEAN - 2 * np.log(self.source.spread)
        if np.isfinite(before):
            level = max(level, float(CLOCK.log_snr(before)) + 2)
        return jnp.asarray(CLOCK.time(level))

    def stage(
        self, name: str, key: Key, count: int, *, probabilities: bool = False
    ) -> dict[str, Any]:
        """Options of `execution.run`; `until_stderr` bears on probabilities alone."""
        found = self.options.options(name, key)
        asked = probabilities and self.options.until_stderr is not None
        found["num_replicas"] = MOST * count if asked else count
        if not asked:
            found["until_stderr"] = None
        return found


class LikeliestClass(eqx.Module):
    """The likeliest class of a clean point, as probabilities: one, and else zero."""

    classifier: Callable[[Point], Float[Array, " c"]]

    def __call__(self, x: Point) -> Float[Array, " c"]:
        """One-hot in the type of x."""
        told = self.classifier(x)
        return jax.nn.one_hot(jnp.argmax(told), told.size, dtype=x.dtype)


def optima_of(
    source: Source, seed: int
) -> tuple[AbstractTarget, float | None, dict[str, AbstractTarget]]:
    """The law to compare with, its bandwidth if it is a kernel density, and all optima.

    A data set has two: that of its training points, which is what training would lead
    to in the end, and a kernel density that tells points it has not seen best.
    """
    split = source.split
    if split is None:
        return source.law, None, {POPULATION: source.law}
    width = likely_bandwidth(split.train, seed)
    kernel = Empirical(split.train, split.labels, width)
    return kernel, width, {DATA_SET: source.law, KERNEL: kernel}


def checked_model(
    model: AbstractDenoiser | Callable[..., Any], source: Source, name: str
) -> AbstractDenoiser:
    """The model as a denoiser, after a look at its answers.

    Raises:
        BadInput: It fails, gives another shape, or is not finite where it is tried.
    """
    denoiser = model if isinstance(model, AbstractDenoiser) else FunctionDenoiser(model)
    shape = (source.dimension,)
    for level in TRIED:
        level -= 2 * np.log(source.spread)
        alpha, sigma = (jax.nn.sigmoid(jnp.asarray(s)) ** 0.5 for s in (level, -level))
        clean, noise = jr.split(jr.key(0))
        x0 = list(source.draws().values())[0](clean)
        x = alpha.astype(x0.dtype) * x0 + sigma * jr.normal(noise, shape, x0.dtype)
        try:
            found = np.asarray(_asked(denoiser, x, alpha, sigma))
        except Exception as error:
            # Whatever somebody's model raises is a mistake of theirs: one line.
            told = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
            raise BadInput(
                f"`model` {name} fails in {source.dimension} dimensions: "
                f"{told[:240]}; it must give E[x0 | x] of one point, in JAX; wrap "
                f"anything else by `jaxwin.scores.from_network`."
            ) from error
        if found.shape != shape:
            raise BadInput(
                f"`model` {name} gives shape {found.shape} for a point of shape "
                f"{shape}; it must give E[x0 | x], one number for each coordinate."
            )
        if not np.all(np.isfinite(found)):
            raise BadInput(
                f"`model` {name} is not finite at a log-SNR of {level:.3g}; it must "
                f"be, at every noise."
            )
    return denoiser


@eqx.filter_jit
def _asked(denoiser: AbstractDenoiser, x: Point, alpha: Array, sigma: Array) -> Array:
    """As every stage will ask: in a compiled program, of a block."""
    return jax.vmap(lambda x: denoiser.denoise(x, alpha, sigma))(x[None])[0]
