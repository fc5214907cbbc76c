"""Late starts by a classifier: features, classes, entropies, and the small table."""

import dataclasses
import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg
from jaxtyping import Array

from jaxwin.analysis import late_start
from jaxwin.analysis.late_start._classifier import uncertainty
from jaxwin.analysis.late_start._floor import floor_of
from jaxwin.execution._block import _round
from jaxwin.io import to_dataset
from jaxwin.metrics import frechet
from jaxwin.processes import AbstractProcess, DiscreteDDPM, VariancePreserving
from jaxwin.samplers import DDIM, sample_block
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import GaussianMixture

TABLE = DiscreteDDPM()
LAW = GaussianMixture.isotropic(
    [[2.0, 0.5, 0.0], [-1.0, 1.0, 0.3], [0.0, -2.0, -0.5]], 0.05, [0.5, 0.3, 0.2]
)
STARTS, SIZE, BATCHES, REPLICATES = [300, 600], 16, 2, 3
KEY, STEP = jr.key(5), DDIM()
MAP = np.array([[1.0, 0.3, -0.4], [-0.5, 2.0, 0.1], [0.2, 0.7, 1.5]])
HEAD = np.array([[1.0, -0.5, 0.0], [0.2, 0.5, -1.0], [0.0, 0.1, 0.0]])


class Network(AbstractScore):
    """Stands for a trained network, compiled quickly: the score of one Gaussian."""

    process: AbstractProcess
    mean: Array
    variance: Array

    def __call__(self, x, t):
        alpha, sigma = self.levels(x, t)
        return -(x - alpha * self.mean) / (alpha**2 * self.variance + sigma**2)


SCORE = Network(TABLE, jnp.asarray([0.4, 0.2, 0.0]), jnp.asarray(1.2))


class Linear(eqx.Module):
    """Linear features and logits."""

    weight: Array
    head: Array

    def features(self, x):
        return jnp.matmul(x, self.weight, precision="highest")

    def log_probabilities(self, x):
        return jax.nn.log_softmax(jnp.matmul(x, self.head, precision="highest"))


def linear(weight=MAP, head=HEAD):
    return Linear(jnp.asarray(weight), jnp.asarray(head))


def data(n=200):
    return jax.vmap(LAW.sample)(jr.split(jr.key(9), n))


def small(step=STEP, steps=3, starts=STARTS, **options):
    """Few samples from two starts."""
    fixed: Any = {"num_samples": SIZE * BATCHES, "replicates": REPLICATES}
    fixed |= {"batch": SIZE, "key": KEY, "kind": "vanilla"}
    fixed |= {"metrics": ("frechet", "weights"), "score": SCORE}
    return late_start.sweep(LAW, TABLE, step, steps, starts, **fixed | options)


def by(classifier, **options):
    reference = late_start.feature_moments(classifier, data())
    return small(classifier=classifier, reference=reference, **options)


@eqx.filter_jit
def drawn(score, grid, replica):
    """The samples of one batch again, on the same random numbers."""
    start_key, path_key, _ = jr.split(KEY, 3)
    numbers = replica * SIZE + jnp.arange(SIZE)
    xs = jax.vmap(lambda n: jr.normal(jr.fold_in(start_key, n), (3,)))(numbers)
    xs = sample_block(STEP, score, xs, grid, path_key, numbers[0])
    alpha, sigma = TABLE.levels(grid[-1], xs.dtype)
    return (xs + sigma**2 * score.many(xs, grid[-1])) / alpha


@pytest.fixture(scope="module")
def samples():
    """(replicate, start, sample, d) of the vanilla sweep."""
    grids = jnp.asarray(late_start.start_grids(TABLE, STARTS, 3))
    batch = lambda r, grid: np.asarray(drawn(SCORE, grid, jnp.asarray(r)))
    runs = np.array([[batch(r, g) for g in grids] for r in range(BATCHES * REPLICATES)])
    runs = runs.reshape(REPLICATES, BATCHES, 2, SIZE, 3)
    return runs.swapaxes(1, 2).reshape(REPLICATES, 2, -1, 3)


@pytest.fixture(scope="module")
def found():
    return by(linear())


def exact_reference():
    moments = LAW.moments()
    return late_start.FeatureMoments(
        mean=np.asarray(moments.mean),
        covariance=np.asarray(moments.covariance()),
        share=np.array([0.5, 0.3, 0.2]),
    )


@pytest.mark.slow
def test_identity_features_are_the_plain_sweep():
    plain = small(metrics=("frechet",))
    assert plain.entropy is None
    assert plain.uncertainty is None
    same = small(classifier=linear(np.eye(3)), reference=exact_reference())
    np.testing.assert_allclose(
        same.measured("frechet").replicate,
        plain.measured("frechet").replicate,
        rtol=1e-8,
    )


@pytest.mark.slow
def test_similar_features_scale_the_distance():
    # A rotation, stretched by 3: every distance grows by 9.
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    exact = exact_reference()
    turned = dataclasses.replace(
        exact,
        mean=3 * exact.mean @ turn,
        covariance=9 * turn.T @ exact.covariance @ turn,
    )
    of = lambda weight, reference: small(
        classifier=linear(weight), reference=reference
    ).measured("frechet")
    first, second = of(np.eye(3), exact), of(3 * turn, turned)
    np.testing.assert_allclose(second.replicate, 9 * first.replicate, rtol=1e-8)


def test_moments_map_linearly():
    points = np.asarray(data())
    moments = late_start.feature_moments(linear(), points, batch=33)
    np.testing.assert_allclose(moments.mean, points.mean(0) @ MAP, rtol=1e-12)
    covariance = MAP.T @ np.cov(points, rowvar=False) @ MAP
    np.testing.assert_allclose(moments.covariance, covariance, rtol=1e-12)
    logits = points @ HEAD
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    share = [np.mean(logits.argmax(1) == c) for c in range(3)]
    np.testing.assert_allclose(moments.share, share, rtol=1e-12)
    assert moments.uncertainty == pytest.approx(-np.sum(p * np.log(p)) / len(p))


@pytest.mark.slow
def test_samples_are_counted_as_by_hand(found, samples):
    reference = late_start.feature_moments(linear(), data())
    assert found.num_samples == SIZE * BATCHES
    for r in range(REPLICATES):
        for s in range(len(STARTS)):
            xs = samples[r, s]
            # Moments of linear features are the mapped ones of the samples.
            expected = frechet(
                xs @ MAP, mean=reference.mean, covariance=reference.covariance
            ).value
            value = found.measured("frechet").replicate[r, s]
            assert value == pytest.approx(float(expected), rel=1e-8)
            logits = xs @ HEAD
            counts = np.bincount(logits.argmax(1), minlength=3)
            error = np.abs(counts / len(xs) - reference.share).sum() / 2
            assert found.measured("weight_error").replicate[r, s] == pytest.approx(
                error, abs=1e-12
            )
            p = counts[counts > 0] / len(xs)
            entropy = found.measured("entropy").replicate[r, s]
            assert entropy == pytest.approx(-np.sum(p * np.log2(p)), abs=1e-12)
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            doubt = found.measured("uncertainty").replicate[r, s]
            assert doubt == pytest.approx(-np.sum(p * np.log(p)) / len(p))
    # Miller and Madow's, with the classes that each replicate met.
    met = [
        [len(np.unique((samples[r, s] @ HEAD).argmax(1))) for s in range(2)]
        for r in range(REPLICATES)
    ]
    bias = (np.mean(met, axis=0) - 1) / (2 * SIZE * BATCHES * np.log(2))
    np.testing.assert_allclose(found.entropy_bias, bias, rtol=1e-12)
    one = found.measured("entropy")
    spread = one.replicate.std(axis=0, ddof=1) / np.sqrt(REPLICATES)
    np.testing.assert_allclose(one.stderr, spread)
    assert to_dataset(found)["entropy.value"].dims == ("start",)


def test_certain_classifier_has_no_uncertainty(samples):
    # Logits so far apart that all others have probability zero.
    sure = linear(head=1e7 * HEAD)
    assert late_start.feature_moments(sure, data()).uncertainty == 0
    seen = by(sure)
    np.testing.assert_array_equal(seen.measured("uncertainty").replicate, 0)
    counts = [
        [np.bincount((xs @ HEAD).argmax(1), minlength=3) for xs in row]
        for row in samples
    ]
    expected = [
        [late_start.diversity(counts=one).entropy for one in row] for row in counts
    ]
    np.testing.assert_allclose(seen.measured("entropy").replicate, expected, atol=1e-12)
    # A log-probability may be -inf; two even classes are log 2.
    assert uncertainty(jnp.asarray([0.0, -jnp.inf])) == 0
    even = jnp.log(jnp.asarray([0.5, 0.0, 0.5]))
    assert uncertainty(even) == pytest.approx(np.log(2))


def test_new_classifier_does_not_recompile(found):
    inner = _round
    cached: Any = getattr(inner, "_cached")._cache_size  # noqa: B009
    compiled = cached()
    other = by(linear(MAP + 0.1, HEAD - 0.1))
    assert cached() == compiled
    gap = other.measured("frechet").value - found.measured("frechet").value
    assert np.all(gap != 0)


class Wrong(eqx.Module):
    """A classifier whose answers are given."""

    value: Any = lambda x: x
    log: Any = lambda x: jax.nn.log_softmax(x)

    def features(self, x):
        return self.value(x)

    def log_probabilities(self, x):
        return self.log(x)


@pytest.mark.parametrize(
    ("classifier", "match"),
    [
        (Wrong(value=lambda x: jnp.outer(x, x)), r"features` has shape \(3, 3\)"),
        (Wrong(value=lambda x: x[0]), r"features` has shape \(\)"),
        (Wrong(value=lambda x: x / 0), "not finite at every one"),
        (Wrong(log=lambda x: x[None]), r"log_probabilities` has shape \(1, 3\)"),
        (Wrong(log=lambda x: x), "sum to 1"),
        (Wrong(log=lambda x: x / 0), "sum to 1"),
    ],
)
def test_classifiers_that_are_refused(classifier, match):
    with pytest.raises(ValueError, match=match) as refused:
        late_start.feature_moments(classifier, data(4))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reference": None}, "`reference` is missing"),
        ({"classifier": None}, "`classifier` is missing"),
        ({"classifier": linear(MAP[:, :1])}, "3 features and 3 classes"),
        ({"classifier": linear(MAP, HEAD[:, :2])}, "`classifier` 3 and 2"),
        ({"classifier": Wrong(value=lambda x: x[None])}, r"shape \(1, 3\)"),
        ({"metrics": ("fid",)}, "fid"),
    ],
)
def test_sweeps_that_are_refused(change, match):
    given: Any = {"classifier": linear(), "reference": exact_reference()}
    with pytest.raises(ValueError, match=match) as refused:
        small(**given | change)
    assert "\n" not in str(refused.value)


def test_references_that_are_refused():
    good = exact_reference()
    for change, match in (
        ({"mean": np.full(3, np.nan)}, "`mean`"),
        ({"covariance": np.full((3, 3), np.inf)}, "`covariance`"),
        ({"share": np.array([0.5, 0.3, 0.3])}, "`share`"),
        ({"share": np.array([1.2, -0.2, 0.0])}, "`share`"),
    ):
        with pytest.raises(ValueError, match=match):
            dataclasses.replace(good, **change)
    with pytest.raises(ValueError, match=r"shape \(1, 3\)"):
        late_start.feature_moments(linear(), data(1))
    empty = dataclasses.replace(good, share=np.array([0.5, 0.5, 0.0]))
    with pytest.raises(ValueError, match="class 2 the share 0"):
        small(classifier=linear(np.eye(3)), reference=empty)


def test_features_of_samples_must_be_finite():
    with pytest.raises(FloatingPointError, match="replica 0"):
        small(classifier=linear(1e200 * MAP), reference=exact_reference())


def tabled(**options):
    reference = late_start.feature_moments(linear(), data())
    fixed: Any = {"num_samples": SIZE * BATCHES, "replicates": REPLICATES}
    fixed |= {"batch": SIZE, "key": KEY}
    fixed |= {"classifier": linear(), "reference": reference}
    fixed |= {"target": LAW, "score": SCORE, "starts": STARTS}
    return late_start.table(**fixed | options)


def check_row(row, one, both):
    """A row against two sweeps made apart."""
    gain = late_start.gain(*both)
    assert row.gain == gain
    for at, best, sweep in (
        (row.vanilla, gain.vanilla, both[0]),
        (row.gaussian, gain.gaussian, both[1]),
    ):
        index = list(sweep.start).index(best.start)
        assert float(at.start) == best.start
        assert float(at.frechet) == best.value
        assert float(at.variation) == sweep.measured("weight_error").value[index]
        assert float(at.entropy_stderr) == sweep.measured("entropy").stderr[index]
        assert float(at.uncertainty) == sweep.measured("uncertainty").value[index]
    usual = both[0].measured("frechet")
    assert float(row.usual.frechet) == usual.value[-1]
    assert float(row.usual.frechet_stderr) == usual.stderr[-1]
    assert (float(row.usual.start), row.sampler) == (both[0].start[-1], one)


def test_table_is_of_two_sweeps(found):
    few = {"samplers": {"DDIM": late_start.SAMPLERS["DDIM"]}, "steps": (3,)}
    made = tabled(**few, data={"unseen": data(400)[200:]})
    (row,) = made.rows.values()
    check_row(row, "DDIM", (found, by(linear(), kind="gaussian")))
    told = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert told["rows"]["DDIM_3"]["gain"]["value"] == row.gain.value
    assert told["rows"]["DDIM_3"]["vanilla"]["entropy"] == float(row.vanilla.entropy)
    assert sum(told["data"]["share"]) == pytest.approx(1)
    assert told["data"]["floors"]["unseen"]["num_samples"] == SIZE * BATCHES
    assert to_dataset(made)["rows.DDIM_3.gaussian.entropy"].attrs["units"] == "bits"


def test_floor_is_of_random_subsets():
    """Mean over subsets without replacement; by NumPy and SciPy from other subsets."""
    reference = late_start.feature_moments(linear(), data())
    points = np.asarray(data(300)[200:])

    def floor(count, replicates):
        return floor_of(linear(), reference, points, count, replicates, jr.key(3))

    def by_hand(rows):
        seen = rows @ MAP
        covariance = np.cov(seen, rowvar=False)
        root = np.real(scipy.linalg.sqrtm(covariance @ reference.covariance))
        trace = np.trace(covariance + reference.covariance - 2 * root)
        return np.sum((seen.mean(axis=0) - reference.mean) ** 2) + trace

    whole = floor(1000, 3)
    assert (whole.num_samples, whole.num_points) == (100, 100)
    assert float(whole.frechet_stderr) < 1e-12
    np.testing.assert_allclose(whole.frechet, by_hand(points), rtol=1e-9)
    rng = np.random.default_rng(0)
    others = [by_hand(rng.permutation(points)[:8]) for _ in range(200)]
    some = floor(8, 60)
    error = np.hypot(some.frechet_stderr, np.std(others) / np.sqrt(200))
    assert abs(some.frechet - np.mean(others)) < 4 * error
    # Few samples are further away than many: that is the bias it is made to show.
    assert some.frechet > whole.frechet + 4 * error
    with pytest.raises(ValueError, match="`replicates`"):
        floor(20, 1)


def test_tables_that_are_refused():
    clock = ExactScore(LAW, VariancePreserving(0.1, 20.0))
    reference = exact_reference()
    for score, steps, match in (
        (clock, (3,), "VariancePreserving"),
        (SCORE, (), "one"),
    ):
        with pytest.raises(ValueError, match=match):
            late_start.table(
                LAW, score, STARTS, classifier=linear(np.eye(3)), reference=reference,
                steps=steps,
            )  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
def test_whole_table():
    starts = [200, 400, 600, 999]
    made = tabled(starts=starts)
    costs = {"DDPM": (3, 5, 10), "DDIM": (3, 5, 10), "PNDM": (12, 14, 19)}
    assert len(made.rows) == 9
    for name, counts in costs.items():
        for n, count in zip((3, 5, 10), counts, strict=True):
            row = made.rows[f"{name}_{n}"]
            assert (row.num_steps, row.evaluations) == (n, count)
            # The noisiest start of PNDM is an index earlier.
            assert float(row.usual.start) == (998 if name == "PNDM" else 999)
            assert row.usual.frechet >= row.vanilla.frechet
    both = [
        by(linear(), step=DDIM(1.0), steps=5, starts=starts, kind=kind)
        for kind in ("vanilla", "gaussian")
    ]
    check_row(made.rows["DDPM_5"], "DDPM", tuple(both))
