"""The log-likelihood ratio of Gaussian classes, and general-class times from it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batteries import some
from jax.scipy.stats import multivariate_normal
from scipy.optimize import root_scalar

from jaxwin.analysis import speciation
from jaxwin.io import to_dataset
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()


def covariance_classes(n: int, *variances: float) -> GaussianMixture:
    return GaussianMixture.isotropic(np.zeros((len(variances), n)), np.array(variances))


# Means and variances of L


def random_mixture(kind: str, d: int = 4) -> GaussianMixture:
    rng = np.random.default_rng(3)
    means = rng.normal(size=(2, d))
    if kind == "isotropic":
        return GaussianMixture.isotropic(means, np.array([0.4, 1.3]))
    if kind == "diagonal":
        return GaussianMixture.diagonal(means, rng.uniform(0, 2, (2, d)))
    factors = rng.normal(size=(2, d, 2))
    if kind == "low_rank":
        return GaussianMixture.low_rank(means, factors, np.array([0.3, 0.8]))
    square = rng.normal(size=(2, d, d))
    return GaussianMixture.full(means, square @ square.swapaxes(1, 2) / d)


KINDS = ["isotropic", "diagonal", "low_rank", "full"]
entropy = eqx.filter_jit(
    lambda law, a, b, t: speciation.free_entropy(law, a, b, OU.alpha(t), OU.sigma(t))
)


def dense_moments(law: GaussianMixture, a: int, b: int, t: float) -> np.ndarray:
    """E[L] and sd(L) from the textbook, dense matrices in numpy."""
    alpha, sigma = float(OU.alpha(t)), float(OU.sigma(t))
    side = lambda k: law.restrict(jnp.arange(2) == k).moments()
    noised = [
        alpha**2 * np.asarray(side(k).covariance()) + sigma**2 * np.eye(law.dimension)
        for k in (a, b)
    ]
    delta = alpha * np.asarray(law.means[a] - law.means[b])
    inverse = np.linalg.inv(noised[1])
    log_det = np.linalg.slogdet(noised[1])[1] - np.linalg.slogdet(noised[0])[1]
    mean = (np.trace(inverse @ noised[0]) - law.dimension + log_det) / 2
    mean += delta @ inverse @ delta / 2
    form = (inverse - np.linalg.inv(noised[0])) @ noised[0]
    variance = np.trace(form @ form) / 2 + delta @ inverse @ noised[0] @ inverse @ delta
    return np.array([mean, np.sqrt(variance)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_free_entropy_is_that_of_dense_matrices(kind):
    law = random_mixture(kind)
    for t in (0.05, 0.7, 3.0):
        for a, b in ((0, 1), (1, 0)):
            found = entropy(law, jnp.asarray(a), jnp.asarray(b), jnp.asarray(t))
            mine = np.array([float(found.mean), float(np.sqrt(found.variance))])
            np.testing.assert_allclose(mine, dense_moments(law, a, b, t), rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", some(KINDS, ["diagonal", "full"]))
def test_gaussian_times_are_where_mean_is_deviation(kind):
    law = random_mixture(kind, 12)
    found = speciation.gaussian_general_times(law)
    for side in range(2):
        excess = lambda t, s=side: np.subtract(*dense_moments(law, s, 1 - s, t))
        grid = np.geomspace(1e-3, 6, 60)
        above = np.array([excess(t) for t in grid]) > 0
        last = np.flatnonzero(above)[-1]
        ends = grid[last], grid[last + 1]
        root = root_scalar(excess, bracket=ends, xtol=1e-13).root
        assert abs(float(found.crossing.time[0, side]) - root) < 1e-10
    assert to_dataset(found)["crossing.time"].dims == ("pairs", "side")


@pytest.mark.slow
def test_free_entropy_by_monte_carlo():
    # 200,000 draws of a full pair at t = 0.4, seed 1.
    law, t, n = random_mixture("full"), 0.4, 200_000
    alpha, sigma = float(OU.alpha(t)), float(OU.sigma(t))
    rng = np.random.default_rng(1)
    side = [law.restrict(jnp.arange(2) == k).moments() for k in (0, 1)]
    clean = rng.multivariate_normal(side[0].mean, side[0].covariance(), n)
    x = alpha * clean + sigma * rng.normal(size=clean.shape)

    def log_p(moments):
        mean = alpha * moments.mean
        covariance = alpha**2 * moments.covariance() + sigma**2 * jnp.eye(4)
        one = lambda x: multivariate_normal.logpdf(x, mean, covariance)
        return np.asarray(jax.vmap(one)(jnp.asarray(x)))

    ratio = log_p(side[0]) - log_p(side[1])
    found = speciation.free_entropy(law, 0, 1, alpha, sigma)
    assert abs(ratio.mean() - float(found.mean)) < 4 * ratio.std() / np.sqrt(n)
    spread = np.std((ratio - ratio.mean()) ** 2) / np.sqrt(n)
    assert abs(ratio.var() - float(found.variance)) < 4 * spread


@pytest.mark.slow
@pytest.mark.parametrize(("mu", "d"), [(0.4, 9), (3.0, 10**5)])
def test_two_means_give_the_time_of_the_source(mu, d):
    means = mu * np.stack([np.ones(d), -np.ones(d)])
    for law in (
        GaussianMixture.isotropic(means, 1.0),
        GaussianMixture.diagonal(means, np.ones(d)),
    ):
        crossing = speciation.gaussian_general_times(law).crossing
        exact = 0.5 * np.log(d * mu**2)
        found = exact > 0
        assert bool(crossing.found.all()) == found
        if found:
            np.testing.assert_allclose(crossing.time, exact, rtol=1e-12)
            r = speciation.separation(
                2 * mu * np.sqrt(d), 1.0, OU.alpha(exact), OU.sigma(exact)
            )
            assert abs(float(speciation.agreement(r)) - 0.775200245397) < 1e-11
    gap = 2 * mu * np.sqrt(d)
    rule = speciation.weak_signal_time(mean_gap=gap)
    np.testing.assert_allclose(rule.time, exact, rtol=1e-12)


@pytest.mark.slow
def test_times_that_do_not_exist_are_answers():
    same = GaussianMixture.isotropic(np.zeros((2, 3)), 1.0)
    crossing = speciation.gaussian_general_times(same).crossing
    assert not bool(crossing.found.any())
    assert np.all(np.isnan(crossing.time))
    # On a line E[L] < sd[L] from the wide class at every noise.
    narrow = GaussianMixture.isotropic(np.zeros((2, 1)), np.array([1e-4, 1.0]))
    crossing = speciation.gaussian_general_times(narrow).crossing
    np.testing.assert_array_equal(crossing.found, [[True, False]])
    assert not bool(speciation.weak_signal_time().found)
    assert not bool(speciation.weak_signal_time(0.5, 0.1).found)
    slope = jax.grad(lambda g: speciation.weak_signal_time(0.0, g).time)
    assert np.isfinite(float(slope(10.0)))
    assert float(slope(0.0)) == 0


def test_weak_signal_rule_takes_norms_and_matrices():
    rng = np.random.default_rng(2)
    gap = 30 * rng.normal(size=(6, 6))
    norm = np.linalg.norm(gap)
    rule = speciation.weak_signal_time
    np.testing.assert_allclose(
        rule(covariance_gap=jnp.asarray(gap)).time,
        0.5 * np.log(norm / (2 * np.sqrt(2))),
        rtol=1e-13,
    )
    # Means and covariances together: |Dm|^2 s^2 / 2 + |DC|^2 s^4 / 4 = 2.
    both = rule(5.0, 40.0)
    s_sq = np.exp(-2 * float(both.time))
    np.testing.assert_allclose(25 * s_sq / 2 + 1600 * s_sq**2 / 4, 2, rtol=1e-12)


def test_classes_of_many_and_of_hidden_directions():
    # Four classes, one of two components: it is left out, and names stay.
    rng = np.random.default_rng(4)
    means = 5 * rng.normal(size=(5, 40))
    labels = np.array([2, 0, 1, 0, 3])
    law = GaussianMixture.isotropic(means, np.full(5, 0.7), labels=labels)
    found = speciation.gaussian_general_times(law)
    np.testing.assert_array_equal(found.pair, [[1, 2], [1, 3], [2, 3]])
    assert found.crossing.time.shape == (3, 2)
    where = {2: 0, 1: 2, 3: 4}
    for (a, b), times in zip(found.pair, np.asarray(found.crossing.time), strict=True):
        square = np.sum((means[where[a]] - means[where[b]]) ** 2)
        np.testing.assert_allclose(times, 0.5 * np.log(square / 4 + 0.3), rtol=1e-11)
    # A low-rank law in 10^5 dimensions reduces: no matrix of that size.
    d = 10**5
    means = np.zeros((2, d))
    means[0, :100], means[1, :100] = 1.0, -1.0
    factors = np.zeros((2, d, 1))
    factors[0, 200], factors[1, 201] = 3.0, 2.0
    wide = GaussianMixture.low_rank(means, factors, 0.5)
    small = GaussianMixture.full(
        np.array([[10.0, 0, 0], [-10.0, 0, 0]]),
        np.stack([np.diag([0.5, 9.5, 0.5]), np.diag([0.5, 0.5, 4.5])]),
    )
    np.testing.assert_allclose(
        speciation.gaussian_general_times(wide).crossing.time,
        speciation.gaussian_general_times(small).crossing.time,
        rtol=1e-10,
    )


# Gradients of times


def differences(f, x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences of a function of an array."""
    found = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        found[i] = (float(f(jnp.asarray(x + e))) - float(f(jnp.asarray(x - e)))) / (
            2 * h
        )
    return found


@pytest.mark.parametrize(
    "of", some(["means", "variances", "diagonal", "full", "low_rank"], ["means"])
)
def test_gradients_of_general_times(of):
    rng = np.random.default_rng(5)
    means, variances = 2 * rng.normal(size=(2, 3)), np.array([0.4, 1.7])
    covariances = np.stack([np.diag([1.0, 1.0, 2.0]), 0.5 * np.eye(3)])
    factors = 1.5 * rng.normal(size=(2, 3, 1))
    build, x = {
        "means": (lambda m: GaussianMixture.isotropic(m, variances), means),
        "variances": (lambda v: GaussianMixture.isotropic(means, v), variances),
        "diagonal": (
            lambda v: GaussianMixture.diagonal(means, v),
            rng.uniform(0.3, 2, (2, 3)),
        ),
        "full": (lambda m: GaussianMixture.full(m, covariances), means),
        "low_rank": (lambda m: GaussianMixture.low_rank(m, factors, 0.3), means),
    }[of]
    times = lambda law: speciation.gaussian_general_times(law).crossing.time
    f = jax.jit(lambda x: times(build(x))[0, 0])
    slope = jax.jit(jax.grad(f))(jnp.asarray(x))
    assert np.all(np.isfinite(slope))
    np.testing.assert_allclose(slope, differences(f, x), atol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speciation.weak_signal_time(-1.0), "`mean_gap` is -1"),
        (lambda: speciation.weak_signal_time(1.0, -1.0), "`covariance_gap` is -1"),
        (
            lambda: speciation.free_entropy(covariance_classes(2, 1, 2), 0, 2, 1, 1),
            "`second` is 2",
        ),
        (
            lambda: speciation.free_entropy(covariance_classes(2, 1, 2), 0, 1, 1, 0),
            "`sigma` is 0",
        ),
        (
            lambda: speciation.gaussian_general_times(covariance_classes(2, 1)),
            "1 classes of a single component",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
