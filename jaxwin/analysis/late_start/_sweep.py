"""Any sampler in few steps from vanilla and Gaussian starts, one program a kind."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Index, Key, Point
from jaxwin.analysis.late_start._classifier import (
    Classifier,
    FeatureMoments,
    check_reference,
    uncertainty,
)
from jaxwin.analysis.late_start._diversity import diversity
from jaxwin.analysis.late_start._grids import start_grids
from jaxwin.analysis.late_start._kinds import check_weights, start_of
from jaxwin.analysis.late_start._over_starts import OverStarts, over_starts
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.metrics import energy_distance, fidelity
from jaxwin.processes import AbstractProcess
from jaxwin.samplers import DDIM, AbstractStep, FromMoments, FromPrior, sample_block
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import AbstractLabelledTarget, AbstractTarget

METRICS = ("frechet", "weights", "energy")
# Samples that are run together, and between which distances are taken.
BATCH = 512


class StartSweep(eqx.Module):
    """How good few steps are from each start; what was not asked for is None.

    evaluations: scores a sample, warm-up and last posterior mean counted. frechet:
    squared, between the moments of the samples and the exact ones. weight_error and
    weight_divergence: half L1 and KL of the frequencies of the likeliest classes and
    the class weights; biased upwards as those of `metrics.mode_weight_error`.
    energy: unbiased, sees weights and shapes at once.

    With a classifier, frechet is between the moments of its features, the weights are
    those of its likeliest classes, and there are besides entropy: of these weights in
    bits, with the entropy_bias to be added (`diversity`); uncertainty: the entropy of
    the probabilities of one sample in nats, its mean over samples.
    """

    kind: str = eqx.field(static=True)
    sampler: str = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    evaluations: int = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    frechet: OverStarts | None
    weight_error: OverStarts | None
    weight_divergence: OverStarts | None
    energy: OverStarts | None
    entropy: OverStarts | None
    uncertainty: OverStarts | None
    entropy_bias: Float[np.ndarray, " s"] | None = field(("start",), "bits")
    start: Float[np.ndarray, " s"] = field(("start",), "time of the process")

    def measured(self, metric: str) -> OverStarts:
        """One of the metrics by its name.

        Raises:
            BadInput: It was not measured.
        """
        found = getattr(self, metric, None)
        if not isinstance(found, OverStarts):
            raise BadInput(
                f"`metric` is {metric!r}; it must be one that the sweep measured."
            )
        return found


def sweep(
    target: AbstractTarget,
    process: AbstractProcess,
    step: AbstractStep,
    num_steps: int,
    starts: AnyArray,
    *,
    kind: str = "gaussian",
    num_samples: int = 4096,
    replicates: int = 8,
    key: Key | None = None,
    metrics: tuple[str, ...] | None = None,
    first: float | None = None,
    last: str = "denoise",
    score: AbstractScore | None = None,
    classifier: Classifier | None = None,
    reference: FeatureMoments | None = None,
    batch: int = BATCH,
    **options: Any,
) -> StartSweep:
    """Run a sampler in n steps from each of several starts.

    The times of n steps are linspace(first, start, n), whole indices on a discrete
    table; after n - 1 moves the posterior mean at `first` is returned: n evaluations
    for DDIM, DDPM (DDIM(1)) and DPM-Solver++ 2M, and `step.evaluations(n - 1) + 1`
    in general. With last = "step" the sampler makes n moves of its own and ends just
    before the clean end: `step.evaluations(n)`, which for PNDM is 12, 14 and 19 at n =
    3, 5 and 10, as published.

    Starts are an axis of one compiled program, and all of them, of both kinds, are run
    on the same random numbers at the same key: ratios are known better than values.

    A classifier and the moments of its features on real data make "frechet" the squared
    Fréchet distance in feature space, |m - m_r|^2 + tr(C + C_r - 2 (C C_r)^1/2), the
    form of FID, with 1 / (n - 1) in both covariances. It is biased upwards by O(1 / n),
    the more the more features there are, which draws ratios towards 1: compare at equal
    n, and with the distance between two halves of the data. "weights" are then compared
    with the shares of real data. "energy" stays that of the points themselves.

    Args:
        target: The clean law.
        process: The clock; "vanilla" is meant for those that preserve variance.
        step: Any step of `samplers`.
        num_steps: n >= 1.
        starts: Times of the process, increasing.
        kind: "gaussian" or "vanilla".
        num_samples: Samples a replicate, rounded up to whole batches.
        replicates: At least 2; standard errors are over these.
        key: Root key; `jax.random.key(0)` if left out.
        metrics: Of "frechet" (needs a d x d matrix a start), "weights" (needs labels
            or a classifier), "energy"; all that the law admits if left out.
        first: Time of the last evaluation (`start_grids`).
        last: "denoise" or "step".
        score: What the sampler sees; the exact score if left out.
        classifier: An equinox module with `features` and `log_probabilities`.
        reference: `feature_moments(classifier, data)`; errors hold it fixed.
        batch: Samples run together, even.
        options: Those of `execution.run`, whose replica is a batch.

    Raises:
        BadInput: n < 1, starts off the clock, an unknown kind or metric, fewer than 2
            replicates, an odd batch, a class of weight zero, a classifier without its
            reference or with that of another.
        FloatingPointError: A run that is not finite.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, tables 1 and 2; Liu, Ren, Lin, Zhao
        (2022), arXiv:2202.09778 (the cost of PNDM).
    """
    labelled = classifier is not None or isinstance(target, AbstractLabelledTarget)
    if metrics is None:
        metrics = METRICS if labelled else ("frechet", "energy")
    _check(metrics, labelled, num_samples, replicates, batch)
    prior = None
    if reference is not None:
        prior = _shares(reference, metrics)
    elif isinstance(target, AbstractLabelledTarget):
        prior = check_weights(target)
    grids = start_grids(process, starts, num_steps, first=first, last=last)
    score = ExactScore(target, process) if score is None else score
    moments = target.moments()
    mean, exact, centre = moments.mean, None, None
    check_reference(classifier, reference, mean.size, mean.dtype)
    if reference is not None:
        exact, centre = reference.covariance, jnp.asarray(reference.mean, mean.dtype)
    moves = grids.shape[1] - 1
    begin = start_of(target, process, kind, float(grids[0, 0]))
    replica = _Batch(
        step, score, target, begin, mean, jnp.asarray(grids, mean.dtype), classifier,
        centre, metrics, batch, last == "denoise",
    )  # fmt: skip
    batches = -(-num_samples // batch)
    key = jr.key(0) if key is None else key
    fixed: dict[str, Any] = {"block_size": 1}
    found = run(replica, batches * replicates, key, **fixed | options)
    group = lambda leaf: leaf.reshape(replicates, batches, *leaf.shape[1:]).mean(1)
    means = {name: group(leaf) for name, leaf in found.block_means.items()}
    error = divergence = frechet = energy = entropy = bias = doubt = None
    if "weights" in metrics and prior is not None:
        weights = means["weights"]
        error = over_starts(np.abs(weights - prior).sum(axis=2) / 2)
        safe = np.maximum(weights, np.finfo(float).tiny)
        divergence = over_starts(np.sum(weights * np.log(safe / prior), axis=2))
        if classifier is not None:
            entropy, bias = _entropy(weights, batches * batch)
            doubt = over_starts(means["uncertainty"])
    if "frechet" in metrics:
        exact = moments.covariance() if exact is None else exact
        frechet = over_starts(
            _frechet(
                jnp.asarray(exact, float), means["mean"], means["square"],
                batches * batch,
            )
        )  # fmt: skip
    if "energy" in metrics:
        energy = over_starts(means["energy"])
    return StartSweep(
        kind=kind,
        sampler=type(step).__name__,
        num_steps=num_steps,
        evaluations=step.evaluations(moves) + int(last == "denoise"),
        num_samples=batches * batch,
        start=grids[:, 0],
        frechet=frechet,
        weight_error=error,
        weight_divergence=divergence,
        energy=energy,
        entropy=entropy,
        uncertainty=doubt,
        entropy_bias=bias,
    )


class _Batch(eqx.Module):
    """A batch of samples from every start, and its averages: one replica of `run`."""

    step: AbstractStep
    score: AbstractScore
    law: AbstractTarget
    start: FromMoments | FromPrior
    mean: Float[Array, " d"]
    grids: Float[Array, "s n"]
    classifier: Classifier | None
    # About which second moments of features are taken: those near it lose no digits.
    centre: Float[Array, " f"] | None
    metrics: tuple[str, ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)
    denoise: bool = eqx.field(static=True)

    def __call__(self, key: Key, replica: Index) -> dict[str, Array]:
        """Averages over the batch, with a leading axis of starts."""
        start_key, path_key, data_key = jr.split(key, 3)
        numbers = replica * self.size + jnp.arange(self.size, dtype=jnp.int32)
        own = lambda key: jax.vmap(lambda number: jr.fold_in(key, number))(numbers)
        data = None
        if "energy" in self.metrics:
            data = jax.vmap(self.law.sample)(own(data_key))

        def from_start(grid: Float[Array, " n"]) -> dict[str, Array]:
            begin = self.start
            if isinstance(begin, FromMoments):
                begin = begin.at(*self.score.process.levels(grid[0], self.mean.dtype))
            xs = jax.vmap(begin)(own(start_key))
            if grid.size > 1:
                xs = sample_block(self.step, self.score, xs, grid, path_key, numbers[0])
            return self._averages(self._clean(xs, grid[-1]), data)

        return jax.lax.map(from_start, self.grids)

    def _clean(self, xs: Float[Array, "b d"], t: Array) -> Float[Array, "b d"]:
        """The posterior means, to which DDIM jumps on its way to the clean end."""
        if not self.denoise:
            return xs
        low = jnp.asarray(self.score.process.domain[0], xs.dtype)
        none = jnp.zeros((0, *xs.shape), xs.dtype)
        keys = jax.vmap(lambda _: jr.key(0))(jnp.arange(self.size))
        return DDIM().step(self.score.batched, xs, t, low, none, keys, None)[0]

    def _averages(self, xs: Array, data: Array | None) -> dict[str, Array]:
        found = {}
        if "frechet" in self.metrics:
            z = xs - self.mean[None]
            if self.classifier is not None and self.centre is not None:
                z = jax.vmap(self.classifier.features)(xs) - self.centre[None]
            square = jnp.matmul(z.T, z, precision="highest") / self.size
            found |= {"mean": z.mean(axis=0), "square": square}
        if "weights" in self.metrics:
            log = jax.vmap(self._label())(xs)
            # As a classifier counts them: each sample is of its likeliest class.
            counted = jax.nn.one_hot(
                jnp.argmax(log, axis=1), log.shape[1], dtype=xs.dtype
            )
            found["weights"] = counted.mean(axis=0)
            if self.classifier is not None:
                found["uncertainty"] = jax.vmap(uncertainty)(log).mean()
        if data is not None:
            found["energy"] = energy_distance(xs, data).value
        return found

    def _label(self) -> Callable[[Point], Float[Array, " c"]]:
        """Log-probabilities of the classes of a clean point."""
        if self.classifier is not None:
            return self.classifier.log_probabilities
        law, process = self.law, self.score.process
        assert isinstance(law, AbstractLabelledTarget)  # checked by the sweep
        dtype = self.mean.dtype
        clean = process.levels(jnp.asarray(process.domain[0], dtype), dtype)
        return lambda x: law.label_log_posterior(x, *clean)


def _entropy(
    weights: Float[np.ndarray, "r s c"], count: int
) -> tuple[OverStarts, Float[np.ndarray, " s"]]:
    """Entropy of the classes of each replicate, and its mean bias."""
    counts = np.rint(weights * count)
    found = [[diversity(counts=one) for one in row] for row in counts]
    values = lambda leaf: np.array([[getattr(d, leaf) for d in row] for row in found])
    return over_starts(values("entropy")), values("bias").mean(axis=0)


def _shares(
    reference: FeatureMoments, metrics: tuple[str, ...]
) -> Float[np.ndarray, " c"]:
    """Those of real data; a class that no data fall into has no divergence."""
    share = reference.share
    if "weights" in metrics and not np.all(share > 0):
        raise BadInput(
            f"`reference` gives class {int(np.argmin(share))} the share 0; every class "
            f"must have some: use more data, or leave the weights out."
        )
    return share


def _frechet(
    exact: Float[Array, "d d"],
    mean: Float[np.ndarray, "r s d"],
    square: Float[np.ndarray, "r s d d"],
    count: int,
) -> Float[np.ndarray, "r s"]:
    """Squared distances to the exact moments, from moments about the exact mean."""
    covariance = square - mean[..., :, None] * mean[..., None, :]
    covariance = covariance * (count / (count - 1))
    shared = np.asarray(_fidelities(jnp.asarray(covariance), exact))
    traces = np.trace(covariance, axis1=2, axis2=3) + float(jnp.trace(exact))
    return np.sum(mean**2, axis=2) + np.maximum(traces - 2 * shared, 0)


@eqx.filter_jit
def _fidelities(
    covariances: Float[Array, "r s d d"], exact: Float[Array, "d d"]
) -> Float[Array, "r s"]:
    one = lambda covariance: fidelity(covariance, exact)
    return jax.lax.map(jax.vmap(one), covariances)


def _check(
    metrics: tuple[str, ...],
    labelled: bool,
    num_samples: int,
    replicates: int,
    batch: int,
) -> None:
    unknown = sorted(set(metrics) - set(METRICS))
    if unknown or not metrics:
        raise BadInput(
            f"`metrics` holds {unknown or 'nothing'}; take some of "
            f"{', '.join(METRICS)}."
        )
    if "weights" in metrics and not labelled:
        raise BadInput(
            "`metrics` asks for weights and `target` has no labels: give it labels, or "
            "leave them out."
        )
    if replicates < 2 or num_samples < 2:
        raise BadInput(
            f"`replicates` is {replicates} and `num_samples` {num_samples}; both must "
            f"be at least 2."
        )
    if batch < 2 or batch % 2:
        raise BadInput(f"`batch` is {batch}; it must be even and at least 2.")
