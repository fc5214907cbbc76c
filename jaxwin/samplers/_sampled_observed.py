"""Data seen through the Gaussian channel, and a sampler as the way back."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import is_concrete
from jaxwin._numerics import as_float
from jaxwin._typing import Key, Point, ScalarLike, TimesLike
from jaxwin.channels import AbstractSimulated, Gaussian, LabelledData
from jaxwin.processes import AbstractProcess, log_snr_uniform
from jaxwin.samplers._base import AbstractStep, check_on_clock
from jaxwin.samplers._drive import sample
from jaxwin.samplers._move import denoised
from jaxwin.scores import AbstractScore
from jaxwin.targets import AbstractLabelledTarget

# Where the steps of a grid begin in log-SNR if its first time has no signal at all.
NO_SIGNAL = -20.0

Classify = Callable[[Point], Float[Array, " c"]]
Grid = Callable[[ScalarLike], Float[Array, " t"]]


class LogSNRGrid(eqx.Module):
    """Equal steps in log-SNR from any noise down to one clean end: `grid(noise)`.

    The noise may be known only at run time. From one at the end or below it the times
    stand still: all of them are the noise. From no signal at all (a log-SNR of minus
    infinity) the steps are those from a log-SNR of -20, and the first is longer.

    Args:
        process: The clock, that of the score.
        end: Where runs end, a time of finite log-SNR.
        steps: Number of steps, >= 1.

    Raises:
        ValueError: An end off the clock or without noise, `steps` < 1; when called, a
            noise off the clock.
    """

    process: AbstractProcess
    end: Float[Array, ""] = eqx.field(converter=as_float)
    steps: int = eqx.field(static=True, default=64)

    def __check_init__(self):
        check_on_clock(self.process, self.end, "end")
        if self.steps < 1:
            raise ValueError(f"`steps` is {self.steps}; it must be at least 1.")
        if not is_concrete(self.process, self.end):
            return
        with jax.ensure_compile_time_eval():
            log_snr = np.asarray(self.process.log_snr(self.end))
        if not np.isfinite(log_snr):
            raise ValueError(
                f"`end` is {self.end:g}, where the log-SNR is infinite; take a little "
                f"noise, such as a log-SNR of 12."
            )

    def __call__(self, noise: ScalarLike) -> Float[Array, " t"]:
        """Decreasing times, steps + 1 of them, the first one `noise`."""
        check_on_clock(self.process, noise, "noise")
        first = as_float(noise)
        if not _holds(first > self.end.astype(first.dtype)):
            return jnp.full(self.steps + 1, first)
        some = jnp.isfinite(self.process.log_snr(first))
        faint = jnp.asarray(self.process.time(NO_SIGNAL), first.dtype)
        start = jnp.where(some, first, faint)
        times = log_snr_uniform(self.process, start, self.end, self.steps)
        # Below the end, which only a trace lets through, times would rise to it.
        return jnp.minimum(times, first).at[0].set(first)


class SampledObserved(AbstractSimulated):
    """Labelled data in Gaussian noise, taken back by a sampler on any score.

        x = alpha(t) x0 + sigma(t) z,    x0' = the end of `step` along `grid(t)`.

    Of a learned score there is no posterior to draw from: U-turns and clones are
    simulated, with the error of the score and of the scheme. `noise` is the time of the
    score's process. The point x0' is that at the last time of the grid, which still has
    the noise of that time, or with `denoise` the posterior mean there. An observation
    at the grid's end or below it stays where it is (or is only denoised).

    Where the score is exact, stochastic steps have the limit p(x0 | x), the confusion
    and clones of `Observed(law, Gaussian(process))`. Deterministic ones do not: they
    follow the probability flow, which maps each observation to one end.

    Labels of points are by default those of the law of `data`: without noise where x0'
    is denoised, else at the noise of the grid's end, so that exact transitions from
    above it reproduce exact label flows, however noisy the end. What is observed with
    less noise than that is then taken for less sure than it is.

    Args:
        step: How to move from one time to the next.
        score: The score, which knows its process.
        grid: `grid(noise)`, decreasing times that begin at the noise, of one length and
            also for a noise known only at run time; `LogSNRGrid` is one. Times that do
            not decrease from first to last leave the observation where it is.
        classify: `classify(x)`, class probabilities of a clean point. A callable
            pytree: `eqx.Partial(network, parameters)`. Left out, see above; needs
            labelled `data` with a law, and unless denoised a grid with an `end`.
        data: Clean labelled points; the law of an exact score if left out.
        denoise: Whether x0' is the posterior mean at the end, one more evaluation.

    Raises:
        ValueError: No `data` and a score without a labelled law, no `classify` where
            there is no label posterior, a grid on another clock than the score's.

    References:
        Song et al. (2021), arXiv:2011.13456, section 4.3 (SDE and flow share marginals,
        not joint laws); Li, Karan & Chen, arXiv:2502.00921, section 2 (U-turns).
    """

    step: AbstractStep
    score: AbstractScore
    grid: Grid
    classify: Classify | None
    data: LabelledData | None
    denoise: bool = eqx.field(static=True)

    def __init__(
        self,
        step: AbstractStep,
        score: AbstractScore,
        grid: Grid,
        classify: Classify | None = None,
        *,
        data: LabelledData | None = None,
        denoise: bool = False,
    ):
        self.step, self.score, self.grid = step, score, grid
        self.classify, self.data, self.denoise = classify, data, denoise

    def __check_init__(self):
        known = isinstance(self._source, AbstractLabelledTarget)
        if self.data is None and not known:
            raise ValueError(
                "`data` is left out, and `score` has no law with labels; give clean "
                "labelled points, anything with `sample_labelled` and "
                "`log_label_prior`, such as `targets.Empirical(points, labels)`."
            )
        if self.classify is None and not known:
            raise ValueError(
                f"`classify` is left out, and `data` is a {type(self.data).__name__} "
                f"without label posteriors; give class probabilities `classify(x)`."
            )
        if self.classify is None and not (self.denoise or hasattr(self.grid, "end")):
            raise ValueError(
                "`classify` is left out, and `grid` has no `end` at whose noise to "
                "take label posteriors; give class probabilities `classify(x)`, set "
                "`denoise=True`, or take `LogSNRGrid`."
            )
        if isinstance(self.grid, LogSNRGrid):
            clocks = self.grid.process, self.score.process
            if is_concrete(clocks) and not eqx.tree_equal(*clocks):
                raise ValueError(
                    f"`grid` is of a {type(clocks[0]).__name__} and `score` of a "
                    f"{type(clocks[1]).__name__}, or of other parameters; give both "
                    f"one process."
                )

    def start(self, key: Key) -> tuple[Point, Int[Array, ""]]:
        """A clean point of the data and its label."""
        return self._source.sample_labelled(key)

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels of the data."""
        return self._source.log_label_prior()

    def observe(self, key: Key, x0: Point, noise: ScalarLike) -> Point:
        """One noised point; one key shares its Gaussians at all noises."""
        return self._channel.corrupt(key, x0, noise)

    def resample(self, key: Key, observation: Point, noise: ScalarLike) -> Point:
        """The end of a run from the observation, with the noise of `key`.

        Raises:
            ValueError: A grid that does not begin at the noise, times as in `sample`
                (most steps do not begin at alpha = 0).
            FloatingPointError: The run diverged. Under a trace all this is a point of
                NaN; `execution.run` raises there.
        """
        x, times = as_float(observation), as_float(self.grid(noise))
        # Negated: times of NaN must run, into NaN, and not stand still.
        moves = ~(times[-1] >= times[0])
        x = _begun(x, times, as_float(noise))
        run = lambda: sample(self.step, self.score, x, times, key)
        end = _either(moves, run, lambda: x)
        if not self.denoise:
            return end
        last = jnp.where(moves, times[-1], times[0])
        alpha, sigma = self.score.levels(end, last)
        mean = lambda: denoised(self.score, end, last)
        return _either(sigma > 0, mean, lambda: end / alpha)

    def label_probabilities(self, x0: Point) -> Float[Array, " c"]:
        """Class probabilities of a clean point, or of one at the end of a run."""
        if self.classify is not None:
            return self.classify(x0)
        end, levels = getattr(self.grid, "end", None), (1.0, 0.0)
        if not self.denoise and end is not None:
            levels = self.score.levels(x0, end)
        return jnp.exp(self._source.label_log_posterior(x0, *levels))

    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """Minus the log-SNR."""
        return self._channel.coordinate(noise)

    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """Time of the process at a log-SNR of minus `coordinate`."""
        return self._channel.noise_at(coordinate)

    @property
    def _source(self) -> Any:
        """The data, which a score with a law need not be given."""
        given = self.data is not None
        return self.data if given else getattr(self.score, "target", None)

    @property
    def _channel(self) -> Gaussian:
        return Gaussian(self.score.process)


def _begun(
    x: Point, times: Float[Array, " t"], noise: Float[Array, ""]
) -> Float[Array, " d"]:
    """The observation, if the grid begins at its noise; NaN if seen only at run time.

    A grid of fixed times would take it for a point at another noise.
    """
    first, noise = times[0], noise.astype(times.dtype)
    slack = 8 * jnp.finfo(times.dtype).eps * jnp.maximum(jnp.abs(noise), 1)
    good = (first == noise) | (jnp.abs(first - noise) <= slack)
    if not is_concrete(good):
        return jnp.where(good, x, jnp.nan)
    if not bool(good):
        raise ValueError(
            f"`grid` begins at {first:g} for the noise {noise:g}; it must begin at the "
            f"noise that it is given: `LogSNRGrid` does."
        )
    return x


def _holds(flag: Array) -> bool:
    """Whether something is true, or cannot be looked at."""
    return not is_concrete(flag) or bool(flag)


def _either(
    flag: Array, yes: Callable[[], Point], no: Callable[[], Point]
) -> Float[Array, " d"]:
    """One of two, of which only the one that is wanted is computed."""
    if is_concrete(flag):
        return yes() if bool(flag) else no()
    return jax.lax.cond(flag, yes, no)
