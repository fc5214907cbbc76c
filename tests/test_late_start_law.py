"""The law of a late start: section 1.8 and C18, C19, C31, and points not printed."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad
from scipy.special import expit, logit

from jaxwin.analysis import late_start
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import (
    EDM,
    DiscreteDDPM,
    OrnsteinUhlenbeck,
    VariancePreserving,
)
from jaxwin.samplers import FromMoments
from jaxwin.targets import Empirical, GaussianMixture

CLOCK = VariancePreserving(0.1, 20.0)
CRITICAL = 0.2926416543281432
TIMES = np.array([0.2, 0.25, CRITICAL, 0.5, 0.6, 1.0])
# theory/symmetry_and_clocks.md, section 1.8.
TABLE = {
    (0.8, "vanilla"): "0.60766407 0.65359525 0.68993375 0.78355119 0.79482824 "
    "0.79999171",
    (0.8, "gaussian"): "0.79362414 0.79720268 0.79881664 0.79999944 0.80000007 "
    "0.80000000",
    (0.9, "vanilla"): "0.66750558 0.73426099 0.78345835 0.88677449 0.89603314 "
    "0.89999378",
    (0.9, "gaussian"): "0.90479680 0.90287662 0.90161688 0.90001534 0.90000057 "
    "0.90000000",
}


def bell(x, mean, width):
    """Density of a Gaussian; a call of scipy.stats costs fifty times as much."""
    z = (x - mean) / width
    return math.exp(-z * z / 2) / (width * math.sqrt(2 * math.pi))


def classes(found):
    """What a law with labels says of its classes."""
    assert found.classes is not None
    return found.classes


def two(p, dimension=1, variance=0.0):
    means = np.zeros((2, dimension))
    means[:, 0] = 1.0, -1.0
    return GaussianMixture.isotropic(means, variance, [p, 1 - p])


def by_scipy(p, s, kind, variance=0.0):
    """Weight, KL and TV by adaptive quadrature, from the formulas of section 1.8."""
    alpha, sigma = (float(v) for v in CLOCK.levels(s))
    v = alpha**2 * variance + sigma**2
    mean, std = 0.0, 1.0
    if kind == "gaussian":
        mean = alpha * (2 * p - 1)
        std = np.sqrt(v + 4 * alpha**2 * p * (1 - p))
    q = lambda x: bell(x, mean, std)
    pt = lambda x: p * bell(x, alpha, v**0.5) + (1 - p) * bell(x, -alpha, v**0.5)
    cuts = np.linspace(-9, 9, 73)
    whole = lambda f: sum(
        quad(f, a, b, epsabs=1e-14, epsrel=1e-12)[0]
        for a, b in zip(cuts, cuts[1:], strict=False)
    )
    weight = whole(lambda x: q(x) * expit(2 * alpha * x / v + logit(p)))
    tiny = 1e-300
    kl = whole(lambda x: pt(x) * np.log((pt(x) + tiny) / (q(x) + tiny)))
    return weight, kl, whole(lambda x: abs(pt(x) - q(x))) / 2


@pytest.mark.slow
@pytest.mark.parametrize(("p", "kind"), TABLE)
def test_table_of_class_weights(p, kind):
    found = late_start.law(two(p), CLOCK, TIMES, start=kind)
    expected = np.array(TABLE[p, kind].split(), float)
    np.testing.assert_allclose(classes(found).weight[:, 0], expected, atol=6e-9)
    assert found.method == "quadrature"
    assert not np.any(classes(found).error_stderr)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vanilla", "gaussian"])
@pytest.mark.parametrize(("p", "variance"), [(0.65, 0.0), (0.95, 0.02), (0.8, 0.3)])
def test_points_that_are_not_printed(p, variance, kind):
    times = np.array([0.17, 0.33, 0.71])
    found = late_start.law(two(p, 1, variance), CLOCK, times, start=kind)
    exact = np.array([by_scipy(p, s, kind, variance) for s in times])
    np.testing.assert_allclose(classes(found).weight[:, 0], exact[:, 0], atol=1e-10)
    np.testing.assert_allclose(found.divergence, exact[:, 1], atol=1e-10)
    np.testing.assert_allclose(found.variation, exact[:, 2], atol=2e-7)
    w = np.stack([exact[:, 0], 1 - exact[:, 0]], axis=1)
    kl = np.sum(w * np.log(w / np.array([p, 1 - p])), axis=1)
    np.testing.assert_allclose(classes(found).divergence, kl, atol=1e-10)
    np.testing.assert_allclose(classes(found).error, abs(w[:, 0] - p), atol=1e-10)


def test_distances_of_the_symmetric_law():
    times = np.array([0.2, 0.25, CRITICAL, 0.3, 0.4, 0.5, 0.6])
    found = late_start.law(two(0.5), CLOCK, times, start="vanilla")
    kl = [0.0455524, 0.0124111, 0.00381841, 0.00309317, 1.36672e-4, 3.32856e-6]
    np.testing.assert_allclose(found.divergence, [*kl, 3.93708e-8], rtol=5e-6)
    assert abs(found.divergence[2] - 0.003818405893) < 6e-13
    assert abs(found.variation[2] - 0.033552253) < 6e-10
    assert abs(found.variation[1] - 0.0635415) < 6e-8
    assert abs(found.variation[5] - 7.954e-4) < 6e-8
    # Moments agree, so both starts are one, and nothing is misplaced.
    np.testing.assert_allclose(found.frechet, 0, atol=1e-15)
    np.testing.assert_allclose(classes(found).error, 0, atol=1e-15)


@pytest.mark.slow
def test_frechet_and_bounds_of_the_vanilla_start():
    law = GaussianMixture.full(
        [[1.0, 0.5, 0], [-1, 0, 0.2]], np.diag([0.1, 0.5, 2.0]), [0.7, 0.3]
    )
    found = late_start.law(law, CLOCK, [0.2, 0.45], start="vanilla", num_replicas=4096)
    moments = law.moments()
    for i, s in enumerate((0.2, 0.45)):
        alpha, sigma = (float(v) for v in CLOCK.levels(s))
        values = np.linalg.eigvalsh(np.asarray(moments.covariance()))
        widths = np.sqrt(alpha**2 * values + sigma**2)
        expected = np.sum((alpha * np.asarray(moments.mean)) ** 2)
        expected += np.sum((widths - 1) ** 2)
        assert found.frechet[i] == pytest.approx(expected, rel=1e-12)
    assert np.all(classes(found).error < found.variation)
    assert np.all(found.variation < np.sqrt(found.divergence / 2))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", ["vanilla", "gaussian"])
def test_draws_agree_with_quadrature(kind):
    # The same two clusters in a form that does not reduce.
    p, times = 0.8, np.array([0.25, 0.4, 0.55])
    line = late_start.law(two(p, 3, 0.05), CLOCK, times, start=kind)
    means = [[1.0, 0, 0], [-1, 0, 0]]
    law = GaussianMixture.diagonal(means, 0.05 * np.ones((2, 3)), [p, 1 - p])
    drawn = late_start.law(law, CLOCK, times, start=kind, key=jr.key(3))
    assert drawn.method == "draws"
    z = (classes(drawn).weight - classes(line).weight)[:, 0] / classes(
        drawn
    ).error_stderr
    assert np.abs(z).max() < 4
    z = (drawn.divergence - line.divergence) / drawn.divergence_stderr
    assert np.abs(z).max() < 4
    spread = np.hypot(drawn.variation_stderr, line.variation_stderr)
    assert np.abs((drawn.variation - line.variation) / spread).max() < 4
    np.testing.assert_allclose(drawn.frechet, line.frechet, atol=1e-13)
    # Its terms vanish with the distance: so do errors.
    assert np.all(drawn.divergence_stderr < 0.1 * drawn.divergence)


def test_moments_are_an_affine_identity():
    law = GaussianMixture.low_rank(np.eye(2, 5), np.ones((2, 5, 1)), [0.1, 0.2])
    for process, t in ((CLOCK, 0.37), (DiscreteDDPM(), 400.0)):
        start, (alpha, sigma) = FromMoments(law, process, t), process.levels(t)
        m = law.moments()
        assert np.array_equal(start.mean, alpha * m.mean)
        expected = alpha**2 * m.covariance() + sigma**2 * jnp.eye(5)
        assert np.array_equal(start.covariance, expected)
        other = FromMoments(law, process, float(process.domain[1])).at(alpha, sigma)
        assert np.array_equal(other.covariance, expected)


@pytest.mark.slow
@pytest.mark.parametrize("points", [(7, 40), (200, 12)])
def test_low_rank_start_is_the_gaussian(points):
    # Fewer points than dimensions, and more.
    law = Empirical(np.random.default_rng(0).normal(size=points), bandwidth=0.2)
    start = FromMoments(law, OrnsteinUhlenbeck(), 0.6)
    normal: Any = scipy.stats.multivariate_normal
    normal = normal(start.mean, start.covariance)
    xs = np.random.default_rng(1).normal(size=(4, points[1]))
    found = jax.vmap(start.log_density)(jnp.asarray(xs))
    np.testing.assert_allclose(found, normal.logpdf(xs), rtol=1e-9)
    # A draw is linear in its normals: its covariance is exact.
    keys = jr.split(jr.key(0), points[1])
    z = np.asarray(jax.vmap(lambda k: jr.normal(k, (points[1],), float))(keys))
    drawn = np.asarray(jax.vmap(start)(keys)) - np.asarray(start.mean)
    root = np.linalg.solve(z, drawn)
    np.testing.assert_allclose(root.T @ root, start.covariance, atol=1e-7)


def test_images_need_no_dense_matrix():
    d = 3072
    points = np.random.default_rng(0).normal(size=(30, d))
    start = FromMoments(Empirical(points), OrnsteinUhlenbeck(), 0.5)
    assert max(leaf.size for leaf in jax.tree.leaves(start)) <= 30 * d
    assert np.all(np.isfinite(np.asarray(start(jr.key(1)))))
    text = str(jax.make_jaxpr(start.log_density)(start.mean))
    assert f"{d},{d}" not in text


@pytest.mark.slow
def test_elbow_of_the_two_deltas():
    times = np.arange(0.05, 0.9995, 0.001)
    for p, expected in ((0.6, 0.369), (0.8, 0.341), (0.9, 0.311)):
        found = late_start.law(two(p), CLOCK, times, start="vanilla")
        bend = late_start.elbow(times, classes(found).error)
        assert float(bend.time) == pytest.approx(expected, abs=1e-9)
    assert not bool(late_start.elbow(times, -(times**2)).found)


@pytest.mark.slow
def test_automatic_start_of_two_deltas():
    # What is misplaced crosses 0.002 where scipy says so.
    choose = lambda **options: late_start.automatic(two(0.8), CLOCK, **options)
    found = choose(level=0.002, rule="weights")
    s = float(found.start.time)
    assert abs(by_scipy(0.8, s, "gaussian")[0] - 0.8) == pytest.approx(0.002, rel=1e-3)
    assert found.bound == pytest.approx(0.002, rel=2e-3)
    assert s < float(found.elbow.time)
    assert float(found.elbow.time) == pytest.approx(0.34, abs=0.011)
    # The distance of laws, and Pinsker's bound on it, give noisier starts.
    others = [choose(variation=0.002, rule=rule) for rule in ("variation", "pinsker")]
    assert s < float(others[0].start.time) < float(others[1].start.time)
    at = float(others[0].start.time)
    assert by_scipy(0.8, at, "gaussian")[2] == pytest.approx(0.002, rel=1e-3)
    # Both together: the noisier of the two.
    both = choose(level=0.002, variation=0.05)
    at = float(choose(variation=0.05, rule="variation").start.time)
    assert float(both.start.time) == pytest.approx(max(s, at), abs=1e-9)
    assert "at most 0.002 of the class weight, and the total" in both.said
    assert to_dataset(found)["weight_bound"].dims == ("noise",)


@pytest.mark.slow
def test_automatic_start_keeps_its_promise_on_coarse_times():
    """What is asked between the given times is the law itself."""
    law = GaussianMixture.isotropic(
        [[-1.5], [0.2], [2.0]], [0.1, 0.02, 0.4], weights=[0.2, 0.5, 0.3]
    )
    choose = lambda times: late_start.automatic(
        law, CLOCK, rule="weights", level=0.02, times=times
    )
    coarse, fine = (choose(np.linspace(0.1, 1, n)) for n in (8, 181))
    assert coarse.time == pytest.approx(fine.time, rel=1e-5)
    at = classes(late_start.law(law, CLOCK, [coarse.time])).error[0]
    assert at <= 0.02 == pytest.approx(at, rel=1e-4)
    assert coarse.bound == pytest.approx(at, rel=1e-9)


@pytest.mark.slow
def test_automatic_start_of_small_data_on_a_long_clock():
    law = GaussianMixture.isotropic([[0.1], [-0.1]], 1e-4, [0.7, 0.3])
    found = late_start.automatic(law, EDM())
    assert not found.always
    at = late_start.law(law, EDM(), [found.time])
    worst = max(classes(at).error[0] / 0.01, at.variation[0] / 0.15)
    assert 0.999 < worst <= 1


@pytest.mark.slow
def test_automatic_start_always_and_never():
    always = late_start.automatic(two(0.5), CLOCK, rule="weights")
    assert always.always
    assert not bool(always.start.found)
    assert always.time == always.noise[0]
    # Of a symmetric law weights say nothing, but laws do.
    shapes = late_start.automatic(two(0.5), CLOCK)
    assert not shapes.always
    exact_tv = by_scipy(0.5, float(shapes.start.time), "gaussian")[2]
    assert exact_tv == pytest.approx(0.15, rel=1e-3)
    never = late_start.automatic(
        two(0.9), CLOCK, times=[0.05, 0.1, 0.15, 0.2], level=0.001
    )
    assert not never.always
    assert not bool(never.start.found)
    assert never.time == 0.2
    # A vanilla start of the same promise is noisier.
    kinds = [late_start.automatic(two(0.9), CLOCK, start=k) for k in late_start.KINDS]
    assert float(kinds[0].start.time) < float(kinds[1].start.time)
    assert float(late_start.automatic(two(0.9), OrnsteinUhlenbeck()).start.time) > 0


def test_laws_without_labels():
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.1, labels=[0, 0])
    found = late_start.law(law, CLOCK, [0.3, 0.5])
    np.testing.assert_allclose(classes(found).error, 0, atol=1e-14)
    assert to_json(found)["kind"] == "gaussian"


@pytest.mark.parametrize(
    ("percent", "bits"),
    [
        ([69.5, 7.6, 7.1, 8.9, 4.9, 1.9], 1.551),
        ([72.3, 8.0, 5.6, 8.0, 4.8, 1.3], 1.446),
        ([78.5, 6.4, 3.9, 7.0, 3.5, 0.6], 1.192),
        ([88.3, 3.7, 2.6, 2.8, 2.4, 0.2], 0.763),
        ([25, 25, 25, 25], 2.0),
    ],
)
def test_diversity_of_published_percentages(percent, bits):
    assert abs(float(late_start.diversity(percent).entropy) - bits) < 6e-4


def test_diversity_errors_and_bias():
    p, n = np.array([0.6, 0.25, 0.1, 0.05]), 200
    exact = float(late_start.diversity(p).entropy)
    generator = np.random.default_rng(5)
    found = [
        late_start.diversity(counts=c) for c in generator.multinomial(n, p, size=4000)
    ]
    values = np.array([f.entropy for f in found])
    error = values.std() / np.sqrt(4000)
    assert values.mean() + 4 * error < exact  # biased, and mended:
    mended = values + [f.bias for f in found]
    assert abs(mended.mean() - exact) < 4 * error + 1e-3
    mean_error = np.sqrt(np.mean([f.stderr**2 for f in found]))
    assert mean_error == pytest.approx(values.std(), rel=0.05)
    # Hard labels as soft ones say the same; truly soft ones are surer.
    hard = np.repeat(np.eye(4), [120, 50, 20, 10], axis=0)
    one, two_ = (
        late_start.diversity(counts=[120, 50, 20, 10]),
        late_start.diversity(soft_labels=hard),
    )
    assert float(two_.stderr) == pytest.approx(float(one.stderr), rel=0.01)
    assert float(two_.bias) == pytest.approx(float(one.bias), rel=0.01)
    soft = 0.5 * hard + 0.5 * p
    assert float(late_start.diversity(soft_labels=soft).stderr) < float(one.stderr)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: late_start.law(two(0.8), CLOCK, [0.5, 0.4]), "increasing"),
        (lambda: late_start.law(two(0.8), CLOCK, [0.5, 1.4]), "holds 1.4"),
        (lambda: late_start.law(two(0.8), CLOCK, [0.0, 0.4]), "sigma > 0"),
        (lambda: late_start.law(two(0.8), CLOCK, [0.3], start="warm"), "`start` is"),
        (lambda: late_start.law(two(1.0), CLOCK, [0.3]), "class 1 the weight 0"),
        (lambda: late_start.automatic(two(0.8), CLOCK, level=0.0), "`level` is 0"),
        (lambda: late_start.automatic(two(0.8), CLOCK, rule="kl"), "`rule` is 'kl'"),
        (lambda: late_start.elbow([0.1, 0.2], [1.0, 0.5]), "at least 3"),
        (lambda: late_start.elbow([0.1, 0.2, 0.5], [1.0, 0.5, 0.1]), "equal steps"),
        (lambda: late_start.elbow([0.1, 0.2, 0.3], [1, np.nan, 0]), "finite"),
        (lambda: late_start.diversity(), "One of"),
        (lambda: late_start.diversity([0.0, 0.0]), "not all zero"),
        (lambda: late_start.diversity(counts=[1, 0]), "holds 1 sample"),
        (lambda: late_start.diversity(counts=[1.5, 3]), "whole"),
        (lambda: late_start.diversity(soft_labels=[[0.5, 0.1]] * 3), "sum to 1"),
        (lambda: late_start.diversity(soft_labels=[0.5, 0.5]), "one row a sample"),
    ],
)
def test_what_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
