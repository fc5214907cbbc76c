"""What a model does at points: fixed points, spectra, samples, late starts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key
from jaxwin.analysis import comparison, jacobian, late_start, symmetry, unstack
from jaxwin.io import field
from jaxwin.metrics import energy_distance
from jaxwin.processes import DiscreteDDPM
from jaxwin.report._compare_subject import Subject
from jaxwin.report._compare_times import TimePair
from jaxwin.report._train import REACH
from jaxwin.scores import ExactScore
from jaxwin.targets import AbstractDenoiser, AbstractLabelledTarget, AbstractTarget

# Fixed points are followed up to this dimension, and so many transitions.
MOST_DIRECTIONS, TRANSITIONS = 16, 4
EIGENVALUES = 4
# Eigenvalue below which differences are told in units of it.
LEAST_WIDTH = 0.01
# Samples between which distances are taken.
DISTANCES = 2048
# Starts of the table, DDPM indices, samples of a replicate, and replicates.
STARTS = (200, 300, 400, 500, 700, 999)
STARTED, REPLICATES, BATCH = 192, 4, 192


class FixedPoints(eqx.Module):
    """Critical times of the reverse SDE, of the model and of the optimum."""

    model: symmetry.CriticalTimes
    exact: symmetry.CriticalTimes

    @property
    def first(self) -> TimePair | None:
        """The first on the way from noise; None where neither breaks."""
        times = [unstack(one.transitions.time) for one in (self.model, self.exact)]
        if not all(times):
            return None
        return TimePair("first symmetry breaking", times[0][0], times[1][0])

    @property
    def agrees(self) -> bool:
        """Whether the first is the same, or there is none in either."""
        pair = self.first
        return self.model.none == self.exact.none if pair is None else pair.agrees


class SpectraPair(eqx.Module):
    """Leading eigenvalues of I + sigma^2 J, alpha^2 / sigma^2 times posterior widths.

    relative: mean over points of |model - exact| / max(exact, 0.01), the leading one.
    """

    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    log_snr: Float[np.ndarray, " t"] = field(("noise",), "")
    model: Float[np.ndarray, "t p m"] = field(("noise", "point", "direction"), "")
    exact: Float[np.ndarray, "t p m"] = field(("noise", "point", "direction"), "")
    relative: Float[np.ndarray, " t"] = field(("noise",), "")
    relative_stderr: Float[np.ndarray, " t"] = field(("noise",), "")


class Samples(eqx.Module):
    """Samples of the model beside points it has not seen.

    share: of the likeliest classes, with binomial errors; `expected` of the others. The
    energy distance is unbiased, zero for equal laws. quality: of data with labels.
    """

    points: Float[np.ndarray, "m d"] = field(("sample", "coordinate"), "data units")
    energy: Float[np.ndarray, ""] = field((), "data units", "energy distance")
    energy_stderr: Float[np.ndarray, ""] = field((), "data units")
    share: Float[np.ndarray, " c"] = field(("class",), "probability")
    share_stderr: Float[np.ndarray, " c"] = field(("class",), "probability")
    expected: Float[np.ndarray, " c"] = field(("class",), "probability")
    quality: comparison.SampleQuality | None = None

    @property
    def furthest(self) -> tuple[int, float]:
        """The class whose share is most errors away, and how many."""
        error = np.where(self.share_stderr > 0, self.share_stderr, np.inf)
        away = np.abs(self.share - self.expected) / error
        return (int(np.argmax(away)), float(away.max())) if away.size else (0, 0.0)


def fixed_points_of(subject: Subject, key: Key) -> FixedPoints:
    """Critical times that the same starts lead to."""
    draw_key, own = jr.split(key)
    starts = _drawn(subject.law, subject.sizes.starts, draw_key)
    found = [
        symmetry.critical_times(
            denoiser,
            starts=np.asarray(starts, float),
            dimension=subject.source.dimension,
            most=TRANSITIONS,
            key=own,
        )
        for denoiser in (subject.model, subject.law)
    ]
    return FixedPoints(*found)


def spectra_of(subject: Subject, key: Key) -> SpectraPair:
    """Spectra of both at the same points, some at each noise."""
    sizes, spread = subject.sizes, subject.source.spread
    levels = np.linspace(REACH - 2, -REACH + 2, sizes.levels) - 2 * np.log(spread)
    draw_key, noise_key = jr.split(key)
    clean = jax.vmap(subject.unseen)(jr.split(draw_key, sizes.spectra))
    noise = jr.normal(noise_key, clean.shape, clean.dtype)
    alphas, sigmas = (
        jnp.asarray(jax.nn.sigmoid(jnp.asarray(s)) ** 0.5, clean.dtype)
        for s in (levels, -levels)
    )
    xs = alphas[:, None, None] * clean[None] + sigmas[:, None, None] * noise[None]
    size = clean.shape[1]
    many = lambda a: jnp.repeat(a, sizes.spectra)
    points = xs.reshape(-1, size), many(alphas), many(sigmas)
    shape = sizes.levels, sizes.spectra, -1
    own, best = (
        _widths(denoiser, *points).reshape(shape)
        for denoiser in (subject.model, subject.law)
    )
    # Points have no width: a hundredth of the noise is where a ratio still says much.
    scale = np.maximum(np.abs(best[..., 0]), LEAST_WIDTH)
    apart = np.abs(own[..., 0] - best[..., 0]) / scale
    return SpectraPair(
        noise=0.5 * np.logaddexp(0.0, -levels),
        log_snr=levels,
        model=own,
        exact=best,
        relative=apart.mean(axis=1),
        relative_stderr=apart.std(axis=1, ddof=1) / np.sqrt(sizes.spectra),
    )


def samples_of(subject: Subject, key: Key) -> Samples:
    """What the model generates, by one good sampler, beside unseen points."""
    own, other = jr.split(key)
    source, split, count = subject.source, subject.source.split, subject.sizes.samples
    mean = source.law.moments().mean
    points = comparison.generate(
        subject.model, count, own, mean=mean, spread=source.spread
    )
    unseen = split.held_out if split is not None else _drawn(subject.law, count, other)
    distance = energy_distance(
        points[:DISTANCES], jnp.asarray(unseen[:DISTANCES], points.dtype)
    )
    number = lambda value: np.asarray(value, np.float64)
    quality = None
    share = expected = error = np.zeros(0)
    if split is not None and subject.classifier is not None:
        quality = comparison.sample_quality(
            points, split.held_out, split.train, subject.classifier.classifier
        )
        share, expected = quality.share, quality.held_out_share
        both = (share * count + expected * len(unseen)) / (count + len(unseen))
        error = np.sqrt(both * (1 - both) * (1 / count + 1 / len(unseen)))
    elif subject.labelled is not None:
        told = np.asarray(_labels(subject.labelled, points))
        expected = np.exp(number(subject.labelled.log_label_prior()))
        share = np.bincount(told, minlength=expected.size) / count
        error = np.sqrt(expected * (1 - expected) / count)
    return Samples(
        points=number(points),
        energy=number(distance.value),
        energy_stderr=number(distance.stderr),
        share=share,
        share_stderr=error,
        expected=expected,
        quality=quality,
    )


def late_starts_of(subject: Subject, key: Key) -> late_start.LateStartTable:
    """Few steps from vanilla and from Gaussian starts, as a classifier sees them."""
    split, given = subject.source.split, subject.classifier
    assert split is not None
    assert given is not None
    stage = subject.options.stage
    return late_start.table(
        subject.source.law,
        ExactScore(subject.model, DiscreteDDPM()),
        STARTS,
        classifier=given.classifier,
        reference=late_start.feature_moments(given.classifier, split.train),
        num_samples=STARTED,
        replicates=REPLICATES,
        data={"training data": split.train, "held-out data": split.held_out},
        batch=BATCH,
        key=key,
        progress=None if stage is None else stage("late starts"),
    )


def _widths(
    denoiser: AbstractDenoiser,
    xs: Float[Array, "b d"],
    alphas: Float[Array, " b"],
    sigmas: Float[Array, " b"],
) -> Float[np.ndarray, "b m"]:
    """Leading eigenvalues of I + sigma^2 J at each point, largest first."""
    size = xs.shape[1]
    if size == 1:
        # One number has no gap, which spectra are looked through for.
        at = lambda x, *levels: denoiser.jacobian_product(x, jnp.ones_like(x), *levels)
        slopes = eqx.filter_jit(jax.vmap(at))(xs, alphas, sigmas)
        return np.asarray(1 + sigmas[:, None] ** 2 * slopes, np.float64)
    found = jacobian.spectra(
        denoiser, xs, alphas, sigmas, min(EIGENVALUES, size) if size > 2 else None
    )
    return 1 - np.asarray(found.normalised, np.float64)


def _drawn(law: AbstractTarget, count: int, key: Key) -> Float[Array, "m d"]:
    return jax.jit(jax.vmap(law.sample))(jr.split(key, count))


@eqx.filter_jit
def _labels(law: AbstractLabelledTarget, points: Float[Array, "m d"]) -> Array:
    """The likeliest label of each clean point."""
    told = lambda x: jnp.argmax(law.label_log_posterior(x, 1.0, 0.0))
    return jax.lax.map(told, points, batch_size=BATCH)
