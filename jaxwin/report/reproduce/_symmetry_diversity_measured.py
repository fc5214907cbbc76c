"""Class compositions of samples: a long run, and few steps from three starts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import Index, Key
from jaxwin.analysis import late_start
from jaxwin.io import field
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._late_start_laws import (
    DIGITS,
    TABLE,
    digits_law,
    unequal_digits,
)
from jaxwin.samplers import DDIM, FromMoments, FromPrior, sample_block
from jaxwin.scores import ExactScore
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# Percent of six classes of CelebA64, as a classifier sees them; they add to 99.9.
PERCENT = (69.5, 7.6, 7.1, 8.9, 4.9, 1.9)
CLUSTERS, UNEQUAL = "six clusters", "unequal digits"
STEPS = (3, 5, 10)
# Starts of the published comparison, by steps, from unit noise and from a Gaussian.
VANILLA = {3: 666.0, 5: 800.0, 10: 900.0}
GAUSSIAN = {3: 400.0, 5: 500.0, 10: 500.0}
# The long run: DDPM from the noisy end.
LONG, DIGITS_LONG, QUICK_LONG = 1000, 250, 100
BATCH = 1024
BOUNDS = np.arange(49.0, 999.0, 25.0)


class Composition(eqx.Module):
    """Class frequencies and their entropy by run; the first run is the data, exact.

    kinds: "data", "long", "vanilla", "gaussian" (from the automatic start) or
    "published" (the Gaussian from the published start). entropy: corrected by the
    Miller-Madow term, which is `bias`.
    """

    kinds: tuple[str, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)
    steps: Int[np.ndarray, " r"] = field(("run",), "", "0 of the data")
    start: Float[np.ndarray, " r"] = field(("run",), "DDPM index", nullable=True)
    frequency: Float[np.ndarray, "r c"] = field(("run", "class"), "probability")
    stderr: Float[np.ndarray, "r c"] = field(("run", "class"), "probability")
    entropy: Float[np.ndarray, " r"] = field(("run",), "bits")
    entropy_stderr: Float[np.ndarray, " r"] = field(("run",), "bits")
    bias: Float[np.ndarray, " r"] = field(("run",), "bits")

    def of(self, kind: str, steps: int | None = None) -> Bool[np.ndarray, " r"]:
        """Which runs are of a kind, and of so many steps."""
        right = np.array([one == kind for one in self.kinds])
        return right if steps is None else right & (self.steps == steps)


def laws(quick: bool) -> dict[str, AbstractLabelledTarget]:
    """Classes in the published proportions, and all digits."""
    means = 2 * np.eye(len(PERCENT), 8)
    weights = np.array(PERCENT) / sum(PERCENT)
    # Data are centred, as for a network.
    clusters = GaussianMixture.isotropic(means - weights @ means, 0.02, weights)
    found: dict[str, AbstractLabelledTarget] = {CLUSTERS: clusters}
    if quick:
        return found
    return found | {UNEQUAL: unequal_digits(PERCENT), DIGITS: digits_law()}


def measure(
    name: str, law: AbstractLabelledTarget, measuring: Measuring, key: Key
) -> Composition:
    """All runs of one law."""
    choose_key, key = jr.split(key)
    chosen = late_start.automatic(
        law, TABLE, times=BOUNDS, num_replicas=measuring.count, key=choose_key
    )
    samples = {CLUSTERS: 4 * measuring.count, UNEQUAL: measuring.count}
    count = samples.get(name, measuring.count // 2)
    long = LONG if name == CLUSTERS else DIGITS_LONG
    long = QUICK_LONG if measuring.quick else long
    noisy = float(TABLE.domain[1])
    # A discrete run begins at a whole index; the next noisier one keeps the bound.
    own = float(np.ceil(chosen.time))
    runs = [("long", long, noisy)]
    runs += [("vanilla", n, VANILLA[n]) for n in STEPS]
    runs += [("gaussian", n, own) for n in STEPS]
    runs += [("published", n, GAUSSIAN[n]) for n in STEPS]
    weights = np.exp(np.asarray(law.log_label_prior(), np.float64))
    found, errors = [late_start.diversity(weights)], [np.zeros(weights.size)]
    # One key: runs of as many steps share their noise.
    for kind, steps, start in runs:
        counted = class_counts(law, kind, steps, start, count, key)
        found.append(late_start.diversity(counts=counted))
        p = found[-1].frequency
        errors.append(np.sqrt(p * (1 - p) / counted.sum()))
    leaves = lambda leaf: np.array([float(getattr(one, leaf)) for one in found])
    return Composition(
        kinds=("data", *(kind for kind, *_ in runs)),
        count=int(found[1].count),
        steps=np.array([0, *(steps for _, steps, _ in runs)]),
        start=np.array([np.nan, *(start for *_, start in runs)]),
        frequency=np.stack([one.frequency for one in found]),
        stderr=np.stack(errors),
        entropy=leaves("entropy") + leaves("bias"),
        entropy_stderr=leaves("stderr"),
        bias=leaves("bias"),
    )


def class_counts(
    law: AbstractLabelledTarget,
    kind: str,
    steps: int,
    start: float,
    count: int,
    key: Key,
) -> Int[np.ndarray, " c"]:
    """Samples whose likeliest class is each, rounded up to whole batches.

    DDIM, the long run DDPM; so many scores, the last for the posterior mean.
    """
    grid = late_start.start_grids(TABLE, [start], steps)[0]
    times = jnp.asarray(np.append(grid, float(TABLE.domain[0])))
    if kind in ("long", "vanilla"):
        begin = FromPrior(TABLE, law.dimension)
    else:
        begin = FromMoments(law, TABLE, start)
    step, score = DDIM(1.0 if kind == "long" else 0.0), ExactScore(law, TABLE)
    start_key, path_key = jr.split(key)
    total = np.zeros(law.num_labels, int)
    for first in range(0, count, BATCH):
        number = jnp.asarray(first, jnp.int32)
        xs = _begin(begin, start_key, number)
        total += np.asarray(_counted(step, score, xs, times, path_key, number))
    return total


@eqx.filter_jit
def _begin(
    begin: FromMoments | FromPrior, key: Key, first: Index
) -> Float[Array, "b d"]:
    numbers = first + jnp.arange(BATCH, dtype=jnp.int32)
    return jax.vmap(lambda number: begin(jr.fold_in(key, number)))(numbers)


@eqx.filter_jit
def _counted(
    step: DDIM,
    score: ExactScore,
    xs: Float[Array, "b d"],
    times: Float[Array, " t"],
    key: Key,
    first: Index,
) -> Int[Array, " c"]:
    xs, law = sample_block(step, score, xs, times, key, first), score.target
    assert isinstance(law, AbstractLabelledTarget), "a law without labels"
    clean = score.process.levels(times[-1], xs.dtype)
    log_p = jax.vmap(lambda x: law.label_log_posterior(x, *clean))(xs)
    likeliest = jnp.argmax(log_p, axis=1)
    return jnp.bincount(likeliest, length=law.num_labels)
